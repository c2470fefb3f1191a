"""Refines the inner lip edges of a mesh by the frame's pixels: the mesh comes in, the same mesh, corrected, goes
out.

The mesh network puts the edge of a lip one to three millimetres inside the mouth, over the teeth. In a portrait that
costs little; where an open mouth has to close, what lies between the edge and the mesh would stay as a grey line.
So each point of the edge is moved towards the outer edge of its lip, to where the colour of the inside ends and that
of the lip begins. Where lips touch, the mesh has the line between them up to two millimetres too high, and a mouth
that opens there would part the upper lip; both edges are moved to the darkest place between the outer edges.
Before that, the corners are moved to where the person has them, see corners.py.
Letters: `n` points of an edge, `k` samples.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..canonical_face import INNER_LIPS, OUTER_LIPS
from .corners import with_corners

#: rings of the mesh between the inner and the outer edge, without the corners, in the order of INNER_LIPS
_WITHIN = (
    (183, 42, 41, 38, 12, 268, 271, 272, 407, 325, 319, 403, 316, 15, 86, 179, 89, 96),
    (184, 74, 73, 72, 11, 302, 303, 304, 408, 307, 320, 404, 315, 16, 85, 180, 90, 77),
)
_UPPER, _LOWER = slice(1, 10), slice(11, 20)  #: of both lists, without the corners
_SAMPLES = 24
_FROM, _TO = -0.25, 0.9  #: of the way from the inner to the outer edge: where it is searched
_SURELY_LIP = 0.7  #: of that way, from which on all is lip
_FURTHEST = 0.55  #: of that way: no edge is moved further
_LINE_WITHIN, _LINE_SAMPLES = (0.15, 0.85), 57  #: of the way between the outer edges: where it is searched
_DARKER = 0.016  #: of light, by which a place is surely darker than another
_LINE_OFF = 0.2  #: of that way: the line is moved no further
_PARTED = 0.035, 0.02  #: lips by their distance over that of the corners of the mouth: surely parted, and over how much
_COLOURLESS = 0.03  #: redness of lips from which on teeth are distinguished by their colour


def with_lip_edges(image: Tensor, points: Tensor, below: Tensor, *, open_too: bool = True) -> Tensor:
    """image (3, S, S) in 0..1, points (468, 3) in its pixels -> the same points, the inner edges of the lips moved to
    where the image has them.  below (2,): where the corners are, see corners.py;
    open_too: the edges of parted lips, too
    """
    points = with_corners(points, below)
    inner, outer = points[list(INNER_LIPS), :2], points[list(OUTER_LIPS), :2]
    parted = _parted(inner)
    line = (1 - parted) * _line_off(image, inner, outer)
    to_line = line[:, None] * (outer[_LOWER].flip(0) - outer[_UPPER])
    inside = _colours_at(image, (inner[_UPPER] + inner[_LOWER].flip(0)) / 2)
    moved = points.clone()
    for lip, dark, share, shift in (
        (_UPPER, inside, parted, to_line),
        (_LOWER, inside.flip(0), parted.flip(0), to_line.flip(0)),
    ):
        start, way = inner[lip], (outer - inner)[lip]
        if open_too and bool((share > 0).any()):
            shift = shift + (share * _border(image, start, way, dark))[:, None] * way
        moved[[INNER_LIPS[k] for k in range(len(INNER_LIPS))[lip]], :2] += shift
        for ring in _WITHIN:  # and what lies between the edges is pressed together
            points_of_ring = [*(ring[:9] if lip is _UPPER else ring[9:])]
            along = ((points[points_of_ring, :2] - start) * way).sum(-1) / way.square().sum(-1).clamp_min(1e-6)
            moved[points_of_ring, :2] += shift * (1 - along).clamp(0, 1)[:, None]
    return moved


def _parted(inner: Tensor) -> Tensor:
    """inner (20, 2) -> (9,) in 0..1: 1 where the lips are surely parted."""
    width = (inner[10] - inner[0]).norm().clamp_min(1e-3)
    gap = (inner[_LOWER].flip(0) - inner[_UPPER]).norm(dim=-1)
    return ((gap / width - _PARTED[0]) / _PARTED[1] + 1).clamp(0, 1)


def _border(image: Tensor, start: Tensor, way: Tensor, dark: Tensor) -> Tensor:
    """start (9, 2) the inner edge of a parted lip, way (9, 2) from there to its outer edge, dark (9, 3) the colour of
    the inside -> (9,) the part of the way after which the lip begins.
    """
    t = torch.linspace(_FROM, _TO, _SAMPLES)
    colours = _colours_at(image, start[:, None] + t[:, None] * way[:, None])
    own, dark = colours[:, t > _SURELY_LIP].mean(1, keepdim=True), dark[:, None]
    like_dark = (colours - own).norm(dim=-1) - (colours - dark).norm(dim=-1)
    like_dark = like_dark / (dark - own).norm(dim=-1).clamp_min(_DARKER)
    red, own_red = _redness(colours), _redness(own)
    like_tooth = torch.where(own_red < _COLOURLESS, -1, 1 - 2 * red / own_red.clamp_min(_COLOURLESS)).clamp(-1, 1)
    like_inside = torch.maximum(like_dark, like_tooth)
    before = like_inside.cumsum(1)  # of the best border between two kinds of pixels: inside before, lip behind
    border = t[(2 * before - before[:, -1:]).argmax(1)].clamp(0, _FURTHEST)
    return F.avg_pool1d(F.pad(border[None, None], (1, 1), mode="replicate"), 3, 1)[0, 0]


def _redness(colours: Tensor) -> Tensor:
    """(..., 3) -> (...) how much redder than green, by all light: lips are, teeth are hardly."""
    return (colours[..., 0] - colours[..., 1]) / colours.sum(-1).clamp_min(0.05)


def _line_off(image: Tensor, inner: Tensor, outer: Tensor) -> Tensor:
    """(9,) how far below the middle of both inner edges the line between touching lips is visible, as a part of the way
    from the outer edge of the upper lip to that of the lower one.
    """
    top, way = outer[_UPPER], outer[_LOWER].flip(0) - outer[_UPPER]
    t = torch.linspace(*_LINE_WITHIN, _LINE_SAMPLES)
    light = _colours_at(image, top[:, None] + t[:, None] * way[:, None]).mean(-1)
    light = F.avg_pool2d(F.pad(light[None, None], (0, 0, 1, 1), mode="replicate"), (3, 1), 1)[0, 0]
    dark = torch.softmax(-light / _DARKER, dim=1) @ t
    middle = ((inner[_UPPER] + inner[_LOWER].flip(0)) / 2 - top) * way
    off = dark - middle.sum(-1) / way.square().sum(-1).clamp_min(1e-6)
    return off.clamp(-_LINE_OFF, _LINE_OFF)


def _colours_at(image: Tensor, places: Tensor) -> Tensor:
    """image (3, S, S), places (..., 2) in pixels -> (..., 3)."""
    grid = places.reshape(1, 1, -1, 2) * (2 / image.shape[-1]) - 1
    found = F.grid_sample(image[None], grid, padding_mode="border", align_corners=False)
    return found[0, :, 0].T.reshape(*places.shape[:-1], 3)
