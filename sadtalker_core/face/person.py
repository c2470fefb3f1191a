"""Where in an image a person is: hair, skin and clothes, without what stands behind.

The network and its weights come from MediaPipe ("Selfie Segmentation", see assets/NOTICE): a MobileNetV3 (Howard et al.
2019) down to a sixteenth of the side, and back up over three of its levels. It looks at 256 x 256 pixels with a head
and shoulders in them.

Letters: `B` batch, `C` channels, `h w` a grid, `S` side of a square image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blaze import conv


@dataclass(frozen=True)
class PersonBlock:
    """Of PersonSegmenterConfig.  widened, n_out: channels;  squeezed: those of its attention, 0 = none;  smooth: hard
    swish instead of ReLU.
    """

    widened: int
    n_out: int
    kernel: int
    stride: int
    squeezed: int
    smooth: bool


@dataclass(frozen=True)
class PersonSegmenterConfig:
    """deep: channels at a sixteenth;  levels: of the stem, the first block and the third, over which it comes back."""

    side: int = 256
    stem: int = 16
    blocks: tuple[PersonBlock, ...] = (
        PersonBlock(16, 16, 3, 2, 8, False),
        PersonBlock(72, 24, 3, 2, 0, False),
        PersonBlock(88, 24, 3, 1, 0, False),
        PersonBlock(96, 32, 5, 2, 24, True),
        PersonBlock(128, 32, 5, 1, 32, True),
        PersonBlock(128, 32, 5, 1, 32, True),
        PersonBlock(96, 32, 5, 1, 24, True),
        PersonBlock(96, 32, 5, 1, 24, True),
    )
    deep: int = 128
    levels: tuple[int, ...] = (16, 16, 24)


MEDIAPIPE_PERSON = PersonSegmenterConfig()
_LEVELS = (0, 2)  #: blocks whose output is a level, after the stem's


class PersonSegmenter(nn.Module):
    """Images (B, 3, 256, 256) in 0..1 -> (B, 1, 256, 256) how likely each pixel shows a person, 0..1."""

    def __init__(self, config: PersonSegmenterConfig = MEDIAPIPE_PERSON, *, ops: Any = nn):
        super().__init__()
        self.config = config
        self.stem = conv(3, config.stem, 3, 2, ops=ops)
        width, self.blocks = config.stem, nn.ModuleList()
        for block in config.blocks:
            self.blocks.append(InvertedResidual(width, block, ops=ops))
            width = block.n_out
        self.deep = ops.Conv2d(width, config.deep, 1)
        self.whole = ops.Conv2d(width, config.deep, 1)
        width, self.back = config.deep, nn.ModuleList()
        for n_level in reversed(config.levels):
            self.back.append(LevelUp(width, n_level, ops=ops))
            width = n_level
        self.last = ops.ConvTranspose2d(width, 1, 2, 2)

    def forward(self, images: Tensor) -> Tensor:
        features = F.hardswish(self.stem(images))
        levels = [features]
        for k, block in enumerate(self.blocks):
            features = block(features)
            if k in _LEVELS:
                levels.append(features)
        features = F.relu(self.deep(features)) * self.whole(features.mean((2, 3), keepdim=True)).sigmoid()
        for up, level in zip(self.back, reversed(levels), strict=True):
            features = up(features, level)
        return self.last(features).sigmoid()


class InvertedResidual(nn.Module):
    """(B, n_in, h, w) -> (B, n_out, h / stride, w / stride): widened, filtered, weighed by channel, narrowed."""

    def __init__(self, n_in: int, block: PersonBlock, *, ops: Any = nn):
        super().__init__()
        self.activation = F.hardswish if block.smooth else F.relu
        self.residual = block.stride == 1 and n_in == block.n_out
        self.widen = ops.Conv2d(n_in, block.widened, 1)
        self.depthwise = conv(block.widened, block.widened, block.kernel, block.stride, depthwise=True, ops=ops)
        self.attention = Attention(block.widened, block.squeezed, ops=ops) if block.squeezed else None
        self.narrow = ops.Conv2d(block.widened, block.n_out, 1)

    def forward(self, features: Tensor) -> Tensor:
        change = self.activation(self.depthwise(self.activation(self.widen(features))))
        if self.attention is not None:
            change = change * self.attention(change)
        change = self.narrow(change)
        return features + change if self.residual else change


class Attention(nn.Module):
    """(B, C, h, w) -> (B, C, 1, 1) in 0..1, how much each channel counts, by its mean."""

    def __init__(self, channels: int, squeezed: int, *, ops: Any = nn):
        super().__init__()
        self.squeeze = ops.Conv2d(channels, squeezed, 1)
        self.expand = ops.Conv2d(squeezed, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.expand(F.relu(self.squeeze(features.mean((2, 3), keepdim=True)))).sigmoid()


class LevelUp(nn.Module):
    """Features (B, n_in, h, w) and a level (B, n_out, 2 h, 2 w) -> (B, n_out, 2 h, 2 w)."""

    def __init__(self, n_in: int, n_out: int, *, ops: Any = nn):
        super().__init__()
        self.narrow = ops.Conv2d(n_in, n_out, 1)
        self.attention = Attention(n_out, n_out, ops=ops)
        self.mix = ops.Conv2d(n_out, n_out, 1)
        self.depthwise = conv(n_out, n_out, 3, depthwise=True, ops=ops)

    def forward(self, features: Tensor, level: Tensor) -> Tensor:
        features = self.narrow(F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False))
        features = F.relu(self.mix(level * self.attention(level + features) + features))
        return features + F.relu(self.depthwise(features))


@torch.no_grad()
def person_mask(net: PersonSegmenter, image: Tensor) -> Tensor:
    """image (3, S, S) in 0..1 -> (1, S, S) how likely each pixel shows a person, 0..1, calculated where the network
    is.
    """
    weight, side = next(net.parameters()), net.config.side
    seen = F.interpolate(image[None].to(weight), (side, side), mode="bilinear", align_corners=False, antialias=True)
    mask = net(seen).float()
    return F.interpolate(mask, image.shape[-2:], mode="bilinear", align_corners=False)[0].to(image)
