"""One recording and who speaks when come in; a recording for each speaker goes out, as long, silent where others speak.

    anna     ====__________====          a turn fades in and out over 20 ms, around the moment where it begins or ends:
    ben      ____=====_____====          the turns of two who follow one another add up to the recording, and where two
             0:00 ^0:10    ^ both        speak at once both get all of it

Letters: `C` channels, `n` samples.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..datatypes import OnProgress
from ..errors import AudioError, OptionError, shorten
from .speech import EMPTY, checked_rate
from .turns import LATEST, Turn

CROSSFADE_S = 0.02
MOST_SPEAKERS = 4


@dataclass(frozen=True, eq=False)
class SpeakerTrack:
    """One speaker's share of a recording: name, waveform (C, n) floats, seconds in which they speak."""

    name: str
    waveform: Tensor
    seconds: float


def speakers_of(turns: Sequence[Turn], wanted: str = "") -> list[str]:
    """Who gets a track, in which order: as they begin to speak, or as `wanted` lists them ("anna, ben").

    Case does not matter. Raises OptionError for more than MOST_SPEAKERS, and for a name that is not in the turns.
    """
    named: dict[str, str] = {}
    for turn in sorted(turns, key=lambda turn: turn.start):
        named.setdefault(turn.speaker.casefold(), turn.speaker)
    asked = [" ".join(name.split()) for name in re.split(r"[,;\n\uff0c\uff1b\u3001]", wanted) if name.strip()]
    known = shorten(", ".join(named.values()), 200)
    unknown = [name for name in asked if name.casefold() not in named]
    if unknown:
        raise OptionError(
            f"speakers: nobody in the lines is called {shorten(', '.join(unknown), 100)}; they name {known}."
        )
    if len({name.casefold() for name in asked}) < len(asked):
        raise OptionError(f"speakers: expected each name once, got {shorten(wanted, 100)}.")
    chosen = [named[name.casefold()] for name in asked] or list(named.values())
    if len(chosen) > MOST_SPEAKERS:
        raise OptionError(
            f"speakers: expected at most {MOST_SPEAKERS}, got {len(chosen)} ({known}); list those to split off in "
            "speakers."
        )
    left_out = [name for name in named.values() if name not in chosen]
    if left_out:
        logging.info("SadTalker: Split Speakers leaves out %s, as nobody asked for them.", shorten(", ".join(left_out)))
    return chosen


def split_speakers(
    waveform: Tensor,
    sample_rate_hz: float,
    turns: Sequence[Turn],
    speakers: str = "",
    *,
    on_progress: OnProgress | None = None,
) -> list[SpeakerTrack]:
    """waveform (n,), (C, n) or (1, C, n) of floats, and who speaks when -> one track of (C, n) for each speaker.

    turns:    from `read_turns`; what lies after the end of the recording is cut off, with a line in the log
    speakers: names, with commas between: whose track comes first, second and so on; empty: as they begin to speak
    on_progress: called with (done, total) turns; may raise to stop
    Raises AudioError for empty audio or a batch, OptionError for no turns, for speakers that do not fit, and for turns
    that all lie after the end.
    """
    turns = _checked_turns(turns)
    if not turns:
        raise OptionError("lines: nobody speaks in them; expected at least one turn.")
    if not isinstance(speakers, str):
        raise OptionError(f"speakers: expected names, with commas between, got {shorten(repr(speakers), 100)}.")
    rate_hz = checked_rate(sample_rate_hz)
    recording = _channels(waveform)
    lasts = recording.shape[1] / rate_hz
    names = speakers_of(turns, speakers)
    audible = [turn for turn in turns if turn.start < lasts]
    if not audible:
        first = min(turns, key=lambda turn: turn.start)
        raise OptionError(
            f"lines: all of them begin after the end of the audio ({lasts:.2f} s), from {first.start:g} s on."
        )
    late = [turn for turn in turns if turn.end > lasts + CROSSFADE_S]
    if late:
        logging.info(
            "SadTalker: Split Speakers: %d of %d turns go on after the end of the audio (%.2f s) and are cut off "
            "there, the first one that of %s from %g s to %g s.",
            len(late), len(turns), lasts, shorten(late[0].speaker, 100), late[0].start, late[0].end,
        )  # fmt: skip
    tracks, done = [], 0
    for name in names:
        track, seconds = _silence(recording), 0.0
        for start, end in _spans(audible, name):
            _copy_span(recording, track, rate_hz, start, end)
            seconds += min(end, lasts) - start
            done += 1
            if on_progress is not None:
                on_progress(min(done, len(audible)), len(audible))
        tracks.append(SpeakerTrack(name, track, seconds))
    return tracks


def describe_tracks(tracks: Sequence[SpeakerTrack]) -> str:
    """Which track is whose, a line for each: "1: anna, speaks 12.3 s"."""
    return "\n".join(f"{k}: {track.name}, speaks {track.seconds:.1f} s" for k, track in enumerate(tracks, start=1))


def _checked_turns(turns: object) -> list[Turn]:
    """The turns, of `read_turns` or made by hand. Raises OptionError for anything else."""
    if not isinstance(turns, Sequence) or not all(isinstance(turn, Turn) for turn in turns):
        raise OptionError("turns: expected what read_turns makes of a text, got something else.")
    for start, end, speaker in turns:
        times = isinstance(start, int | float) and isinstance(end, int | float)
        if not times or not 0 <= start < end <= LATEST or not isinstance(speaker, str):
            raise OptionError(
                f"turns: expected seconds from 0 to {LATEST:g}, the end after the start, and a name, got "
                f"{shorten(repr((start, end, speaker)), 100)}."
            )
    return list(turns)


def _silence(sound: Tensor) -> Tensor:
    """Zeros of the recording's shape and type. They come from calloc, so only what is written to takes
    memory: four speakers in turns need about one recording, not four.
    """
    shape = (*sound.shape[:-1], sound.shape[-1] * sound.element_size())
    return torch.from_numpy(np.zeros(shape, np.uint8)).view(sound.dtype)


def _channels(waveform: Tensor) -> Tensor:
    """-> (C, n) on the CPU."""
    if not isinstance(waveform, Tensor):
        raise AudioError(f"expected the waveform as a tensor (channels, samples), got {type(waveform).__name__}.")
    wave = waveform.detach().cpu()
    if wave.dim() == 3:
        if wave.shape[0] > 1:
            raise AudioError(f"expected one audio clip, got a batch of {wave.shape[0]}; choose one of them.")
        wave = wave.flatten(0, 1)
    if wave.dim() == 1:
        wave = wave[None]
    if wave.dim() != 2 or wave.numel() == 0:
        raise AudioError(EMPTY)
    if not wave.is_floating_point():
        raise AudioError(f"expected samples as floats in -1..1, got {wave.dtype}.")
    return wave


def _spans(turns: Sequence[Turn], name: str) -> list[tuple[float, float]]:
    """When somebody speaks; pauses too short for a fade out and in are bridged."""
    spans: list[tuple[float, float]] = []
    for turn in sorted(turns, key=lambda turn: turn.start):
        if turn.speaker.casefold() != name.casefold():
            continue
        if spans and turn.start <= spans[-1][1] + CROSSFADE_S:
            spans[-1] = (spans[-1][0], max(spans[-1][1], turn.end))
        else:
            spans.append((turn.start, turn.end))
    return spans


def _copy_span(recording: Tensor, track: Tensor, rate_hz: float, start: float, end: float) -> None:
    """Copies a span of the recording (C, n) to the track, faded at both ends except those of the recording itself."""
    n = recording.shape[1]
    half = CROSSFADE_S / 2
    first = max(math.floor((start - half) * rate_hz), 0)
    last = min(math.ceil((end + half) * rate_hz), n)
    track[:, first:last] = recording[:, first:last]
    if start > 0:
        stop = min(math.ceil((start + half) * rate_hz) + 1, last)
        track[:, first:stop] *= _rise(first, stop, rate_hz, start, recording.dtype)
    if end * rate_hz < n:
        begin = max(math.floor((end - half) * rate_hz) - 1, first)
        track[:, begin:last] *= 1 - _rise(begin, last, rate_hz, end, recording.dtype)


def _rise(first: int, stop: int, rate_hz: float, at: float, dtype: torch.dtype) -> Tensor:
    """(stop - first,): a raised cosine from 0 to 1 over CROSSFADE_S, centred at `at` seconds."""
    time = torch.arange(first, stop, dtype=torch.float64) / rate_hz
    share = ((time - at) / CROSSFADE_S + 0.5).clamp(0, 1)
    return (0.5 - 0.5 * torch.cos(math.pi * share)).to(dtype)


__all__ = ["CROSSFADE_S", "MOST_SPEAKERS", "SpeakerTrack", "speakers_of", "split_speakers", "describe_tracks"]
