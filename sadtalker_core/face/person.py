"""Where in an image a person is: hair, skin and clothes, without what stands behind.

The network and its weights come from MediaPipe ("Selfie Segmentation", see assets/NOTICE): a MobileNetV3 (Howard et al.
2019) down to a sixteenth of the side, and back up over three of its levels. Its input is 256 x 256 pixels that show a
head and shoulders.

Letters: `B` batch, `C` channels, `h w` a grid, `S` side of a square image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..canonical_face import FACE_OUTLINE, OUTER_LIPS
from ..datatypes import Box
from .blaze import conv
from .person_matte import refined_matte


@dataclass(frozen=True)
class PersonBlock:
    """One inverted residual.  widened, n_out: channels;  squeezed: those of its attention, 0 = none;  smooth: hard
    swish instead of ReLU
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
_CHIN = FACE_OUTLINE[18]
_LEAST_FACE = 0.8  #: mean of the mask over the face, below which it is not trusted; 13 portraits have .97 and more
_LIP_TO_NOSE = 0.7  #: of the way from the lips to the chin
_WIDE = 1.4  #: side of the part of the image that is searched for shoulders, by the box's
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
        for n_out in reversed(config.levels):
            self.back.append(LevelUp(width, n_out, ops=ops))
            width = n_out
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
    """image (3, h, w) in 0..1 -> (1, h, w) how likely each pixel shows a person, 0..1; computed on the network's
    device.
    """
    weight, side = next(net.parameters()), net.config.side
    small = F.interpolate(image[None].to(weight), (side, side), mode="bilinear", align_corners=False, antialias=True)
    mask = F.interpolate(net(small).float(), image.shape[-2:], mode="bilinear", align_corners=False)
    return mask[0].to(image)


def person_in_square(net: PersonSegmenter, image: Tensor, box: Box, square: Tensor, points: Tensor) -> Tensor | None:
    """Where a square shows the person whose face it was cut out for.

    image (H, W, 3), and square (3, S, S) cut out of it at `box`;  points (468, 2 or more) in pixels of the square
    -> (1, S, S) in 0..1, or None where the network does not take the face for a person.

    Hair is found best in the square itself, shoulders with more of the body around; what is wrong with both is
    corrected (person_matte.py).
    """
    mask, size = person_mask(net, square), square.shape[-1]
    if float(_at(mask, points[:, :2]).mean()) < _LEAST_FACE:
        return None
    wide = _enlarged(box, image)
    around = person_mask(net, image[wide.y : wide.bottom, wide.x : wide.right].permute(2, 0, 1).float())
    body = around[:, box.y - wide.y : box.bottom - wide.y, box.x - wide.x : box.right - wide.x]
    body = F.interpolate(body[None], (size, size), mode="bilinear", align_corners=False)[0].to(mask)
    whole = torch.lerp(mask, body, _below_the_nose(points[:, :2].to(mask), size))
    return refined_matte(whole, square, points[:, :2])


def _enlarged(box: Box, image: Tensor) -> Box:
    """Around the same middle, cut off where the image (H, W, 3) ends."""
    height, width = image.shape[:2]
    more_x, more_y = (round(side * (_WIDE - 1) / 2) for side in (box.width, box.height))
    x, y = max(box.x - more_x, 0), max(box.y - more_y, 0)
    return Box(x, y, min(box.right + more_x, width) - x, min(box.bottom + more_y, height) - y)


def _at(mask: Tensor, points: Tensor) -> Tensor:
    """mask (1, S, S) at points (N, 2) in its pixels -> (N,)"""
    x, y = points.to(mask.device).long().clamp(0, mask.shape[-1] - 1).unbind(-1)
    return mask[0, y, x]


def _below_the_nose(points: Tensor, size: int) -> Tensor:
    """points (468, 2) in pixels of a square -> (1, size, size) 0 above the nose's tip, 1 from the lips down."""
    lip, chin = points[list(OUTER_LIPS)].mean(0), points[_CHIN]
    way = chin - lip
    line = torch.arange(size, device=points.device) + 0.5
    share = ((line - lip[0]) * way[0] + (line[:, None] - lip[1]) * way[1]) / way.square().sum().clamp_min(1e-6)
    return (1 + share / _LIP_TO_NOSE).clamp(0, 1)[None]
