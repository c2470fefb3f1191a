"""MappingNet: coefficients of the face model over 27 frames -> how the renderer's key points move in the middle one.

Letters: `B` windows, `T` frames of a track, `nc` coefficients per frame (70, or 73 with the crop parameters),
`P` offsets (45 = 15 key points x 3 in the released family, 64 blendshape weights in the mini family).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..coefficients import CROP_ROW, EXPRESSION, MOTION_ROW
from ..datatypes import KeypointMotion, MotionRows, OnProgress
from .semantics import WINDOW_FRAMES, WINDOW_RADIUS, clamped_rows

#: a head angle is classified into 66 bins of 3 degrees, the first of them at -99
ANGLE_BINS = 66
DEGREES_PER_BIN = 3
FIRST_BIN_DEGREES = -99

#: the convolutions see 7 + 3 blocks x 6 = 25 frames; the mean over the rest makes the window 27
STEM_KERNEL = 7
BLOCK_DILATION = 3
BLOCKS = 3
RECEPTIVE_FRAMES = STEM_KERNEL + BLOCKS * 2 * BLOCK_DILATION
POOLED_FRAMES = WINDOW_FRAMES - RECEPTIVE_FRAMES + 1
if POOLED_FRAMES < 1:
    raise RuntimeError("the mapping network's convolutions must fit into its window")


@dataclass(frozen=True)
class MappingConfig:
    """coefficients: nc;  hidden: channels of every layer;  offsets: P."""

    coefficients: int = MOTION_ROW
    hidden: int = 1024
    offsets: int = 45


RELEASED_MAPPING = MappingConfig()
RELEASED_MAPPING_FULL = MappingConfig(coefficients=CROP_ROW)
#: the widths of the built-in family; its offsets are the weights of the blendshapes
MINI_MAPPING = MappingConfig(hidden=128, offsets=EXPRESSION)


class MappedWindows(NamedTuple):
    """yaw, pitch, roll: (B, 66) scores of the bins, before the softmax;  translation: (B, 3);  offsets: (B, P)."""

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    translation: Tensor
    offsets: Tensor

    def motion(self) -> KeypointMotion:
        """The same with the angles in degrees, of the released family."""
        return self.rows(KeypointMotion)

    def rows(self, kind: type[MotionRows]) -> MotionRows:
        """The same with the angles in degrees; the meaning of the offsets follows from the kind of rows."""
        yaw, pitch, roll = (bins_to_degrees(bins) for bins in (self.yaw, self.pitch, self.roll))
        return kind(yaw, pitch, roll, self.translation, self.offsets)


class MappingNet(nn.Module):
    """Semantics of 27 frames -> head pose and key-point offsets of the middle one (PIRenderer's mapping, PARITY.md
    P45).

    Time is convolved without padding (27 -> 21 -> 15 -> 9 -> 3), averaged, and read by five linear heads.
    """

    def __init__(self, config: MappingConfig = RELEASED_MAPPING, ops: Any = nn):
        super().__init__()
        self.config = config
        self.stem = ops.Conv1d(config.coefficients, config.hidden, STEM_KERNEL)
        self.blocks = nn.ModuleList(
            ops.Conv1d(config.hidden, config.hidden, 3, dilation=BLOCK_DILATION) for _ in range(BLOCKS)
        )
        self.yaw = ops.Linear(config.hidden, ANGLE_BINS)
        self.pitch = ops.Linear(config.hidden, ANGLE_BINS)
        self.roll = ops.Linear(config.hidden, ANGLE_BINS)
        self.translation = ops.Linear(config.hidden, 3)
        self.offsets = ops.Linear(config.hidden, config.offsets)

    def forward(self, windows: Tensor) -> MappedWindows:
        """windows: (B, nc, 27)"""
        return self.heads(self.encode(windows).mean(dim=-1))

    def track(self, rows: Tensor) -> MappedWindows:
        """rows (L, nc), as one long window -> what `forward` gives for each of its L - 26 windows.

        Neighbouring windows share all but one frame, so one convolution over the track does the work of 27.
        """
        features = self.encode(rows.T.unsqueeze(0))
        return self.heads(F.avg_pool1d(features, POOLED_FRAMES, stride=1).squeeze(0).T)

    def encode(self, x: Tensor) -> Tensor:
        """(B, nc, L) -> (B, hidden, L - 24)"""
        x = self.stem(x)
        for convolution in self.blocks:
            x = convolution(F.leaky_relu(x, 0.1)) + x[..., BLOCK_DILATION:-BLOCK_DILATION]
        return x

    def heads(self, features: Tensor) -> MappedWindows:
        """(B, hidden) -> the five outputs."""
        readers = (self.yaw, self.pitch, self.roll, self.translation, self.offsets)
        return MappedWindows(*(reader(features) for reader in readers))


def bins_to_degrees(bins: Tensor) -> Tensor:
    """(…, 66) scores -> (…,) degrees: the expected bin under their softmax, times 3, minus 99 (PARITY.md P46).

    Half-precision scores are widened first: a degree is a small difference of large sums.
    """
    if bins.dtype in (torch.float16, torch.bfloat16):
        bins = bins.float()
    index = torch.arange(bins.shape[-1], dtype=bins.dtype, device=bins.device)
    return (bins.softmax(dim=-1) * index).sum(dim=-1) * DEGREES_PER_BIN + FIRST_BIN_DEGREES


def run_mappingnet(
    net: MappingNet,
    rows: Tensor,
    kind: type[MotionRows],
    *,
    chunk: int = 1024,
    on_progress: OnProgress | None = None,
) -> MotionRows:
    """Coefficients of a whole track (T, nc) -> its motion, one row per frame.

    kind: KeypointMotion or BlendshapeMotion, as the network was trained

    Windows are clamped at the ends of the track: frame 0 sees itself fourteen times (PARITY.md P39). A single row is
    therefore a face that holds still, which is what a source portrait is.
    chunk: frames at a time, which bounds the memory and changes nothing else.
    on_progress: (frames done, of how many); may raise to stop
    """
    n_frames = rows.shape[0]
    parts = []
    for start in range(0, n_frames, chunk):
        stop = min(start + chunk, n_frames)
        parts.append(net.track(clamped_rows(rows, start - WINDOW_RADIUS, stop + WINDOW_RADIUS)).rows(kind))
        if on_progress is not None:
            on_progress(stop, n_frames)
    return kind(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(kind)))
