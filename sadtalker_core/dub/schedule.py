"""Timing: a source video and a speech track come in; for each frame of the dubbed video, its source frame and how the
mouth moves go out.

Letters: `T` frames of the speech track, at 25 fps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from ..timeline import FRAMES_PER_SECOND
from .source_video import SourceVideo, backwards


class DubLength(str, Enum):
    """What happens when the speech and the video differ in length. A video that is longer plays to its end in all but
    `cut`.
    """

    HOLD = "hold"  #: longer speech: the video stays on its last frame
    LOOP = "loop"  #: longer speech: the video starts again
    BOUNCE = "bounce"  #: longer speech: the video plays backwards, then forwards again
    SILENCE = "silence"  #: as long as the video: the end of longer speech is cut off
    CUT = "cut"  #: as long as the shorter of the two


def frames_in(seconds: float, fps: float) -> int:
    """How many frames last so long."""
    return math.ceil(seconds * fps - 1e-6)


def n_frames_of(source_frames: int, speech_seconds: float, fps: float, length: DubLength) -> int:
    """How many frames the dubbed video will have."""
    speech_frames = frames_in(speech_seconds, fps)
    if length is DubLength.CUT:
        return min(source_frames, speech_frames)
    return source_frames if length is DubLength.SILENCE else max(source_frames, speech_frames)


def played(source: SourceVideo, speech_seconds: float, length: DubLength) -> Iterator[Tensor]:
    """Yield source frames (H, W, 3) uint8, one for each frame of the dubbed video."""
    wanted = frames_in(speech_seconds, source.fps)
    n, last = 0, None
    for last in source.frames(0, wanted if length is DubLength.CUT else None):
        yield last
        n += 1
    if last is None or length in (DubLength.CUT, DubLength.SILENCE):
        return
    n_played, again = n, True
    while n_played < wanted:
        if length is DubLength.HOLD:
            yield last
            n_played += 1
            continue
        forwards = length is DubLength.LOOP or not again
        for image in source.frames(0, n) if forwards else backwards(source, n):
            if n_played == wanted:
                return
            yield image
            n_played += 1
        again = not again


@dataclass(frozen=True, eq=False)
class SpeechTrack:
    """How the speech moves the mouth.

    weights: (T, 64) blendshape weights at 25 fps;  speaks: (T,) in 0..1, 0 in silence
    """

    weights: Tensor
    speaks: Tensor

    @property
    def seconds(self) -> float:
        """How long the track is."""
        return len(self.weights) / FRAMES_PER_SECOND

    def at(self, seconds: float) -> tuple[Tensor, float]:
        """Blendshape weights (64,) and voice activity 0..1 at that time, interpolated linearly; outside the track and
        in silence the mouth rests.
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
    """How far the mouth is replaced, 0..1.  keep_mouth: how far it stays as recorded in silence"""
    return strength * (1 - keep_mouth * (1 - speaking))


__all__ = ["DubLength", "SpeechTrack", "amount_of", "frames_in", "n_frames_of", "played"]
