"""Which triangle of a mesh is in front at each pixel, in plain torch, so that it runs on every device.

In: points in pixels with their depth, and triangles. Out: the number of the nearest triangle at each pixel, and the
weights of its corners, by which anything that is known at the points is interpolated.

Letters: `B` frames, `P` points, `N` triangles, `C` values, `h w` pixels. Points are x right, y down, in pixels, the
centre of the first one at (0.5, 0.5).
"""

from __future__ import annotations

import torch
from torch import Tensor

#: sides of the squares in which the pixels of a triangle are looked for; a larger triangle is not drawn
_SQUARES = (4, 6, 8, 12, 16, 24, 32, 48, 80, 160)
_DEPTH_STEPS = 1 << 20
_DEPTH_RANGE = 8.0  #: decimetres, more than a head is deep
_INSIDE = -1e-4  #: the least weight of a corner for a pixel on the edge between two triangles
_FLAT = 1e-6  #: twice the area, in square pixels, below which a triangle is seen edge on and not drawn


def rasterize(points: Tensor, depth: Tensor, triangles: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """points (B, P, 2) in pixels, depth (B, P) in decimetres, larger is nearer, triangles (N, 3) -> triangle
    (B, side, side) long and the weights of its corners (B, side, side, 3); where nothing covers a pixel, triangle 0
    with weights 0.

    Each triangle looks for its pixels in a square just large enough; squares of one size are computed together, and the
    nearest triangle wins by the maximum of a number whose high digits are the depth. Integers, so that all devices
    agree.
    """
    n_frames, n_triangles = len(points), len(triangles)
    places, depths = points[:, triangles], depth[:, triangles]
    first, last = places.amin(2), places.amax(2)
    start = (first - 0.5).ceil().clamp(0, side).long()
    stop = (last - 0.5).floor().clamp(-1, side - 1).long()
    extent = (stop - start + 1).amin(-1).clamp_min(0), (stop - start + 1).amax(-1)
    area = signed_areas(places)
    drawn = (extent[0] > 0) & (area.abs() > _FLAT)
    best = torch.full((n_frames * side * side,), -1, dtype=torch.long, device=points.device)
    smaller = 0
    for size in _SQUARES:
        frame, which = torch.nonzero(drawn & (extent[1] > smaller) & (extent[1] <= size), as_tuple=True)
        smaller = size
        if not len(frame):
            continue
        reach = torch.arange(size, device=points.device)
        column = start[frame, which, 0, None, None] + reach[None, None, :]
        row = start[frame, which, 1, None, None] + reach[None, :, None]
        corner = places[frame, which]
        weights = _corner_weights(corner[:, None, None], area[frame, which][:, None, None], column + 0.5, row + 0.5)
        z = depths[frame, which]
        near = weights[0] * z[:, 0, None, None] + weights[1] * z[:, 1, None, None] + weights[2] * z[:, 2, None, None]
        hit = (
            (weights[0] >= _INSIDE) & (weights[1] >= _INSIDE) & (weights[2] >= _INSIDE) & (column < side) & (row < side)
        )
        steps = ((near / _DEPTH_RANGE + 0.5).clamp(0, 1) * _DEPTH_STEPS).long()
        key = steps * n_triangles + which[:, None, None]
        pixel = (frame[:, None, None] * side + row) * side + column
        best.scatter_reduce_(0, pixel[hit], key[hit], "amax")
    best = best.view(n_frames, side, side)
    triangle = best.clamp_min(0) % n_triangles
    rows = torch.arange(n_frames, device=points.device)[:, None, None]
    grid = torch.arange(side, device=points.device) + 0.5
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    seen = torch.stack(_corner_weights(places[rows, triangle], area[rows, triangle], x, y), dim=-1)
    return triangle, seen * (best >= 0)[..., None]


def interpolate(values: Tensor, triangle: Tensor, corners: Tensor) -> Tensor:
    """values (B or 1, N, 3, C) at the corners of all triangles, and what `rasterize` gives -> (B, h, w, C)."""
    rows = torch.arange(len(triangle), device=triangle.device)[:, None, None]
    picked = values.expand(len(triangle), -1, -1, -1)[rows, triangle]
    return (picked * corners[..., None]).sum(-2)


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
