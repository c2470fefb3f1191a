"""Counts what a process does to its files, and kills it at one of these moments: SIGKILL, so that nothing tidies up.

A moment is the instant before a file is opened for writing, renamed, linked or removed, before a program is started,
and the instant after a write (into a pipe, too), a rename, a removal or a flush to the disk. Counted so, a moment is the
same on a slow machine and on a fast one.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

#: audit events of Python, told before it is done
BEFORE = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "subprocess.Popen"}
#: builtin functions and methods, told when it has been done
AFTER = {"write", "fsync", "truncate", "replace", "rename", "link", "unlink", "remove", "fork_exec", "serialize_file",
         "write_record", "write_end_of_file"}  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Moments:
    """n: how many there were so far, in this process since `watch`."""

    def __init__(self, kill_at: int | None = None, *, whole_group: bool = False):
        """kill_at: the moment, from 1, at which the process dies;  whole_group: and the programs that it has started"""
        self.n, self.kill_at, self.whole_group = 0, kill_at, whole_group
        self._watching = False
        self._counting = threading.local()

    def watch(self) -> None:
        self._watching = True
        sys.addaudithook(self._on_audit)
        threading.setprofile(self._on_profile)
        sys.setprofile(self._on_profile)

    def stop(self) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        self._watching = False

    def _on_audit(self, event: str, given: tuple) -> None:
        if self._watching and (event in BEFORE or event == "open" and self._writes(given)):
            self._count()

    @staticmethod
    def _writes(given: tuple) -> bool:
        flags = given[2] if len(given) > 2 else 0
        return isinstance(flags, int) and bool(flags & _WRITING) and given[0] not in ("/dev/null", None)

    def _on_profile(self, frame, event: str, called) -> None:
        if event == "c_return" and getattr(called, "__name__", "") in AFTER:
            if getattr(called, "__self__", None) not in (sys.stdout, sys.stderr):
                self._count()

    def _count(self) -> None:
        self.n += 1
        if self.n == self.kill_at:
            if self.whole_group:
                os.killpg(0, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
