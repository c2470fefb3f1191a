"""A Generator comes in, a FastGenerator goes out: the same frames in about half the time, for inference only.

The plain networks are the ones that load, train and explain themselves; this arrangement only renders. What it saves,
all exact but for rounding:

  - batch norms are folded into the convolution before, spectral norms are divided out once;
  - SPADE's features are never enlarged, scale and shift are one convolution (fast_decoder.py);
  - on a CPU in float32, wide convolutions compute four rows at once from half the products (four_rows.py);
  - the decoder and the hourglass keep channels last, where wide convolutions are faster;
  - key points move volumes without turning them, so the hourglass input is read axis by axis, by small matrices;
  - a frame like the one before is not rendered again.

Letters as in generator.py and dense_motion.py.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...batchnorm_folding import fold_batchnorm
from ...threads import few_threads
from .blocks import ConvBlock
from .dense_motion import MIN_MASK, DenseMotion, Hourglass, MotionField
from .fast_decoder import FastDecoder
from .fast_layers import Enlarging, Kernel, empty_last, parts
from .four_rows import bordered
from .generator import Generator, Rendered
from .grids import ALIGN_CORNERS, heat_maps, read_volume, volume_grid


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
    motion_rows, decoder_rows = (on_a_cpu and dtype == torch.float32 for dtype in (motion_dtype, decoder_dtype))
    with torch.no_grad():
        fast = FastGenerator(generator, motion_rows, decoder_rows).eval().requires_grad_(False)
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

    motion_rows, decoder_rows: whether wide convolutions compute four rows at once, `FourRows`
    """

    def __init__(self, generator: Generator, motion_rows: bool = False, decoder_rows: bool = False):
        super().__init__()
        self.config = generator.config
        # once a clip, so it may stay as it is; a copy, because this network may come to have another dtype
        self.encoder = copy.deepcopy(generator.encoder)
        motion = generator.dense_motion
        self.compress = Kernel(*fold_batchnorm(motion.compression, motion.compression_norm))
        self.dense_motion = FastDenseMotion(motion, motion_rows)
        self.flatten = FoldedBlock(generator.flatten, motion_rows)
        self.flatten_out = Kernel(generator.flatten_out.weight, generator.flatten_out.bias)
        self.decoder = FastDecoder(generator.decoder, decoder_rows)

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

    def __init__(self, block: ConvBlock, four_rows: bool = False):
        super().__init__()
        self.kernel = bordered(*fold_batchnorm(block.conv, block.norm), four_rows)
        self.slope = block.slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu_(self.kernel(x), self.slope)


# ------------------------------------------------------------------------------------------------- what moves where


class FastDenseMotion(nn.Module):
    """`DenseMotion` arranged for speed: the same numbers but for rounding."""

    def __init__(self, motion: DenseMotion, four_rows: bool):
        super().__init__()
        self.hourglass = FastHourglass(motion.hourglass, four_rows)
        # sixteen outputs from large kernels: the plain layout is the faster one here
        self.mask = Kernel(motion.mask.weight, motion.mask.bias, padding=3, channels_last=False)
        # One output from a large kernel: every tap is multiplied first, then they are laid over one another.
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

    def __init__(self, hourglass: Hourglass, four_rows: bool):
        super().__init__()
        # only the widest volume is worth it: the others are so small that oneDNN has slower kernels for half their rows
        self.down = nn.ModuleList(
            FoldedBlock(block, four_rows and level == 0) for level, block in enumerate(parts(hourglass.down))
        )
        self.up = nn.ModuleList(
            Enlarging(*fold_batchnorm(block.conv, block.norm), factor=2) for block in parts(hourglass.up)
        )
        self.last = FoldedBlock(hourglass.last, four_rows)

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
