"""A `filename_prefix` comes in as a user wrote it, a folder below the output folder and the beginning of a name go out.

    %date:yyyy-MM-dd%     the time now; d M h m s, once or twice, and yy or yyyy
    %Node title.widget%   the value of that widget; the node by its 'Node name for S&R', its title or its kind
    %width% %height%      of the frames, and %year% %month% %day% %hour% %minute% %second%

These are ComfyUI's words: its page fills in the first two for a fixed list of its own nodes, its server the others.
What a disk of any system refuses in a name becomes `_`, on every system, so that a shared workflow names alike.
"""

from __future__ import annotations

import errno
import logging
import ntpath
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from .errors import OptionError, shorten

#: bytes of UTF-8 that a file system takes as one name (on Windows: units of UTF-16)
LONGEST_NAME = 255
#: of these, what is appended while a video is written
APPENDED = 40
#: of a path, that a sentence repeats
REPEATED = 200
#: characters that Windows takes as one path, where nothing else is set
LONGEST_WINDOWS_PATH = 259

#: folders below the output folder; with more, the making of them runs into limits of Python and of systems
DEEPEST_FOLDER = 100

#: boxes in boxes that are looked into; one that holds itself has no end
DEEPEST_BOX = 8

_PLACEHOLDER = re.compile(r"%(date:[^%]*|[^%./\\][^%.]*\.[^%.]+|width|height|year|month|day|hour|minute|second)%")
_DATE_PART = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyy?y?")
#: what Windows forbids in a name, apart from the separators
_FORBIDDEN = re.compile(r'[:*?"<>|\x01-\x1f\x7f]')
#: names of devices on Windows, whatever stands behind a full stop
_DEVICES = re.compile(r"^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|$)", re.IGNORECASE)


class OutputName(NamedTuple):
    """folder: where the file goes;  stem: how its name begins;  subfolder: of the output folder, with `/`."""

    folder: Path
    stem: str
    subfolder: str


def fill_in(prefix: str, now: datetime, size_wh: tuple[int, int], prompt: Any = None, workflow: Any = None) -> str:
    """The prefix with its placeholders filled in; one that names nothing stays as it is.

    prompt, workflow: the graph as ComfyUI's server and as its page knows it
    """
    numbers = {
        "width": str(size_wh[0]), "height": str(size_wh[1]), "year": str(now.year), "month": f"{now.month:02}",
        "day": f"{now.day:02}", "hour": f"{now.hour:02}", "minute": f"{now.minute:02}", "second": f"{now.second:02}",
    }  # fmt: skip

    def filled(match: re.Match[str]) -> str:
        inside = match[1]
        if inside.startswith("date:"):
            return _DATE_PART.sub(lambda part: _date_part(part[0], now), inside[5:])
        if inside in numbers:
            return numbers[inside]
        node, widget = inside.split(".")
        value = _widget(node, widget, _record(prompt), _record(workflow))
        return match[0] if value is None else re.sub(r'[/?<>\\:*|"\x00-\x1f\x7f]', "_", value)

    return _PLACEHOLDER.sub(filled, prefix)


def place(prefix: str, output: Path, default_stem: str, longest_ending: str) -> OutputName:
    """Where files of a prefix, already filled in, go.

    output:         the folder that nothing may leave
    default_stem:   for a prefix that names no file
    longest_ending: what will be put behind the stem
    Raises OptionError for what no disk takes.
    """
    subject = f"filename_prefix '{shorten(prefix)}'"
    try:
        prefix.encode()
    except UnicodeEncodeError as error:
        raise OptionError(
            f"filename_prefix {shorten(repr(prefix))} is not valid text: it contains half a character."
        ) from error
    if "\0" in prefix:
        raise OptionError(f"expected a filename_prefix without the character NUL, got {shorten(repr(prefix))}.")
    output = Path(os.path.abspath(output))  # noqa: PTH100  resolve() would follow links
    if Path(prefix).is_absolute():
        prefix = os.path.relpath(prefix, output) if _same_drive(prefix, output) else ".."
    normal = posixpath.normpath(prefix.replace("\\", "/"))
    if normal.startswith("/") or normal.split("/")[0] == "..":
        raise OptionError(f"{subject} is outside ComfyUI's output folder; use a folder and a name inside it.")
    *folders, stem = (_safe(part) for part in normal.split("/"))
    if normal == ".":
        stem = default_stem
    folders = [_no_device(part.rstrip(" .")) or "_" for part in folders]
    if len(folders) > DEEPEST_FOLDER:
        raise OptionError(f"{subject} has {len(folders)} nested folders; at most {DEEPEST_FOLDER} are possible.")
    if "." in stem:  # otherwise its number stands before the first full stop
        stem = _no_device(stem)
    folder = output.joinpath(*folders)
    for part in (*folders, f"{stem}{longest_ending}"):
        if _length(part) > LONGEST_NAME:
            raise OptionError(_too_long(subject))
    _require_possible(folder, f"{stem}{longest_ending}", subject)
    return OutputName(folder, stem, "/".join(folders))


def fault_of_target(path: Path) -> str:
    """Why a video cannot be written to an absolute path, or ""; its folders need not exist yet."""
    if len(os.fsencode(path.name)) > LONGEST_NAME - APPENDED:
        return f"its name is too long; use {LONGEST_NAME - APPENDED} bytes at most"
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
        return "the name of one of its folders is too long"
    fault = fault_on_windows(str(path)) if os.name == "nt" else ""
    if fault:
        return fault
    folder = next((folder for folder in path.parents if folder.exists()), None)
    if folder is None:
        return f"there is no {shorten(path.anchor, REPEATED)}"
    if not folder.is_dir():
        return f"{shorten(folder, REPEATED)} is no folder"
    return "" if os.access(folder, os.W_OK) else f"{shorten(folder, REPEATED)} cannot be written to"


def fault_on_windows(path: str) -> str:
    """Why Windows does not take an absolute path as the name of a file, or ""."""
    for part in filter(None, re.split(r"[\\/]", ntpath.splitdrive(path)[1])):
        wrong = _FORBIDDEN.search(part)
        if wrong:
            return f"Windows forbids {wrong[0]!r} in a name"
        if _DEVICES.match(part):
            return f"Windows reserves the name {shorten(part, 40)}"
        if part != part.rstrip(" ."):
            return "Windows drops spaces and dots at the end of a name"
    return ""


def check(prefix: str, output: Path, longest_ending: str) -> None:
    """Raises OptionError for a prefix that cannot be used whatever its placeholders stand for."""
    place(_PLACEHOLDER.sub("x", prefix), output, "x", longest_ending)


def _require_possible(folder: Path, name: str, subject: str) -> None:
    """What only the disk knows: its own limits, and files where a folder is wanted."""
    try:
        os.lstat(folder / name)
    except FileNotFoundError:
        pass
    except NotADirectoryError as error:
        raise OptionError(f"{subject} names a folder that is a file; choose another name.") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise OptionError(_too_long(subject)) from error
    if os.name == "nt" and len(str(folder / name)) > LONGEST_WINDOWS_PATH:
        raise OptionError(_too_long(subject))


def _too_long(subject: str) -> str:
    return f"{subject} is longer than this disk allows; shorten it to 200 characters or less."


def _same_drive(path: str, output: Path) -> bool:
    return os.path.splitdrive(path)[0].lower() == os.path.splitdrive(output)[0].lower()


def _safe(part: str) -> str:
    return _FORBIDDEN.sub("_", part)


def _no_device(part: str) -> str:
    return _DEVICES.sub(lambda device: f"{device[0]}_", part)


def _length(name: str) -> int:
    return len(name.encode("utf-16-le")) // 2 if os.name == "nt" else len(name.encode())


def _date_part(part: str, now: datetime) -> str:
    if part[0] == "y":
        return {"yy": f"{now.year % 100:02}", "yyyy": str(now.year)}.get(part, part)
    value = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}[part[0]]
    return str(value).zfill(len(part))


def _widget(node: str, name: str, prompt: Mapping[str, Any], workflow: Mapping[str, Any]) -> str | None:
    """The value of a node's widget, as the page would write it; None when there is no such node, or no such widget."""
    drawn = list(_drawn(workflow))
    ids = [
        *(place_of for place_of, shape in drawn if _record(shape.get("properties")).get("Node name for S&R") == node),
        *(place_of for place_of, shape in drawn if shape.get("title") == node),
        *(place_of for place_of, made in prompt.items() if _record(_record(made).get("_meta")).get("title") == node),
        *(place_of for place_of, made in prompt.items() if _record(made).get("class_type") == node),
    ]
    for place_of in ids:
        inputs = _record(_record(prompt.get(place_of)).get("inputs"))
        if name in inputs and not isinstance(inputs[name], (list, dict)):
            return _written(inputs[name])
    logging.warning(
        "SadTalker: %%%s.%s%% in a filename_prefix names no widget of this graph.", shorten(node), shorten(name)
    )
    return None


def _drawn(
    graph: Mapping[str, Any], behind: str = "", kinds: Mapping[str, Any] | None = None, depth: int = 0
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields (id in the prompt, the page's record) for every node of a workflow, those inside its boxes, too."""
    if kinds is None:
        boxes = _record(graph.get("definitions")).get("subgraphs")
        kinds = {str(box.get("id")): box for box in map(_record, boxes if isinstance(boxes, list) else [])}
    shapes = graph.get("nodes")
    for shape in map(_record, shapes if isinstance(shapes, list) else []):
        place_of = f"{behind}{shape.get('id')}"
        yield place_of, shape
        inner = kinds.get(str(shape.get("type")))
        if inner is not None and depth < DEEPEST_BOX:
            yield from _drawn(inner, f"{place_of}:", kinds, depth + 1)


def _record(value: Any) -> Mapping[str, Any]:
    """What came as JSON from outside, where a record is expected."""
    return value if isinstance(value, Mapping) else {}


def _written(value: Any) -> str:
    """As JavaScript writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


__all__ = ["OutputName", "check", "fault_of_target", "fault_on_windows", "fill_in", "place"]
