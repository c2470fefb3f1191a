"""Images looked up at other places: one way to sample for all of render/.

Letters: `B` frames, `C` channels, `h w` pixels. Stage and window as in placement.py.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .placement import STAGE

#: the part of the way to the side of the image that may be moved as it is
_FREE = 0.3


def sample(image: Tensor, grid: Tensor) -> Tensor:
    """image (B, C, H, W), grid (B, h, w, 2) of x, y in -1..1 from edge to edge (`align_corners=False`) -> (B, C, h,
    w). Bilinear, the border carried on, in float32 whatever the image is: half precision cannot name a pixel's
    place.
    """
    found = F.grid_sample(image.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found.to(image.dtype)


def warp_window(image: Tensor, displacement: Tensor, left_top: Tensor) -> Tensor:
    """What the window, or the part of it that begins at left_top (1 or B, 2), shows of an image (B, C, h, h) of the
    whole stage, moved by displacement (B, 2, 128, 128). An image smaller than the stage gives a window as much
    smaller.
    """
    shrink = STAGE // image.shape[-1]
    flow = F.avg_pool2d(displacement.float(), shrink) if shrink > 1 else displacement.float()
    centres = (torch.arange(flow.shape[-1], device=flow.device, dtype=torch.float32) + 0.5) * shrink
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    places = torch.stack([x, y]) + left_top[:, :, None, None] + flow
    grid = places.permute(0, 2, 3, 1) * (2 / STAGE) - 1
    if len(image) != len(grid):
        image = image.expand(len(grid), -1, -1, -1)
    return sample(image, grid)


def within_the_image(moved: Tensor, identity: Tensor) -> Tensor:
    """moved (B, 2, h, w) and identity (1, h, w, 2), where its pixels are, in halves of an image's side -> the same,
    but smaller near a side of the image that it comes close to or would look beyond: what is there is pressed
    together instead of the last row being drawn out.
    """
    room = (1 - identity.permute(0, 3, 1, 2) * moved.sign()).clamp_min(1e-6)
    part = moved / room
    beyond = ((part.abs() - _FREE) / (1 - _FREE)).clamp_min(0)
    pressed = _FREE + (1 - _FREE) * beyond / (1 + beyond)
    return torch.where(beyond > 0, pressed * part.sign() * room, moved)
