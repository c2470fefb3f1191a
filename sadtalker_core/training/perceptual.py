"""Two images come in, how different they look goes out: by the features of a VGG-19, at several sizes.

The features are those of the file that the user gives, trained on photographs. Without one the same network is taken
with numbers drawn by a fixed seed. That a network was trained matters less for such a loss than its layers do: random
filters, too, tell neighbourhoods apart at several scales and forgive fine structure a shift that colours alone would
not (Liu et al., "A generic perceptual loss for modeling structured output dependencies", CVPR 2021). And it needs no
second kind of loss, so that the published weights stay as they are. A trained network minds faces more; give one when
you can.

Letters: `B` batch, `S` the side of the image.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor, nn

from ..checkpoint.reading import read_foreign
from ..errors import CheckpointMismatch
from .engine import seeded
from .losses import feature_distance

#: of the photographs that the network was trained on, red, green, blue
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: how many convolutions stand between two poolings of the whole network
CONVOLUTIONS = (2, 2, 4, 4, 4)
#: the numbers of the substitute are drawn by this seed, whatever the seed of the run
SUBSTITUTE_SEED = 19


@dataclass(frozen=True)
class VggConfig:
    """widths: channels of each of the five levels;  scales: of the image, at which features are compared."""

    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    scales: tuple[int, ...] = (1, 2, 4, 8)


PUBLISHED_VGG = VggConfig()


class VggFeatures(nn.Module):
    """Image -> the features behind the first convolution of each level (relu1_1, relu2_1, ... relu5_1)."""

    mean: Tensor
    spread: Tensor

    def __init__(self, config: VggConfig = PUBLISHED_VGG, ops: Any = nn):
        super().__init__()
        self.config = config
        self.levels = nn.ModuleList()
        inputs = 3
        for level, width in enumerate(config.widths):
            # of the last level only the first convolution is looked at
            count = 1 if level == len(config.widths) - 1 else CONVOLUTIONS[level]
            sizes = [inputs] + [width] * count
            self.levels.append(nn.ModuleList(ops.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes)))
            inputs = width
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor(SPREAD)[:, None, None], persistent=False)

    @property
    def least_side(self) -> int:
        """The smallest image that all levels can see at all scales."""
        return 2 ** (len(self.config.widths) - 1) * max(self.config.scales)

    def forward(self, image: Tensor) -> list[Tensor]:
        """image: (B, 3, S, S) in 0..1"""
        x = (image - self.mean) / self.spread
        seen = []
        for number, level in enumerate(self.levels):
            x = F.max_pool2d(x, 2) if number else x
            for place, convolution in enumerate(level.children()):
                x = F.relu(convolution(x))
                if place == 0:
                    seen.append(x)
        return seen


def perceptual_loss(vgg: VggFeatures, made: Tensor, real: Tensor) -> Tensor:
    """Images (B, 3, S, S) in 0..1 -> the distance of their features, summed over levels and scales."""
    distances = []
    for factor in vgg.config.scales:
        with torch.no_grad():
            wanted = vgg(shrink(real, factor))
        distances.append(feature_distance(vgg(shrink(made, factor)), wanted))
    return torch.stack(distances).sum()


def shrink(image: Tensor, factor: int) -> Tensor:
    """Every `factor`-th pixel of the image, blurred first as much as that needs; zeros outside of it."""
    if factor == 1:
        return image
    sigma = (factor - 1) / 2
    side = 2 * round(4 * sigma) + 1
    return gaussian_blur2d(image, (side, side), (sigma, sigma), border_type="constant")[..., ::factor, ::factor]


def add_vgg_option(parser: argparse.ArgumentParser) -> None:
    """--vgg19, as `vgg_of` takes it."""
    parser.add_argument(
        "--vgg19",
        type=Path,
        metavar="FILE",
        help="torchvision's VGG-19 for the perceptual loss; without it random features are compared",
    )


def vgg_of(file: Path | None, config: VggConfig) -> VggFeatures:
    """The network of the user's file, or the substitute. Raises what `load_vgg` raises."""
    return substitute_vgg(config) if file is None else load_vgg(file, config)


def substitute_vgg(config: VggConfig = PUBLISHED_VGG) -> VggFeatures:
    """The network with random numbers that keep the size of what goes through; the same ones each time."""
    with seeded(SUBSTITUTE_SEED):
        net = VggFeatures(config)
        for convolution in net.modules():
            if isinstance(convolution, nn.Conv2d):
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return net.eval().requires_grad_(False)


def load_vgg(path: Path | str, config: VggConfig = PUBLISHED_VGG) -> VggFeatures:
    """The network with the numbers of a file in torchvision's layout ("features.0.weight", ...; its classifier is
    left).

    Raises CheckpointMissing, CheckpointDamaged or CheckpointMismatch.
    """
    tensors = read_foreign(path)
    net = VggFeatures(config)
    theirs = {name: _torchvision_key(name) for name, _ in net.named_parameters()}
    for name, parameter in net.named_parameters():
        found = tensors.get(theirs[name])
        if found is None or found.shape != parameter.shape:
            raise CheckpointMismatch(
                f"{path} is not torchvision's VGG-19: expected {theirs[name]} of the shape {tuple(parameter.shape)}, "
                f"got {'nothing under that name' if found is None else tuple(found.shape)}. Give vgg19-dcbb9e9d.pth "
                f"with --vgg19, or leave the option out to train with random features."
            )
    net.load_state_dict({name: tensors[key].float() for name, key in theirs.items()})
    return net.eval().requires_grad_(False)


def _torchvision_key(name: str) -> str:
    """Renames: "levels.1.0.weight" is "features.5.weight": each convolution, rectifier and pooling has a number."""
    _, level, place, leaf = name.split(".")
    before = sum(2 * count + 1 for count in CONVOLUTIONS[: int(level)])
    return f"features.{before + 2 * int(place)}.{leaf}"
