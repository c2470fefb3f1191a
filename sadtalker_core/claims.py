"""A name for a file that is being made, which nobody else gets, and what is left of a process that died while it wrote.

    talk_00001_.mp4.claim.part       the claim: a lock file (locking.py), made exclusively
    talk_00001_.mp4.<kind>.part      what is being made
    talk_00001_.mp4                  appears whole, when all is well

A part belongs to a living process as long as its claim is locked. `sweep` removes the others.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

from .errors import shorten
from .locking import drop, in_use, inherit, make_lock, read_signed, sign

#: the longest that stands behind a name while its file is made
LONGEST_PART = ".metadata.part"
_KINDS = ("claim", "metadata", "signed", "silent", "video", "whole")
_PART = re.compile(rf"(?P<name>.+?)(?:\.(?P<kind>{'|'.join(_KINDS)}))?\.part", re.DOTALL)
#: names that the nodes give. The first version made no claims, and wrote to `<such a name>.part`, too; other people's
#: `.part` files, such as a browser's downloads, are not ours to sweep
_NUMBERED = re.compile(r".*_\d{5,}_(?:partial)?\.(?:mp4|webm|mov|track\.safetensors)", re.DOTALL)
#: a claim that vanishes between two looks was released; so often somebody else may be quicker
_TRIES = 5


class Claim:
    """A name that is ours until `release`. Made by `claim_next` or `claim_path`."""

    def __init__(
        self, path: Path, descriptor: int, *, numbered: tuple[str, int, str] | None = None, partial: Path | None = None
    ):
        self.path, self.partial = path, partial
        self._descriptor: int | None = descriptor
        self._numbered = numbered

    def part(self, kind: str) -> Path:
        """Where to write a part: "video", "metadata", "signed" or "whole"."""
        return self.path.with_name(f"{self.path.name}.{kind}.part")

    def publish(self, part: Path) -> Path:
        """Gives a finished part its name, and returns it. Where somebody who makes no claims took a numbered name
        meanwhile, the next free number is used; a path that was claimed as such is replaced.
        """
        if self._numbered is None:
            part.replace(self.path)
            return self.path
        stem, number, ending = self._numbered
        return _publish_new(part, (self.path.with_name(_numbered_name(stem, n, ending)) for n in count(number)))

    def publish_partial(self, part: Path) -> Path:
        """As `publish`, under the name for what a run that did not come to its end has made."""
        assert self.partial is not None
        if self._numbered is None:
            part.replace(self.partial)
            return self.partial
        stem, ending = self.partial.stem, self.partial.suffix
        others = (self.partial.with_name(f"{stem}_{n}{ending}") for n in count(2))
        return _publish_new(part, (name for names in ([self.partial], others) for name in names))

    def release(self) -> None:
        """Removes every part, the claim last. Does nothing after the first time, or after `abandon`."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._clear()
            drop(descriptor, _claim_file(self.path))

    def abandon(self) -> None:
        """Leaves the parts to the next sweep, as if this process had ended."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _clear(self) -> None:
        for part in _parts(self.path):
            with contextlib.suppress(OSError):
                part.unlink()

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def claim_next(folder: Path, stem: str, ending: str, *, partial_ending: str | None = None) -> Claim:
    """A claim on `<stem>_<number>_<ending>` in a folder, with a number that no file there has. The folder is made.

    partial_ending: for what is kept when the making breaks off: `<stem>_<number>_<partial_ending>`
    Raises OSError where nothing can be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken = re.compile(re.escape(os.path.normcase(stem)) + r"_(\d{1,18})(?!\d)")
    found = (taken.match(os.path.normcase(file.name)) for file in folder.iterdir())
    first = max((int(match[1]) for match in found if match), default=0) + 1
    for number in count(first):
        path = folder / _numbered_name(stem, number, ending)
        partial = None if partial_ending is None else folder / _numbered_name(stem, number, partial_ending)
        with contextlib.suppress(FileExistsError):
            claim = Claim(
                path, make_lock(_claim_file(path), _request(partial)), numbered=(stem, number, ending), partial=partial
            )
            if not os.path.lexists(path):
                return claim
            claim.release()
    raise AssertionError("numbers do not end")


def claim_path(path: Path, *, partial: Path | None = None) -> Claim:
    """A claim on this very path, whose file will be replaced. Parts that a dead process left of it are removed.

    Raises InUse while a living process holds it, and OSError where nothing can be written. On a file system without
    locks the second process takes the claim over from the first, or one kill would block the path for ever.
    """
    claim_file = _claim_file(path)
    for _ in range(_TRIES):
        try:
            claim = Claim(path, make_lock(claim_file, _request(partial)), partial=partial)
        except FileExistsError:
            try:
                descriptor = inherit(claim_file, without_locks=True)
            except FileNotFoundError:
                continue
            if descriptor is None:
                break
            claim = Claim(path, descriptor, partial=partial)
            try:
                sign(descriptor, _request(partial))
            except BaseException:
                claim.release()
                raise
        claim._clear()
        return claim
    raise in_use(claim_file, shorten(path))


#: makes a playable file of the parts of a dead process's claim, and publishes it; False keeps the parts for another day
Rescue = Callable[[Claim], bool]


def sweep(folder: Path, rescue: Rescue | None = None) -> None:
    """Removes what processes that died have left of files they were making in this folder, with a line in the log.
    Where a partial was asked for, `rescue` comes first; without one, such parts stay.
    """
    with contextlib.suppress(OSError):
        for name in sorted({name for part in folder.iterdir() if (name := _name_of(part.name))}):
            with contextlib.suppress(OSError):
                _sweep_one(folder / name, rescue)


def _sweep_one(path: Path, rescue: Rescue | None) -> None:
    abandoned = _abandoned_claim(path)
    if abandoned is None:
        return
    try:
        with contextlib.suppress(FileNotFoundError):  # see `_rename_to_new`
            if _NUMBERED.fullmatch(path.name) and not os.lstat(path).st_size:
                path.unlink()
        left = ", ".join(part.name for part in _parts(path)) or _claim_file(path).name
        wanted = abandoned.partial is not None and not os.path.lexists(path)
        if wanted and (rescue is None or not rescue(abandoned)):
            logging.warning(
                "SadTalker: %s, which a run that was killed left in %s, cannot be used now and stays.",
                shorten(left),
                shorten(path.parent),
            )
            return
        abandoned.release()
        logging.warning(
            "SadTalker: removed %s, which a run that was killed left in %s.", shorten(left), shorten(path.parent)
        )
    finally:
        abandoned.abandon()


def _abandoned_claim(path: Path) -> Claim | None:
    """The claim of a process that has died, now ours; None for parts of a living one, and for parts that are not ours
    to sweep. On a file system without locks all processes count as living.
    """
    try:
        descriptor = inherit(_claim_file(path))
        if descriptor is None:
            return None
        request = read_signed(descriptor).get("partial")
    except FileNotFoundError:
        if not _NUMBERED.fullmatch(path.name):
            return None
        descriptor, request = make_lock(_claim_file(path)), None  # FileExistsError: somebody was quicker
    partial = path.with_name(Path(request).name) if request and isinstance(request, str) else None
    return Claim(path, descriptor, numbered=(path.stem, 1, path.suffix), partial=partial)


def _request(partial: Path | None) -> dict[str, Any]:
    """What a claim records for whoever may have to remove it."""
    return {"partial": None if partial is None else partial.name}


def _publish_new(part: Path, names: Iterator[Path]) -> Path:
    for name in names:
        with contextlib.suppress(FileExistsError):
            _rename_to_new(part, name)
            return name
    raise AssertionError("names do not end")


def _rename_to_new(part: Path, path: Path) -> None:
    """Path.rename that replaces nothing, on every system. Raises FileExistsError."""
    if os.name == "nt":
        part.rename(path)
        return
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links: the name is taken first
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            part.replace(path)
        except BaseException:
            path.unlink()
            raise
    else:
        part.unlink()


def _numbered_name(stem: str, number: int, ending: str) -> str:
    return f"{stem}_{number:05}_{ending}"


def _claim_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.claim.part")


def _name_of(part: str) -> str | None:
    """Of which file something is a part; None for what is no part of ours."""
    match = _PART.fullmatch(part)
    return match["name"] if match and (match["kind"] or _NUMBERED.fullmatch(match["name"])) else None


def _parts(path: Path) -> list[Path]:
    """The parts of a path that are there, without its claim."""
    try:
        names = sorted(file.name for file in path.parent.iterdir())
    except OSError:
        return []
    claim_file = _claim_file(path).name
    return [path.with_name(name) for name in names if name != claim_file and _name_of(name) == path.name]


__all__ = ["LONGEST_PART", "Claim", "claim_next", "claim_path", "sweep"]
