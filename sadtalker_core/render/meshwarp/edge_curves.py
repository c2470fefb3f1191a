r"""Edges of lips and lids as curves over the line between two corners, at any resolution.

    corner ------- u 0..1 -------> other corner         u: how far along the line
       \___      | v             ___/                   v: how far below it, in pixels
           \_____v___ edge ____/

Letters: `B` frames, `n` points of an edge, `h w` pixels. Points are x right, y down, in pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor


def edge_curve(points: Tensor) -> Tensor:
    """points (B, n, 2) from corner to corner -> (B, n, 2) their u, never falling, and v."""
    u, v = line_coordinates(points[:, None], points)
    return torch.stack([u[:, 0].cummax(dim=1).values, v[:, 0]], dim=-1)


def line_coordinates(places: Tensor, edge: Tensor) -> tuple[Tensor, Tensor]:
    """places (B or 1, h, w, 2) -> u and v (B, h, w) by the line from the first to the last point of edge (B, n, 2)."""
    across = edge[:, -1] - edge[:, 0]
    length = across.norm(dim=-1).clamp_min(1e-3)[:, None, None]
    along_x, along_y = (across / length[:, 0]).unbind(-1)
    along_x, along_y = along_x[:, None, None], along_y[:, None, None]
    x, y = (places - edge[:, None, None, 0]).unbind(-1)
    return (x * along_x + y * along_y) / length, y * along_x - x * along_y


def below_edge(curve: Tensor, u: Tensor) -> Tensor:
    """v of curves (B or 1, n, 2) at u (B, h, w), straight between their points."""
    flat = u.flatten(1).contiguous()
    knots, heights = curve.expand(len(flat), -1, -1).unbind(-1)
    after = torch.searchsorted(knots.contiguous(), flat).clamp(1, knots.shape[1] - 1)
    left, right = knots.gather(1, after - 1), knots.gather(1, after)
    share = ((flat - left) / (right - left).clamp_min(1e-6)).clamp(0, 1)
    low, high = heights.gather(1, after - 1), heights.gather(1, after)
    return (low + share * (high - low)).view_as(u)


def pixels_around(points: Tensor, margin: float, side: int) -> tuple[slice, slice, Tensor]:
    """points (B, n, 2) -> rows and columns of the image of `side` pixels that hold them all with a margin, and the
    centres of those pixels (h, w, 2).
    """
    first = (points.amin((0, 1)) - margin).floor().long().clamp(0, side).tolist()
    last = (points.amax((0, 1)) + margin).ceil().long().clamp(0, side).tolist()
    x, y = (torch.arange(a, max(a, b), device=points.device) + 0.5 for a, b in zip(first, last, strict=True))
    places = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)
    return slice(first[1], first[1] + len(y)), slice(first[0], first[0] + len(x)), places
