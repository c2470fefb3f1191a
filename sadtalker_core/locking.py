"""Locks of the operating system: which files belong to a process that is still running, and which to one that died.

The system releases a lock when its process ends, however it ends, so no lock is ever stale. Every lock is on a file of
its own, which names its holder and goes away with it.

    held                          one process at a time
    make_lock, inherit, drop      the same in steps; for claims.py, and for whoever keeps a lock beyond a block
    work_folder                   a temporary folder that lasts no longer than its process
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import InUse, shorten

#: the byte that is locked; Windows forbids others to read a locked byte, so it lies far behind the text
_LOCKED_BYTE = 1 << 30
#: the error numbers for a lock that somebody else holds; any other error means that the file system has no locks
_TAKEN = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}
_OPEN = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_LONGEST_TEXT = 1 << 16
#: a lock file is empty for the moment between its making and its signing
_LOOKS, _LOOK_AGAIN_S = 5, 0.02
#: a work folder without a lock file may be one that was made a moment ago
_JUST_MADE_S = 600.0
_LOCK_FILE = "lock"

log = logging.getLogger(__name__)


@contextmanager
def held(file: Path, what: str) -> Iterator[None]:
    """Holds a lock file for the length of the block.

    what: names the locked thing in the sentence
    Raises InUse where another process has it, and OSError where the file cannot be made.
    """
    while True:
        descriptor = os.open(file, _OPEN | os.O_CREAT, 0o666)
        if try_lock(descriptor) is False:
            os.close(descriptor)
            raise in_use(file, what)
        if _has_this_name(descriptor, file):
            break
        os.close(descriptor)  # its holder has just removed it
    try:
        with suppress(OSError):  # on a full disk it is locked all the same
            sign(descriptor)
        yield
    finally:
        drop(descriptor, file)


def make_lock(file: Path, about: Mapping[str, Any] | None = None) -> int:
    """The descriptor of a lock file that did not exist before. about: what the file records beside its holder

    Raises FileExistsError, and the OSError of a disk that cannot be written to; then no file is left.
    """
    descriptor = os.open(file, _OPEN | os.O_CREAT | os.O_EXCL, 0o666)
    if try_lock(descriptor) is False or not _has_this_name(descriptor, file):
        os.close(descriptor)  # between the two lines another process took it for a dead one's
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))
    try:
        sign(descriptor, about)
    except BaseException:
        drop(descriptor, file)
        raise
    return descriptor


def inherit(file: Path, *, without_locks: bool = False) -> int | None:
    """The descriptor of a lock file whose process has died, now locked by this one; None while that process lives.

    without_locks: whether to take it on a file system without locks
    Raises FileNotFoundError.
    """
    descriptor = os.open(file, _OPEN)
    locked = try_lock(descriptor)
    if (without_locks if locked is None else locked) and _has_this_name(descriptor, file):
        return descriptor
    os.close(descriptor)
    return None


def drop(descriptor: int, file: Path) -> None:
    """Removes a lock file and lets go of its lock."""
    if os.name != "nt":  # before it is unlocked, so that nobody locks a file that is about to go
        with suppress(OSError):
            file.unlink()
    os.close(descriptor)
    if os.name == "nt":  # which removes no open file; nor this one, if somebody else has opened it meanwhile
        with suppress(OSError):
            file.unlink()


def try_lock(descriptor: int) -> bool | None:
    """Locks an open file without waiting; closing it lets go. True: it is ours. False: a living process has it. None:
    the file system has no locks, as some network shares.
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
        return False if error.errno in _TAKEN else None
    return True


def sign(descriptor: int, about: Mapping[str, Any] | None = None) -> None:
    """Writes into a lock file who holds it now, and what else it should record."""
    me = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(me | dict(about or {})).encode())


def read_signed(descriptor: int) -> dict[str, Any]:
    """The content of a lock file; {} where it cannot be read."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        text = json.loads(os.read(descriptor, _LONGEST_TEXT))
    except (OSError, ValueError, RecursionError):
        return {}
    return text if isinstance(text, dict) else {}


def in_use(file: Path, what: str) -> InUse:
    """The error that names the holder of a lock file."""
    holder = "another process"
    with suppress(OSError):
        for _ in range(_LOOKS):
            descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            text = read_signed(descriptor)
            os.close(descriptor)
            if {"pid", "host", "since"} <= set(text):
                holder = shorten(f"process {text['pid']} on {text['host']} since {text['since']}", 200)
                break
            time.sleep(_LOOK_AGAIN_S)
    return InUse(f"{what} is in use by {holder}. Wait until it ends, or stop it.")


def _has_this_name(descriptor: int, file: Path) -> bool:
    """Whether the open file still has this name. Always on Windows, where an open file keeps it."""
    try:
        return os.name == "nt" or os.path.samestat(os.fstat(descriptor), os.lstat(file))
    except FileNotFoundError:
        return False


@contextmanager
def work_folder(prefix: str) -> Iterator[Path]:
    """A new folder among the temporary files. It is removed with the block, or after a kill by `sweep_work_folders`."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        try:
            lock = make_lock(folder / _LOCK_FILE)
            break
        except FileExistsError:
            continue  # a sweep was quicker
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    try:
        yield folder
    finally:
        _remove(folder, lock)


def sweep_work_folders(prefix: str) -> list[Path]:
    """Removes the work folders whose processes have died, names each in the log, and returns them."""
    swept = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{prefix}*")):
        with suppress(OSError):  # another user's, or another process has just removed it
            if not _is_mine(folder):
                continue
            try:
                lock = inherit(folder / _LOCK_FILE)
            except FileNotFoundError:
                if time.time() - folder.stat().st_mtime < _JUST_MADE_S:
                    continue
                lock = make_lock(folder / _LOCK_FILE)
            if lock is None:
                continue
            _remove(folder, lock)
            log.warning("Removed %s, left behind by a killed process.", folder)
            swept.append(folder)
    return swept


def _remove(folder: Path, lock: int) -> None:
    """While it is locked, so that no sweep meets a folder that is half gone. Windows keeps the lock file until then."""
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
    shutil.rmtree(folder, ignore_errors=True)


def _is_mine(folder: Path) -> bool:
    """Whether it is a folder of this user, and no link to one."""
    return folder.is_dir() and not folder.is_symlink() and (os.name == "nt" or folder.stat().st_uid == os.getuid())


__all__ = [
    "drop",
    "held",
    "in_use",
    "inherit",
    "make_lock",
    "read_signed",
    "sign",
    "sweep_work_folders",
    "try_lock",
    "work_folder",
]
