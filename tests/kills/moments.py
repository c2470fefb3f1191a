"""Counts what a process does to its files, and kills it at one of these moments: SIGKILL, so that nothing tidies up.

A moment is the instant before a file is opened for writing, renamed, linked or removed, before a program is started,
and the instant after a write (into a pipe, too), a rename, a removal or a flush to the disk. Counted so, a moment is
the same on a slow machine and on a fast one.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from itertools import pairwise
from random import Random
from types import ModuleType

#: audit events of Python, told before it is done
BEFORE = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "subprocess.Popen"}
#: functions of the system and methods of files, told when it has been done
OF_LIBRARIES = {"serialize_file", "write_record", "write_end_of_file"}
AFTER = {"write", "fsync", "truncate", "replace", "rename", "link", "unlink", "remove", "fork_exec", *OF_LIBRARIES}
_SYSTEM = ("posix", "nt", "_posixsubprocess")
#: of a loop that writes; everything else is as likely to be chosen as a whole video's frames
MOST_OF_A_LINE = 4
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Moments:
    """places: where in the code each moment was, in order, in this process since `watch`."""

    def __init__(self, kill_at: int | None = None, *, whole_group: bool = False):
        """kill_at: the moment, from 1, at which the process dies;  whole_group: and the programs that it has started"""
        self.kill_at, self.whole_group = kill_at, whole_group
        self.places: list[str] = []
        self._watching = False

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
        if self._watching and (event in BEFORE or (event == "open" and _writes(*given))):
            self._count(event, sys._getframe(1))

    def _on_profile(self, frame, event: str, called) -> None:
        if event == "c_return" and getattr(called, "__name__", "") in AFTER and _is_of_files(called):
            self._count(called.__name__, frame)

    def _count(self, what: str, frame) -> None:
        self.places.append(f"{what} {frame.f_code.co_filename}:{frame.f_lineno}")
        if len(self.places) == self.kill_at:
            if self.whole_group:
                os.killpg(0, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)


def _writes(path, mode, flags) -> bool:
    return isinstance(flags, int) and bool(flags & _WRITING) and path != os.devnull


def _is_of_files(called) -> bool:
    """Whether a builtin belongs to the system or to an open file; texts and sets have `replace` and `remove`, too."""
    if called.__name__ in OF_LIBRARIES:
        return True
    owner = getattr(called, "__self__", None)
    if isinstance(owner, ModuleType):
        return owner.__name__.startswith(_SYSTEM)
    if isinstance(owner, io.BytesIO | io.StringIO) or owner in (sys.stdout, sys.stderr):
        return False
    return isinstance(owner, io.IOBase)


def choose(places: list[str], n: int, rng: Random) -> list[int]:
    """n moments, from 1, spread over all of them; a line that writes in a loop has no more than MOST_OF_A_LINE of its
    moments among those that may be chosen.
    """
    of_a_line: dict[str, list[int]] = {}
    for number, place in enumerate(places, 1):
        of_a_line.setdefault(place, []).append(number)
    kept = sorted(
        number for numbers in of_a_line.values() for number in rng.sample(numbers, min(len(numbers), MOST_OF_A_LINE))
    )
    bounds = [len(kept) * step // n for step in range(n + 1)]
    return [kept[rng.randrange(low, max(high, low + 1))] for low, high in pairwise(bounds)]


__all__ = ["Moments", "choose"]
