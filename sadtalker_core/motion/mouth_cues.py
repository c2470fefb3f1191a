"""Timed phonemes or mouth shapes, as text or JSON, come in; sounds with times go out, for visemes.py.

    Azure        [{"visemeId": 21, "audioOffset": 500000}, ...]       ids 0..21, ticks of 100 ns, or milliseconds
    Rhubarb      "0.13<tab>B", or {"mouthCues": [{"start": 0.13, "end": 0.2, "value": "B"}, ...]}
    phonemes     "0.13 0.20 AH0", "0.13 AH0", JSON with start, end and phone, or a TextGrid: IPA or ARPAbet

Times are in seconds; values that can only be milliseconds, or ticks of 100 ns (HTK's), are read as such.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ..errors import MOST_FAULTS, OptionError, join_faults, shorten
from .visemes import ARPABET, AZURE_VISEMES, RHUBARB_MOUTHS, Phone

#: seconds that a cue without an end lasts when none follows
LAST_LASTS_S = 0.2
#: sounds are 0.05 to 0.5 s apart: larger steps can only be in smaller units
_MOST_SECONDS, _MOST_MILLISECONDS = 5.0, 10_000.0
_TIMES = ("start", "time", "begin", "xmin", "audiooffset", "offset", "audiooffsetms", "starttime")
_ENDS = ("end", "xmax", "endtime")
_IDS = ("visemeid", "viseme", "id")
_LABELS = ("phone", "phoneme", "ipa", "value", "label", "symbol", "text", "mark", "viseme")
_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
#: an aligner's labels that are no phonemes: noises, breaths, unknown words
_SILENT = re.compile(r"(?:|sil|sp|spn|nsn|pau|ssil|#|_|\[?(?:noise|breath|silence|sil)\]?|<[^>]*>)", re.IGNORECASE)


class Cues(NamedTuple):
    """phones: in order of time;  form: of the file, for the log;  led: whether the lips may lead the stated times."""

    phones: list[Phone]
    form: str
    led: bool = True


class _Cue(NamedTuple):
    start: float
    end: float | None
    label: str


def cues_of_json(items: Sequence[Any]) -> Cues | None:
    """A list of JSON objects -> the sounds; None for none. Raises OptionError, which names invalid entries."""
    found = [{_plain(key): value for key, value in item.items()} for item in items if isinstance(item, dict)]
    if not found or len(found) < len(items):
        return _pairs(items)
    if any(_number_in(item, _IDS) is not None and _number_in(item, _TIMES) is not None for item in found):
        return _azure(found)
    cues, faults = [], []
    for place, item in enumerate(found, start=1):
        label = next((item[name] for name in _LABELS if isinstance(item.get(name), str)), None)
        start = _number_in(item, _TIMES)
        if label is None or start is None:
            faults.append(f"entry {place}: expected a start and a phone, got {_quoted(item)}.")
        else:
            cues.append(_Cue(start, _number_in(item, _ENDS), label))
    if not cues:
        return None
    _refuse(faults)
    return _named_cues(cues)


def cues_of_text(text: str) -> Cues:
    """Lines of times and labels, or a TextGrid -> the sounds. Raises OptionError, which names invalid lines."""
    if "ooTextFile" in text[:200] or 'class = "TextGrid"' in text[:400]:
        return _text_grid(text)
    cues, faults = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("\t") if "\t" in line else line.split()
        words = [word.strip() for word in words]
        if not line.strip() or line.lstrip().startswith("#") and len(words) != 2:
            continue
        times = [float(word) for word in words[:2] if re.fullmatch(_NUMBER, word)]
        if not times or len(words) > len(times) + 1 or any(time < 0 for time in times):
            faults.append(
                f"line {number}: expected a start, perhaps an end, and a sound, such as '0.13 0.20 AH0', got "
                f"{_quoted(line)}."
            )
            if len(faults) == MOST_FAULTS:
                break
            continue
        label = words[len(times)] if len(words) > len(times) else ""
        cues.append(_Cue(times[0], times[1] if len(times) == 2 else None, label))
    _refuse(faults)
    if not cues:
        raise OptionError("it holds no times of sounds.")
    return _named_cues(cues)


# ------------------------------------------------------------------------------------------------------- formats


def _azure(items: Iterable[dict[str, Any]]) -> Cues:
    cues, faults = [], []
    for place, item in enumerate(items, start=1):
        viseme, start = _number_in(item, _IDS), _number_in(item, _TIMES)
        if viseme is None or start is None or viseme != int(viseme) or not 0 <= viseme < len(AZURE_VISEMES):
            faults.append(
                f"entry {place}: expected a viseme id from 0 to {len(AZURE_VISEMES) - 1} and its audio offset, got "
                f"{_quoted(item)}."
            )
        else:
            cues.append(_Cue(start, None, AZURE_VISEMES[int(viseme)]))
    _refuse(faults)
    return Cues(_timed(cues), "Azure visemes")


def _pairs(items: Sequence[Any]) -> Cues | None:
    """[[0.0, 0.1, "AH0"], ...], as the Montreal aligner writes."""
    cues = []
    for item in items:
        if not isinstance(item, list) or len(item) not in (2, 3) or not isinstance(item[-1], str):
            return None
        times = [_real(value) for value in item[:-1]]
        if any(time is None for time in times):
            return None
        cues.append(_Cue(times[0] or 0.0, times[1] if len(times) == 2 else None, item[-1]))
    return _named_cues(cues) if cues else None


def _named_cues(cues: Sequence[_Cue]) -> Cues:
    """The labels as Rhubarb's mouths where all of them are, else as ARPAbet where all can be, else as IPA."""
    labels = {cue.label.strip() for cue in cues}
    if labels <= set(RHUBARB_MOUTHS) and not labels <= {"B", "D", "F", "G"}:
        mouths = [cue._replace(label=RHUBARB_MOUTHS[cue.label.strip()]) for cue in cues]
        return Cues(_timed(mouths), "Rhubarb mouths", led=False)
    spoken = {label for label in labels if not _SILENT.fullmatch(label)}
    arpabet = spoken and all(_as_arpabet(label) in ARPABET for label in spoken)
    if arpabet and not any(len(_as_arpabet(label)) > 1 or label != label.lower() for label in spoken):
        arpabet = False  # single lower-case letters such as p, b, m are in both; then they are IPA
    known = [cue._replace(label=_ipa_of(cue.label.strip(), bool(arpabet))) for cue in cues]
    return Cues(_timed(known), "phonemes in ARPAbet" if arpabet else "phonemes in IPA")


def _ipa_of(label: str, arpabet: bool) -> str:
    if _SILENT.fullmatch(label):
        return ""
    return ARPABET[_as_arpabet(label)] if arpabet else label


def _as_arpabet(label: str) -> str:
    """AH0 -> ah; hh_B -> hh."""
    return re.sub(r"(?:_[BIES])?$", "", label).rstrip("0123456789").lower()


def _text_grid(text: str) -> Cues:
    """The phone tier of a Praat TextGrid, in its long or short form; without one of that name the last tier."""
    strings = r'"((?:[^"]|"")*)"'
    tokens = re.findall(rf"{strings}|(?<![\w\"])({_NUMBER})(?![\w\"])", re.sub(r"\[\d*\]", "", text))
    tiers: list[tuple[str, list[_Cue]]] = []
    place = 0
    while place < len(tokens):
        if tokens[place][0] != "IntervalTier":
            place += 1
            continue
        try:
            name, count = tokens[place + 1][0], int(float(tokens[place + 4][1]))
            place += 5
            cues = []
            for k in range(count):
                start, end, label = tokens[place + 3 * k : place + 3 * k + 3]
                cues.append(_Cue(float(start[1]), float(end[1]), label[0]))
            place += 3 * count
        except (ValueError, IndexError, OverflowError) as error:
            raise OptionError("it is a truncated or damaged TextGrid.") from error
        tiers.append((name.lower(), cues))
    if not any(cues for _, cues in tiers):
        raise OptionError("it is a TextGrid without intervals.")
    phones = [cues for name, cues in tiers if "phon" in name and cues] or [cues for _, cues in tiers if cues][-1:]
    return _named_cues(phones[0])


# ---------------------------------------------------------------------------------------------------------- the times


def _timed(cues: Sequence[_Cue]) -> list[Phone]:
    """In order, in seconds, each up to its own end or to the start of the next one."""
    ordered = sorted(cues, key=lambda cue: cue.start)
    unit = _unit(ordered)
    last = LAST_LASTS_S * unit
    phones = []
    for cue, following in pairwise([*ordered, None]):
        if cue is None:
            continue
        behind = following.start if following is not None else cue.start + last
        end = behind if cue.end is None else cue.end
        if end > cue.start:
            phones.append(Phone(cue.start / unit, end / unit, cue.label))
    return phones


def _unit(ordered: Sequence[_Cue]) -> float:
    """How many units of the stated times make a second."""
    steps = [b.start - a.start for a, b in pairwise(ordered) if b.start > a.start]
    steps += [cue.end - cue.start for cue in ordered if cue.end is not None and cue.end > cue.start]
    if not steps:
        return 1.0
    usual = sorted(steps)[len(steps) // 2]
    if usual > _MOST_MILLISECONDS:
        return 1e7
    return 1e3 if usual > _MOST_SECONDS else 1.0


# --------------------------------------------------------------------------------------------------------- helpers


def _plain(key: object) -> str:
    return str(key).lower().replace("_", "").replace("-", "")


def _real(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not re.fullmatch(_NUMBER, value.strip()):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _number_in(item: dict[str, Any], names: Iterable[str]) -> float | None:
    return next((number for name in names if (number := _real(item.get(name))) is not None), None)


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise OptionError(join_faults(faults))


def _quoted(thing: Any) -> str:
    return shorten(thing if isinstance(thing, str) else json.dumps(thing, ensure_ascii=False), 80)


__all__ = ["LAST_LASTS_S", "Cues", "cues_of_json", "cues_of_text"]
