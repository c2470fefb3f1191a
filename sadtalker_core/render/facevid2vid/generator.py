"""Generator: a portrait, its key points and the key points of a frame -> the frame.

Letters: `B` frames, `S` the side of the image, `K` key points, `C D H W` the feature volume: channels, depth, and
rows and columns of a quarter of the side. (Wang et al. 2021, section 3.3, with the SPADE decoder of Park et al.,
"Semantic image synthesis with spatially-adaptive normalization", 2019; PARITY.md P50, P52, P53 and P54.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ConvBlock, ResidualBlock, double, halve, spectral
from .dense_motion import DenseMotion, DenseMotionConfig, MotionField
from .grids import read_volume

#: the source is halved twice on its way into the volume, and the decoder doubles twice on the way out
LEVELS = 2


@dataclass(frozen=True)
class GeneratorConfig:
    """width: channels at full size, doubled at each halving;  volume_blocks: residual blocks over the feature volume;
    middle_blocks: of the decoder before it grows;  modulation: hidden channels of each SPADE layer;
    motion: the dense motion's own sizes, and with them the volume's.
    """

    width: int = 64
    volume_blocks: int = 6
    middle_blocks: int = 6
    modulation: int = 128
    motion: DenseMotionConfig = field(default_factory=DenseMotionConfig)

    @property
    def features(self) -> int:
        """Channels of the image's features at a quarter of its side."""
        return self.width * 2**LEVELS

    @property
    def volume(self) -> int:
        """Channels x depth of the feature volume."""
        return self.motion.features * self.motion.depth


#: one for both sizes: the networks of the 256 and the 512 file differ in their values only
RELEASED_GENERATOR = GeneratorConfig()


class Source(NamedTuple):
    """All that depends on the portrait alone, so that it is calculated once a clip.

    volume: (B, C, D, H, W);  compressed_features: the same with few channels, for finding motion;  keypoints: (B, K, 3)
    """

    volume: Tensor
    compressed_features: Tensor
    keypoints: Tensor


class Rendered(NamedTuple):
    """image: (B, 3, S, S) in 0..1;  motion: where it came from."""

    image: Tensor
    motion: MotionField


class Generator(nn.Module):
    """face-vid2vid's generator: features of the source are warped by key points, and decoded into a frame."""

    def __init__(self, config: GeneratorConfig = RELEASED_GENERATOR, ops: Any = nn):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, ops)
        self.dense_motion = DenseMotion(config.motion, ops)
        self.flatten = ConvBlock(config.volume, config.features, 2, ops, slope=0.01)
        self.flatten_out = ops.Conv2d(config.features, config.features, 1)
        self.decoder = Decoder(config, ops)

    def forward(self, image: Tensor, source_keypoints: Tensor, driving_keypoints: Tensor) -> Rendered:
        """image (B, 3, S, S) in 0..1, S a multiple of 4 * 2**levels of the hourglass; key points (B, K, 3)."""
        return self.warp_and_decode(self.encode_source(image, source_keypoints), driving_keypoints)

    def encode_source(self, image: Tensor, keypoints: Tensor) -> Source:
        """What every frame of a clip needs of its portrait (B, 3, S, S) and the portrait's key points (B, K, 3)."""
        volume = self.encoder(image)
        return Source(volume, self.dense_motion.compress(volume), keypoints)

    def warp_and_decode(self, source: Source, keypoints: Tensor) -> Rendered:
        """The source, one or B of them, as it looks when its key points are at `keypoints` (B, K, 3)."""
        motion = self.dense_motion(source.compressed_features, source.keypoints, keypoints)
        return Rendered(self.decode(source, motion), motion)

    def decode(self, source: Source, motion: MotionField) -> Tensor:
        """The source moved so: images (B, 3, S, S) in 0..1."""
        volume = source.volume.expand(len(motion.deformation), -1, -1, -1, -1)
        moved = read_volume(volume, motion.deformation).flatten(1, 2)
        return self.decoder(self.flatten_out(self.flatten(moved)) * motion.occlusion)


class Encoder(nn.Module):
    """Image (B, 3, S, S) -> feature volume (B, C, D, S/4, S/4)."""

    def __init__(self, config: GeneratorConfig, ops: Any):
        super().__init__()
        widths = [config.width * 2**level for level in range(LEVELS + 1)]
        self.depth = config.motion.depth
        self.stem = ConvBlock(3, widths[0], 2, ops)
        self.down = nn.ModuleList(ConvBlock(a, b, 2, ops) for a, b in pairwise(widths))
        self.into_depth = ops.Conv2d(widths[-1], config.volume, 1)
        self.blocks = nn.ModuleList(ResidualBlock(config.motion.features, 3, ops) for _ in range(config.volume_blocks))

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        for block in self.down:
            x = halve(block(x))
        x = self.into_depth(x).unflatten(1, (-1, self.depth))
        for block in self.blocks:
            x = block(x)
        return x


class Decoder(nn.Module):
    """Features (B, F, H, W) -> image (B, 3, 4H, 4W); the features also modulate every block on the way."""

    def __init__(self, config: GeneratorConfig, ops: Any):
        super().__init__()
        features, wide, modulation = config.features, 2 * config.features, config.modulation
        self.stem = ops.Conv2d(features, wide, 3, padding=1)
        self.middle = nn.ModuleList(
            SpadeBlock(wide, wide, features, modulation, ops) for _ in range(config.middle_blocks)
        )
        self.up = nn.ModuleList(
            SpadeBlock(a, b, features, modulation, ops) for a, b in ((wide, features), (features, config.width))
        )
        self.to_rgb = ops.Conv2d(config.width, 3, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        x = self.stem(features)
        for block in self.middle:
            x = block(x, features)
        for block in self.up:
            x = block(double(x), features)
        return torch.sigmoid(self.to_rgb(F.leaky_relu(x, 0.2)))


class SpadeBlock(nn.Module):
    """Twice (SPADE, leaky rectifier, convolution), added to what came in; where the channels change, what came in goes
    through a SPADE and a 1 x 1 convolution of its own, without a rectifier (PARITY.md P53).
    """

    def __init__(self, inputs: int, outputs: int, features: int, modulation: int, ops: Any):
        super().__init__()
        conv = spectral(ops.Conv2d)
        between = min(inputs, outputs)
        self.first_norm = Spade(inputs, features, modulation, ops)
        self.first_conv = conv(inputs, between, 3, padding=1)
        self.second_norm = Spade(between, features, modulation, ops)
        self.second_conv = conv(between, outputs, 3, padding=1)
        self.skip_norm = Spade(inputs, features, modulation, ops) if inputs != outputs else None
        self.skip_conv = conv(inputs, outputs, 1, bias=False) if inputs != outputs else None

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        branch = self.first_conv(F.leaky_relu(self.first_norm(x, features), 0.2))
        branch = self.second_conv(F.leaky_relu(self.second_norm(branch, features), 0.2))
        if self.skip_norm is not None and self.skip_conv is not None:
            x = self.skip_conv(self.skip_norm(x, features))
        return x + branch


class Spade(nn.Module):
    """Normalises each channel over the image, then scales and shifts each pixel by convolutions of the features."""

    def __init__(self, channels: int, features: int, modulation: int, ops: Any):
        super().__init__()
        self.shared = ops.Conv2d(features, modulation, 3, padding=1)
        self.scale = ops.Conv2d(modulation, channels, 3, padding=1)
        self.shift = ops.Conv2d(modulation, channels, 3, padding=1)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        features = F.interpolate(features, size=x.shape[-2:], mode="nearest")
        shared = F.relu(self.shared(features))
        return F.instance_norm(x) * (1 + self.scale(shared)) + self.shift(shared)
