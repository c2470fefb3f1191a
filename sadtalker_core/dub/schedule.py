"""What is on when: a film and the voice's track come in; for each frame of the video its image, and what the mouth
does.

Letters: `T` frames of the voice's track, 25 a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from ..timeline import FRAMES_PER_SECOND
from .film import Film, backwards


class DubLength(str, Enum):
    """What happens where the voice and the film last differently. Of a film that is longer, the rest goes on in all but
    `cut`.
    """

    HOLD = "hold"  #: a longer voice: the film stays on its last image
    LOOP = "loop"  #: a longer voice: the film begins again
    BOUNCE = "bounce"  #: a longer voice: the film runs backwards, then forwards again
    SILENCE = "silence"  #: as long as the film: the end of a longer voice is lost
    CUT = "cut"  #: as long as the shorter of the two


def frames_in(seconds: float, fps: float) -> int:
    """Frames that are needed for so long."""
    return math.ceil(seconds * fps - 1e-6)


def n_frames_of(film_frames: int, voice_seconds: float, fps: float, length: DubLength) -> int:
    """How many frames the video will have."""
    voice_frames = frames_in(voice_seconds, fps)
    if length is DubLength.CUT:
        return min(film_frames, voice_frames)
    return film_frames if length is DubLength.SILENCE else max(film_frames, voice_frames)


def played(film: Film, voice_seconds: float, length: DubLength) -> Iterator[Tensor]:
    """The images, one for each frame of the video."""
    wanted = frames_in(voice_seconds, film.fps)
    n, last = 0, None
    for last in film.frames(0, wanted if length is DubLength.CUT else None):
        yield last
        n += 1
    if last is None or length in (DubLength.CUT, DubLength.SILENCE):
        return
    shown, again = n, True
    while shown < wanted:
        if length is DubLength.HOLD:
            yield last
            shown += 1
            continue
        forwards = length is DubLength.LOOP or not again
        for image in film.frames(0, n) if forwards else backwards(film, n):
            if shown == wanted:
                return
            yield image
            shown += 1
        again = not again


@dataclass(frozen=True, eq=False)
class VoiceTrack:
    """What the voice does with the mouth.

    weights: (T, 64) blendshapes at 25 a second;  speaks: (T,) in 0..1, 0 in silence
    """

    weights: Tensor
    speaks: Tensor

    @property
    def seconds(self) -> float:
        return len(self.weights) / FRAMES_PER_SECOND

    def at(self, seconds: float) -> tuple[Tensor, float]:
        """-> weights (64,) and how far somebody speaks then, along a straight line between two rows; nobody does before
        and behind the track. In silence the mouth rests.
        """
        place = seconds * FRAMES_PER_SECOND
        first = math.floor(place + 1e-6)
        share = max(place - first, 0.0)
        (one, speaks), (other, goes_on) = self._row(first), self._row(first + 1)
        speaking = speaks + share * (goes_on - speaks)
        return torch.lerp(one, other, share), speaking

    def _row(self, at: int) -> tuple[Tensor, float]:
        if not 0 <= at < len(self.weights):
            return torch.zeros(self.weights.shape[1]), 0.0
        speaks = float(self.speaks[at])
        return self.weights[at] * speaks, speaks


def amount_of(speaking: float, strength: float, keep_mouth: float) -> float:
    """How far the film's mouth is replaced. keep_mouth: how far it stays in silence"""
    return strength * (1 - keep_mouth * (1 - speaking))


__all__ = ["DubLength", "VoiceTrack", "amount_of", "frames_in", "n_frames_of", "played"]
