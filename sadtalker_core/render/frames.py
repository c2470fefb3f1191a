"""What both renderers share: where they can run, and the aspect ratio of the final frames.

Letters: `B` frames of a batch, `S` the side of the square.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from ..datatypes import Box


def to_box_aspect(frames: Tensor, box: Box) -> Tensor:
    """Square frames (B, C, S, S) -> (B, C, S * height // width of the box, S): as wide as before, the box's aspect. The
    first three channels are the same whether or not others come with them.

    Undoes the squeezing of a box that is no square (PARITY.md P57). Bilinear between pixel centres, without
    antialiasing, like OpenCV's. The box is the one that was squeezed, so in the extended modes it is the extended one.
    """
    side = frames.shape[-1]
    height = box.height_at(side)
    if height == side:
        return frames
    # another number of channels would take another kernel of torch's, which rounds otherwise
    layers = [
        F.interpolate(layer.contiguous(), size=(height, side), mode="bilinear", align_corners=False)
        for layer in frames.split(3, dim=1)
    ]
    return layers[0] if len(layers) == 1 else torch.cat(layers, dim=1)


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
