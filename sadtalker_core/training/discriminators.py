"""An image comes in, how real each patch of it looks goes out, with the features on the way.

Letters: `B` batch, `S` the side of the image. (Isola et al., "Image-to-image translation with conditional adversarial
networks", 2017; the widths are those of the published face-vid2vid configuration, with spectral normalisation.)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from ..render.facevid2vid.blocks import spectral
from .perceptual import shrink


@dataclass(frozen=True)
class DiscriminatorConfig:
    """width: half of the first block's channels, doubled at each block up to `widest`;  blocks: of which all but the
    last halve the image;  scales: the image is looked at once as it is made smaller by each of these.
    """

    width: int = 32
    widest: int = 512
    blocks: int = 4
    scales: tuple[int, ...] = (1,)


PUBLISHED_DISCRIMINATOR = DiscriminatorConfig()


class DiscriminatorOutput(NamedTuple):
    """scores: (B, 1, h, w) of each scale, larger is more real;  features: those of all blocks, scale after scale."""

    scores: list[Tensor]
    features: list[Tensor]


class PatchDiscriminators(nn.Module):
    """One discriminator for each scale of the image."""

    def __init__(self, config: DiscriminatorConfig = PUBLISHED_DISCRIMINATOR, ops: Any = nn):
        super().__init__()
        self.config = config
        # runs that were saved hold their tensors under this name
        self.judges = nn.ModuleList(PatchDiscriminator(config, ops) for _ in config.scales)

    def forward(self, image: Tensor) -> DiscriminatorOutput:
        """image: (B, 3, S, S) in 0..1"""
        scores, features = [], []
        for factor, discriminator in zip(self.config.scales, self.judges, strict=True):
            score, of_scale = discriminator(shrink(image, factor))
            scores.append(score)
            features += of_scale
        return DiscriminatorOutput(scores, features)


class PatchDiscriminator(nn.Module):
    """image (B, 3, S, S) -> a score for each patch, and the features of every block."""

    def __init__(self, config: DiscriminatorConfig, ops: Any):
        super().__init__()
        widths = [3, *(min(config.widest, config.width * 2 ** (block + 1)) for block in range(config.blocks))]
        conv = spectral(ops.Conv2d)
        self.blocks = nn.ModuleList(conv(a, b, 4) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.InstanceNorm2d(width, affine=True) for width in widths[2:])
        self.score = conv(widths[-1], 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, features = image, []
        for number, convolution in enumerate(self.blocks):
            x = convolution(x)
            x = F.leaky_relu(self.norms[number - 1](x) if number else x, 0.2)
            x = F.avg_pool2d(x, 2) if number < len(self.blocks) - 1 else x
            features.append(x)
        return self.score(x), features
