"""KeypointDetector: an image of a face -> where its key points lie, as if the face looked straight at us and rested.

Letters: `B` batch, `S` the side of the image, `K` key points, `D H W` the volume they live in: 16 x S/4 x S/4.
(Wang et al., "One-shot free-view neural talking-head synthesis", 2021, section 3.1: canonical key points.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ConvBlock, ShortSums, double, halve
from .grids import centre_of_mass


@dataclass(frozen=True)
class KeypointConfig:
    """n_keypoints: K;  width: channels of the finest level, doubled at each coarser one up to `widest`;
    levels: how often the hourglass halves;  depth: D;  temperature: of the softmax over the volume, lower is sharper.
    """

    n_keypoints: int = 15
    width: int = 32
    widest: int = 1024
    levels: int = 5
    depth: int = 16
    temperature: float = 0.1


RELEASED_KEYPOINTS = KeypointConfig()

#: key points are looked for in an image of a quarter of the side, where the renderer's feature volume lives as well
DOWNSCALE = 4


class KeypointDetector(nn.Module):
    """Image -> canonical key points, by the centre of mass of one heat volume each (PARITY.md P48)."""

    def __init__(self, config: KeypointConfig = RELEASED_KEYPOINTS, ops: Any = nn):
        super().__init__()
        self.config = config
        ops = ShortSums(ops)
        widths = [min(config.widest, config.width * 2**level) for level in range(config.levels + 1)]
        inputs = [3, *widths[1:-1]]
        self.shrink = AntialiasedShrink()
        self.down = nn.ModuleList(ConvBlock(a, b, 2, ops) for a, b in zip(inputs, widths[1:], strict=True))
        self.into_depth = ops.Conv2d(widths[-1], widths[-1] * config.depth, 1)
        self.up = nn.ModuleList(ConvBlock(a, b, 3, ops) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.heat = ops.Conv3d(widths[0], config.n_keypoints, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 3, S, S) in 0..1, S a multiple of 4 * 2**levels -> (B, K, 3), each (x, y, z) in -1..1"""
        heat = self.heat_volume(self.shrink(image))
        if heat.dtype in (torch.float16, torch.bfloat16):
            heat = heat.float()  # 65 536 voxels are summed
        heat = heat / self.config.temperature
        return centre_of_mass(torch.exp(heat - heat.amax(dim=(2, 3, 4), keepdim=True)))  # a softmax, but for its total

    def heat_volume(self, small_image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, K, D, H, W), before the softmax."""
        x = small_image
        for block in self.down:
            x = halve(block(x))
        x = self.into_depth(x).unflatten(1, (-1, self.config.depth))
        for block in self.up:
            x = block(double(x))
        return self.heat(x)


class AntialiasedShrink(nn.Module):
    """An image at a quarter of its side: blurred by a Gaussian of sigma 1.5 (13 x 13, zeros outside), every 4th pixel.

    The kernel is a buffer because the released files carry it; it is the Gaussian itself.
    """

    kernel: Tensor
    SIGMA = (DOWNSCALE - 1) / 2
    RADIUS = round(SIGMA * 4)

    def __init__(self) -> None:
        super().__init__()
        steps = torch.arange(-self.RADIUS, self.RADIUS + 1, dtype=torch.float32)
        bell = torch.exp(-(steps**2) / (2 * self.SIGMA**2))
        kernel = bell[:, None] * bell
        self.register_buffer("kernel", (kernel / kernel.sum()).expand(3, 1, -1, -1).clone())

    def forward(self, image: Tensor) -> Tensor:
        kernel = self.kernel.to(image.dtype)
        return F.conv2d(image, kernel, stride=DOWNSCALE, padding=self.RADIUS, groups=3)
