"""A length comes in, a blink track goes out: (T,) how far the lids are down in each frame, 0 open, 1 shut.

A blink lasts five frames, a fifth of a second. `released_blinks` is what SadTalker does; `blink_track` is ours, with
a rate in blinks a minute, a strength, and a seed. `chosen_blinks` is either, or neither, as the user says.
"""

from __future__ import annotations

import math
import random

import torch
from torch import Tensor

from ..choices import one_of
from ..errors import OptionError
from ..timeline import FRAMES_PER_SECOND

BLINK = (0.5, 0.9, 1.0, 0.9, 0.5)

#: what the user chooses from: ours at a rate, none, those of the original (about 34 a minute)
BLINKS = AUTO, OFF, ORIGINAL = ("auto", "off", "original")

#: blinks a minute of somebody who talks calmly
NATURAL_RATE = 18.0
FASTEST_RATE = 60.0
STRONGEST = 1.5

#: nobody blinks sooner than this after a blink, or after the clip begins
_SHORTEST_GAP_S = 0.3
#: gaps between blinks are spread widely: the standard deviation of their logarithm
_GAP_SPREAD = 0.5


def chosen_blinks(
    choice: str, n_frames: int, *, per_minute: float = NATURAL_RATE, strength: float = 1.0, seed: int = 0
) -> Tensor:
    """-> (T,) in 0..strength, by one of BLINKS. The same seed gives the same track on every machine.

    per_minute: of "auto" alone.  seed: for "original" the track is the one that the original draws after
    `random.seed(seed)`.  Raises OptionError for another choice, and for a rate or strength as in `blink_track`.
    """
    choice = one_of("blink", choice, BLINKS)
    if choice == ORIGINAL:
        _check_range("blink strength", strength, STRONGEST)
        return strength * released_blinks(n_frames, random.Random(seed))
    return blink_track(
        n_frames,
        per_minute=0.0 if choice == OFF else per_minute,
        strength=strength,
        generator=torch.Generator().manual_seed(seed),
    )


def blink_track(
    n_frames: int, *, per_minute: float = NATURAL_RATE, strength: float = 1.0, generator: torch.Generator
) -> Tensor:
    """-> (T,) in 0..strength. Gaps between blinks are log-normal with the mean that `per_minute` asks for.

    A longer track begins like a shorter one of the same seed. A blink that does not fit before the end is left out.
    per_minute: 0 (no blinks) to 60.  strength: 0 to 1.5, where 1 shuts the eyes as far as the network was taught.
    Raises OptionError outside these.
    """
    _check_range("blink rate", per_minute, FASTEST_RATE)
    _check_range("blink strength", strength, STRONGEST)
    track = torch.zeros(n_frames)
    if per_minute == 0 or strength == 0:
        return track
    shape = strength * torch.tensor(BLINK)
    mean_gap_s = max(60 / per_minute - len(BLINK) / FRAMES_PER_SECOND, _SHORTEST_GAP_S)
    # The first blink comes anywhere in the first gap, so that clips do not all wait for it equally long.
    gap_s = max(mean_gap_s * torch.rand((), generator=generator).item(), _SHORTEST_GAP_S)
    start = round(gap_s * FRAMES_PER_SECOND)
    while start + len(BLINK) < n_frames:
        track[start : start + len(BLINK)] = shape
        draw = torch.randn((), generator=generator).item()
        gap_s = max(mean_gap_s * math.exp(_GAP_SPREAD * draw - _GAP_SPREAD**2 / 2), _SHORTEST_GAP_S)
        start += len(BLINK) + round(gap_s * FRAMES_PER_SECOND)
    return track


def released_blinks(n_frames: int, rng: random.Random) -> Tensor:
    """-> (T,) as SadTalker draws them from Python's `random` (PARITY.md P10): none in 20 frames or fewer, then gaps of
    10 to 69 frames.

    At 21 frames the original asks for a number between 10 and 10 exclusive and fails; here that one gap is 10.
    """
    track = torch.zeros(n_frames)
    if n_frames <= 20:
        return track
    shortest = min(10, n_frames)
    beyond_longest = max(min(n_frames // 2, 70), shortest + 1)
    frame = 0
    while frame < n_frames:
        start = frame + rng.choice(range(shortest, beyond_longest))
        if start + len(BLINK) > n_frames - 1:
            break
        track[start : start + len(BLINK)] = torch.tensor(BLINK)
        frame = start + len(BLINK)
    return track


def _check_range(what: str, value: float, largest: float) -> None:
    if not 0 <= value <= largest:
        raise OptionError(f"expected a {what} between 0 and {largest:g}, got {value:g}.")


__all__ = [
    "AUTO",
    "BLINK",
    "BLINKS",
    "FASTEST_RATE",
    "NATURAL_RATE",
    "OFF",
    "ORIGINAL",
    "STRONGEST",
    "blink_track",
    "chosen_blinks",
    "released_blinks",
]
