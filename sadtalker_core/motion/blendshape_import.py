"""Reads files of blendshapes, visemes or phonemes as an expression, and a pose where there is one; blendshape_layout.py
describes the files. For the family whose coefficients are blendshapes.

Letters: `T` frames at 25 fps, `n` frames of a file.
"""

from __future__ import annotations

import csv
import json
import logging
import math
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import torch
import torch.nn.functional as F
from torch import Tensor

from ..choices import number_in, of_kind
from ..coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX, EXPRESSION, POSE, ROTATION
from ..datatypes import MINI, Expression, FaceCoefficients, HeadPose, OnProgress, SpeechWindows
from ..errors import OptionError, join_faults, shorten
from ..timeline import FRAMES_PER_SECOND
from .blendshape_layout import (
    APPLE_ORDER,
    FRAMES_AT_ONCE,
    HIGHEST_FPS,
    JSON_ARKIT,
    JSON_KEY,
    LOWEST_FPS,
    VERSION,
    between,
    flipped_signs,
    require_names,
)
from .mouth_cues import LAST_LASTS_S, cues_of_json, cues_of_text
from .spoken import spoken_expression
from .track_file import MOST_FRAMES
from .visemes import SPEECH_BLENDSHAPES, long_blendshape_track

#: file name endings that are read
IMPORT_ENDINGS = (".csv", ".json", ".jsonl", ".tsv", ".txt", ".lab", ".textgrid")
#: bytes of a file that are read: JSON is held whole; a CSV of ten hours at 60 fps has 1.5 GB
LARGEST_TEXT, LARGEST_CSV = 64_000_000, 2_000_000_000
#: larger weights are refused: they may be percentages
LARGEST_WEIGHT = 10.0
#: radians; larger head angles are refused: they may be in degrees
LARGEST_ANGLE = 2 * math.pi
AZURE_FPS = 60.0
#: frame rates of timecodes, tried in this order
_RATES = (24, 25, 30, 48, 50, 60, 90, 100, 120, 240)


class ImportedTracks(NamedTuple):
    """expression;  pose: None for a file without a head;  form: the kind of file, in words."""

    expression: Expression
    pose: HeadPose | None
    form: str


def import_blendshapes(
    path: Path | str,
    *,
    fps: float = 0.0,
    speech: SpeechWindows | None = None,
    base: Expression | None = None,
    source: FaceCoefficients | None = None,
    on_progress: OnProgress | None = None,
) -> ImportedTracks:
    """Read a file of blendshapes, visemes or phonemes as tracks of the mini model at 25 fps.

    fps:    of the file's frames; 0 takes the file's own, or that of its timecodes
    speech: the tracks get the length of this speech: the last frame is held, phonemes end at rest
    base:   an expression for what the file does not contain, such as ExpNet's blinks and gaze under visemes, held or
            cut to the length; without it that of `source`, or 0
    source: the portrait: phonemes open the mouth from its rest position there, and the head starts from its pose and
            moves as in the file; without it the head has the angles of the file, in the middle of its square
    on_progress: called with (done, of how much); may raise to stop
    Raises OptionError for a file that is none of these or has invalid lines, each named by its number, and WrongFamily
    for a base or a source whose coefficients are no blendshapes.
    """
    if not isinstance(path, str | Path):
        raise OptionError(f"path: expected text or a Path, got {type(path).__name__}.")
    path = Path(path)
    name = shorten(path.name, 100)
    if base is not None:
        require_names(of_kind("base", base, Expression), "imported")
    if source is not None:
        source = of_kind("source", source, FaceCoefficients)
        require_names(Expression(source.expression, source.family), "imported")
    if fps != 0:
        fps = number_in("fps", fps, LOWEST_FPS, HIGHEST_FPS, "0, or ")
    n_frames = None if speech is None else of_kind("speech", speech, SpeechWindows).n_frames
    try:
        read = _read(path, fps, n_frames, on_progress)
    except OptionError as error:
        raise OptionError(f"{name}: {error}") from error
    length = len(read.weights)
    logging.info("SadTalker: %s is read as %s: %d frames at 25 fps.", name, read.form, length)
    rows = torch.zeros(length, EXPRESSION)
    if base is not None and len(base):
        rows = base.coefficients[torch.arange(length).clamp(max=len(base) - 1)].float().clone()
    elif source is not None:
        rows[:] = source.expression[:1]
    weights = read.weights
    if read.spoken:
        rest = torch.zeros(1, EXPRESSION) if source is None else source.expression[:1].float()
        weights = spoken_expression(weights, rest.expand(length, -1))[:, read.columns]
    rows[:, read.columns] = weights
    pose = None if read.angles is None else HeadPose(_placed(read.angles, source), MINI)
    return ImportedTracks(Expression(rows, MINI), pose, read.form)


def _placed(angles: Tensor, source: FaceCoefficients | None) -> Tensor:
    """Angles (T, 3) -> pose (T, 6), relative to the source's where there is one."""
    if source is None:
        return F.pad(angles, (0, POSE - ROTATION))
    rows = source.pose[:1].expand(len(angles), -1).clone()
    rows[:, :ROTATION] += angles - angles[:1]
    return rows


class _Read(NamedTuple):
    """columns: of an expression;  weights: (T, as many);  angles: (T, 3) pitch, yaw, roll or None
    spoken: whether the weights are those of phonemes, SPEECH_BLENDSHAPES, not yet combined with the portrait's
    """

    columns: list[int]
    weights: Tensor
    angles: Tensor | None
    form: str
    spoken: bool = False


def _read(path: Path, fps: float, n_frames: int | None, on_progress: OnProgress | None) -> _Read:
    try:
        size = path.stat().st_size
        if path.suffix.lower() == ".csv":
            _check_size(size, LARGEST_CSV)
            with path.open(encoding="utf-8-sig", newline="") as file:
                return _live_link(file, fps, n_frames, on_progress)
        _check_size(size, LARGEST_TEXT)
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise OptionError("it is no text in UTF-8; save it again as that.") from error
    except OSError as error:
        raise OptionError(f"it cannot be read ({shorten(error.strerror or error)}).") from error
    except ValueError as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(f"it cannot be read ({shorten(error)}).") from error  # a NUL in its name
    if text.lstrip().startswith(("{", "[")):
        return _read_json(text, fps, n_frames, on_progress)
    cues = cues_of_text(text)
    return _spoken(cues, n_frames, on_progress)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise OptionError(f"expected at most {limit / 1e6:.0f} MB, got {size / 1e6:.0f}; split the take.")


def _check_length(seconds: float) -> None:
    if not seconds * FRAMES_PER_SECOND < MOST_FRAMES:
        raise OptionError(f"it lasts {seconds:,.6g} s; expected less than {MOST_FRAMES // FRAMES_PER_SECOND:,}.")


def _spoken(cues: Any, n_frames: int | None, on_progress: OnProgress | None) -> _Read:
    if not cues.phones:
        raise OptionError("none of its sounds lasts any time.")
    end = max(phone.end for phone in cues.phones) + LAST_LASTS_S
    _check_length(end)
    length = n_frames or math.ceil(end * FRAMES_PER_SECOND)
    weights = long_blendshape_track(cues.phones, length, led=cues.led, on_progress=on_progress)
    columns = list(SPEECH_BLENDSHAPES)
    return _Read(columns, torch.from_numpy(weights[:, columns]), None, cues.form, spoken=True)


def _resampled(
    columns: list[int], table: Tensor, times: Tensor, has_head: bool, n_frames: int | None, form: str,
    on_progress: OnProgress | None = None,
) -> _Read:  # fmt: skip
    """table (n, columns + 3 angles) at times (n,) in seconds from the first one on -> at 25 fps."""
    _check_length(float(times[-1]))
    length = n_frames or math.floor(float(times[-1]) * FRAMES_PER_SECOND + 1e-3) + 1
    pieces = []
    for first in range(0, length, FRAMES_AT_ONCE):
        at = torch.arange(first, min(first + FRAMES_AT_ONCE, length), dtype=torch.float64) / FRAMES_PER_SECOND
        after = torch.searchsorted(times, at - 1e-6).clamp(1, max(len(times) - 1, 1)).clamp(max=len(times) - 1)
        before = (after - 1).clamp(min=0)
        gap = (times[after] - times[before]).clamp(min=1e-9)
        if on_progress is not None:
            on_progress(first, length)
        pieces.append(between(table, before + ((at - times[before]) / gap).clamp(0, 1) * (after - before)))
    rows = torch.cat(pieces)
    return _Read(columns, rows[:, : len(columns)], rows[:, len(columns) :] if has_head else None, form)


def _checked_weights(weights: Tensor) -> Tensor:
    bad = torch.nonzero(~torch.isfinite(weights).all(dim=1))
    if len(bad):
        raise OptionError(f"frame {int(bad[0])} (counted from 0) contains NaN or infinite values.")
    if weights.numel() and float(weights.abs().max()) > LARGEST_WEIGHT:
        raise OptionError(
            f"expected weights from 0 to 1, got {float(weights.abs().max()):g}; divide percentages by 100."
        )
    return weights


def _check_angles(angles: Tensor) -> None:
    if angles.numel() and float(angles.abs().max()) > LARGEST_ANGLE:
        raise OptionError(
            f"expected head angles in radians, at most {LARGEST_ANGLE:.2f}, got {float(angles.abs().max()):g}; divide "
            "degrees by 57.3."
        )


def _live_link(file: TextIO, fps: float, n_frames: int | None, on_progress: OnProgress | None) -> _Read:
    lines = csv.reader(file)
    try:
        header = [name.strip().lower() for name in next(lines, [])]
        known, head = _known_columns(header)
        codes, table = _live_link_rows(lines, header, [name.lower() for name in (*known, *head)], on_progress)
    except csv.Error as error:
        raise OptionError(f"line {lines.line_num}: it cannot be read as CSV ({error}).") from error
    _checked_weights(table[:, : len(known)])
    if not torch.isfinite(table).all():
        raise OptionError("its head angles contain NaN or infinite values.")
    _check_angles(table[:, len(known) :])
    table[:, len(known) :] = flipped_signs(table[:, len(known) :])
    has_head = bool(head) and bool(table[:, len(known) :].any())  # the app writes zeros when head tracking is off
    if not head:
        table = F.pad(table, (0, ROTATION))
    columns = [BLENDSHAPE_INDEX[name] for name in known]
    return _resampled(columns, table, _times_of(codes, fps), has_head, n_frames, "Live Link Face CSV")


def _known_columns(header: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names in the first line, in small letters -> the blendshapes among them, and the head's pitch, yaw and roll
    if all three are there.
    """
    known = [name for name in ARKIT_BLENDSHAPES if name.lower() in header]
    if not known:
        raise OptionError("it is no Live Link Face CSV: its first line names no ARKit blendshape, such as JawOpen.")
    if len(known) < len(ARKIT_BLENDSHAPES):
        missing = [name for name in ARKIT_BLENDSHAPES if name not in known]
        logging.info("SadTalker: the CSV lacks %s.", shorten(", ".join(missing)))
    head = [name for name in ("HeadPitch", "HeadYaw", "HeadRoll") if name.lower() in header]
    return known, head if len(head) == ROTATION else []


def _live_link_rows(
    lines: Any, header: Sequence[str], wanted: Sequence[str], on_progress: OnProgress | None
) -> tuple[list[str], Tensor]:
    """The lines after the header, by csv.reader -> the timecodes (n,), empty without a column of them, and the wanted
    columns (n, N). Raises OptionError, which names the lines that cannot be read.
    """
    places = {name: k for k, name in enumerate(header)}
    taken = [places[name] for name in wanted]
    numbers, codes, faults = array("f"), [], []
    for cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        try:
            row = [float(cells[k]) for k in taken]
            code = cells[places["timecode"]].strip() if "timecode" in places else ""
        except (ValueError, IndexError):
            faults.append(f"line {lines.line_num}: expected {len(header)} numbers, as the first line names them.")
            if len(faults) == 10:
                break
            continue
        numbers.extend(row)
        codes.append(code)
        if len(codes) > MOST_FRAMES:
            raise OptionError(f"expected at most {MOST_FRAMES} frames.")
        if on_progress is not None and len(codes) % FRAMES_AT_ONCE == 0:
            on_progress(len(codes), len(codes) + FRAMES_AT_ONCE)
    if faults:
        raise OptionError(join_faults(faults))
    if not codes:
        raise OptionError("it has no frames.")
    return codes, torch.frombuffer(numbers, dtype=torch.float32).reshape(len(codes), len(taken)).clone()


def _times_of(codes: Sequence[str], fps: float) -> Tensor:
    """(n,) seconds since the first frame, by the timecodes, or by the frame rate without them."""
    parsed = [_clock(code) for code in codes]
    clocks = [clock for clock in parsed if clock is not None]
    if len(clocks) < len(codes):
        rate = fps or AZURE_FPS
        logging.info("SadTalker: the CSV has no timecodes; its frames are read at %g fps.", rate)
        return torch.arange(len(codes), dtype=torch.float64) / rate
    base = fps or _frame_rate(clocks)
    seconds = torch.tensor([whole + frames / base for whole, frames in clocks], dtype=torch.float64)
    seconds = seconds - seconds[0]
    seconds = torch.where(seconds < -43_200, seconds + 86_400, seconds)  # past midnight
    if len(seconds) > 1 and bool((seconds[1:] <= seconds[:-1]).any()):
        step = float((seconds[1:] - seconds[:-1]).median())
        step = step if step > 0 else 1 / base
        logging.info("SadTalker: the CSV's timecodes go back or repeat; its frames are read as evenly spaced.")
        return torch.arange(len(codes), dtype=torch.float64) * step
    return seconds


def _clock(code: str) -> tuple[int, float] | None:
    """HH:MM:SS:FF.mmm -> whole seconds, and frames."""
    parts = code.replace(";", ":").split(":")
    try:
        hours, minutes, seconds = (int(part) for part in parts[:3])
        frames = float(parts[3]) if len(parts) == 4 else math.nan
        whole = 3600 * hours + 60 * minutes + seconds
        float(whole)
    except (ValueError, IndexError, OverflowError):
        return None
    return (whole, frames) if math.isfinite(frames) and frames >= 0 else None


def _frame_rate(clocks: Sequence[tuple[int, float]]) -> float:
    """Frames per second of the timecodes; for a take within one second 25, or the first rate that fits."""
    steps = sorted(b - a for (s, a), (t, b) in zip(clocks[:-1], clocks[1:], strict=True) if s == t and b > a)
    step = steps[len(steps) // 2] if steps else 1.0
    most = max(frames for _, frames in clocks)
    if clocks[-1][0] == clocks[0][0]:
        return float(next((rate for rate in _RATES if rate >= 25 and rate > most), math.ceil(most + 1e-3)))
    fitting = [rate for rate in _RATES if most < rate <= most + step + 0.01]
    return float(fitting[0] if fitting else max(round(most + step - 0.5), math.floor(most) + 1))


def _read_json(text: str, fps: float, n_frames: int | None, on_progress: OnProgress | None) -> _Read:
    data = _parsed(text)
    if isinstance(data, dict) and JSON_KEY in data:
        return _ours(data, fps, n_frames)
    items = _events(data)
    frames = _azure_frames(items)
    if frames is not None:
        columns = [BLENDSHAPE_INDEX[name] for name in APPLE_ORDER]
        times = torch.arange(len(frames), dtype=torch.float64) / (fps or AZURE_FPS)
        table = F.pad(_checked_weights(frames[:, : len(columns)]), (0, ROTATION))
        table[:, -1] = frames[:, len(columns)] if frames.shape[1] > len(columns) else 0.0  # headRoll
        has_head = bool(table[:, -1].any())
        return _resampled(columns, table, times, has_head, n_frames, "Azure blendshapes", on_progress)
    cues = cues_of_json(items) if items else None
    if cues is None:
        raise OptionError(
            "it holds no blendshapes, visemes or phonemes that are known: expected an export of this pack, Azure's "
            "visemes or blendshapes, Rhubarb's mouthCues, or phones with start and end."
        )
    return _spoken(cues, n_frames, on_progress)


def _parsed(text: str) -> Any:
    """One JSON value, or the list of several concatenated ones."""
    decoder, values, place = json.JSONDecoder(), [], 0
    try:
        while True:
            while place < len(text) and text[place] in " \t\r\n,":
                place += 1
            if place >= len(text):
                break
            value, place = decoder.raw_decode(text, place)
            values.append(value)
    except (ValueError, RecursionError) as error:
        line = text.count("\n", 0, getattr(error, "pos", 0)) + 1
        raise OptionError(f"line {line}: it cannot be read as JSON ({shorten(error, 100)}).") from error
    return values[0] if len(values) == 1 else values


def _events(data: Any) -> list[Any]:
    """The list of events in the JSON, wherever it is."""
    if isinstance(data, list):
        return data
    if not isinstance(data, dict):
        return []
    named = {str(key).lower().replace("_", ""): value for key, value in data.items()}
    if "blendshapes" in named:
        return [data]
    tiers = named.get("tiers")
    if isinstance(tiers, dict):  # of the Montreal aligner
        phones = (tier for key, tier in tiers.items() if "phon" in key.lower() and isinstance(tier, dict))
        named = {"entries": next(phones, {}).get("entries")}
    first = ("mouthcues", "visemes", "phones", "phonemes", "entries", "events", "frames")
    lists = [named[key] for key in first if isinstance(named.get(key), list)]
    lists += [value for value in named.values() if isinstance(value, list)]
    return lists[0] if lists else []


def _azure_frames(items: Sequence[Any]) -> Tensor | None:
    """(n, 55) of events with BlendShapes, also within the text of their "animation"; None without any."""
    chunks: list[tuple[int | float, list[Any]]] = []
    for item in items:
        if not isinstance(item, Mapping):
            continue
        named = {str(key).lower().replace("_", ""): value for key, value in item.items()}
        if isinstance(named.get("animation"), str) and named["animation"].strip():
            inner = _parsed(named["animation"])
            named = {str(key).lower(): value for key, value in inner.items()} if isinstance(inner, dict) else {}
        if isinstance(named.get("blendshapes"), list):
            index = named.get("frameindex", len(chunks))
            chunks.append((index if isinstance(index, int | float) else 0, named["blendshapes"]))
    if not chunks:
        return None
    rows = [row for _, chunk in sorted(chunks, key=lambda chunk: chunk[0]) for row in chunk]
    n_blendshapes = len(APPLE_ORDER)
    for place, row in enumerate(rows):
        numbers = isinstance(row, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in row)
        if not numbers or len(row) not in (n_blendshapes, n_blendshapes + 3):
            raise OptionError(
                f"frame {place} (counted from 0): expected {n_blendshapes + 3} blendshapes, got {_size(row)}."
            )
    if not rows:
        raise OptionError("it has no frames.")
    if len({len(row) for row in rows}) > 1:
        raise OptionError("its frames have different numbers of blendshapes.")
    try:
        return torch.tensor(rows, dtype=torch.float32)
    except (OverflowError, RuntimeError, ValueError) as error:
        raise OptionError("its blendshapes are no weights from 0 to 1.") from error


def _size(row: Any) -> str:
    return str(len(row)) if isinstance(row, list) else shorten(repr(row), 50)


def _ours(data: Mapping[str, Any], fps: float, n_frames: int | None) -> _Read:
    """A file written by `export_blendshapes`."""
    if data.get(JSON_KEY) != VERSION:
        raise OptionError(f"it has version {shorten(data.get(JSON_KEY))}, expected {VERSION}; update SadTalker Nodes.")
    if data.get("names") != "ARKit":
        raise OptionError(f"it has {shorten(data.get('names'), 50)} names, not ARKit's; export it as '{JSON_ARKIT}'.")
    try:
        columns = [BLENDSHAPE_INDEX[name] for name in data["morph_targets"]]
        place = {name: k for k, name in enumerate(data["columns"])}
        times = torch.tensor([frame[place["time"]] for frame in data["frames"]], dtype=torch.float64)
        weights = torch.tensor([frame[place["weights"]] for frame in data["frames"]], dtype=torch.float32)
        has_head = "head_angles" in place
        angles = (
            torch.tensor([frame[place["head_angles"]] for frame in data["frames"]], dtype=torch.float32)
            if has_head
            else torch.zeros(len(weights), ROTATION)
        )
        if len(times) == 0 or weights.shape != (len(times), len(columns)) or angles.shape != (len(times), ROTATION):
            raise ValueError(f"{tuple(weights.shape)} weights")
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError, OverflowError) as error:
        raise OptionError(f"it is a modified export of this pack ({shorten(error, 100)}).") from error
    if fps:
        times = torch.arange(len(times), dtype=torch.float64) / fps
    if not torch.isfinite(times).all() or not torch.isfinite(angles).all() or bool((times[1:] <= times[:-1]).any()):
        raise OptionError("its times are not increasing, or contain NaN or infinite values, as its angles may.")
    _check_angles(angles)
    table = torch.cat([_checked_weights(weights), angles], dim=1)
    return _resampled(columns, table, times - times[0], has_head, n_frames, JSON_ARKIT)


__all__ = ["IMPORT_ENDINGS", "ImportedTracks", "import_blendshapes"]
