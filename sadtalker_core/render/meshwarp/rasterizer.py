"""Which triangle of a mesh is in front at each pixel, in plain torch, so that it runs on every device.

In: points in pixels with their depth, and triangles. Out: the number of the nearest triangle at each pixel, and the
weights of its corners, by which anything that is known at the points is interpolated.

Letters: `B` frames, `P` points, `N` triangles, `C` values, `h w` pixels. Points are x right, y down, in pixels, the
centre of the first one at (0.5, 0.5).
"""

from __future__ import annotations

import torch
from torch import Tensor

_DEPTH_STEPS = 1 << 20
_DEPTH_RANGE = 8.0  #: decimetres, more than a head is deep
_INSIDE = -1e-4  #: the least weight of a corner for a pixel on the edge between two triangles
_FLAT = 1e-6  #: twice the area, in square pixels, below which a triangle is seen edge on and not drawn


def rasterize(points: Tensor, depth: Tensor, triangles: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """points (B, P, 2) in pixels, depth (B, P) in decimetres, larger is nearer, triangles (N, 3) -> triangle
    (B, side, side) long and the weights of its corners (B, side, side, 3); where nothing covers a pixel, triangle 0
    with weights 0.

    Each triangle looks at the pixels of its rows that may lie inside, and the nearest triangle wins by the maximum of a
    number whose high digits are the depth. Integers, so that all devices agree.
    """
    n_frames, n_triangles = len(points), len(triangles)
    places, depths = _corners(points, triangles), _corners(depth[..., None], triangles)[..., 0]
    area = signed_areas(places)
    pick, row, column = _candidate_pixels(places, area, side)
    weights = _corner_weights(_picked(places, pick), _picked(area, pick), column + 0.5, row + 0.5)
    z = _picked(depths, pick)
    near = weights[0] * z[..., 0] + weights[1] * z[..., 1] + weights[2] * z[..., 2]
    hit = (weights[0] >= _INSIDE) & (weights[1] >= _INSIDE) & (weights[2] >= _INSIDE)
    steps = ((near / _DEPTH_RANGE + 0.5).clamp(0, 1) * _DEPTH_STEPS).long()
    pick, pixel, steps = pick[hit], (row * side + column)[hit], steps[hit]
    if n_frames > 1:
        pixel = pixel + pick // n_triangles * side**2
    best = torch.full((n_frames * side * side,), -1, dtype=torch.long, device=points.device)
    best.scatter_reduce_(0, pixel, steps * area.numel() + pick, "amax")
    best = best.view(n_frames, side, side)
    nth = best.clamp_min(0) % area.numel()
    triangle = nth % n_triangles
    grid = torch.arange(side, device=points.device) + 0.5
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    seen = torch.stack(_corner_weights(_picked(places, nth), _picked(area, nth), x, y), dim=-1)
    return triangle, seen.masked_fill((best < 0)[..., None], 0)


def interpolate(values: Tensor, triangle: Tensor, corners: Tensor) -> Tensor:
    """values (B or 1, N, 3, C) at the corners of all triangles, and what `rasterize` gives -> (B, h, w, C)."""
    if len(values) > 1:
        triangle = triangle + torch.arange(len(values), device=triangle.device)[:, None, None] * values.shape[1]
    one, two, three = (_picked(values[:, :, k], triangle) * corners[..., k, None] for k in range(3))
    return one + two + three


def _corners(values: Tensor, triangles: Tensor) -> Tensor:
    """values (B, P, C) of points -> (B, N, 3, C) at the corners of triangles."""
    return values.index_select(1, triangles.flatten()).view(len(values), *triangles.shape, -1)


def _picked(values: Tensor, which: Tensor) -> Tensor:
    """values (B, N, ...), which (...) counts through all B of them -> values of these.  Many times as fast as indexing
    by two tensors.
    """
    return values.flatten(0, 1).index_select(0, which.flatten()).view(*which.shape, *values.shape[2:])


def _candidate_pixels(places: Tensor, area: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """places (B, N, 3, 2) of triangles with twice the signed `area` (B, N) -> triangle (counted through all B), row and
    column (n,) of all pixels that lie in a triangle, and of some more: in each row of a triangle those from edge to
    edge, and the ones beside them.
    """
    start = (places.amin(2) - 0.5).ceil().clamp(0, side).long()
    stop = (places.amax(2) + 0.5).floor().clamp(0, side).long()
    drawn = torch.nonzero(((stop > start).all(-1) & (area.abs() > _FLAT)).flatten())[:, 0]
    (left, top), (right, bottom) = _picked(start, drawn).unbind(-1), _picked(stop, drawn).unbind(-1)
    nth, row = _counted(bottom - top)
    row, left, right, pick = row + top[nth], left[nth], right[nth], drawn[nth]
    corner, area = _picked(places, pick), _picked(area, pick)
    first_x = corner[:, 0, 0]
    weights = _corner_weights(corner, area, first_x, row + 0.5)
    for weight, rise in zip(weights, _slopes(corner, area), strict=True):
        edge = (first_x + (_INSIDE - weight) / rise - 0.5).clamp(-2, side + 1).floor().long()
        left = torch.where(rise > 0, torch.maximum(left, edge), left)
        right = torch.where(rise < 0, torch.minimum(right, edge + 2), right)
    nth, column = _counted((right - left).clamp_min(0))
    return pick.index_select(0, nth), row.index_select(0, nth), column + left.index_select(0, nth)


def _counted(n: Tensor) -> tuple[Tensor, Tensor]:
    """n (N,) -> of each of the n[0] + n[1] + ... : which of the N it belongs to, and its number there, from 0."""
    nth = torch.repeat_interleave(n)
    return nth, torch.arange(len(nth), device=n.device) - (n.cumsum(0) - n).index_select(0, nth)


def is_covered(corners: Tensor) -> Tensor:
    """Corner weights (B, h, w, 3) -> (B, h, w) bool: whether a triangle is there."""
    return corners.sum(-1) > 0.5


def signed_areas(corners: Tensor) -> Tensor:
    """(..., 3, 2) -> (...,) twice the signed area, positive when the corners turn clockwise in the image."""
    one, two = corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    return one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0]


def _corner_weights(corner: Tensor, area: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Barycentric weights of the point (x, y) in triangles (..., 3, 2) of twice the signed `area`."""
    ax, ay = corner[..., 0, 0], corner[..., 0, 1]
    bx, by = corner[..., 1, 0] - ax, corner[..., 1, 1] - ay
    cx, cy = corner[..., 2, 0] - ax, corner[..., 2, 1] - ay
    px, py = x - ax, y - ay
    second = (px * cy - cx * py) / area
    third = (bx * py - px * by) / area
    return 1 - second - third, second, third


def _slopes(corner: Tensor, area: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How much these weights grow from a pixel to the next one on its right."""
    second = (corner[..., 2, 1] - corner[..., 0, 1]) / area
    third = (corner[..., 0, 1] - corner[..., 1, 1]) / area
    return -second - third, second, third
