"""The alpha of a portrait and the motion of a frame come in; the alpha of that frame goes out.

The decoder renders colours only, so the alpha is moved as the features are: DenseMotion gives for every voxel its place
in the source. Of the voxels behind one another the mean counts, since all of them fall into one pixel.
The motion is smooth, the edge of a cut-out is not: so it is the motion, a quarter of the side wide, that is enlarged,
and the alpha is looked up with it at its full size. A hair-thin edge stays one.

Letters: `B` frames, `S` the side of the square, `D H W` the feature volume, `M` motions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .dense_motion import MIN_MASK, MotionField

#: the least that the motions of a voxel add up to; less is not known to move
_LEAST = 1e-3


def move_alpha(alpha: Tensor, motion: MotionField) -> Tensor:
    """alpha (1, S, S) in 0..1 of the source -> (B, 1, S, S) float32 in 0..1 of the frames, on its device.

    Where nothing moves it is the source's own. Beyond the border the outermost pixels go on.
    """
    displacement = _displacement(motion)
    side, n = alpha.shape[-1], len(displacement)
    displacement = F.interpolate(displacement, size=(side, side), mode="bilinear", align_corners=False)
    centres = (torch.arange(side, device=alpha.device, dtype=torch.float32) + 0.5) * (2 / side) - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    grid = (torch.stack([x, y]) + displacement).permute(0, 2, 3, 1)
    image = alpha.float().expand(n, -1, -1, -1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False).clamp_(0, 1)


def _displacement(motion: MotionField) -> Tensor:
    """(B, 2, H, W) where each pixel of a quarter of the side comes from, minus where it is, in halves of the side.

    Places of the volume are -1 and 1 at the centres of its outermost voxels (grids.py). That they shrink a little
    towards the middle, by how they are read and by the small masks that count as none (PARITY.md P50, P52), is what the
    decoder has learned to undo; so both are left out here.
    """
    places, mask = motion.deformation.float()[..., :2], motion.mask.float()
    known = torch.where(mask < MIN_MASK, 0.0, mask).sum(dim=1)[..., None]
    sizes = places.new_tensor([places.shape[3], places.shape[2]])  # W, H
    lines = [torch.arange(int(n), device=places.device) * (2 / (n - 1)) - 1 for n in sizes.tolist()]
    y, x = torch.meshgrid(lines[1], lines[0], indexing="ij")
    moved = places / known.clamp_min(_LEAST) - torch.stack([x, y], dim=-1)
    moved = torch.where(known > _LEAST, moved, 0.0).mean(dim=1)
    return (moved * (sizes - 1) / sizes).permute(0, 3, 1, 2)
