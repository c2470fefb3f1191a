"""Where pixels lie between the lips.

In: the edges of the lips, and pixels. Out: how far each pixel lies below the upper lip and above the lower one.
Letters: `B` frames, `h w` pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...easing import smoothstep
from ..meshwarp.edge_curves import below_edge, edge_curve, line_coordinates
from .lip_edges import lip_edges


class Opening(NamedTuple):
    """(B, 1, h, w) each, distances in pixels.

    above    how far below the edge of the upper lip;  below: how far above that of the lower one. Both are negative
             beside the mouth
    height   how far the lips are apart there
    across   from one corner (0) to the other (1), and beyond
    """

    above: Tensor
    below: Tensor
    height: Tensor
    across: Tensor

    def cover(self, edge: float, wider: float = 0.0) -> Tensor:
        """1 between the lips, 0 beside them, over `edge` pixels, and by `wider` of those further out; 0 where they
        touch.
        """
        within = (torch.minimum(self.above, self.below) / edge + 0.5 + wider).clamp(0, 1)
        return within * ((self.above + self.below) / edge).clamp(0, 1)

    def over_lower_lip(self, reach: float) -> Opening:
        """The same with the lower lip so much lower, as far as the lips are apart by more than that."""
        moved = (self.height / 2).clamp(0, reach)
        return self._replace(below=self.below + moved, height=self.height + moved)

    def from_corner(self, part: float) -> Tensor:
        """0 at the corners of the mouth, 1 further than a part of its width from them, smooth between."""
        return smoothstep(torch.minimum(self.across, 1 - self.across) / part)


def opening(lips: Tensor, places: Tensor) -> Opening:
    """lips (B, 20, 2) as INNER_LIPS names them, places (B or 1, h, w, 2), in pixels."""
    upper, lower = lip_edges(lips)
    u, v = line_coordinates(places, upper)
    top, bottom = (below_edge(edge_curve(edge), u) for edge in (upper, lower))
    beside = (u.clamp(0, 1) - u).abs() * (upper[:, -1] - upper[:, 0]).norm(dim=-1)[:, None, None]
    parts = (v - top - beside, bottom - v - beside, bottom - top, u)
    return Opening(*(part[:, None] for part in parts))


def lips_apart(lips: Tensor, across: Tensor) -> Tensor:
    """lips (B, 20, 2), across (1, h, w) from corner to corner in 0..1 -> (B, h, w) how far they are apart there, in
    pixels; below 0 where they overlap.
    """
    u = across.expand(len(lips), -1, -1)
    top, bottom = (below_edge(edge_curve(edge), u) for edge in lip_edges(lips))
    return bottom - top
