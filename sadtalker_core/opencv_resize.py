"""Images change their size as OpenCV changes it, to the bit: several packages need the pixels that the original
saw.
"""

from __future__ import annotations

import torch
from torch import Tensor


def resize_bilinear(image: Tensor, size: int | tuple[int, int]) -> Tensor:
    """(..., H, W) in 0..1 -> (..., S, S), or the size (height, width): between the four nearest pixels, in 256 levels.

    OpenCV resizes 8-bit images in whole numbers: weights in 2048ths, the sum along x cut to 12 bits above the pixel,
    two products along y cut to 2 bits above it, and one rounding at the end. Along x a place beyond the outermost
    centres takes the border pixel; along y both rows are clamped instead, which is the same but for the last bit.
    """
    levels = (image.clamp(0, 1) * 255).round().to(torch.int64)
    height, width = levels.shape[-2:]
    new_height, new_width = (size, size) if isinstance(size, int) else size
    left, part_x = _places(width, new_width)
    top, part_y = _places(height, new_height)
    part_x = torch.where((left < 0) | (left >= width - 1), 0.0, part_x)
    right_weight, left_weight = _in_2048ths(part_x), _in_2048ths(1 - part_x)
    lower_weight, upper_weight = _in_2048ths(part_y)[:, None], _in_2048ths(1 - part_y)[:, None]

    def along_x(rows: Tensor) -> Tensor:
        return rows[..., _inside(left, width)] * left_weight + rows[..., _inside(left + 1, width)] * right_weight

    upper = along_x(levels[..., _inside(top, height), :])
    lower = along_x(levels[..., _inside(top + 1, height), :])
    mixed = ((upper_weight * (upper >> 4)) >> 16) + ((lower_weight * (lower >> 4)) >> 16)
    return ((mixed + 2) >> 2).clamp(0, 255).float() / 255


def _places(n_in: int, n_out: int) -> tuple[Tensor, Tensor]:
    """For each output pixel the input pixel before it (-1: before the first), and how far it lies towards the next."""
    ratio = 1.0 / (n_out / n_in)
    place = ((torch.arange(n_out, dtype=torch.float64) + 0.5) * ratio - 0.5).float()
    before = place.floor()
    return before.long(), place - before


def _inside(places: Tensor, n: int) -> Tensor:
    return places.clamp(0, n - 1)


def _in_2048ths(weight: Tensor) -> Tensor:
    return (weight * 2048).round().long()


__all__ = ["resize_bilinear"]
