"""The decoder arranged for speed: features come in, an image goes out, as from `Decoder` but for rounding.

SPADE's features are never enlarged, nor is the image that they modulate (see fast_layers.py): statistics of a
repeated map are those of the map. Scale and shift are one convolution, the 1 added to the scale being part of its bias;
on the way around a block, where no rectifier follows, the shift and the 1 x 1 convolution after it are one.

Letters as in generator.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .fast_layers import Axis, Enlarging, Kernel, Mix, Taps, empty_last, merged, normalised, parts
from .four_rows import FourRows, Products, bordered, gathered, is_wide
from .generator import Decoder, Spade, SpadeBlock

#: of the leaky ReLUs
SLOPE = 0.2
#: the rows and the columns that outputs stand for, and the outputs
Outputs = tuple[slice, slice, Tensor]


class FastDecoder(nn.Module):
    """four_rows: whether wide convolutions compute four rows at once, which is for float32 on a CPU"""

    def __init__(self, decoder: Decoder, four_rows: bool):
        super().__init__()
        self.stem = bordered(decoder.stem.weight, decoder.stem.bias, four_rows)
        self.middle = nn.ModuleList(FastMiddleBlock(block, four_rows) for block in parts(decoder.middle))
        ways_up = enumerate(parts(decoder.up), start=1)
        self.up = nn.ModuleList(FastUpBlock(block, 2**level, four_rows) for level, block in ways_up)
        self.to_rgb = Kernel(decoder.to_rgb.weight, decoder.to_rgb.bias, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        features = features.to(self.to_rgb.weight.dtype)
        x = self.stem(features)
        for block in (*self.middle, *self.up):
            x = block(x, features)
        return torch.sigmoid(self.to_rgb(F.leaky_relu_(x, SLOPE)))


def divided(conv: Any) -> Tensor:
    """The weight of a spectral convolution as it is used."""
    return conv.weight / conv.largest_singular_value(conv.weight)


def scale_and_shift(spade: Spade) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that gives both."""
    return torch.cat([spade.scale.weight, spade.shift.weight]), torch.cat([1 + spade.scale.bias, spade.shift.bias])


class FastMiddleBlock(nn.Module):
    """A block with as many pixels as the features, and as many channels on both sides."""

    def __init__(self, block: SpadeBlock, four_rows: bool):
        super().__init__()
        spades, convs = (block.first_norm, block.second_norm), (block.first_conv, block.second_conv)
        weights, biases = zip(*((spade.shared.weight, spade.shared.bias) for spade in spades), strict=True)
        self.shared = bordered(torch.cat(weights), torch.cat(biases), four_rows)
        self.modulations = nn.ModuleList(bordered(*scale_and_shift(spade), four_rows) for spade in spades)
        self.convs = nn.ModuleList(bordered(divided(conv), conv.bias, four_rows) for conv in convs)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        branch, shared = x, F.relu_(self.shared(features)).chunk(2, dim=1)
        for maps, modulation, conv in zip(shared, parts(self.modulations), parts(self.convs), strict=True):
            scale, shift = modulation(maps).chunk(2, dim=1)
            modulated = torch.addcmul(shift, normalised(branch), scale, out=torch.empty_like(branch))
            branch = conv(F.leaky_relu_(modulated, SLOPE))
        return branch.add_(x)


class FastUpBlock(nn.Module):
    """A block whose pixels are repeated once along each axis on the way out. factor: pixels that a cell of the features
    stands for along an axis.
    """

    def __init__(self, block: SpadeBlock, factor: int, four_rows: bool):
        super().__init__()
        self.first_norm = FastSpade(block.first_norm, factor, 2, four_rows)
        self.first_conv = bordered(divided(block.first_conv), block.first_conv.bias, four_rows)
        self.second_norm = FastSpade(block.second_norm, factor, 1, four_rows)
        self.second_conv = bordered(divided(block.second_conv), block.second_conv.bias, four_rows)
        self.skip = FastSkip(block, factor, 2, four_rows)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        even = normalised(x)
        branch = self.first_conv(self.first_norm(even, features))
        branch = self.second_conv(self.second_norm(normalised(branch), features))
        return branch.add_(self.skip(even, features))


class Modulation(nn.Module):
    """The modulation of the pixels that the features stand for: two 3 x 3 convolutions over enlarged features
    with a rectifier between, for some pixels at a time, so that no enlarged output is ever stored whole.
    """

    def __init__(self, shared: Any, weight: Tensor, bias: Tensor, factor: int, four_rows: bool = False):
        super().__init__()
        self.factor = factor
        axis = Axis.enlarged(factor)
        self.n_kinds, self.pixels = len(axis.kinds), axis.pixels
        self.hidden = len(shared.weight)
        self.shared = Enlarging(shared.weight, shared.bias, factor)
        self.by_rows: FourRows | None = None
        self.by_columns = self.by_pixels = nn.ModuleList()
        weight = weight.contiguous(memory_format=torch.channels_last)
        if four_rows and is_wide(weight) and factor == self.n_kinds:
            self.by_rows = FourRows(weight, bias)
        elif four_rows and factor == 4:  # the rows of a cell are four
            each_row = Taps.of([-1, 0, 1])
            self.by_columns = nn.ModuleList(
                Products(merged(weight, each_row, right), bias, stride=(1, self.n_kinds)) for right in axis.pixels
            )
        else:
            self.by_pixels = nn.ModuleList(
                Kernel(merged(weight, down, right), bias, stride=self.n_kinds)
                for right in axis.pixels
                for down in axis.pixels
            )

    def forward(self, features: Tensor) -> Iterator[Outputs]:
        """features (B, F, n, m) -> which pixels, and the outputs (B, out, some rows, some columns) for them."""
        if self.by_rows is not None:
            return self._strips(self.by_rows, features)
        return self._four_rows(features) if len(self.by_columns) else self._pixels(features)

    def _strips(self, convolution: FourRows, features: Tensor) -> Iterator[Outputs]:
        """Where each pixel is of a kind of its own, the kinds are the enlarged map."""
        n_rows, n_columns = (n * self.factor for n in features.shape[2:])
        shared = self.shared(features, empty_last(len(features), self.hidden, n_rows, n_columns, like=features))
        for start, end in convolution.strips(shared):
            outputs = empty_last(len(shared), convolution.products.n_outputs, end - start, n_columns, like=features)
            convolution.convolve_rows(shared, start, end, outputs)
            for row in range(self.factor):
                for column in range(self.factor):
                    pixels = slice(start + row, end, self.factor), slice(column, None, self.factor)
                    yield *pixels, outputs[..., row :: self.factor, column :: self.factor]

    def _kinds(self, features: Tensor, rows_below: int) -> Tensor:
        """Pixel after pixel, every kind of every cell with a border of zeros around, and rows without meaning below: so
        the grid can be looked at from a later column without being copied (`from_column`). What then stands beyond the
        right edge is the next row, and outputs from there are not asked for.
        """
        height, width = (self.n_kinds * n + 2 for n in features.shape[2:])
        grid = empty_last(len(features), self.hidden, height + rows_below, width, like=features)
        bordered_map = grid[..., :height, :]
        for border in (bordered_map[..., 0, :], bordered_map[..., -1, :], grid[..., 0], grid[..., -1]):
            border.zero_()
        self.shared(features, bordered_map[..., 1:-1, 1:-1])
        return grid

    def _four_rows(self, features: Tensor) -> Iterator[Outputs]:
        """The four pixels of a cell's column see its three kinds, the middle one twice, and a neighbour on either
        side.
        """
        n_frames, _, n_rows, n_columns = features.shape
        grid = self._kinds(features, rows_below=3)
        below = n_rows + 1  # one row without meaning
        first, second, third, fourth, fifth = (
            grid[..., row : row + self.n_kinds * below : self.n_kinds, :] for row in range(5)
        )
        maps = list(gathered(first, second, third, third, fourth, fifth))
        for column, (right, products) in enumerate(zip(self.pixels, parts(self.by_columns), strict=True)):
            n_outputs = products.n_outputs
            outputs = empty_last(4 * n_frames, n_outputs, n_rows, n_columns, like=features).chunk(4)
            products((from_column(rows, right.start + 1, n_rows) for rows in maps), outputs)
            for row, output in enumerate(outputs):
                yield slice(row, None, self.factor), slice(column, None, self.factor), output

    def _pixels(self, features: Tensor) -> Iterator[Outputs]:
        n_rows, n_columns = features.shape[2:]
        grid = self._kinds(features, rows_below=1)
        kernels = iter(parts(self.by_pixels))
        for column, right in enumerate(self.pixels):
            strip = from_column(grid, right.start + 1, grid.shape[-2] - 1)
            for row, down in enumerate(self.pixels):
                start = down.start + 1
                end = start + self.n_kinds * (n_rows - 1) + len(down.merge)
                outputs = next(kernels)(strip[..., start:end, :])[..., :n_columns]
                yield slice(row, None, self.factor), slice(column, None, self.factor), outputs


def from_column(rows: Tensor, start: int, n_rows: int) -> Tensor:
    """The first n_rows of a map in the channels-last layout that has more, from a column on; as wide as the map."""
    n_frames, n_channels, _, width = rows.shape
    return rows.as_strided(
        (n_frames, n_channels, n_rows, width), rows.stride(), rows.storage_offset() + start * n_channels
    )


class FastSpade(nn.Module):
    """Spade on an image that is normalised already, and the leaky rectifier after it. repeat: how often each pixel of
    the image is repeated along an axis on the way out.
    """

    def __init__(self, spade: Spade, factor: int, repeat: int, four_rows: bool = False):
        super().__init__()
        self.modulation = Modulation(spade.shared, *scale_and_shift(spade), factor, four_rows)
        self.repeat = repeat

    def forward(self, even: Tensor, features: Tensor) -> Tensor:
        out = empty_last(*even.shape[:2], *(n * self.repeat for n in even.shape[2:]), like=even)
        for rows, columns, scale_shift in self.modulation(features):
            scale, shift = scale_shift.chunk(2, dim=1)
            torch.addcmul(shift, shown(even, rows, columns, self.repeat), scale, out=out[..., rows, columns])
        return F.leaky_relu_(out, SLOPE)


class FastSkip(nn.Module):
    """The way around a block: Spade and a 1 x 1 convolution. The shift goes through both at once, being linear."""

    def __init__(self, block: SpadeBlock, factor: int, repeat: int, four_rows: bool):
        super().__init__()
        spade, mix = block.skip_norm, divided(block.skip_conv)
        assert spade is not None  # a block without a way around has no FastSkip
        through = mix.flatten(1)
        weight = torch.cat([spade.scale.weight, torch.einsum("oc,cmyx->omyx", through, spade.shift.weight)])
        bias = torch.cat([1 + spade.scale.bias, through @ spade.shift.bias])
        self.modulation = Modulation(spade.shared, weight, bias, factor, four_rows)
        self.mix = Mix(through)
        self.repeat = repeat

    def forward(self, even: Tensor, features: Tensor) -> Tensor:
        n_outputs, n_inputs = self.mix.weight.shape
        out = empty_last(len(even), n_outputs, *(n * self.repeat for n in even.shape[2:]), like=even)
        for rows, columns, scale_shift in self.modulation(features):
            scale, shift = scale_shift.split([n_inputs, n_outputs], dim=1)
            mixed = self.mix(scale * shown(even, rows, columns, self.repeat))
            torch.add(mixed, shift, out=out[..., rows, columns])
        return out


def shown(even: Tensor, rows: slice, columns: slice, repeat: int) -> Tensor:
    """Of an image whose pixels shall be repeated: those that show up at these rows and columns."""
    return even[..., _before_repeating(rows, repeat), _before_repeating(columns, repeat)]


def _before_repeating(places: slice, repeat: int) -> slice:
    stop = None if places.stop is None else -(-places.stop // repeat)
    return slice(places.start // repeat, stop, places.step // repeat)
