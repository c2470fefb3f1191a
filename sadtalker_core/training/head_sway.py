"""Heads that move while they speak, made by rule: the data PoseVAE mini learns from.

Letters: `B` blocks, `L` = 32 frames of a block, `K` numbers that a block's movement is made of, `T` frames.
A pose is (pitch, yaw, roll; radians), (x, y; halves of the square), (z; logarithm of the size), less the portrait's.
A block holds the change of the pose from each frame to the next; motion/course.py makes a course of blocks.

    change = liveliness * ( sway:   slow waves that go on from block to block; less in a pause
                          + phrase: to another posture as a voice begins or rises, drawn anew for each block
                          + beat:   down and back with a stressed syllable, and a little aside )

A voice that falls silent ends phrases and beats; the posture that is left leaks back while the waves grow small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..coefficients import POSE
from ..motion.course import BLOCK, WAVE_NUMBERS, added_up, blended, turns_per_frame

#: behind those of the waves: how far and where to a phrase and a beat go; pitch, yaw, roll each
PHRASE, BEAT = slice(WAVE_NUMBERS, WAVE_NUMBERS + 3), slice(WAVE_NUMBERS + 3, WAVE_NUMBERS + 6)
NUMBERS = WAVE_NUMBERS + 6
STYLES = 46

#: spread of each wave at style 0: pitch, yaw, roll in degrees, and the shifts
SWAY_DEGREES = (1.7, 2.1, 1.6)
SWAY_SHIFT = (0.004, 0.006, 0.006)
#: degrees of a phrase's spread while the loudness rises from nothing to full
PHRASE_DEGREES = (5.5, 8.0, 6.5)
#: degrees of a beat that stands out by the full loudness: the nod that all have, and what is drawn
NOD_DEGREES = 13.5
BEAT_DEGREES = (9.5, 18.0, 11.0)
#: the waves' share in a pause
IN_PAUSES = 0.45
#: columns of `cues`
RISE, STRESS, AWAKE = range(3)


@dataclass(frozen=True)
class Style:
    """How a head moves.

    liveliness: scales everything;  waves: shares of the slow, the middle and the quick one;  axes: of pitch, yaw, roll
    """

    liveliness: float
    waves: tuple[float, float, float]
    axes: tuple[float, float, float]


def style(number: int) -> Style:
    """0 is calm; 1..45 are five livelinesses of three speeds of three manners (even, nodding, tilting and turning)."""
    if not 0 <= number < STYLES:
        raise ValueError(f"expected a style in 0..{STYLES - 1}, got {number}")
    if number == 0:
        return Style(1.0, (1.0, 0.6, 0.35), (1.0, 1.0, 1.0))
    liveliness, rest = divmod(number - 1, 9)
    speed, manner = divmod(rest, 3)
    return Style(
        liveliness=(1.15, 1.3, 1.45, 1.6, 1.8)[liveliness],
        waves=((0.9, 0.6, 0.3), (0.8, 0.7, 0.4), (0.65, 0.75, 0.55))[speed],
        axes=((1.0, 1.0, 1.0), (1.2, 0.85, 0.9), (0.85, 1.1, 1.15))[manner],
    )


def scale_of(number: int) -> Tensor:
    """(6,) by what a style scales each number of a pose; 1 at style 0."""
    character = style(number)
    angles = [character.liveliness * axis for axis in character.axes]
    return torch.tensor(angles + [math.sqrt(character.liveliness)] * 3)


def cues(mel: np.ndarray, n_frames: int) -> Tensor:
    """mel (n_mel, 80) of a clip -> (T, 3) what the voice asks of a head.

    RISE: by how much the loudness (0 .. 1) grows in a frame, where it grows;  STRESS: how a syllable's standing out
    changes;  AWAKE: 0 in silence, 1 while somebody speaks
    """
    from scipy.ndimage import gaussian_filter1d

    step = np.clip(((np.arange(n_frames) + 0.5) * 3.2).astype(int), 0, len(mel) - 1)
    level = gaussian_filter1d(mel.astype(np.float64).mean(axis=1), 3, mode="nearest")[step]
    loud = np.clip((level + 4) / 3, 0, 1.2)
    phrase = gaussian_filter1d(loud, 5, mode="nearest")
    rise = np.clip(np.gradient(phrase), 0, None) if n_frames > 1 else np.zeros(n_frames)
    stress = gaussian_filter1d(loud, 1.6, mode="nearest") - gaussian_filter1d(loud, 7, mode="nearest")
    awake = np.clip(gaussian_filter1d(loud, 9, mode="nearest") / 0.6, 0, 1)
    return torch.from_numpy(np.stack([rise, np.diff(stress, prepend=stress[:1]), awake], axis=1)).float()


def changes(numbers: Tensor, styles: Tensor, voice: Tensor) -> Tensor:
    """numbers (B, K) ~ N(0, 1), styles (B,), voice (B, L, 3) of `cues` -> (B, L, 6) from each frame to the next."""
    characters = [style(int(i)) for i in styles]
    shares = torch.tensor([c.waves for c in characters])
    waves = torch.einsum("bwpk,bw,wlk->blp", numbers[:, :WAVE_NUMBERS].unflatten(1, (-1, POSE, 2)), shares, _steps())
    spread = torch.tensor([math.radians(d) for d in SWAY_DEGREES] + list(SWAY_SHIFT))
    rise, stress, awake = (voice[..., k : k + 1] for k in (RISE, STRESS, AWAKE))
    sway = waves * spread * (IN_PAUSES + (1 - IN_PAUSES) * awake)
    nod = torch.tensor([NOD_DEGREES, 0.0, 0.0])
    voiced = rise * numbers[:, None, PHRASE] * torch.tensor(PHRASE_DEGREES)
    voiced = voiced + stress * (nod + numbers[:, None, BEAT] * torch.tensor(BEAT_DEGREES))
    motion = sway + torch.cat([torch.deg2rad(voiced), torch.zeros_like(voiced)], dim=-1)
    lively = torch.stack([scale_of(int(i)) for i in styles])
    return _with_shift(motion * lively[:, None])


def _steps() -> Tensor:
    """(W, L, 2) how a wave's cosine and sine change from the frame before to each frame of a block."""
    angle = turns_per_frame()[:, None] * torch.arange(BLOCK + 1)
    return torch.stack([angle.cos(), angle.sin()], dim=-1).diff(dim=1).float()


def course(numbers: Tensor, style_number: int, voice: Tensor) -> Tensor:
    """numbers (n, K) connected as driving has them, voice (T, 3) -> (T, 6), 0 in the first frame."""
    n_blocks, n_frames = len(numbers), len(voice)
    last = voice[-1:].expand(max(0, 1 + (n_blocks + 1) * BLOCK // 2 - n_frames), -1)
    windows = torch.cat([voice, last])[1:].unfold(0, BLOCK, BLOCK // 2)[:n_blocks].mT
    blocks = changes(numbers, torch.full((n_blocks,), style_number), windows)
    return added_up(torch.cat([torch.zeros(1, POSE), *blended(blocks)])[:n_frames])


def _with_shift(motion: Tensor) -> Tensor:
    """A head that turns to the image's left goes there a little, one that tilts or nods follows, too."""
    pitch, yaw, roll, x, y, z = motion.unbind(dim=-1)
    return torch.stack([pitch, yaw, roll, x - 0.12 * yaw + 0.15 * roll, y + 0.12 * pitch, z], dim=-1)
