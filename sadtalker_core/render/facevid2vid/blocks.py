"""The layers that the renderer's networks are made of. Everything here maps features to features, (B, C, [D,] H, W)."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolution(ops: Any, dims: int) -> Any:
    """The factory's convolution over images (2) or volumes (3)."""
    return ops.Conv3d if dims == 3 else ops.Conv2d


def batch_norm(dims: int) -> type[nn.BatchNorm2d] | type[nn.BatchNorm3d]:
    """The class of batch normalisation for so many spatial dimensions, 2 or 3."""
    return nn.BatchNorm3d if dims == 3 else nn.BatchNorm2d


class ConvBlock(nn.Module):
    """Convolution that keeps the size, batch norm, rectifier."""

    def __init__(self, inputs: int, outputs: int, dims: int, ops: Any, *, slope: float = 0.0):
        super().__init__()
        self.conv = convolution(ops, dims)(inputs, outputs, 3, padding=1)
        self.norm = batch_norm(dims)(outputs)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), self.slope)


class ResidualBlock(nn.Module):
    """Twice (batch norm, rectifier, convolution), added to what came in."""

    def __init__(self, channels: int, dims: int, ops: Any):
        super().__init__()
        self.first_norm = batch_norm(dims)(channels)
        self.first_conv = convolution(ops, dims)(channels, channels, 3, padding=1)
        self.second_norm = batch_norm(dims)(channels)
        self.second_conv = convolution(ops, dims)(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.first_conv(F.relu(self.first_norm(x)))
        return x + self.second_conv(F.relu(self.second_norm(branch)))


def halve(x: Tensor) -> Tensor:
    """Rows and columns averaged two by two; the depth of a volume stays."""
    planes = F.avg_pool2d(x.flatten(1, -3), 2)
    return planes.unflatten(1, x.shape[1:-2])


def double(x: Tensor) -> Tensor:
    """Rows and columns repeated; the depth of a volume stays."""
    planes = F.interpolate(x.flatten(1, -3), scale_factor=2, mode="nearest")
    return planes.unflatten(1, x.shape[1:-2])


#: numbers that a float32 convolution of `ShortSums` adds up at once: 16 channels of a volume, 48 of an image
TERMS = 432


class ShortSums:
    """Another factory's convolutions, which add up at most TERMS products at once, and then such sums in pairs.

    A wide 3 x 3 x 3 convolution adds up 27,648 products. How exactly hangs on the processor: in how many lanes, in
    which order. In short sums all processors come within 1.2e-6 of the key points that float64 finds; in one they were
    up to 9e-6 off. It costs 0.8 s of processor time for a portrait at 256. In training and in half precision, where the
    sums would be rounded to few bits in between, the convolutions stay whole.
    """

    def __init__(self, ops: Any) -> None:
        self.Conv2d, self.Conv3d = short_sums(ops.Conv2d), short_sums(ops.Conv3d)


@functools.cache
def short_sums(conv: type) -> type:
    """A convolution class of one group -> the same class in short sums (see ShortSums)."""

    class ShortSumsConv(conv):  # type: ignore[misc]
        # every convolution, ComfyUI's casting ones too, hands its final weight to this method; of newer ComfyUIs, those
        # over volumes hand over a way of padding as well
        def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None, **how: Any) -> Tensor:
            n_channels = max(1, TERMS // weight[0, 0].numel())
            if self.training or weight.dtype != torch.float32 or weight.shape[1] <= n_channels:
                return super()._conv_forward(x, weight, bias, **how)
            pieces = zip(x.split(n_channels, dim=1), weight.split(n_channels, dim=1), strict=True)
            total = pairwise_sum(super(ShortSumsConv, self)._conv_forward(*piece, None, **how) for piece in pieces)
            return total if bias is None else total.add_(bias.view(-1, *[1] * (total.ndim - 2)))

    return ShortSumsConv


def pairwise_sum(parts: Iterable[Tensor]) -> Tensor:
    """One part or more, of one shape -> their sum, which each of n parts enters by log2(n) additions. The parts are
    written on; at most log2(n) + 1 of them are held at a time.
    """
    sums: list[tuple[int, Tensor]] = []  # of 2**level parts each, the largest first
    for part in parts:
        level = 0
        while sums and sums[-1][0] == level:
            part = sums.pop()[1].add_(part)  # noqa: PLW2901
            level += 1
        sums.append((level, part))
    total = sums.pop()[1]
    while sums:
        total = sums.pop()[1].add_(total)
    return total


#: steps of power iteration on a fresh weight, so that the first forward pass is not divided by an arbitrary value
FIRST_STEPS = 15


@functools.cache
def spectral(conv2d: type) -> type:
    """A convolution class -> the same class with its weight divided by its largest singular value.

    It keeps an estimate of that value's two singular vectors beside the weight, `left` (out,) and `right`
    (in * kh * kw,), and improves it by one step of power iteration at each forward pass in training (Miyato et al.,
    "Spectral normalization for generative adversarial networks", 2018, algorithm 1). In eval mode the stored vectors
    are taken as they are, so the numbers are those of the released weights.
    """

    class SpectralConv(conv2d):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            matrix = self.weight.detach().flatten(1)
            self.register_buffer("left", F.normalize(torch.ones_like(matrix[:, 0]), dim=0))
            self.register_buffer("right", F.normalize(torch.ones_like(matrix[0]), dim=0))
            for _ in range(FIRST_STEPS):
                self._iterate(matrix)

        # every convolution, ComfyUI's casting ones too, hands its final weight to this method
        def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            return super()._conv_forward(x, weight / self.largest_singular_value(weight), bias)

        def largest_singular_value(self, weight: Tensor) -> Tensor:
            matrix = weight.flatten(1)
            if matrix.dtype in (torch.float16, torch.bfloat16):
                matrix = matrix.float()
            if self.training:
                self._iterate(matrix.detach())
            # copies, so that the next step of the iteration does not write on what the gradient remembers
            left, right = self.left.to(matrix, copy=True), self.right.to(matrix, copy=True)
            return (left @ (matrix @ right)).to(weight.dtype)

        def _iterate(self, matrix: Tensor) -> None:
            self.right.copy_(F.normalize(matrix.T @ self.left.to(matrix), dim=0, eps=1e-12))
            self.left.copy_(F.normalize(matrix @ self.right.to(matrix), dim=0, eps=1e-12))

    return SpectralConv
