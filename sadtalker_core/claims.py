"""A name for a file that is being made, which nobody else gets, and what is left of a process that died while it wrote.

    talk_00001_.mp4.part             the claim: made exclusively, locked by the operating system while its process lives
    talk_00001_.mp4.<kind>.part      what is being made
    talk_00001_.mp4                  appears whole, when all is well; never in the place of another file

`sweep` finds parts whose claim no living process holds.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path

from .errors import shorten

#: `<name>.part` or `<name>.<kind>.part`; a file written by saving.whole as a part has `.part` twice
_PART = re.compile(r"(?P<name>.+?)(?:\.(?:video|whole|silent|signed|metadata))?(?:\.part)+", re.DOTALL)
#: names that this pack gives by itself; parts of others, such as a browser's downloads, are not ours to sweep
_NUMBERED = re.compile(r".*_\d{5,}_(?:partial)?\.(?:mp4|track\.safetensors)", re.DOTALL)
#: what a claim says first
_SIGN = "sadtalker"
#: where the lock lies on Windows, whose locks keep others from reading what they cover
_LOCKED_BYTE = 1 << 30


class Claim:
    """A name that is ours until `release`. Made by `claim_next` or `claim_path`."""

    def __init__(self, path: Path, descriptor: int, *, numbered: tuple[str, int, str] | None = None,
                 partial: Path | None = None):  # fmt: skip
        self.path, self.partial = path, partial
        self._descriptor: int | None = descriptor
        self._numbered = numbered

    def part(self, kind: str) -> Path:
        """Where to write a part: "video", "metadata", "signed" or "whole"."""
        return self.path.with_name(f"{self.path.name}.{kind}.part")

    def publish(self, part: Path) -> Path:
        """Gives a finished part its name, and returns it. A numbered name that somebody took meanwhile without a claim
        is left to them, the next free number is used; a path that was claimed as such is replaced.
        """
        if self._numbered is None:
            os.replace(part, self.path)
            return self.path
        stem, number, ending = self._numbered
        return _publish_new(part, (self.path.with_name(_numbered_name(stem, n, ending)) for n in count(number)))

    def publish_partial(self, part: Path) -> Path:
        """As `publish`, under the name for what a run that did not come to its end has made."""
        assert self.partial is not None
        if self._numbered is None:
            os.replace(part, self.partial)
            return self.partial
        stem, ending = self.partial.stem, self.partial.suffix
        others = (self.partial.with_name(f"{stem}_{n}{ending}") for n in count(2))
        return _publish_new(part, (name for names in ([self.partial], others) for name in names))

    def release(self) -> None:
        """Takes every part away, the claim last. Harmless when it was released or abandoned before."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        for part in _parts(self.path):
            with contextlib.suppress(OSError):  # what went wrong is told, not that this does, too
                part.unlink(missing_ok=True)
        os.close(descriptor)
        with contextlib.suppress(OSError):
            _claim_file(self.path).unlink(missing_ok=True)

    def abandon(self) -> None:
        """Leaves the parts to the next sweep, as if this process had ended."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.release()


def claim_next(folder: Path, stem: str, ending: str, *, partial_ending: str | None = None) -> Claim:
    """A claim on `<stem>_<number>_<ending>` in a folder, with a number that no file there has. The folder is made.

    partial_ending: for what is kept when the making breaks off: `<stem>_<number>_<partial_ending>`
    Raises OSError where nothing can be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken = re.compile(re.escape(os.path.normcase(stem)) + r"_(\d{1,18})(?!\d)")
    found = (taken.match(os.path.normcase(name)) for name in os.listdir(folder))
    first = max((int(match[1]) for match in found if match), default=0) + 1
    for number in count(first):
        path = folder / _numbered_name(stem, number, ending)
        partial = None if partial_ending is None else folder / _numbered_name(stem, number, partial_ending)
        with contextlib.suppress(FileExistsError):
            descriptor = _take(path, partial)
            if not os.path.lexists(path):
                return Claim(path, descriptor, numbered=(stem, number, ending), partial=partial)
            Claim(path, descriptor).release()
    raise AssertionError("numbers do not end")


def claim_path(path: Path, *, partial: Path | None = None) -> Claim:
    """A claim on this very path, whose file will be replaced. Parts that a dead process left of it are taken away.

    Raises BlockingIOError when a living process holds it, and OSError where nothing can be written.
    """
    for _ in range(2):
        with contextlib.suppress(FileExistsError):
            return Claim(path, _take(path, partial), partial=partial)
        dead = _inherit(path, where_nobody_can_tell=True)
        if dead is not None:
            dead.release()
    raise BlockingIOError(f"another run is writing {shorten(path)} at this moment")


#: makes a playable file of the parts of a dead process's claim, and publishes it; False keeps the parts for another day
Rescue = Callable[[Claim], bool]


def sweep(folder: Path, rescue: Rescue | None = None) -> None:
    """Takes away what processes that live no more left of files they were making in this folder, and says so in the
    log. Where a partial was asked for, `rescue` comes first; without one, such parts stay.
    """
    with contextlib.suppress(OSError):
        names = {match["name"] for match in map(_PART.fullmatch, os.listdir(folder)) if match}
        for name in sorted(names):
            with contextlib.suppress(OSError):
                _sweep_one(folder / name, rescue)


def _sweep_one(path: Path, rescue: Rescue | None) -> None:
    claim_file = _claim_file(path)
    if not _NUMBERED.fullmatch(path.name) and not _signed(claim_file):
        return
    dead = _inherit(path)
    if dead is None:
        return
    try:
        with contextlib.suppress(FileNotFoundError):  # see `_rename_to_new`
            if _NUMBERED.fullmatch(path.name) and not os.lstat(path).st_size:
                path.unlink()
        left = ", ".join(part.name for part in _parts(path)) or claim_file.name
        wanted = dead.partial is not None and not os.path.lexists(path)
        if wanted and (rescue is None or not rescue(dead)):
            logging.warning("SadTalker: %s, which a run that was killed left in %s, cannot be used now and stays.",
                            shorten(left), shorten(path.parent))  # fmt: skip
            return
        dead.release()
        logging.warning("SadTalker: took away %s, which a run that was killed left in %s.", shorten(left),
                        shorten(path.parent))  # fmt: skip
    finally:
        dead.abandon()


def _inherit(path: Path, where_nobody_can_tell: bool = False) -> Claim | None:
    """The claim on a path whose process has died, now ours; None when that lives. A disk without locks does not tell:
    then it counts as living, or as dead.
    """
    claim_file = _claim_file(path)
    try:
        descriptor = os.open(claim_file, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:  # parts of a version that made no claims
        with contextlib.suppress(FileExistsError):
            return Claim(path, _take(path, None))
        return None
    locked = _lock(descriptor)
    if not (where_nobody_can_tell if locked is None else locked) or not _is_still(descriptor, claim_file):
        os.close(descriptor)
        return None
    partial = _wish(os.read(descriptor, 1 << 16))
    return Claim(path, descriptor, numbered=(path.stem, 1, path.suffix),
                 partial=None if partial is None else path.with_name(Path(partial).name))  # fmt: skip


def _take(path: Path, partial: Path | None) -> int:
    """The descriptor of a claim that nobody had. Raises FileExistsError."""
    claim_file = _claim_file(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(claim_file, flags, 0o666)
    try:
        if _lock(descriptor) is False or not _is_still(descriptor, claim_file):  # a sweep came in between
            raise FileExistsError(str(claim_file))
        wish = {_SIGN: 1, "partial": None if partial is None else partial.name}
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(wish).encode())
    except FileExistsError:
        os.close(descriptor)
        raise
    except BaseException:  # a full disk, for example
        os.close(descriptor)
        with contextlib.suppress(OSError):
            claim_file.unlink()
        raise
    return descriptor


def _lock(descriptor: int) -> bool | None:
    """True: it is ours now. False: a living process has it. None: there are no locks on this disk."""
    if os.name == "nt":
        import msvcrt

        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _signed(claim_file: Path) -> bool:
    """Whether a claim of ours lies there, whatever the name of its file."""
    with contextlib.suppress(OSError), claim_file.open("rb") as file:
        return file.read(64).startswith(f'{{"{_SIGN}"'.encode())
    return False


def _wish(told: bytes) -> str | None:
    """The name for a partial file that a claim asks for."""
    try:
        wish = json.loads(told)
    except ValueError:
        return None
    partial = wish.get("partial") if isinstance(wish, dict) and _SIGN in wish else None
    return partial if isinstance(partial, str) and partial else None


def _publish_new(part: Path, names) -> Path:
    for name in names:
        with contextlib.suppress(FileExistsError):
            _rename_to_new(part, name)
            return name
    raise AssertionError("names do not end")


def _rename_to_new(part: Path, path: Path) -> None:
    """os.rename that replaces nothing, on every system. Raises FileExistsError."""
    if os.name == "nt":
        os.rename(part, path)
        return
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links: the name is taken first
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        os.replace(part, path)
    else:
        part.unlink()


def _numbered_name(stem: str, number: int, ending: str) -> str:
    return f"{stem}_{number:05}_{ending}"


def _claim_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _parts(path: Path) -> list[Path]:
    """The parts of a path that are there, without its claim."""
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:
        return []
    matches = ((name, _PART.fullmatch(name)) for name in names)
    found = [name for name, match in matches if match and match["name"] == path.name]
    return [path.with_name(name) for name in found if name != _claim_file(path).name]


__all__ = ["Claim", "claim_next", "claim_path", "sweep"]
