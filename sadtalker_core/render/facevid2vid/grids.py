"""Coordinates of the renderer's feature volume: grids, heat maps around points, and reading a volume at points.

Letters: `B` batch, `K` key points, `C` channels, `D H W` the volume: depth (near to far), rows, columns.

One convention holds here: a place is (x, y, z) in -1..1, x right, y down, z away from the viewer, and -1 and 1 are
the centres of the first and the last voxel of an axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

#: The released weights were trained on volumes read the other way: there -1 and 1 are the outer edges of the first
#: and the last voxel. So the identity motion shrinks a volume by (n - 1) / n about its middle and fades its border
#: (PARITY.md P50). A "fix" would move every feature by up to half a voxel from where the decoder learned to expect it.
ALIGN_CORNERS = False

#: how wide a key point's heat map is: the variance, in the units of the grid squared
HEAT_VARIANCE = 0.01
#: Less heat than this is none. Far from a point the Gaussian runs out of float32's exponents, and the convolutions that
#: look at such numbers next take four times as long on a CPU; an answer is changed by less than 1e-30.
LEAST_HEAT = 1e-30


def volume_grid(shape: Sequence[int], *, like: Tensor) -> Tensor:
    """(D, H, W) -> (D, H, W, 3): the place of every voxel's centre, in the dtype and on the device of `like`."""
    z, y, x = (2 * torch.arange(n, dtype=like.dtype, device=like.device) / (n - 1) - 1 for n in shape)
    z, y, x = torch.meshgrid(z, y, x, indexing="ij")
    return torch.stack([x, y, z], dim=-1)


def heat_maps(points: Tensor, shape: Sequence[int]) -> Tensor:
    """points (B, K, 3) -> (B, K, D, H, W): 1 at the point, falling off as a Gaussian of HEAT_VARIANCE.

    The Gaussian of a distance is the product of the Gaussians along the axes, so no (…, 3) volume is made.
    """
    falls = []
    for n, place in zip(reversed(shape), points.unbind(dim=-1), strict=True):
        line = 2 * torch.arange(n, dtype=points.dtype, device=points.device) / (n - 1) - 1
        falls.append(torch.exp(-0.5 * (line - place.unsqueeze(-1)) ** 2 / HEAT_VARIANCE))
    along_x, along_y, along_z = falls
    heat = along_z[..., :, None, None] * along_y[..., None, :, None] * along_x[..., None, None, :]
    return F.threshold(heat, LEAST_HEAT, 0.0)


def centre_of_mass(maps: Tensor) -> Tensor:
    """maps (B, K, D, H, W), none negative, of any total above 0 -> (B, K, 3): where their weight lies on average.

    Every sum is one of torch's own (pairwise, in float32 off by 1e-7): a dot product of 65,536 or 262,144 voxels, and
    the total inside a softmax of as many, are added up in as many lanes as the processor has, and are off by up to
    1e-4 and 7e-5, on each processor by something else.
    """
    total = maps.sum(dim=(2, 3, 4))
    places = []
    for axis in (4, 3, 2):  # x, y, z
        n = maps.shape[axis]
        line = 2 * torch.arange(n, dtype=maps.dtype, device=maps.device) / (n - 1) - 1
        along = maps.sum(dim=[other for other in (2, 3, 4) if other != axis])
        places.append((along * line).sum(dim=-1) / total)
    return torch.stack(places, dim=-1)


def read_volume(volume: Tensor, places: Tensor) -> Tensor:
    """volume (B, C, D, H, W) read at places (B, d, h, w, 3) -> (B, C, d, h, w): trilinear, zero outside.

    The reading is done in the dtype of the places, for the eight bits of a bfloat16 cannot tell neighbouring voxels
    apart; the answer has the dtype of the volume.
    """
    read = F.grid_sample(
        volume.to(places.dtype), places, mode="bilinear", padding_mode="zeros", align_corners=ALIGN_CORNERS
    )
    return read.to(volume.dtype)
