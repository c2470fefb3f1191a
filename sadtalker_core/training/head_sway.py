"""Heads that move while they speak, made by rule: the data PoseVAE mini learns from.

Letters: `B` blocks, `L` = 32 frames of a block, `K` = 18 numbers that a block's sway is made of (6 axes x 3 waves).
A pose is (pitch, yaw, roll; radians), (x, y; halves of the square), (z; logarithm of the size), less the portrait's.

    motion = liveliness * ( sway: waves drawn anew for each block, resting at both its ends
                          + voice: a dip where it is loud, a turn and a tilt with the colour of the sound )

PoseVAE draws every block by itself. Sway rests at the seams, and what the voice does there meets from both sides,
so the blocks meet. A silent clip sways and does not dip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..coefficients import POSE

BLOCK = 32
WAVES = 3
#: numbers that make a block's sway: the first K of the latent
SWAY_NUMBERS = POSE * WAVES
STYLES = 46

#: spread of the sway at liveliness 1: pitch, yaw, roll in degrees, and the shifts
SWAY_DEGREES = (1.8, 3.1, 1.7)
SWAY_SHIFT = (0.0055, 0.0055, 0.0085)
#: what the voice adds at most, about: degrees of pitch, yaw and roll
VOICE_DEGREES = (3.1, 2.5, 1.7)


@dataclass(frozen=True)
class Style:
    """How a head moves.

    liveliness: scales everything;  waves: share of the slow, middle and quick one;  axes: of pitch, yaw, roll
    """

    liveliness: float
    waves: tuple[float, float, float]
    axes: tuple[float, float, float]


def style(number: int) -> Style:
    """0 is calm; 1..45 are five livelinesses of three speeds of three manners (even, nodding, tilting and turning)."""
    if not 0 <= number < STYLES:
        raise ValueError(f"expected a style in 0..{STYLES - 1}, got {number}")
    if number == 0:
        return Style(0.45, (1.0, 0.35, 0.1), (1.0, 1.0, 1.0))
    liveliness, rest = divmod(number - 1, 9)
    speed, manner = divmod(rest, 3)
    return Style(
        liveliness=(0.6, 0.8, 1.0, 1.2, 1.4)[liveliness],
        waves=((1.0, 0.35, 0.1), (0.8, 0.6, 0.25), (0.6, 0.7, 0.45))[speed],
        axes=((1.0, 1.0, 1.0), (1.35, 0.7, 0.8), (0.75, 1.15, 1.35))[manner],
    )


def wave_shapes() -> Tensor:
    """(3, L) slow, middle, quick: a hill, a hill and a dale, two hills; 0 just outside both ends, mean square 1."""
    t = (torch.arange(BLOCK, dtype=torch.float64) + 1) / (BLOCK + 1)
    shapes = torch.stack([torch.sin(math.pi * (k + 1) * t) for k in range(WAVES)])
    return (shapes / shapes.square().mean(dim=1, keepdim=True).sqrt()).float()


def sway(numbers: Tensor, styles: Tensor) -> Tensor:
    """numbers (B, 18) ~ N(0, 1), styles (B,) -> (B, L, 6)."""
    characters = [style(int(i)) for i in styles]
    waves = torch.tensor([c.waves for c in characters])
    waves = waves / waves.norm(dim=1, keepdim=True)
    axes = torch.tensor([c.axes + (1.0, 1.0, 1.0) for c in characters])
    lively = torch.tensor([c.liveliness for c in characters])
    spread = torch.tensor([math.radians(d) for d in SWAY_DEGREES] + list(SWAY_SHIFT))
    curves = torch.einsum("bpw,bw,wl->blp", numbers.unflatten(1, (POSE, WAVES)), waves, wave_shapes())
    return _with_shift(curves * (spread * axes * lively[:, None])[:, None])


def voice(mel: np.ndarray, n_frames: int) -> np.ndarray:
    """mel (n_mel, 80) of a clip -> (T, 3) degrees of pitch, yaw, roll at liveliness 1; 0 in silence."""
    from scipy.ndimage import gaussian_filter1d

    step = np.clip(((np.arange(n_frames) + 0.5) * 3.2).astype(int), 0, len(mel) - 1)
    smooth = gaussian_filter1d(mel.astype(np.float64), 12, axis=0, mode="nearest")[step]
    loud = np.clip((smooth.mean(axis=1) + 4) / 4, 0, 1.2)
    low, middle, high = (smooth[:, a:b].mean(axis=1) for a, b in ((2, 22), (22, 50), (50, 78)))
    turn = np.tanh(high - 0.5 * (low + middle) + 0.8)
    tilt = np.tanh(middle - low + 0.3)
    return np.stack([loud, turn * loud, tilt * loud], axis=1) * np.array(VOICE_DEGREES)


def voiced(degrees: Tensor, styles: Tensor) -> Tensor:
    """degrees (B, L, 3) of `voice`, styles (B,) -> (B, L, 6)."""
    characters = [style(int(i)) for i in styles]
    share = torch.tensor([[axis * c.liveliness for axis in c.axes] for c in characters])
    angles = torch.deg2rad(degrees * share[:, None])
    return _with_shift(torch.cat([angles, torch.zeros_like(angles)], dim=-1))


def _with_shift(motion: Tensor) -> Tensor:
    """A head that turns to the image's left goes there a little, one that tilts or nods follows, too."""
    pitch, yaw, roll, x, y, z = motion.unbind(dim=-1)
    return torch.stack([pitch, yaw, roll, x - 0.12 * yaw + 0.15 * roll, y + 0.12 * pitch, z], dim=-1)
