"""Where the lips of an open mouth end in a portrait: the mesh is moved to the edges that the image shows.

The mesh network is off by up to a third of a lip where teeth show: either teeth count as lip, and a closing mouth
drags them along, or lip counts as opening, and is lost. In: the mesh and the crop.
Out: the mesh, its lips moved up or down. Mouths that are closed or hardly open, and portraits without colour, stay as
they are. (Corners: corners.py.)

From each point of the edge the image is sampled along a line, from within the lip towards the opening. What is grey
and bright there, or dark, is the inside of the mouth. The edge is where most of that lies behind, and most of what
lies before is lip; found for a whole edge at once, so that it has no steps (dynamic programming).

Letters: `S` side of the crop, `n` 9 points of an edge, `k` places along the lines, `m` beside each other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...canonical_face import INNER_LIPS, LOWER_INNER_LIP, OUTER_LIPS, UPPER_INNER_LIP
from ..meshwarp.lip_contact import spread_of_lips
from ..meshwarp.placement import fit_head
from ..meshwarp.warp import sample

_UPPER, _LOWER = list(UPPER_INNER_LIP), list(LOWER_INNER_LIP[::-1])
_UPPER_OUTER, _LOWER_OUTER = list(OUTER_LIPS[1:10]), list(OUTER_LIPS[:10:-1])

# In decimetres. Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet"), on
# those who show teeth in the portrait (astronaut, obama, obama2).
_OPEN = 0.06  #: lips that are less apart are not measured
#: how far an edge is moved over the lip, or into the opening; the step between two samples
_OUT, _IN, _STEP = 0.04, 0.06, 0.004
_PART = 0.4  #: of how far the lips are apart there, that each edge may move in at most
_BEHIND = 0.03  #: how far beyond an edge samples count for it
_LINE_SPACING = 0.008  #: distance of the two lines beside each, which are averaged with it
_STAYS, _STEEP = 0.25, 3.0  #: pulls to where the mesh has it, and against steps between neighbours
_WORSE = 2.5  #: the cost of a tooth that counts as lip, by that of lip that counts as a tooth
_SPARE = 0.024  #: decimetres by which an edge that moves in stays back
#: What is inside the mouth, by the lip: as little red, and as bright, as teeth are; as dark as what is behind. From the
#: first of a pair, where it could be, over so much further, where it surely is.
_PALE, _BRIGHT, _DARK = (0.75, 0.25), (0.6, 0.3), (0.55, 0.2)
_COLOURLESS = 0.03  #: redness of lips below which a portrait has no colours to go by


def with_measured_lips(points: Tensor, image: Tensor) -> Tensor:
    """points (468, 3) in pixels of the crop image (1, 3, S, S) in 0..1 -> the same; those of lips may be moved."""
    density = float(fit_head(points).scale)
    corners = points[[INNER_LIPS[0], INNER_LIPS[10]], :2]
    across = (corners[1] - corners[0]) / (corners[1] - corners[0]).norm().clamp_min(1e-6)
    down = torch.stack([-across[1], across[0]])
    apart = (points[_LOWER, :2] - points[_UPPER, :2]) @ down / density
    if apart.mean() < _OPEN:
        return points
    moves = []
    for edge, outer, inwards in ((_UPPER, _UPPER_OUTER, down), (_LOWER, _LOWER_OUTER, -down)):
        lip = points[edge, :2]
        reach = (_PART * apart).clamp(0, _IN)
        moved = _inwards(image, lip, (lip + points[outer, :2]) / 2, across * density, inwards * density, reach)
        moves.append(moved[:, None] * inwards * density)
    changed = points.clone()
    changed[:, :2] += spread_of_lips(points.device) @ torch.cat(moves)
    return changed


def _inwards(image: Tensor, edge: Tensor, lip: Tensor, across: Tensor, inwards: Tensor, reach: Tensor) -> Tensor:
    """edge (n, 2) of the mesh, lip (n, 2) places on the lip, in pixels; across, inwards (2,) a decimetre along the
    mouth and into it; reach (n,) -> (n,) decimetres by which the edge lies further in.
    """
    steps = torch.arange(-_OUT, _IN + _BEHIND, _STEP).to(edge)
    spacing = torch.tensor([-_LINE_SPACING, 0.0, _LINE_SPACING]).to(edge)
    places = edge[:, None, None] + steps[:, None, None] * inwards + spacing[:, None] * across
    samples = sample(image, places.flatten(1, 2)[None] * (2 / image.shape[-1]) - 1)[0]
    samples = samples.unflatten(-1, (len(steps), len(spacing))).mean(-1)
    own = sample(image, lip[None, None] * (2 / image.shape[-1]) - 1)[0, :, 0].median(-1).values
    red = _redness(own)
    if red.min() < _COLOURLESS:
        return torch.zeros_like(reach)
    light, red = samples.mean(0) / own.mean().clamp_min(1e-3), (_redness(samples) / red[:, None, None]).amax(0)
    pale = ((_PALE[0] - red) / _PALE[1]).clamp(0, 1) * ((light - _BRIGHT[0]) / _BRIGHT[1]).clamp(0, 1)
    inside = torch.maximum(pale, ((_DARK[0] - light) / _DARK[1]).clamp(0, 1))  # (n, k)
    before = torch.nn.functional.pad(inside.cumsum(1), (1, 0))
    outside = torch.nn.functional.pad((1 - inside).cumsum(1), (1, 0))
    behind = round(_BEHIND / _STEP)
    candidates = len(steps) - behind
    cost = _WORSE * before[:, :candidates] + outside[:, behind : behind + candidates] - outside[:, :candidates]
    where = steps[:candidates]
    cost = cost + _STAYS * where.abs() / _IN
    cost = cost.masked_fill(where > reach[:, None], torch.inf)
    moved = where[smoothest(cost.cpu()).to(where.device)]
    return torch.where(moved > 0, (moved - _SPARE).clamp_min(0), moved)


def smoothest(cost: Tensor) -> Tensor:
    """cost (n, k) -> (n,) which of the k each of n neighbours takes, so that costs and steps together are least."""
    ways = torch.arange(cost.shape[1]) * (_STEP / _IN)
    steep = _STEEP * (ways[:, None] - ways).square() * len(ways) / 2
    total, came = cost[0], []
    for own in cost[1:]:
        least, way = (total[None] + steep).min(1)
        came.append(way)
        total = least + own
    taken = [total.argmin()]
    for way in reversed(came):
        taken.append(way[taken[-1]])
    return torch.stack(taken[::-1])


def _redness(colour: Tensor) -> Tensor:
    """colour (3, ...) -> (2, ...) by how much it is redder than green, and than green or blue, of its light: skin has
    more of the second, lips of the first, teeth little of both.
    """
    than_green, than_blue = colour[0] - colour[1], colour[0] - colour[2]
    return torch.stack([than_green, torch.maximum(than_green, than_blue)]) / colour.sum(0).clamp_min(0.05)
