"""Where an open mouth of a portrait ends: the mesh's corners are moved out to where the dark between the lips ends.

The mesh network puts the corners of a wide mouth too far in, and the dark beyond them would stay when the lips close.
In: the mesh and the crop. Out: the mesh, its corners moved out. Closed mouths stay as they are.

Letters: `S` side of the crop, `k` places outwards, `n` places across.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...canonical_face import INNER_LIPS, LOWER_INNER_LIP, OUTER_LIPS, UPPER_INNER_LIP
from ..meshwarp.placement import fit_head
from ..meshwarp.warp import sample

_UPPER, _LOWER = list(UPPER_INNER_LIP), list(LOWER_INNER_LIP[::-1])
_CORNERS = ((INNER_LIPS[0], OUTER_LIPS[0]), (INNER_LIPS[10], OUTER_LIPS[10]))  #: inner and outer

# In decimetres. Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet"): on
# obama2, whose mouth is wide open, the dark goes when it closes; the smiles of astronaut and obama stay.
_OPEN = 0.10  #: lips that are less apart are left as they are
_FURTHEST, _STEP = 0.08, 0.004  #: how far a corner is moved out, and the step between two samples
_AROUND = 0.06  #: over which the points around a corner follow it
_NARROW = 3  #: of those steps, over which the height of the end is measured
_DARK = 0.55  #: brightness by that of the lips: what is darker is not lip


def with_measured_corners(points: Tensor, image: Tensor) -> Tensor:
    """points (468, 3) in pixels of the crop image (1, 3, S, S) in 0..1 -> the same; those of lips may be moved."""
    density = float(fit_head(points).scale)
    apart = (points[_LOWER, :2] - points[_UPPER, :2]).norm(dim=-1).mean()
    if apart < _OPEN * density:
        return points
    light, changed = image.mean(1, keepdim=True), points.clone()
    lips = _light_at(light, points[list(OUTER_LIPS), :2][None]).median()
    steps = torch.arange(0, _FURTHEST, _STEP).to(points) * density
    for inner, outer in _CORNERS:
        corner = points[inner, :2]
        out = points[outer, :2] - corner
        out = out / out.norm().clamp_min(1e-6)
        across = torch.stack([-out[1], out[0]])
        places = corner + steps[:, None, None] * out + (steps - steps.mean())[:, None] * across
        depth = (1 - _light_at(light, places) / (_DARK * lips)).clamp_min(0)
        so_far = (depth > 0).any(1).long().cummin(0).values.sum()  # places in a row
        if so_far == 0:
            continue
        share = depth[max(int(so_far) - _NARROW, 0) : so_far].square().sum(0)  # a lip in shade is dark, but not as dark
        end = (share[:, None] * places[so_far - 1]).sum(0) / share.sum()
        near = torch.exp(-(((points[:, :2] - corner).norm(dim=-1) / (_AROUND * density)) ** 2))
        changed[:, :2] += near[:, None] * (end - corner)
    return changed


def _light_at(light: Tensor, places: Tensor) -> Tensor:
    """light (1, 1, S, S), places (k, n, 2) -> (k, n)."""
    return sample(light, places[None] * (2 / light.shape[-1]) - 1)[0, 0]
