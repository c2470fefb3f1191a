"""A Generator comes in, a FastGenerator goes out: the same frames in about half the time, for inference only.

The plain networks are the ones that load, train and explain themselves; this arrangement only renders. What it saves,
all exact but for rounding:

  - batch norms are folded into the convolution before, spectral norms are divided out once;
  - SPADE's features are never enlarged, nor is the image that it modulates: see fast_layers.py for the convolutions,
    and statistics of a repeated map are those of the map;
  - scale and shift are one convolution, the 1 added to the scale being part of its bias; on the way around a block,
    where no rectifier follows, the shift and the 1 x 1 convolution after it are one;
  - on a CPU in float32, wide convolutions compute two rows at once from fewer products (`Paired`);
  - the decoder and the hourglass keep channels last, where wide convolutions are faster;
  - key points move volumes without turning them, so the hourglass input is read axis by axis, by small matrices;
  - a frame like the one before is not rendered again.

Letters as in generator.py and dense_motion.py.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...batchnorm_folding import fold_batchnorm
from ...threads import few_threads
from .blocks import ConvBlock
from .dense_motion import MIN_MASK, DenseMotion, Hourglass, MotionField
from .fast_layers import Axis, Enlarging, Kernel, Mix, Paired, empty_last, merged, normalised, parts
from .generator import Decoder, Generator, Rendered, Spade, SpadeBlock
from .grids import ALIGN_CORNERS, heat_maps, read_volume, volume_grid

#: of the decoder's leaky rectifiers
SLOPE = 0.2
#: channels that a convolution over a map or a volume must have, new and old, to be worth a `Paired`
WIDE = {4: (256, 128), 5: (64, 64)}


@few_threads()
def accelerate(
    generator: Generator,
    decoder_dtype: torch.dtype = torch.float32,
    motion_dtype: torch.dtype = torch.float32,
    *,
    device: torch.device | None = None,
) -> FastGenerator:
    """The same generator arranged for speed, in eval mode and without gradients. The original stays as it was.

    decoder_dtype: the dtype of the decoder, which takes three quarters of the time
    motion_dtype: the dtype of everything that estimates the motion. It should stay float32, whatever the
        decoder is: the eight bits of a bfloat16 are too few for the mask of a key point, and lips would suffer first.
    device: where it will compute, None for a CPU; another one computes the same in the arrangement that suits it
    """
    on_a_cpu = device is None or device.type == "cpu"
    paired_motion, paired_painting = (on_a_cpu and dtype == torch.float32 for dtype in (motion_dtype, decoder_dtype))
    with torch.no_grad():
        fast = FastGenerator(generator, paired_motion, paired_painting).eval().requires_grad_(False)
    for name, part in fast.named_children():
        part.to(decoder_dtype if name == "decoder" else motion_dtype)
    return fast


@dataclass(eq=False)
class FastSource:
    """All that depends on the portrait alone, as in generator.Source, and the frame that was rendered last."""

    volume: Tensor
    compressed_features: Tensor
    keypoints: Tensor
    last: tuple[Tensor, Rendered] | None = None


class FastGenerator(nn.Module):
    """Use it like a Generator: `encode_source` once a clip, `warp_and_decode` once a batch.

    paired_motion, paired_painting: whether wide convolutions compute two rows at once, `Paired`
    """

    def __init__(self, generator: Generator, paired_motion: bool = False, paired_painting: bool = False):
        super().__init__()
        self.config = generator.config
        # once a clip, so it may stay as it is; a copy, because this network may come to have another dtype
        self.encoder = copy.deepcopy(generator.encoder)
        motion = generator.dense_motion
        self.compress = Kernel(*fold_batchnorm(motion.compression, motion.compression_norm))
        self.dense_motion = FastDenseMotion(motion, paired_motion)
        self.flatten = FoldedBlock(generator.flatten)
        self.flatten_out = Kernel(generator.flatten_out.weight, generator.flatten_out.bias)
        self.decoder = FastDecoder(generator.decoder, paired_painting)

    def forward(self, image: Tensor, source_keypoints: Tensor, driving_keypoints: Tensor) -> Rendered:
        """image (B, 3, S, S) in 0..1, S a multiple of 4 * 2**levels of the hourglass; key points (B, K, 3)."""
        return self.warp_and_decode(self.encode_source(image, source_keypoints), driving_keypoints)

    def encode_source(self, image: Tensor, keypoints: Tensor) -> FastSource:
        """What every frame of a clip needs of its portrait (B, 3, S, S) and the portrait's key points (B, K, 3)."""
        volume = self.encoder(image.to(self.flatten_out.weight.dtype))
        return FastSource(volume, F.relu(self.compress(volume)), keypoints)

    def warp_and_decode(self, source: FastSource, keypoints: Tensor) -> Rendered:
        """The source, one or B of them, as it looks when its key points are at `keypoints` (B, K, 3)."""
        if source.last is not None and torch.equal(source.last[0], keypoints):
            return source.last[1]._replace(image=source.last[1].image.clone())
        motion = self.dense_motion(source.compressed_features, source.keypoints, keypoints)
        rendered = Rendered(self.decode(source, motion), motion)
        # copies: what was handed out belongs to the caller, who may write on it
        source.last = keypoints.clone(), rendered._replace(image=rendered.image.clone())
        return rendered

    def decode(self, source: FastSource, motion: MotionField) -> Tensor:
        """The source moved so: images (B, 3, S, S) in 0..1."""
        volume = source.volume.expand(len(motion.deformation), -1, -1, -1, -1)
        moved = read_volume(volume, motion.deformation).flatten(1, 2)
        features = self.flatten_out(self.flatten(moved.contiguous(memory_format=torch.channels_last)))
        return self.decoder(features * motion.occlusion)


class FoldedBlock(nn.Module):
    """ConvBlock: one convolution and its rectifier."""

    def __init__(self, block: ConvBlock, paired: bool = False):
        super().__init__()
        self.kernel = bordered(*fold_batchnorm(block.conv, block.norm), paired)
        self.slope = block.slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu_(self.kernel(x), self.slope)


def bordered(weight: Tensor, bias: Tensor, paired: bool) -> Kernel | Paired:
    """A 3 x 3 (x 3) convolution with a border of zeros, in pairs of rows where that is wanted and the faster way."""
    n_new, n_old = weight.shape[:2]
    fewest_new, fewest_old = WIDE[weight.ndim]
    if paired and n_new >= fewest_new and n_old >= fewest_old:
        return Paired(weight, bias)
    return Kernel(weight, bias, padding=1)


# ------------------------------------------------------------------------------------------------- what moves where


class FastDenseMotion(nn.Module):
    """`DenseMotion` arranged for speed: the same numbers but for rounding."""

    def __init__(self, motion: DenseMotion, paired: bool):
        super().__init__()
        self.hourglass = FastHourglass(motion.hourglass, paired)
        # sixteen answers from large kernels: the plain layout is the faster one here
        self.mask = Kernel(motion.mask.weight, motion.mask.bias, padding=3, channels_last=False)
        # One answer from a large kernel: every tap is multiplied first, then they are laid over one another.
        self.taps = nn.Parameter(motion.occlusion.weight[0].flip(-2, -1).flatten(1).T.contiguous())
        self.occlusion_bias = nn.Parameter(motion.occlusion.bias.detach().clone())

    def forward(self, compressed_features: Tensor, source: Tensor, driving: Tensor) -> MotionField:
        """compressed_features: from `encode_source`, (B or 1, …);  source (B or 1, K, 3) and driving (B, K, 3): key
        points.
        """
        shape = compressed_features.shape[2:]
        shifts = F.pad(source - driving, (0, 0, 1, 0))
        features = self.hourglass(hourglass_input(compressed_features, shifts, source, driving)).contiguous()
        mask = self.mask(features).to(driving.dtype).softmax(dim=1)

        # places = the masked (grid + shift), summed: the grid times the sum of the masks, and the shifts apart
        thresholded_mask = torch.where(mask < MIN_MASK, 0.0, mask).flatten(2)
        moved = thresholded_mask.transpose(1, 2) @ F.pad(shifts, (0, 1), value=1.0)
        grid = volume_grid(shape, like=driving).flatten(0, 2)
        deformation = torch.addcmul(moved[..., :3], grid, moved[..., 3:]).unflatten(1, shape)

        size = round(self.taps.shape[0] ** 0.5)
        products = self.taps @ features.flatten(1, 2).flatten(2)
        occlusion = F.fold(products, shape[1:], size, padding=size // 2) + self.occlusion_bias
        return MotionField(deformation, mask, torch.sigmoid(occlusion))


def hourglass_input(compressed_features: Tensor, shifts: Tensor, source: Tensor, driving: Tensor) -> Tensor:
    """DenseMotion.hourglass_input, (B, M * (1 + C'), D, H, W), for shifts (B, M, 3) of the whole volume."""
    (n_frames, n_motions, _), (n_compressed, *shape) = shifts.shape, compressed_features.shape[1:]
    out = empty_last(n_frames, n_motions * (1 + n_compressed), *shape, like=compressed_features)
    table = out.unflatten(1, (n_motions, 1 + n_compressed))
    table[:, 0, 0] = 0
    table[:, 1:, 0] = heat_maps(driving, shape) - heat_maps(source, shape)

    read_z, read_y, read_x = (
        line_reading(n, shift).to(compressed_features.dtype)
        for n, shift in zip(shape, shifts.flip(-1).unbind(-1), strict=True)
    )
    moved = torch.einsum("bcdhw,bmxw->bmcdhx", compressed_features.expand(n_frames, -1, -1, -1, -1), read_x)
    moved = read_y[:, :, None, None] @ moved
    moved = (read_z[:, :, None] @ moved.flatten(-2)).unflatten(-1, shape[1:])
    table[:, :, 1:] = moved
    return out


def line_reading(n: int, shifts: Tensor) -> Tensor:
    """shifts (B, M) along an axis of n voxels -> (B, M, n, n): the share of each voxel (last) in what each place reads
    when it reads `shift` away from itself: linear between voxels, zero outside, in the convention of grids.py.
    """
    steps = torch.arange(n, dtype=shifts.dtype, device=shifts.device)
    places = 2 * steps / (n - 1) - 1 + shifts.unsqueeze(-1)
    voxels = (places + 1) * (n - 1) / 2 if ALIGN_CORNERS else ((places + 1) * n - 1) / 2
    return (1 - (voxels.unsqueeze(-1) - steps).abs()).clamp(min=0)


class FastHourglass(nn.Module):
    """`Hourglass` with its batch normalisation folded into the convolutions."""

    def __init__(self, hourglass: Hourglass, paired: bool):
        super().__init__()
        # only the widest volume is worth it: the others are so small that oneDNN has slower kernels for half their rows
        self.down = nn.ModuleList(
            FoldedBlock(block, paired and level == 0) for level, block in enumerate(parts(hourglass.down))
        )
        self.up = nn.ModuleList(
            Enlarging(*fold_batchnorm(block.conv, block.norm), factor=2) for block in parts(hourglass.up)
        )
        self.last = FoldedBlock(hourglass.last, paired)

    def forward(self, x: Tensor) -> Tensor:
        way_down = [x]
        for block in self.down:
            way_down.append(halved(block(way_down[-1])))
        x = way_down.pop()
        for block in parts(self.up):
            skip = way_down.pop()
            n_new = next(parts(block.kernels)).weight.shape[0]
            both = empty_last(len(x), n_new + skip.shape[1], *skip.shape[2:], like=x)
            block(x, both[:, :n_new])
            both[:, n_new:] = skip
            x = both
        return self.last(x)


def halved(x: Tensor) -> Tensor:
    """blocks.halve without leaving the layout, and in every dtype."""
    rows = x[..., ::2, :] + x[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) * 0.25


# ------------------------------------------------------------------------------------------------------ the painting


class FastDecoder(nn.Module):
    """`Decoder` with its SPADE blocks arranged for speed."""

    def __init__(self, decoder: Decoder, paired: bool):
        super().__init__()
        self.stem = Kernel(decoder.stem.weight, decoder.stem.bias, padding=1)
        self.middle = nn.ModuleList(FastSpadeBlock(block, 1, 1, paired) for block in parts(decoder.middle))
        ways_up = enumerate(parts(decoder.up), start=1)
        self.up = nn.ModuleList(FastSpadeBlock(block, 2**level, 2, paired) for level, block in ways_up)
        self.to_rgb = Kernel(decoder.to_rgb.weight, decoder.to_rgb.bias, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        features = features.to(self.stem.weight.dtype)
        x = self.stem(features)
        for block in (*self.middle, *self.up):
            x = block(x, features)
        return torch.sigmoid(self.to_rgb(F.leaky_relu_(x, SLOPE)))


class FastSpadeBlock(nn.Module):
    """factor: pixels that a cell of the features stands for along an axis;  repeat: how often each pixel of what comes
    in is repeated on the way out.
    """

    def __init__(self, block: SpadeBlock, factor: int, repeat: int, paired: bool):
        super().__init__()
        self.first_norm = FastSpade(block.first_norm, factor, repeat, paired)
        self.first_conv = bordered(divided(block.first_conv), block.first_conv.bias, paired)
        self.second_norm = FastSpade(block.second_norm, factor, 1, paired)
        self.second_conv = bordered(divided(block.second_conv), block.second_conv.bias, paired)
        self.skip = None if block.skip_norm is None else FastSkip(block, factor, repeat, paired)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        even = normalised(x)
        branch = self.first_conv(self.first_norm(even, features))
        branch = self.second_conv(self.second_norm(normalised(branch), features))
        return branch.add_(x if self.skip is None else self.skip(even, features))


def divided(conv: Any) -> Tensor:
    """The weight of a spectral convolution as it is used."""
    return conv.weight / conv.largest_singular_value(conv.weight)


class Modulation(nn.Module):
    """The modulation of the pixels that the features stand for: two 3 x 3 convolutions over enlarged features
    with a rectifier between, for one pixel of every cell at a time, so that no enlarged answer is ever stored.
    """

    def __init__(self, shared: Any, weight: Tensor, bias: Tensor, factor: int, paired: bool = False):
        super().__init__()
        self.factor = factor
        axis = Axis.enlarged(factor)
        self.n_kinds, self.pixels = len(axis.kinds), axis.pixels
        self.shared = Enlarging(shared.weight, shared.bias, factor)
        if factor == 1:
            self.kernels = nn.ModuleList([bordered(weight, bias, paired)])
            return
        weight = weight.contiguous(memory_format=torch.channels_last)
        self.kernels = nn.ModuleList(
            Kernel(merged(weight, down, right), bias, stride=self.n_kinds)
            for right in axis.pixels
            for down in axis.pixels
        )

    def forward(self, features: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """features (B, F, n, m) -> row and column within its cell, and the answers (B, out, n, m), of every pixel."""
        n_frames, _, n_rows, n_columns = features.shape
        hidden = next(parts(self.shared.kernels)).weight.shape[0]
        if self.factor == 1:
            (kernel,) = parts(self.kernels)
            yield 0, 0, kernel(self.shared(features, empty_last(n_frames, hidden, n_rows, n_columns, like=features)))
            return
        height, width = self.n_kinds * n_rows + 2, self.n_kinds * n_columns + 2
        # Pixel after pixel, and some more, so that the grid can be looked at from a later column without being copied:
        # what then stands beyond the right edge is the next row, and answers from there are not asked for.
        pixels = features.new_empty(n_frames, height * width + self.pixels[-1].start + 1, hidden)

        def from_column(start: int) -> Tensor:
            strides = (pixels.stride(0), 1, width * hidden, hidden)
            return pixels.as_strided((n_frames, hidden, height, width), strides, start * hidden)

        grid = from_column(0)
        for border in (grid[..., 0, :], grid[..., -1, :], grid[..., 0], grid[..., -1]):
            border.zero_()
        self.shared(features, grid[..., 1:-1, 1:-1])
        kernels = iter(self.kernels)
        for column, right in enumerate(self.pixels):
            strip = from_column(right.start + 1)
            for row, down in enumerate(self.pixels):
                start = down.start + 1
                end = start + self.n_kinds * (n_rows - 1) + len(down.merge)
                yield row, column, next(kernels)(strip[..., start:end, :])[..., :n_columns]


class FastSpade(nn.Module):
    """Spade on an image that is normalised already, and the leaky rectifier after it."""

    def __init__(self, spade: Spade, factor: int, repeat: int, paired: bool = False):
        super().__init__()
        weight = torch.cat([spade.scale.weight, spade.shift.weight])
        bias = torch.cat([1 + spade.scale.bias, spade.shift.bias])
        self.modulation = Modulation(spade.shared, weight, bias, factor, paired)
        self.factor, self.repeat = factor, repeat

    def forward(self, even: Tensor, features: Tensor) -> Tensor:
        out = empty_last(*even.shape[:2], *(n * self.repeat for n in even.shape[2:]), like=even)
        for row, column, scale_shift in self.modulation(features):
            scale, shift = scale_shift.chunk(2, dim=1)
            pixels = out[..., row :: self.factor, column :: self.factor]
            torch.addcmul(shift, every(even, row, column, self.factor, self.repeat), scale, out=pixels)
        return F.leaky_relu_(out, SLOPE)


class FastSkip(nn.Module):
    """The way around a block: Spade and a 1 x 1 convolution. The shift goes through both at once, being linear."""

    def __init__(self, block: SpadeBlock, factor: int, repeat: int, paired: bool):
        super().__init__()
        spade, mix = block.skip_norm, divided(block.skip_conv)
        assert spade is not None  # a block without a way around has no FastSkip
        through = mix.flatten(1)
        weight = torch.cat([spade.scale.weight, torch.einsum("oc,cmyx->omyx", through, spade.shift.weight)])
        bias = torch.cat([1 + spade.scale.bias, through @ spade.shift.bias])
        self.modulation = Modulation(spade.shared, weight, bias, factor, paired)
        self.mix = Mix(through)
        self.factor, self.repeat = factor, repeat

    def forward(self, even: Tensor, features: Tensor) -> Tensor:
        n_outputs, n_inputs = self.mix.weight.shape
        out = empty_last(len(even), n_outputs, *(n * self.repeat for n in even.shape[2:]), like=even)
        for row, column, scale_shift in self.modulation(features):
            scale, shift = scale_shift.split([n_inputs, n_outputs], dim=1)
            mixed = self.mix(scale * every(even, row, column, self.factor, self.repeat))
            torch.add(mixed, shift, out=out[..., row :: self.factor, column :: self.factor])
        return out


def every(even: Tensor, row: int, column: int, factor: int, repeat: int) -> Tensor:
    """Of an image whose pixels shall be repeated: those that show up at every factor-th row and column from there."""
    step = factor // repeat
    return even[..., row // repeat :: step, column // repeat :: step]
