"""Real images for tests, read from scikit-image at run time: the astronaut (NASA, public domain) and no faces."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@lru_cache(maxsize=1)
def astronaut() -> Tensor:
    """(512, 512, 3) in 0..1: one face, its eyes near (204, 103) and (247, 106), about 100 pixels wide, smiling."""
    from skimage.data import astronaut

    return torch.from_numpy(astronaut()).float() / 255


def photograph(name: str) -> Tensor:
    """Any image of skimage.data, as (H, W, 3) in 0..1."""
    import skimage.data

    array = np.asarray(getattr(skimage.data, name)(), np.float32) / 255
    return torch.from_numpy(array if array.ndim == 3 else np.stack([array] * 3, -1))


def resized(image: Tensor, height: int, width: int) -> Tensor:
    planes = F.interpolate(image.permute(2, 0, 1)[None], (height, width), mode="bilinear", antialias=True)
    return planes[0].permute(1, 2, 0)


def turned(image: Tensor, degrees: float, middle=(225.0, 122.0), size: int = 300) -> Tensor:
    """A square of the image with what is in it turned clockwise by `degrees`."""
    from sadtalker_core.face.sampling import Square, sample_squares

    square = Square(*middle, float(size), np.radians(-degrees))
    return sample_squares(image, [square], size)[0].permute(1, 2, 0)
