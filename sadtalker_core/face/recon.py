"""An aligned face (B, 3, 224, 224) comes in, the 257 coefficients of the 3-D face model go out.

The network is a ResNet-50 whose last linear layer is replaced by one small head per group of coefficients (Deng et al.,
"Accurate 3D Face Reconstruction with Weakly-Supervised Learning", 2019). `B` faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn

from .. import coefficients as layout

#: The side of the image the network was trained on, in pixels.
ALIGNED_SIZE = 224

#: Heads in the order in which their numbers make the 257-row. The translation has two, one for x y and one for z.
HEADS = {
    "identity": layout.IDENTITY,
    "expression": layout.EXPRESSION,
    "texture": layout.TEXTURE,
    "rotation": layout.ROTATION,
    "lighting": layout.LIGHTING,
    "translation_xy": 2,
    "translation_z": 1,
}
if sum(HEADS.values()) != layout.FULL_ROW:
    raise RuntimeError("the heads of the 3DMM regressor must make one full row of coefficients")


@dataclass(frozen=True)
class FaceReconConfig:
    """Widths of the net: the stem's channels, and per stage how many blocks and how wide their 3x3 convolution is."""

    stem: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    expansion: int = 4


#: The network of the released checkpoints: a ResNet-50.
RELEASED_FACE_RECON = FaceReconConfig()


class Bottleneck(nn.Module):
    """Squeeze, look around, widen, and add what came in.

    The stride sits in the 3x3 convolution, as in "ResNet v1.5"; in the paper it sits in the first 1x1.
    """

    def __init__(self, channels: int, width: int, expansion: int, stride: int, ops: ModuleType = nn):
        super().__init__()
        wide = width * expansion
        self.squeeze = ops.Conv2d(channels, width, 1, bias=False)
        self.squeeze_norm = nn.BatchNorm2d(width)
        self.spatial = ops.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.spatial_norm = nn.BatchNorm2d(width)
        self.widen = ops.Conv2d(width, wide, 1, bias=False)
        self.widen_norm = nn.BatchNorm2d(wide)
        self.has_shortcut = stride != 1 or channels != wide
        if self.has_shortcut:
            self.shortcut = ops.Conv2d(channels, wide, 1, stride=stride, bias=False)
            self.shortcut_norm = nn.BatchNorm2d(wide)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.squeeze_norm(self.squeeze(x)))
        out = torch.relu(self.spatial_norm(self.spatial(out)))
        out = self.widen_norm(self.widen(out))
        kept = self.shortcut_norm(self.shortcut(x)) if self.has_shortcut else x
        return torch.relu(out + kept)


class FaceReconNet(nn.Module):
    """(B, 3, 224, 224) RGB in 0..1, aligned by `align.align_face`, no ImageNet normalisation -> (B, 257).

    The row is identity 80, expression 64, texture 80, rotation 3 (radians), lighting 27, translation 3 (PARITY.md P22).
    """

    def __init__(self, config: FaceReconConfig = RELEASED_FACE_RECON, ops: ModuleType = nn):
        super().__init__()
        self.config = config
        self.stem = ops.Conv2d(3, config.stem, 7, stride=2, padding=3, bias=False)
        self.stem_norm = nn.BatchNorm2d(config.stem)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        stages, channels = [], config.stem
        for i, (count, width) in enumerate(zip(config.blocks, config.widths, strict=True)):
            blocks = []
            for k in range(count):
                stride = 2 if i > 0 and k == 0 else 1
                blocks.append(Bottleneck(channels, width, config.expansion, stride, ops))
                channels = width * config.expansion
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.heads = nn.ModuleDict({name: ops.Conv2d(channels, width, 1) for name, width in HEADS.items()})

    def forward(self, faces: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.stem_norm(self.stem(faces))))
        for stage in self.stages:
            x = stage(x)
        x = x.mean(dim=(2, 3), keepdim=True)
        return torch.cat([head(x) for head in self.heads.values()], dim=1).flatten(1)
