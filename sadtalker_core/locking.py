"""A file that one process holds at a time, and a folder that lasts no longer than its process.

The operating system releases a lock when its process ends, however it ends, so no lock is ever stale.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InUse, shorten

#: the byte that is locked; Windows forbids others to read a locked byte, so it lies behind what the file says
_LOCKED_BYTE = 1 << 30
#: what a file system answers that knows no locks, as some network shares do
_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
#: a folder without a lock file may be one that was made this moment
_JUST_MADE_S = 600.0
_LOCK_FILE = "lock"

log = logging.getLogger(__name__)


@contextmanager
def held(file: Path, what: str) -> Iterator[None]:
    """Holds a lock for the length of the block; the file says who has it and stays.

    what: names the locked thing in the sentence
    Raises InUse where another process has it, and the OSError of a file that cannot be written.
    """
    with file.open("a+b", buffering=0) as opened:
        if not try_lock(opened.fileno()):
            opened.seek(0)
            raise InUse(f"{what} is in use by {_holder(opened.read(1000))}. Wait until it has ended, or stop it.")
        me = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        with suppress(OSError):  # on a full disk it is locked all the same
            opened.truncate(0)
            opened.write(json.dumps(me).encode())
        yield


def try_lock(descriptor: int) -> bool:
    """Locks an open file for this process without waiting; False where another has it. Closing the file lets go.

    True, too, on a file system that knows no locks: there nobody can be kept out.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS_HERE
    return True


@contextmanager
def work_folder(prefix: str) -> Iterator[Path]:
    """A new folder among the temporary files; it goes with the block, or is swept after a kill."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        with (folder / _LOCK_FILE).open("wb") as lock:
            try_lock(lock.fileno())
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)  # while it is locked; Windows keeps the open file
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep_work_folders(prefix: str) -> list[Path]:
    """Removes the work folders whose processes are dead, names each in the log, and returns them."""
    swept = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{prefix}*")):
        with suppress(OSError):  # another user's, or another process has just removed it
            if not _mine(folder) or _alive(folder):
                continue
            shutil.rmtree(folder, ignore_errors=True)
            log.warning("Removed %s, which a process that was killed had left behind.", folder)
            swept.append(folder)
    return swept


def _mine(folder: Path) -> bool:
    """Whether it is a folder of this user, and no link to one."""
    return folder.is_dir() and not folder.is_symlink() and (os.name == "nt" or folder.stat().st_uid == os.getuid())


def _alive(folder: Path) -> bool:
    """Whether the process that made a work folder still runs."""
    try:
        with (folder / _LOCK_FILE).open("r+b") as lock:
            return not try_lock(lock.fileno())
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime < _JUST_MADE_S


def _holder(said: bytes) -> str:
    """Who has a lock, as its file tells it."""
    try:
        found = json.loads(said)
        return shorten(f"process {found['pid']} on {found['host']} since {found['since']}", 200)
    except (ValueError, TypeError, KeyError, RecursionError):
        return "another process"


__all__ = ["held", "sweep_work_folders", "try_lock", "work_folder"]
