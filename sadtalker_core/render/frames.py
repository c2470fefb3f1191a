"""What both renderers share: where they can run, and the aspect that their square frames are given in the end.

Letters: `B` frames of a batch, `S` the side of the square.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from ..datatypes import Box


def to_box_aspect(frames: Tensor, box: Box) -> Tensor:
    """Square frames (B, 3, S, S) -> (B, 3, S * height // width of the box, S): as wide as before, the box's aspect.

    Undoes the squeezing of a box that is no square (PARITY.md P57). Bilinear between pixel centres, without
    antialiasing, like OpenCV's. The box is the one that was squeezed, so in the extended modes it is the extended one.
    """
    side = frames.shape[-1]
    height = box.height_at(side)
    if height == side:
        return frames
    return F.interpolate(frames, size=(height, side), mode="bilinear", align_corners=False)


@functools.cache
def can_render_on(device: torch.device | str) -> bool:
    """Whether the renderers can run there: some devices lack operations of theirs (Apple's MPS: 5-D grid_sample, and
    2-D sampling that repeats the border). Tried once per device, on eight voxels and four pixels.
    """
    volume, image = torch.zeros(1, 1, 2, 2, 2, device=device), torch.zeros(1, 1, 2, 2, device=device)
    try:
        F.grid_sample(volume, torch.zeros(1, 2, 2, 2, 3, device=device), align_corners=False)
        F.grid_sample(image, torch.zeros(1, 2, 2, 2, device=device), padding_mode="border", align_corners=False)
        F.conv3d(volume, torch.zeros(1, 1, 1, 1, 1, device=device))
    except (NotImplementedError, RuntimeError):
        return False
    return True
