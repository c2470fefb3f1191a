"""What the fast arrangement of the renderer is made of: folded convolutions, and convolutions over repeated pixels.

Repeating every pixel of a map `factor` times and then convolving it with a 3 x 3 kernel does much work over and over:
neighbouring taps see the same number. Along one axis, with a map enlarged four times,

    cells      |    0    |    1    |        pixel 4 sees the cells 0 1 1: two taps, w0 and w1 + w2
    pixels      0 1 2 3   4 5 6 7           pixels 5 and 6 see 1 1 1:     one tap, w0 + w1 + w2
    kinds       a b b c   a b b c           pixel 7 sees 1 1 2:           two taps, w0 + w1, w2

so a cell holds three kinds of outputs, each of a smaller kernel on the small map; enlarged twice, it holds two. A
second convolution on top sees kinds instead of cells, with fewer taps again. All of this is exact but for rounding.

Letters: `B` frames, `C` channels, `n` cells along an axis.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CONVOLVE = {4: F.conv2d, 5: F.conv3d}
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class Kernel(nn.Module):
    """A convolution with its numbers ready: weight (out, in, …) in the channels-last layout, bias (out,) or none."""

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        padding: Sequence[int] | int = 0,
        stride: Sequence[int] | int = 1,
        *,
        channels_last: bool = True,
    ):
        super().__init__()
        layout = LAST[weight.ndim] if channels_last else torch.contiguous_format
        self.weight = nn.Parameter(weight.detach().clone(memory_format=layout), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)
        self.padding, self.stride = padding, stride

    def forward(self, x: Tensor) -> Tensor:
        taps = self.weight.shape[2:]
        if x.ndim == 5 and self.stride == 1 and len(x) * x[0, 0].numel() <= self.weight.shape[0]:
            return self._as_product(x, taps)
        return _CONVOLVE[x.ndim](x, self.weight, self.bias, self.stride, self.padding)

    def _as_product(self, x: Tensor, taps: Sequence[int]) -> Tensor:
        """The same where there is more kernel than volume: one product of matrices, which reads the kernel once."""
        pads = (self.padding,) * len(taps) if isinstance(self.padding, int) else self.padding
        patches = F.pad(x, [pad for n in reversed(pads) for pad in (n, n)])
        for axis, n in enumerate(taps, start=2):
            patches = patches.unfold(axis, n, 1)
        patches = patches.movedim(1, -1).flatten(-1 - len(taps))
        return F.linear(patches, self.weight.movedim(1, -1).flatten(1), self.bias).movedim(-1, 1)


def parts(modules: nn.Module) -> Iterator[Any]:
    """The items of a ModuleList, which torch types only as modules."""
    return modules.children()


class Taps(NamedTuple):
    """What a pixel sees along one axis.  start: the first place, from its own cell's first;  merge: (places, 3) which
    of the three taps fall on each place.
    """

    start: int
    merge: Tensor

    @classmethod
    def of(cls, places: Sequence[int]) -> Taps:
        start, end = min(places), max(places) + 1
        return cls(start, torch.tensor(places) == torch.arange(start, end).unsqueeze(-1))


class Axis(NamedTuple):
    """An axis that is enlarged: how each kind of pixel sees the cells, and how each pixel of a cell sees the kinds."""

    kinds: list[Taps]
    pixels: list[Taps]

    @classmethod
    def enlarged(cls, factor: int) -> Axis:
        n_kinds = min(factor, 3)

        def kind(pixel: int) -> int:
            return 0 if pixel == 0 else n_kinds - 1 if pixel == factor - 1 else 1

        taps_of_pixel = [[pixel + tap for tap in (-1, 0, 1)] for pixel in range(factor)]
        first_of_kind = [next(p for p in range(factor) if kind(p) == k) for k in range(n_kinds)]
        return cls(
            [Taps.of([other // factor for other in taps_of_pixel[pixel]]) for pixel in first_of_kind],
            [Taps.of([n_kinds * (other // factor) + kind(other % factor) for other in row]) for row in taps_of_pixel],
        )


def merged(weight: Tensor, down: Taps, right: Taps) -> Tensor:
    """A kernel (out, in, …, 3, 3) with the taps added up that fall on the same place; quick where `in` comes last in
    memory (`LAST`): then whole runs of numbers are added, and not one here and one there.
    """
    weight = weight.contiguous(memory_format=LAST[weight.ndim])
    n_rows, n_columns = len(down.merge), len(right.merge)
    out = empty_last(*weight.shape[:-2], n_rows, n_columns, like=weight).zero_()
    for row, rows in enumerate(down.merge.tolist()):
        for column, columns in enumerate(right.merge.tolist()):
            for y, x in itertools.product(itertools.compress(range(3), rows), itertools.compress(range(3), columns)):
                out[..., row, column] += weight[..., y, x]
    return out


class Enlarging(nn.Module):
    """A 3 x 3 (x 3) convolution over a map or volume whose rows and columns are repeated `factor` times, from the
    small one: (B, in, …, n, m) -> (B, out, …, kinds * n, kinds * m), and with two repeats that is every pixel.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, factor: int):
        super().__init__()
        self.axis = Axis.enlarged(factor).kinds
        self.deep = (1,) * (weight.ndim - 4)  # a volume's depth is convolved as ever
        self.kernels = nn.ModuleList()
        weight = weight.contiguous(memory_format=LAST[weight.ndim])
        for down in self.axis:
            for right in self.axis:
                padding = (*self.deep, int(len(down.merge) > 1), int(len(right.merge) > 1))
                self.kernels.append(Kernel(merged(weight, down, right), bias, padding))

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        """Writes the outputs, rectified, into `out` and returns it."""
        n_kinds, (n_rows, n_columns) = len(self.axis), x.shape[-2:]
        for index, kernel in enumerate(parts(self.kernels)):
            row, column = divmod(index, n_kinds)
            top, left = (self.axis[k].start + pad for k, pad in zip((row, column), kernel.padding[-2:], strict=True))
            convolved = kernel(x)[..., top : top + n_rows, left : left + n_columns]
            torch.clamp_min(convolved, 0, out=out[..., row::n_kinds, column::n_kinds])
        return out


class Mix(nn.Module):
    """A convolution of 1 x 1 without a bias: a product of matrices."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight.detach().flatten(1).clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.movedim(1, -1), self.weight).movedim(-1, 1)


def normalised(x: Tensor) -> Tensor:
    """Instance norm. One frame stays in the channels-last layout, and its sums are taken row by row: the batch norm of
    training, which would be as good for one frame, sums so coarsely there that a map of 512 x 512 came out by 1e-2 off.
    """
    if x.shape[0] > 1:
        return F.instance_norm(x)
    pixels = x[0].permute(1, 2, 0).float()
    mean = pixels.mean(0).mean(0)
    variance = (pixels - mean).square_().mean(0).mean(0)
    return F.batch_norm(x, mean, variance, training=False)


def empty_last(*shape: int, like: Tensor) -> Tensor:
    """Uninitialised, in the channels-last layout, with the dtype and device of `like`."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=LAST[len(shape)])
