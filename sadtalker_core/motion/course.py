"""Blocks of a head's changes from frame to frame come in; one course over the whole clip goes out.

Blocks of `L` = 32 frames begin every HOP = 16, so that every frame lies in two of them, and the one fades out as the
other fades in. Their changes are added up; the sum leaks, so that the head comes back to where the portrait held it
when nothing else moves it. There are no seams: nothing rests or returns where a block ends.

    frames   0 | 1 ...... 16 | 17 ..... 32 | 33 ..... 48 | 49 ..
    blocks     [=========1==========]      [=========3==========]
                             [=========2==========]      [=====4 ..

Letters: `T` frames, `n` blocks, `Z` numbers of the latent, `W` waves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..coefficients import POSE
from ..timeline import FRAMES_PER_SECOND

BLOCK = 32
HOP = BLOCK // 2
#: by how much a calm head changes from frame to frame, as a spread: three angles in radians, the place, the size
CHANGE = (0.0059, 0.0058, 0.0044, 0.0013, 0.0012, 0.0006)
#: seconds in which a head that is left alone comes back to 1/e of the way
RETURN_S = 3.2
#: the slow waves that go on from block to block: seconds of each; breath is the first
PERIODS_S = (4.4, 2.6, 1.7)
#: how much of a wave goes on into the next block; the rest is drawn anew
GOES_ON = 0.93
#: the first numbers of a latent: a cosine and a sine for each wave and each of the six numbers of a pose, by
#: (wave, number of the pose, cosine or sine)
WAVE_NUMBERS = len(PERIODS_S) * POSE * 2


def turns_per_frame() -> Tensor:
    """(W,) radians by which each wave goes on in a frame."""
    return 2 * math.pi / (torch.tensor(PERIODS_S, dtype=torch.float64) * FRAMES_PER_SECOND)


def connected(noise: Tensor, hop: int = HOP) -> Tensor:
    """noise (n, Z) ~ N(0, 1), each row by itself -> the same, and each block's waves go on in the next.

    Every row is still N(0, 1), which is what the network was trained on; a longer clip begins like a shorter one.
    """
    angle = turns_per_frame() * hop
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
    fresh = math.sqrt(1 - GOES_ON**2)
    rows, waves = [], None
    for drawn in noise[:, :WAVE_NUMBERS].double().unflatten(1, (len(PERIODS_S), POSE, 2)):
        if waves is not None:
            c, s = waves.unbind(-1)
            drawn = GOES_ON * torch.stack([cosine * c + sine * s, cosine * s - sine * c], dim=-1) + fresh * drawn
        waves = drawn
        rows.append(waves.flatten())
    if not rows:
        return noise
    return torch.cat([torch.stack(rows).to(noise), noise[:, WAVE_NUMBERS:]], dim=1)


def blended(blocks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Blocks (L, 6), one after the other -> the changes of L / 2 frames each; the last one's second half is left out.

    The first block fades in alone: a head begins to move from rest.
    """
    before = None
    for block in blocks:
        begin, rest = block.chunk(2)
        share = 0.5 - 0.5 * torch.cos(math.pi * (torch.arange(len(begin)) + 0.5) / len(begin))
        yield torch.lerp(torch.zeros_like(begin) if before is None else before, begin, share[:, None])
        before = rest


def added_up(changes: Tensor) -> Tensor:
    """changes (T, 6) from frame to frame -> (T, 6) where they lead: each frame keeps a part of the one before."""
    led, reach = changes.double(), 1
    while reach < len(led):  # holds what the last `reach` changes have led to, then twice as many
        kept = math.exp(-reach / (RETURN_S * FRAMES_PER_SECOND))
        led = torch.cat([led[:reach], led[reach:] + kept * led[:-reach]])
        reach *= 2
    return led.to(changes)


__all__ = [
    "BLOCK",
    "CHANGE",
    "GOES_ON",
    "HOP",
    "PERIODS_S",
    "RETURN_S",
    "WAVE_NUMBERS",
    "added_up",
    "blended",
    "connected",
]
