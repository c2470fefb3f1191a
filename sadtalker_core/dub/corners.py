"""Where the corners of a person's mouth are: a sample of frames comes in, how far below the mesh's they lie goes out.

Of some faces the mesh network has the corners up to half a lip too high, whether the mouth is open or closed: lips that
part would part in a V, and lips that close would leave black spots there. Where lips touch, the dark line between them
leads to the corners; it is followed in the median of the frames, so that single frames do not count.
Letters: `F` frames, `u` places across the mouth, `v` places down, both by its width, 0 in its middle.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..canonical_face import INNER_LIPS
from ..render.mouth.measured_lips import smoothest

_ACROSS, _DOWN = (0.72, 61), (0.36, 41)  #: how far is looked to each side, and at how many places
_BESIDE = 0.07  #: above and below a place, which is darker if it is on the line
_PULL = 3.5  #: to the darkest place, against steps between neighbours
_AT_CORNERS, _AT_LIPS = (0.4, 0.5), 0.35  #: places across: of the corners, and within the lips
#: by how much darker the line is, by the light of all, where it is surely seen; at the corners so much of that
_VISIBLE, _VISIBLE_AT_CORNER = 0.05, 0.4
_AROUND = 0.16  #: over which the points around a corner follow it


def corners_below(images: Tensor, points: Tensor) -> Tensor:
    """images (F, 3, S, S) in 0..1 with touching lips, points (F, 468, 3) in their pixels -> (2,) how far below the
    mesh's the corners are, the left one in the image first, in widths of the mouth; 0 where that is not seen.
    """
    seen = torch.stack([_about_the_mouth(*one) for one in zip(images, points, strict=True)]).median(0).values
    seen = F.avg_pool2d(F.pad(seen[None, None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0, 0]
    (_, v), (far, n) = _places(), _DOWN
    beside = round(_BESIDE * (n - 1) / (2 * far))
    darker = torch.minimum(seen[: -2 * beside], seen[2 * beside :]) - seen[beside:-beside]
    darker, v = darker / seen.mean().clamp_min(1e-3), v[beside:-beside]
    taken = smoothest(-_PULL * darker.T)
    return _at_corners(darker.gather(0, taken[None])[0], v[taken])


def _at_corners(darker: Tensor, line: Tensor) -> Tensor:
    """(u,) how much darker the line is, and (u,) how far down it is -> (2,) how far down it is at the corners."""
    u, _ = _places()
    within = darker[u.abs() < _AT_LIPS].median()
    below = torch.zeros(2)
    for k, side in enumerate((-u, u)):
        at_corner = (side >= _AT_CORNERS[0]) & (side <= _AT_CORNERS[1])
        if within > _VISIBLE and darker[at_corner].median() > _VISIBLE_AT_CORNER * within:
            below[k] = line[at_corner].median()
    return below


def with_corners(points: Tensor, below: Tensor) -> Tensor:
    """points (468, 3) in pixels of an image, below (2,) -> the same, the corners and what is around them moved."""
    corners, across, down = _axes(points)
    far = torch.cdist(points[:, :2], corners) / (_AROUND * across.norm().clamp_min(1e-3))
    moved = points.clone()
    moved[:, :2] += (torch.exp(-far.square()) @ below)[:, None] * down
    return moved


def _axes(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(2, 2) the corners, the left one first;  (2,) from one to the other;  (2,) as far down the face"""
    corners = points[[INNER_LIPS[0], INNER_LIPS[10]], :2]
    across = corners[1] - corners[0]
    return corners, across, torch.stack([-across[1], across[0]])


def _places() -> tuple[Tensor, Tensor]:
    """(u,), (v,)"""
    (far, n), (deep, m) = _ACROSS, _DOWN
    return torch.linspace(-far, far, n), torch.linspace(-deep, deep, m)


def _about_the_mouth(image: Tensor, points: Tensor) -> Tensor:
    """image (3, S, S), points (468, 3) -> (v, u) its brightness."""
    corners, across, down = _axes(points)
    u, v = _places()
    places = corners.mean(0) + u[None, :, None] * across + v[:, None, None] * down
    grid = (places * (2 / image.shape[-1]) - 1)[None]
    return F.grid_sample(image[None], grid, padding_mode="border", align_corners=False)[0].mean(0)


__all__ = ["corners_below", "with_corners"]
