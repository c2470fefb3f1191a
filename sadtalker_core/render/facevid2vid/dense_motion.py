"""DenseMotion: key points here and key points there -> where every voxel of the new frame comes from.

Letters: `B` frames, `K` key points, `D H W` the feature volume, `M` = K + 1 motions: the still background, then one
per key point. (Wang et al. 2021, section 3.3, without Jacobians; PARITY.md P50, P52 and P53.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ConvBlock, double, halve
from .grids import heat_maps, read_volume, volume_grid

#: A motion's mask below this counts as 0, and the others are not raised to make up for it (PARITY.md P52): where many
#: small ones fall away, places shrink a little towards the middle. The released weights were trained with it.
MIN_MASK = 1e-3


@dataclass(frozen=True)
class DenseMotionConfig:
    """n_keypoints: K;  depth: D;  features: channels of the source volume;  compact: channels they are reduced to;
    width, widest, levels: of the hourglass, as in KeypointConfig.
    """

    n_keypoints: int = 15
    depth: int = 16
    features: int = 32
    compact: int = 4
    width: int = 32
    widest: int = 1024
    levels: int = 5


class MotionField(NamedTuple):
    """deformation: (B, D, H, W, 3) the place in the source that each voxel shows;  mask: (B, M, D, H, W) how much
    each motion counts there, summing to 1;  occlusion: (B, 1, H, W), 0 where the source shows nothing of it.
    """

    deformation: Tensor
    mask: Tensor
    occlusion: Tensor


class DenseMotion(nn.Module):
    """Where each voxel of the driving frame comes from in the source: a softmax over K + 1 motions; and occlusion."""

    def __init__(self, config: DenseMotionConfig, ops: Any = nn):
        super().__init__()
        self.config = config
        n_motions = config.n_keypoints + 1
        self.compression = ops.Conv3d(config.features, config.compact, 1)
        self.compression_norm = nn.BatchNorm3d(config.compact)
        self.hourglass = Hourglass(n_motions * (config.compact + 1), config, ops)
        self.mask = ops.Conv3d(self.hourglass.outputs, n_motions, 7, padding=3)
        self.occlusion = ops.Conv2d(self.hourglass.outputs * config.depth, 1, 7, padding=3)

    def compress(self, volume: Tensor) -> Tensor:
        """The source's features (B, C, D, H, W) -> (B, C', D, H, W): as much of them as finding motion needs."""
        return F.relu(self.compression_norm(self.compression(volume)))

    def forward(self, compressed_features: Tensor, source: Tensor, driving: Tensor) -> MotionField:
        """compressed_features: from `compress`, (B or 1, …);  source (B or 1, K, 3) and driving (B, K, 3): key
        points.
        """
        motions = sparse_motions(source, driving, compressed_features.shape[2:])
        features = self.hourglass(self.hourglass_input(compressed_features, motions, source, driving))
        mask = self.mask(features).to(driving.dtype).softmax(dim=1)
        thresholded_mask = torch.where(mask < MIN_MASK, 0.0, mask)
        deformation = torch.einsum("bmdhw,bmdhwc->bdhwc", thresholded_mask, motions)
        occlusion = torch.sigmoid(self.occlusion(features.flatten(1, 2)))
        return MotionField(deformation, mask, occlusion)

    def hourglass_input(self, compressed_features: Tensor, motions: Tensor, source: Tensor, driving: Tensor) -> Tensor:
        """What the hourglass looks at, (B, M * (1 + C'), D, H, W): for every motion the heat that it moves
        (driving less source, none for the background), then the source's features as that motion alone would put them.
        """
        n_frames, n_motions, depth = motions.shape[:3]
        # the motions one behind the other along the depth, so that the source is read once and never repeated
        moved = read_volume(compressed_features.expand(n_frames, -1, -1, -1, -1), motions.flatten(1, 2))
        moved = moved.unflatten(2, (n_motions, depth)).transpose(1, 2)
        shape = compressed_features.shape[2:]
        heat = heat_maps(driving, shape) - heat_maps(source, shape)
        heat = F.pad(heat, (0, 0, 0, 0, 0, 0, 1, 0)).to(compressed_features.dtype)
        return torch.cat([heat.unsqueeze(2), moved], dim=2).flatten(1, 2)


def sparse_motions(source: Tensor, driving: Tensor, shape: Sequence[int]) -> Tensor:
    """Where each voxel would come from if one motion ruled everywhere, (B, M, D, H, W, 3): from its own place for the
    background, then for every key point from its place less `driving` plus `source`.
    """
    grid = volume_grid(shape, like=driving)
    shifts = F.pad(source - driving, (0, 0, 1, 0))
    return grid + shifts[:, :, None, None, None, :]


class Hourglass(nn.Module):
    """A U-Net over volumes that halves rows and columns but not depth; the last layer also gets the input itself."""

    def __init__(self, inputs: int, config: DenseMotionConfig, ops: Any):
        super().__init__()
        widths = [min(config.widest, config.width * 2**level) for level in range(config.levels + 1)]
        skips = [inputs, *widths[1:]]
        self.outputs = widths[0] + inputs
        self.down = nn.ModuleList(ConvBlock(a, b, 3, ops) for a, b in zip(skips[:-1], widths[1:], strict=True))
        # coming up, every level but the deepest sees the way down beside it: twice its width
        self.up = nn.ModuleList(
            ConvBlock(widths[level] * (1 if level == config.levels else 2), widths[level - 1], 3, ops)
            for level in range(config.levels, 0, -1)
        )
        self.last = ConvBlock(self.outputs, self.outputs, 3, ops)

    def forward(self, x: Tensor) -> Tensor:
        way_down = [x]
        for block in self.down:
            way_down.append(halve(block(way_down[-1])))
        x = way_down.pop()
        for block in self.up:
            x = torch.cat([block(double(x)), way_down.pop()], dim=1)
        return self.last(x)
