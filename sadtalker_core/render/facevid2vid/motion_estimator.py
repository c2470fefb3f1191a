"""MotionEstimator: an image of a face -> how it is turned, moved and deformed, in the form of MappingNet's output.

The renderer is trained with it: images become key points without any face model. Afterwards MappingNet learns to
predict the same from coefficients, and nothing here is needed for animating. The released file of the old style holds
its weights, "he_estimator".

Letters: `B` batch, `S` the side of the image, `P` offsets. (Wang et al., "One-shot free-view neural talking-head
synthesis", 2021, section 3.1: head pose and expression deformation estimator.)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..mapping import ANGLE_BINS, MappedWindows

#: a bottleneck looks around with a quarter of its channels
SQUEEZE = 4


@dataclass(frozen=True)
class MotionEstimatorConfig:
    """stem: channels at half the side;  width: of the first stage, doubled at each further one;
    blocks: bottlenecks of each stage, besides the one that halves the image at the start of all but the first;
    offsets: P.
    """

    stem: int = 64
    width: int = 256
    blocks: tuple[int, ...] = (3, 3, 5, 2)
    offsets: int = 45


RELEASED_MOTION_ESTIMATOR = MotionEstimatorConfig()


class MotionEstimator(nn.Module):
    """A residual network over the image, averaged, and read by five linear heads."""

    def __init__(self, config: MotionEstimatorConfig = RELEASED_MOTION_ESTIMATOR, ops: Any = nn):
        super().__init__()
        self.config = config
        widths = [config.stem, *(config.width * 2**stage for stage in range(len(config.blocks)))]
        self.stem = ops.Conv2d(3, config.stem, 7, stride=2, padding=3)
        self.stem_norm = nn.BatchNorm2d(config.stem)
        self.stages = nn.ModuleList(
            Stage(inputs, outputs, blocks, halves=stage > 0, ops=ops)
            for stage, ((inputs, outputs), blocks) in enumerate(zip(pairwise(widths), config.blocks, strict=True))
        )
        self.yaw = ops.Linear(widths[-1], ANGLE_BINS)
        self.pitch = ops.Linear(widths[-1], ANGLE_BINS)
        self.roll = ops.Linear(widths[-1], ANGLE_BINS)
        self.translation = ops.Linear(widths[-1], 3)
        self.offsets = ops.Linear(widths[-1], config.offsets)

    def forward(self, image: Tensor) -> MappedWindows:
        """image: (B, 3, S, S) in 0..1"""
        x = F.relu(self.stem_norm(self.stem(image)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for stage in self.stages:
            x = stage(x)
        features = x.mean(dim=(2, 3))
        readers = (self.yaw, self.pitch, self.roll, self.translation, self.offsets)
        return MappedWindows(*(reader(features) for reader in readers))


class Stage(nn.Module):
    """More channels, then bottlenecks; the first of them halves the image where the stage does."""

    def __init__(self, inputs: int, outputs: int, blocks: int, *, halves: bool, ops: Any):
        super().__init__()
        self.widen = ops.Conv2d(inputs, outputs, 1)
        self.widen_norm = nn.BatchNorm2d(outputs)
        strides = [2] * halves + [1] * blocks
        self.blocks = nn.ModuleList(Bottleneck(outputs, stride, ops) for stride in strides)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.widen_norm(self.widen(x)))
        for block in self.blocks:
            x = block(x)
        return x


class Bottleneck(nn.Module):
    """Squeeze, look around, widen, and add what came in, itself halved where this block halves."""

    def __init__(self, channels: int, stride: int, ops: Any):
        super().__init__()
        narrow = channels // SQUEEZE
        self.squeeze = ops.Conv2d(channels, narrow, 1)
        self.squeeze_norm = nn.BatchNorm2d(narrow)
        self.spatial = ops.Conv2d(narrow, narrow, 3, stride=stride, padding=1)
        self.spatial_norm = nn.BatchNorm2d(narrow)
        self.widen = ops.Conv2d(narrow, channels, 1)
        self.widen_norm = nn.BatchNorm2d(channels)
        self.skip = ops.Conv2d(channels, channels, 1, stride=stride) if stride > 1 else None
        self.skip_norm = nn.BatchNorm2d(channels) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        branch = F.relu(self.squeeze_norm(self.squeeze(x)))
        branch = F.relu(self.spatial_norm(self.spatial(branch)))
        branch = self.widen_norm(self.widen(branch))
        if self.skip is not None and self.skip_norm is not None:
            x = self.skip_norm(self.skip(x))
        return torch.relu(branch + x)
