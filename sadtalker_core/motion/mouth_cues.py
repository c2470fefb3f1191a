"""Text or JSON that says which sound, or which mouth, is when comes in; sounds with times go out, for visemes.py.

    Azure        [{"visemeId": 21, "audioOffset": 500000}, ...]       ids 0..21, ticks of 100 ns, or milliseconds
    Rhubarb      "0.13<tab>B", or {"mouthCues": [{"start": 0.13, "end": 0.2, "value": "B"}, ...]}
    phonemes     "0.13 0.20 AH0", "0.13 AH0", JSON with start, end and phone, or a TextGrid: IPA or ARPAbet

Times are in seconds; what can only be milliseconds, or ticks of 100 ns (as HTK's), is taken for that.
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

#: what lasts to the next one lasts so long where none follows, in seconds
LAST_LASTS_S = 0.2
#: sounds are a twentieth to a half of a second apart: steps above these can only be smaller units
_MOST_SECONDS, _MOST_MILLISECONDS = 5.0, 10_000.0
_TIMES = ("start", "time", "begin", "xmin", "audiooffset", "offset", "audiooffsetms", "starttime")
_ENDS = ("end", "xmax", "endtime")
_IDS = ("visemeid", "viseme", "id")
_LABELS = ("phone", "phoneme", "ipa", "value", "label", "symbol", "text", "mark", "viseme")
_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
#: marks of an aligner that are no sounds: noises, breaths, unknown words
_SILENT = re.compile(r"(?:|sil|sp|spn|nsn|pau|ssil|#|_|\[?(?:noise|breath|silence|sil)\]?|<[^>]*>)", re.IGNORECASE)


class Cues(NamedTuple):
    """Sounds in order of time; form: of the file, for the log; led: whether lips may be ahead of the times given."""

    phones: list[Phone]
    form: str
    led: bool = True


class _Cue(NamedTuple):
    start: float
    end: float | None
    label: str


def cues_of_json(items: Sequence[Any]) -> Cues | None:
    """A list of JSON objects -> the sounds; None where it holds none. Raises OptionError for those that make no
    sense, with their places.
    """
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
            faults.append(f"entry {place}: expected a start and a phone, got {_told(item)}.")
        else:
            cues.append(_Cue(start, _number_in(item, _ENDS), label))
    if not cues:
        return None
    _refuse(faults)
    return _named_cues(cues)


def cues_of_text(text: str) -> Cues:
    """Lines of times and labels, or a TextGrid -> the sounds. Raises OptionError for lines that cannot be read, each
    with its number.
    """
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
                f"{_told(line)}."
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


# ------------------------------------------------------------------------------------------------------- what is what


def _azure(items: Iterable[dict[str, Any]]) -> Cues:
    cues, faults = [], []
    for place, item in enumerate(items, start=1):
        viseme, start = _number_in(item, _IDS), _number_in(item, _TIMES)
        if viseme is None or start is None or viseme != int(viseme) or not 0 <= viseme < len(AZURE_VISEMES):
            faults.append(
                f"entry {place}: expected a viseme id from 0 to {len(AZURE_VISEMES) - 1} and its audio offset, got "
                f"{_told(item)}."
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
    """Labels are Rhubarb's mouths where all of them are, else ARPAbet where one is written so, else IPA."""
    labels = {cue.label.strip() for cue in cues}
    if labels <= set(RHUBARB_MOUTHS) and not labels <= {"B", "D", "F", "G"}:
        mouths = [cue._replace(label=RHUBARB_MOUTHS[cue.label.strip()]) for cue in cues]
        return Cues(_timed(mouths), "Rhubarb mouths", led=False)
    spoken = {label for label in labels if not _SILENT.fullmatch(label)}
    arpabet = spoken and all(_as_arpabet(label) in ARPABET for label in spoken)
    if arpabet and not any(len(_as_arpabet(label)) > 1 or label != label.lower() for label in spoken):
        arpabet = False  # p, b, m and the like are both; of one letter each they are IPA
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
    """The tier of phones of Praat's TextGrid, in its long or its short form; without one of that name the last tier."""
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
            raise OptionError("it is a TextGrid that breaks off or is damaged.") from error
        tiers.append((name.lower(), cues))
    if not any(cues for _, cues in tiers):
        raise OptionError("it is a TextGrid without intervals.")
    phones = [cues for name, cues in tiers if "phon" in name and cues] or [cues for _, cues in tiers if cues][-1:]
    return _named_cues(phones[0])


# ---------------------------------------------------------------------------------------------------------- the times


def _timed(cues: Sequence[_Cue]) -> list[Phone]:
    """In order, in seconds, each ending where it says or where the next one begins."""
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
    """How many of the units that times are written in make a second."""
    steps = [b.start - a.start for a, b in pairwise(ordered) if b.start > a.start]
    steps += [cue.end - cue.start for cue in ordered if cue.end is not None and cue.end > cue.start]
    if not steps:
        return 1.0
    usual = sorted(steps)[len(steps) // 2]
    if usual > _MOST_MILLISECONDS:
        return 1e7
    return 1e3 if usual > _MOST_SECONDS else 1.0


# --------------------------------------------------------------------------------------------------------- small words


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


def _told(thing: Any) -> str:
    return shorten(thing if isinstance(thing, str) else json.dumps(thing, ensure_ascii=False), 80)


__all__ = ["LAST_LASTS_S", "Cues", "cues_of_json", "cues_of_text"]
