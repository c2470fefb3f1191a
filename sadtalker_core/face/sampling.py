"""Squares cut from an image at any place, size and angle: an image (H, W, 3) in, (B, 3, side, side) out, and back.

A `Square` maps its own pixels to the image. Pixels of the square are (x, y) with the centre of the first
one at 0.5, as everywhere, so the square's middle is (side / 2, side / 2):

    image = centre + (size / side) * R(angle) @ (point - side / 2),   R(angle) = [[cos, -sin], [sin, cos]]

A positive angle turns the square clockwise in the image, so a head tilted clockwise by it stands upright inside.
Outside the image there is black.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Square(NamedTuple):
    """Where a square lies in the image: its centre and the length of its side in pixels, its angle in radians."""

    x: float
    y: float
    size: float
    angle: float = 0.0

    def to_image(self, points: Tensor, side: int) -> Tensor:
        """Points (..., 2 or 3) in pixels of the square -> pixels of the image (a third axis is only scaled)."""
        scale = self.size / side
        c, s = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        x, y = points[..., 0] - side / 2, points[..., 1] - side / 2
        moved = torch.stack([self.x + c * x - s * y, self.y + s * x + c * y], dim=-1)
        return torch.cat([moved, scale * points[..., 2:]], dim=-1)

    def from_image(self, points: Tensor, side: int) -> Tensor:
        """The way back."""
        scale = side / self.size
        c, s = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        x, y = points[..., 0] - self.x, points[..., 1] - self.y
        moved = torch.stack([side / 2 + c * x + s * y, side / 2 - s * x + c * y], dim=-1)
        return torch.cat([moved, scale * points[..., 2:]], dim=-1)


def shrink(image: Tensor, block: int) -> Tensor:
    """(H, W, 3) -> (ceil(H / block), ceil(W / block), 3): means of blocks, the last ones filled up by repetition."""
    if block == 1:
        return image.float()
    rows = []
    for strip in image.split(64 * block):  # bounded memory for very large images
        part = strip.permute(2, 0, 1).float()
        spare_y, spare_x = -part.shape[1] % block, -part.shape[2] % block
        part = F.pad(part[None], (0, spare_x, 0, spare_y), mode="replicate")
        rows.append(F.avg_pool2d(part, block)[0].permute(1, 2, 0))
    return torch.cat(rows)


def sample_squares(image: Tensor, squares: Sequence[Square], side: int) -> Tensor:
    """Cut squares from one image: (H, W, 3) -> (B, 3, side, side), shrunk without aliasing."""
    return torch.cat([_sample(image, square, side) for square in squares])


def _sample(image: Tensor, square: Square, side: int) -> Tensor:
    """Cut out the bounding rectangle, average whole blocks of pixels when it shrinks, then sample bilinearly."""
    height, width = image.shape[:2]
    reach = square.size / 2 * (abs(math.cos(square.angle)) + abs(math.sin(square.angle))) + 2
    left, right = (min(max(int(v), 0), width) for v in (square.x - reach, square.x + reach + 1))
    top, bottom = (min(max(int(v), 0), height) for v in (square.y - reach, square.y + reach + 1))
    if right <= left or bottom <= top:
        return image.new_zeros(1, 3, side, side)
    block = max(1, int(square.size / side))
    part = shrink(image[top:bottom, left:right], block).permute(2, 0, 1)[None]
    centres = (torch.arange(side, device=image.device) + 0.5).float()
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    points = square.to_image(torch.stack([x, y], dim=-1), side)
    extent = torch.tensor([part.shape[3], part.shape[2]], device=image.device) * block
    grid = 2 * (points - torch.tensor([left, top], device=image.device)) / extent - 1
    return F.grid_sample(part, grid[None].to(part), mode="bilinear", padding_mode="zeros", align_corners=False)
