"""A length comes in, a blink track goes out: (T,) how far the lids are down in each frame, 0 open, 1 shut.

`released_blinks` is what SadTalker does; `blink_track` is ours, with a rate in blinks a minute, a strength, and a seed:
there a blink lasts five frames, a fifth of a second. `chosen_blinks` is either, or neither, by the user's option.
`varied_blinks` is for faces whose lids move one by one: no blink is like another, and there are two lids, (T, 2).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..choices import one_of
from ..errors import OptionError
from ..timeline import FRAMES_PER_SECOND

BLINK = (0.5, 0.9, 1.0, 0.9, 0.5)

#: what the user chooses from: ours at a rate, none, those of the original (about 34 a minute)
BLINKS = AUTO, OFF, ORIGINAL = ("auto", "off", "original")

#: blinks a minute in calm speech
NATURAL_RATE = 18.0
FASTEST_RATE = 60.0
STRONGEST = 1.5

#: the least time between two blinks, and before the first
_SHORTEST_GAP_S = 0.3
#: gaps between blinks are spread widely: the standard deviation of their logarithm
_GAP_SPREAD = 0.5

# How blinks of one person differ, in frames: a lid falls faster than it rises. Some blinks are long, some stop halfway,
# and some come twice. (Videos of two real speakers: shut by half or more for 3.4 to 4 frames, and .6 deep in the mean.)
_FALL, _SHUT, _LONG_SHUT, _RISE = (1.4, 2.6), (1.0, 1.8), (2.0, 4.0), (3.0, 6.0)
_LONG, _PARTIAL, _DOUBLE = 0.07, 0.2, 0.1  #: shares of the blinks
_PARTIAL_DEPTH = (0.45, 0.9)
_UNEVEN = 0.08  #: spread of the share by which one lid, now the left and now the right, closes less
_LAG = 0.5  #: frames by which the same lid is behind the other, at most


@dataclass(frozen=True, eq=False)
class Blinks:
    """The user's option for blinks: one of BLINKS, as `chosen_blinks` takes it.

    lids: (T,) how far those of a reference video are down, which stands in for blinks; None: there is none
    """

    choice: str = AUTO
    per_minute: float = NATURAL_RATE
    strength: float = 1.0
    seed: int = 0
    lids: Tensor | None = None

    def track(self, n_frames: int) -> Tensor:
        """(T,) in 0..strength: the lids of the reference, or else drawn blinks; see `chosen_blinks`."""
        if self.lids is not None:
            return self.lids
        return chosen_blinks(self.choice, n_frames, per_minute=self.per_minute, strength=self.strength, seed=self.seed)


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
    per_minute: 0 (no blinks) to 60.  strength: 0 to 1.5, where 1 shuts the eyes as far as in training.
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


class _Blink(NamedTuple):
    """The lids of one blink from its first frame on, (n, 2) in 0..1, and where a second one begins, or None."""

    lids: Tensor
    again: int | None


def varied_blinks(
    n_frames: int,
    *,
    per_minute: float = NATURAL_RATE,
    strength: float = 1.0,
    generator: torch.Generator,
    pace: Tensor | None = None,
) -> Tensor:
    """-> (T, 2) in 0..strength, the left and the right lid; gaps, rate and strength as in `blink_track`.

    Blinks differ in length and depth, the lids of one blink in depth and time, and some blinks come twice, which counts
    as one. pace: (T,) 0 or more, how readily a blink begins in each frame, beside the other frames; None: as readily in
    all of them, and then a longer track begins like a shorter one of the same seed.
    Raises OptionError as `blink_track` does.
    """
    _check_range("blink rate", per_minute, FASTEST_RATE)
    _check_range("blink strength", strength, STRONGEST)
    track = torch.zeros(n_frames, 2)
    if per_minute == 0 or strength == 0 or n_frames == 0:
        return track
    clock = torch.arange(1.0, n_frames + 1) if pace is None else (pace / pace.mean().clamp(min=1e-6)).cumsum(0)
    usual = sum(sum(part) for part in (_FALL, _SHUT, _RISE)) / 2
    mean_gap = max(FRAMES_PER_SECOND * 60 / per_minute - usual, _SHORTEST_GAP_S * FRAMES_PER_SECOND)
    shortest = round(_SHORTEST_GAP_S * FRAMES_PER_SECOND)
    gap, end = mean_gap * torch.rand((), generator=generator).item(), 0
    while True:
        since = float(clock[end - 1]) if end else 0.0
        start = max(int((clock < since + gap).sum()), end + shortest)
        first = _draw_blink(generator)
        lids = [(start, first.lids)]
        if first.again is not None:
            second = _draw_blink(generator)
            lids.append((start + first.again, second.lids * 0.8))
        end = max(at + len(lid) for at, lid in lids)
        if end >= n_frames:
            return track
        for at, lid in lids:
            part = track[at : at + len(lid)]
            part.copy_(torch.maximum(part, strength * lid))
        draw = torch.randn((), generator=generator).item()
        gap = max(mean_gap * math.exp(_GAP_SPREAD * draw - _GAP_SPREAD**2 / 2), float(shortest))


def _draw_blink(generator: torch.Generator) -> _Blink:
    """A fixed number of draws, whatever they are."""
    long, partial, twice, *parts = torch.rand(10, generator=generator).tolist()
    uneven = _UNEVEN * abs(torch.randn((), generator=generator).item())

    def between(ends: tuple[float, float], share: float) -> float:
        return ends[0] + (ends[1] - ends[0]) * share

    fall, rise = between(_FALL, parts[0]), between(_RISE, parts[1])
    shut = between(_LONG_SHUT if long < _LONG else _SHUT, parts[2])
    depth = between(_PARTIAL_DEPTH, parts[3]) if partial < _PARTIAL else 1.0
    late = torch.tensor([0.0, _LAG * parts[4]])
    depths = depth * torch.tensor([1.0, max(1 - uneven, 0.7)])
    since = torch.arange(math.ceil(fall + shut + rise + 1))[:, None] + parts[5] * (1 - _LAG) - late
    falling = (since / fall).clamp(0, 1)
    rising = ((since - fall - shut) / rise).clamp(0, 1)
    lids = depths * falling.square() * (3 - 2 * falling) * (1 - rising) ** 1.8
    if parts[6] < 0.5:
        lids = lids.flip(1)
    return _Blink(lids, round(fall + shut + 0.7 * rise) if twice < _DOUBLE else None)


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
    "Blinks",
    "blink_track",
    "chosen_blinks",
    "released_blinks",
    "varied_blinks",
]
