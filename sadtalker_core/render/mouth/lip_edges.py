"""Where the lips part: each drawn up to its very edge, however near the other one is.

The warp is known on the stage, whose pixels are as large as a row of teeth is high in a mouth that has nearly closed.
Between two of them it would lead from one lip over everything that lies between both in the portrait. So what moves a
lip is carried on over its edge, and the edge is drawn as sharp as the crop.
How far apart lips are in a frame: meshwarp/lip_contact.py.

In: the warped frames, and where the lips are. Out: the frames with the edges of the lips drawn.
Letters: `B` frames, `S` side of the crop, `h w` the rectangle around the mouth.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ...canonical_face import INNER_LIPS
from ..meshwarp.edge_curves import below_edge, edge_curve, line_coordinates, pixels_around
from ..meshwarp.flow_maps import MeshFlow
from ..meshwarp.placement import STAGE
from ..meshwarp.posed_rig import PosedRig
from ..meshwarp.warp import Lookup, sample, sum_around

_HALF = len(INNER_LIPS) // 2
_FINER = 4  #: points of an edge for one of the mesh

# Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet"), column "M" of those
# who show teeth in the portrait (astronaut, obama, obama2).
_REACH = 3  #: pixels of the stage over which a lip is carried on
_SURELY = 0.2  #: pixels of the stage within the edge of a lip, from where on a pixel is surely moved as that lip is
_CORNER = 0.04  #: of the width of the mouth, over which that begins
#: The shade between lips that have met: how dark, and how far it reaches up and down, in decimetres. It begins where
#: lips are as near as the first, and have come nearer than in the portrait by more than the second; by the third it is
#: whole. Lips that were hardly parted bring their own.
_SHADE, _SHADE_REACH = 0.2, 0.009
_NEAR, _NEARER, _MUCH_NEARER = 0.02, 0.03, 0.08


def lip_edges(lips: Tensor) -> tuple[Tensor, Tensor]:
    """lips (B, 20, 2) -> upper and lower edge (B, 41, 2), both from the first corner to the second, without kinks."""
    return _smooth(lips[:, : _HALF + 1]), _smooth(torch.cat([lips[:, :1], lips[:, _HALF:].flip(1)], dim=1))


def _smooth(edge: Tensor) -> Tensor:
    """edge (B, n, 2) -> (B, _FINER (n - 1) + 1, 2): cubic between its points (Catmull and Rom 1974)."""
    first = edge[:, :1]  # shares of what is near 0 are more exact
    return first + torch.einsum("fn,bnc->bfc", _shares(edge.shape[1], edge.device), edge - first)


@functools.lru_cache(maxsize=4)
@torch.inference_mode(False)
def _shares(n: int, device: torch.device) -> Tensor:
    """(_FINER (n - 1) + 1, n) how much of each of n points is in each of the curve through them."""
    points = torch.eye(n)
    ends = torch.cat([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    before, left, right, after = (ends[k : k + n - 1, None] for k in range(4))
    t = (torch.arange(_FINER) / _FINER)[None, :, None]
    curve = left + t / 2 * (
        right - before + t * (2 * before - 5 * left + 4 * right - after + t * (3 * (left - right) + after - before))
    )
    return torch.cat([curve.flatten(0, 1), points[-1:]]).to(device)


class LipEdges:
    """lookup: of the portrait's crop;  side: of the crop in pixels;  head: the portrait's"""

    def __init__(self, lookup: Lookup, side: int, head: PosedRig):
        self.lookup, self.side, self.head, self.density = lookup, side, head, head.density
        self.source = lip_edges(head.on_crop(head.rig.source[list(INNER_LIPS)])[None])

    def draw(self, warped: Tensor, displacement: Tensor, flow: MeshFlow) -> Tensor:
        """warped (B, 3, S, S) by displacement (B, 2, 160, 160) of the stage -> the same, on which the lips are drawn
        up to their edges, in place.
        """
        on_stage = flow.mesh[:, list(INNER_LIPS)]
        rows, columns, places = pixels_around(
            self.head.on_crop(on_stage), _REACH * float(self.head.zoom), warped.shape[-1]
        )
        if not places.numel():
            return warped
        on_rows, on_columns, spots = pixels_around(on_stage, 2 * _REACH, STAGE)
        edges = lip_edges(on_stage)
        sides, _, _ = _sides(edges, spots[None])
        upper, lower = (self.head.on_crop(edge) for edge in edges)
        fine_sides, gap, between = _sides((upper, lower), places[None])
        was_gap = _gap(self.source, line_coordinates(places[None], self.source[0])[0])
        window = warped[:, :, rows, columns]
        drawn, total = torch.zeros_like(window), torch.zeros_like(between)
        for coarse, fine in zip(sides, fine_sides, strict=True):
            carried = displacement.clone()
            carried[:, :, on_rows, on_columns] = _carried_on(displacement[:, :, on_rows, on_columns], coarse > _SURELY)
            near = (_REACH - fine / self.head.zoom).clamp(0, 1)  # further away no frame is any different
            cover = (fine + 0.5).clamp(0, 1) * between * near
            drawn, total = drawn + cover * self._warped(carried, places), total + cover
        both = total.clamp_min(1)
        nearer = ((was_gap - gap) / self.density - _NEARER) / (_MUCH_NEARER - _NEARER)
        met = nearer.clamp(0, 1) * (1 - gap / self.density / _NEAR).clamp(0, 1)
        line = torch.exp(-((torch.maximum(*fine_sides) / max(1.0, _SHADE_REACH * self.density)) ** 2))
        warped[:, :, rows, columns] = (drawn / both + (1 - total / both) * window) * (1 - _SHADE * met * between * line)
        return warped

    def _warped(self, displacement: Tensor, places: Tensor) -> Tensor:
        """What a displacement (B, 2, 160, 160) brings to places (h, w, 2) of the crop: (B, 3, h, w)."""
        n = len(displacement)
        grid = (self.head.on_stage(places) * (2 / STAGE) - 1).expand(n, -1, -1, -1)
        moved = sample(displacement, grid).permute(0, 2, 3, 1) * self.head.zoom
        return self.lookup((places + moved) * (2 / self.side) - 1)


def _sides(edges: tuple[Tensor, Tensor], places: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
    """edges of the lips (B, n, 2), places (B or 1, h, w, 2) -> how far they lie within the upper and within the lower
    lip, and how far the lips are apart there, (B, 1, h, w) each, in pixels; and 1 between the corners of the mouth, 0
    beside it.
    """
    u, v = line_coordinates(places, edges[0])
    top, bottom = (below_edge(edge_curve(edge), u)[:, None] for edge in edges)
    v, ends = v[:, None], (torch.minimum(u, 1 - u) / _CORNER).clamp(0, 1)[:, None]
    middle = (top + bottom) / 2
    return (torch.minimum(top, middle) - v, v - torch.maximum(bottom, middle)), bottom - top, ends


def _gap(edges: tuple[Tensor, Tensor], u: Tensor) -> Tensor:
    """u (B, h, w) along the upper edge -> (B, 1, h, w) how far the lips are apart there."""
    top, bottom = (below_edge(edge_curve(edge), u)[:, None] for edge in edges)
    return bottom - top


def _carried_on(values: Tensor, known: Tensor) -> Tensor:
    """values (B, 2, h, w), those that are known (B, 1, h, w) carried on over the others nearby."""
    for _ in range(_REACH):
        total, n_known = sum_around(torch.cat([values * known, known.to(values)], dim=1), 3).split((2, 1), dim=1)
        values = torch.where(known | (n_known == 0), values, total / n_known.clamp_min(1))
        known = n_known > 0
    return values
