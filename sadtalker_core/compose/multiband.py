"""What shall be added to an image comes in, what of it shows goes out: fine detail ends sharply, colours fade widely.

Burt and Adelson, "A multiresolution spline with application to image mosaics", 1983: both images are cut into bands
of frequencies, each band is blended over a width of its own, and the bands are added up. All of that is linear, so here
the difference of both images is cut once instead of each of them.
Letters: `B` frames, `h w` the patch. Level k has 2**k times fewer rows and columns.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

#: a fade that spreads over the coarsest band takes about so many of its pixels
PIXELS_PER_FADE = 5


class Multiband:
    """Made once for a shape, used for every batch."""

    def __init__(self, mask: Tensor, width: float):
        """mask: (h, w), 1 where the patch shall show and 0 where not, with a hard edge
        width:   pixels over which the coarsest band may fade; under 10, nothing fades and `mask` is all there is
        """
        from kornia.geometry.transform import pyrdown

        n_levels = int(math.log2(max(width / PIXELS_PER_FADE, 1)))
        self.n_levels = min(n_levels, int(math.log2(min(mask.shape))))
        self.mask = [self._even(mask[None, None])]
        for _ in range(self.n_levels):
            self.mask.append(pyrdown(self.mask[-1], border_type="replicate"))

    def __call__(self, difference: Tensor) -> Tensor:
        """(B, 3, h, w), patch minus image -> what is to be added to the image"""
        height, width = difference.shape[-2:]
        levels = [self._even(difference)]
        for _ in range(self.n_levels):
            levels.append(_halved(levels[-1]))
        mask = [share.to(difference) for share in self.mask]
        result = levels[-1] * mask[-1]
        for k in reversed(range(self.n_levels)):
            result = _doubled(result).addcmul_(levels[k] - _doubled(levels[k + 1]), mask[k])
        return result[..., :height, :width]

    def _even(self, patch: Tensor) -> Tensor:
        """With its last rows and columns repeated until it can be halved at every level."""
        step = 2**self.n_levels
        height, width = patch.shape[-2:]
        return F.pad(patch, (0, -width % step, 0, -height % step), mode="replicate")


# Every frame is halved and doubled by these, which are many times as fast on a CPU as kornia's 5 x 5 kernels or torch's
# own interpolation. What is doubled is subtracted before it is added, so how smooth it is hardly matters.


def _halved(patch: Tensor) -> Tensor:
    """The means of 2 x 2."""
    rows = patch[..., ::2, :] + patch[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]).mul_(0.25)


def _doubled(patch: Tensor) -> Tensor:
    """Linear between the centres of pixels, the outermost repeated: F.interpolate's bilinear."""
    *some, height, width = patch.shape
    rows, result = patch.new_empty(*some, 2 * height, width), patch.new_empty(*some, 2 * height, 2 * width)
    around = F.pad(patch, (0, 0, 1, 1), mode="replicate")
    torch.lerp(patch, around[..., :-2, :], 0.25, out=rows[..., ::2, :])
    torch.lerp(patch, around[..., 2:, :], 0.25, out=rows[..., 1::2, :])
    around = F.pad(rows, (1, 1, 0, 0), mode="replicate")
    torch.lerp(rows, around[..., :-2], 0.25, out=result[..., ::2])
    torch.lerp(rows, around[..., 2:], 0.25, out=result[..., 1::2])
    return result


__all__ = ["Multiband"]
