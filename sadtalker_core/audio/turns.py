"""A text of who speaks when comes in, turns go out: (start, end, speaker), sorted by start.

Five formats are recognised:

    lines       0:00-1:50 anna           # seconds, m:ss or h:mm:ss, decimals; a comment
    SRT         00:00:01,000 --> 00:00:04,200 and below it "Anna: text"
    WebVTT      begins with WEBVTT; the speaker by <v Anna>, or as in SRT
    RTTM        SPEAKER file 1 0.00 1.84 <NA> <NA> anna <NA> <NA>
    Audacity    labels: start and end in seconds, and the name, with tabs or spaces between

Of subtitles, one without a name belongs to whoever spoke before. A line that cannot be read is named by its number.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import MOST_FAULTS, OptionError, join_faults, shorten

#: characters of the longest text that is read: subtitles of a day have a few million
LONGEST_TEXT = 20_000_000
#: seconds; a hundred hours
LATEST = 360_000.0
EXAMPLE = "'0:00-1:50 anna'"

#: lines from which the format of a text is recognised
_LINES_READ = 1000

_CLOCK = r"(?:(?:\d+:)?\d+:)?\d+(?:[.,]\d*)?"
#: no digit may follow the second time: "0:00-1:50" has no name, and 50 is none
_LINE = re.compile(
    rf"\[?\s*({_CLOCK})\s*(?:-->|->|-|\u2013|\u2014|\bto\b)\s*({_CLOCK})(?![:.,]?\d)\s*\]?\s*[:=,;\t ]\s*(.*\S)\s*"
)
_CUE = re.compile(r"^\s*(\S+)\s*-->\s*(\S+)(?:\s.*)?$")
#: "Speaker #2" is a name
_COMMENT = re.compile(r"(?:^#|\s#(?!\d)|(?:^|\s)//).*$")
_VOICE_TAG = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^\s<>][^<>]*)>")
_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
#: what other keyboards write
_PLAIN = str.maketrans({"\N{FULLWIDTH COLON}": ":", "\N{FULLWIDTH HYPHEN-MINUS}": "-", "\N{FULLWIDTH COMMA}": ","})
#: "Anna:", "- Anna Smith:", "[Anna]", "(Anna)"; of one to three words, so that a colon within a sentence is none
_NAMED = re.compile(
    r"^[-\u2013\s]*(?:\[([^\]\d][^\]]*)\]|\(([^)\d][^)]*)\)|([^\W\d_][^\s:\uff1a]*(?:\s[^\s:\uff1a]+){0,2})"
    r"\s*(?::(?:\s|$)|\uff1a))"
)


class Turn(NamedTuple):
    """One turn of a speaker: start and end in seconds, and the name."""

    start: float
    end: float
    speaker: str


def read_turns(text: str) -> list[Turn]:
    """Who speaks when, sorted by start; overlaps are kept. The format is recognised: lines such as "0:00-1:50 anna",
    SRT, WebVTT, RTTM, or Audacity's labels.

    Raises OptionError for an empty text, and for lines that cannot be read, each with its number.
    """
    if not isinstance(text, str):
        raise OptionError(f"lines: expected text, got {shorten(repr(text))}.")
    if len(text) > LONGEST_TEXT:
        raise OptionError(f"lines: expected at most {LONGEST_TEXT:,} letters, got {len(text):,}.")
    numbered = enumerate(text.lstrip("\ufeff").splitlines(), start=1)
    faults: list[str] = []
    until_faulty = itertools.takewhile(lambda _: len(faults) < MOST_FAULTS, numbered)
    turns = list(_READERS[form_of(text)](until_faulty, faults))
    if faults:
        raise OptionError(f"lines: {join_faults(faults)}")
    if not turns:
        raise OptionError(f"lines: nobody speaks in them; write who speaks when, one turn a line, such as {EXAMPLE}.")
    return sorted(turns, key=lambda turn: turn.start)


def read_turns_file(path: Path) -> list[Turn]:
    """The turns of a text file in UTF-8. Raises OptionError for a file that cannot be read, and as `read_turns`."""
    try:
        if path.stat().st_size > 4 * LONGEST_TEXT:
            raise OptionError(f"speakers: {shorten(path)} is too large to be a list of who speaks when.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(
            f"speakers: {shorten(path)} cannot be read as text ({shorten(error, 100)}); save it in UTF-8."
        ) from error
    try:
        return read_turns(text)
    except OptionError as error:
        raise OptionError(f"speakers: {shorten(path)}: {str(error).removeprefix('lines: ')}") from error


def form_of(text: str) -> str:
    """The format of a text, by its first lines: "lines", "SRT", "WebVTT", "RTTM" or "Audacity"."""
    written = (line for line in text.lstrip("\ufeff").splitlines() if line.strip())
    lines = list(itertools.islice(written, _LINES_READ))
    if lines and lines[0].startswith("WEBVTT"):
        return "WebVTT"
    if any(re.match(r"SPEAKER\s", line) and len(line.split()) >= 8 for line in lines):
        return "RTTM"
    if any(_CUE.match(line) for line in lines):
        return "SRT"
    if any(re.match(rf"\s*{_CLOCK}\s+{_CLOCK}(?:\s|$)", line) for line in lines):
        return "Audacity"
    return "lines"


_Numbered = Iterable[tuple[int, str]]


def _lines(numbered: _Numbered, faults: list[str]) -> Iterator[Turn]:
    for number, line in numbered:
        line = _COMMENT.sub("", line).strip().translate(_PLAIN)
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            faults.append(
                f"line {number}: expected a start, an end and a name, such as {EXAMPLE}, got {_quoted(line)}."
            )
            continue
        yield from _turn(number, faults, *match.groups())


def _subtitles(numbered: _Numbered, faults: list[str]) -> Iterator[Turn]:
    """SRT and WebVTT: a line of times, and the text below it up to an empty line."""
    lines = [*numbered, (0, "")]
    place, speaking = 0, ""
    while place < len(lines) and len(faults) < MOST_FAULTS:
        number, line = lines[place]
        place += 1
        if re.match(r"\s*(NOTE|STYLE|REGION)\b", line) and "-->" not in line:
            while place < len(lines) and lines[place][1].strip():
                place += 1
            continue
        if "-->" not in line:  # a number, a name of the cue, the head of the file
            continue
        cue = _CUE.match(line)
        below: list[str] = []
        while place < len(lines) and lines[place][1].strip() and "-->" not in lines[place][1]:
            below.append(lines[place][1])
            place += 1
        if cue is None:
            faults.append(f"line {number}: expected 'start --> end', got {_quoted(line)}.")
            continue
        names = _names(below) or ([speaking] if speaking else [])
        if not names:
            faults.append(f"line {number}: nobody is named below it; begin the text with 'Anna:' or <v Anna>.")
            continue
        speaking = names[-1]
        for name in names:
            yield from _turn(number, faults, cue[1], cue[2], name)


def _names(texts: Iterable[str]) -> list[str]:
    """Who speaks in a subtitle, each once, in order."""
    names: list[str] = []
    for text in texts:
        found = [name.strip() for name in _VOICE_TAG.findall(text)]
        if not found and (match := _NAMED.match(_TAG.sub("", text))):
            found = [next(name for name in match.groups() if name).strip()]
        names += [name for name in found if name and name not in names]
    return names


def _rttm(numbered: _Numbered, faults: list[str]) -> Iterator[Turn]:
    for number, line in numbered:
        words = line.split()
        if not words or words[0] != "SPEAKER":  # other record types: words, noises, speaker information
            if words and not re.fullmatch(r"[A-Z][A-Z_-]+|;;.*|#.*", words[0]):
                faults.append(f"line {number}: expected a line that begins with SPEAKER, got {_quoted(line)}.")
            continue
        start = seconds_of(words[3]) if len(words) >= 8 else None
        lasts = seconds_of(words[4]) if len(words) >= 8 else None
        if start is None or lasts is None:
            faults.append(
                f"line {number}: expected 'SPEAKER file 1 start duration <NA> <NA> name', got {_quoted(line)}."
            )
            continue
        yield from _turn(number, faults, start, start + lasts, words[7])


def _labels(numbered: _Numbered, faults: list[str]) -> Iterator[Turn]:
    for number, line in numbered:
        if not line.strip() or line.startswith("\\"):  # the frequencies of a label, on a line of their own
            continue
        words = line.split(None, 2)
        if len(words) < 3:
            faults.append(
                f"line {number}: expected start, end and name, such as '0.0 110.0 anna', got {_quoted(line)}."
            )
            continue
        yield from _turn(number, faults, *words)


_READERS = {"lines": _lines, "SRT": _subtitles, "WebVTT": _subtitles, "RTTM": _rttm, "Audacity": _labels}


def _turn(number: int, faults: list[str], start: str | float, end: str | float, speaker: str) -> Iterator[Turn]:
    """The turn; for invalid times, a sentence in `faults` instead."""
    begins, ends = (seconds_of(time) if isinstance(time, str) else time for time in (start, end))
    if begins is None or ends is None:
        wrong = start if begins is None else end
        faults.append(f"line {number}: expected a time such as 1:50, 1:02:03.5 or 110.5, got {_quoted(str(wrong))}.")
    elif ends <= begins:
        faults.append(f"line {number}: it ends at {ends:g} s, which is not after its start at {begins:g} s.")
    elif ends > LATEST:
        faults.append(f"line {number}: expected times of at most {LATEST:g} s, got {ends:g}.")
    else:
        yield Turn(begins, ends, " ".join(speaker.split()))


def seconds_of(clock: str) -> float | None:
    """A time such as `1:02:03.5`, `1:50` or `110,5` in seconds; None for anything else."""
    if not re.fullmatch(_CLOCK, clock.strip()):
        return None
    parts = [float(part.replace(",", ".")) for part in clock.strip().split(":")]
    if any(part >= 60 for part in parts[1:]):
        return None
    seconds = sum(part * 60**place for place, part in enumerate(reversed(parts)))
    return seconds if math.isfinite(seconds) else None


def _quoted(line: str) -> str:
    return repr(shorten(line.strip(), 80))


__all__ = ["Turn", "form_of", "read_turns", "read_turns_file", "seconds_of"]
