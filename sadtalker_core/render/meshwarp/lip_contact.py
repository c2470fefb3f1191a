"""How lips close: they are as far apart as the weights ask, however far the portrait's own are, and a press shuts them.

In: the portrait's face, the mesh as the template's blendshapes move it, and the blendshape weights of driving frames.
Out: displacements of the mesh with the lips corrected and the skin following, and where the source is looked at, so
that a lip that closes brings no rim of the teeth along. (Their edges at full size: mouth/lip_edges.py; what is visible
between them: mouth/interior.py.)

The steps of `with_lips_that_meet`:

    apart     gap between the lips as the template moves them         asked     what the weights ask for
    shortfall what the template lacks to close this portrait's lips   kept      how much of it stays for now
    wanted    apart, less the shortfall, less what a press takes,     closing   what the edges have to move for that
              with corners that stay shut while lips part a little

Letters: `B` frames, `P` blendshapes; 9 pairs of points between the corners. Camera coordinates as in placement.py.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ...canonical_face import (
    INNER_LIPS,
    LOWER_INNER_LIP,
    N_POINTS,
    OUTER_LIPS,
    SKIN,
    UPPER_INNER_LIP,
    load_canonical_face,
)
from ...coefficients import BLENDSHAPE_INDEX
from .placement import PlacedFace

#: the edges of the lips between the corners, the upper and the lower points in pairs
_UPPER_LIP, _LOWER_LIP = list(UPPER_INNER_LIP), list(LOWER_INNER_LIP[::-1])
_MIDDLE = slice(2, 7)  #: the pairs by which a mouth is measured
_MOUTH_BLENDSHAPES = [k for unit, k in BLENDSHAPE_INDEX.items() if unit.startswith(("jaw", "mouth"))]
_PRESSES = [BLENDSHAPE_INDEX["mouthPressLeft"], BLENDSHAPE_INDEX["mouthPressRight"]]

# Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet"), columns "M" and the
# vowels, of those who show teeth in the portrait (astronaut, obama, obama2): shut on M, their own smile elsewhere.
_ALL_LOST = 1.0  #: of the weights of the mouth: when so much is gone, the source's expression is
_WIDE_OPEN = 0.2  #: decimetres asked for, at which lips are left to the jaw
#: so much of `mouthPress` holds lips together whatever else is asked: the voice networks give a p, b or m 0.12 to 0.5
_PRESSED = 0.18
#: and twice as much where the rest asks for twice so many decimetres: from a b to a vowel, lips part over two frames.
#: With 0.045 one p, b or m in seven of who shows teeth (obama, obama2) stayed ajar, with 0.07 one in twenty.
_PARTING = 0.07
_HARDLY_OPEN = 0.004  #: decimetres
_LIP_RIM = 0.022  #: decimetres at most that the mesh lies within the edge of a lip
_UPPER_SHARE = 0.45  #: of the way that is left is the upper lip's
#: How lips part once they are further apart, or less, than in the portrait by the first and so much of the portrait's
#: own opening, in decimetres: halfway from what the template has to a parabola from corner to corner, to this power;
#: and a mouth that has just parted stays shut from the corners inwards, where the parabola is lower than this, which
#: ends with so wide an opening, in decimetres and by the portrait's.
_OTHERWISE, _OTHERWISE_PART = 0.010, 0.15
_POINTED = 0.8
_SEALED, _UNSEALED, _UNSEALED_PART = 0.6, 0.06, 0.5
#: How what the edges of the lips do spreads over the skin: by springs along the edges of the mesh, so much harder
#: within the lips, and by springs from each point to where it was, the harder the less mouth and jaw ever move it.
_LIP_HARDNESS = 40.0
_HELD = 0.01


def with_lips_that_meet(face: PlacedFace, moved: Tensor, weights: Tensor) -> Tensor:
    """Displacements moved (B, 468, 3) in camera coordinates, weights (B, P) -> the same, with the lips as far apart as
    the weights ask. What the template's lips lack to close the portrait's smile or open mouth stays only while the
    mouth keeps the portrait's expression, or is wide open again.
    """
    rest = face.camera_points
    gap = (rest + moved)[:, _LOWER_LIP] - (rest + moved)[:, _UPPER_LIP]
    apart, was_apart = gap @ face.down, (rest[_LOWER_LIP] - rest[_UPPER_LIP]) @ face.down
    asked, was_asked = _asked_gap(face, weights), _asked_gap(face, face.weights[None])
    shortfall = (1 - _kept(face, weights, asked, was_asked)) * (was_apart[_MIDDLE].mean() - was_asked).clamp_min(0)
    share = (1 - shortfall / apart[:, _MIDDLE].mean(1).clamp_min(_HARDLY_OPEN)).clamp_min(0)[:, None]
    wanted = torch.maximum(share * apart, was_apart.clamp_max(0)) * (1 - _pressed(face, weights, asked)[:, None])
    wanted = _with_corners(face, wanted, was_apart)
    closing = (1 - wanted / apart.where(apart.abs() > 1e-6, 1e-6)).clamp(-1, 1)[..., None] * gap
    edges = torch.cat([_UPPER_SHARE * closing, (_UPPER_SHARE - 1) * closing], dim=1)
    return moved + spread_of_lips(moved.device) @ edges


def without_lip_rims(face: PlacedFace, source: Tensor, driving: Tensor) -> Tensor:
    """source, driving (B, P, 2): where the portrait is sampled, and where that appears, in pixels of the stage ->
    source, lips that close taken from further out: the mesh lies a little inside their edges, and they would bring a
    rim of the teeth along.
    """
    source = source.clone()
    apart, was_apart = ((at[:, _LOWER_LIP] - at[:, _UPPER_LIP]).norm(dim=-1) for at in (driving, source))
    rim = ((was_apart - apart) / (4 * face.fit.scale)).clamp(0, _LIP_RIM)[..., None]
    source[:, _UPPER_LIP] -= rim * face.down_on_stage
    source[:, _LOWER_LIP] += rim * face.down_on_stage
    return source


def _asked_gap(face: PlacedFace, weights: Tensor) -> Tensor:
    """(B,) how much further than at rest weights (B, P) hold the lips of the template apart, in decimetres."""
    lips = face.canonical.displacements(weights)[..., 1]
    return (lips[:, _UPPER_LIP] - lips[:, _LOWER_LIP])[:, _MIDDLE].mean(1)


def _kept(face: PlacedFace, weights: Tensor, asked: Tensor, was_asked: Tensor) -> Tensor:
    """(B,) in 0..1: how much of the portrait's own gap stays, by the gap that is asked for (B,), was asked for (1,),
    and by how much of the portrait's expression is left.
    """
    share_asked = (asked.clamp_min(0) + _HARDLY_OPEN) / (was_asked.clamp_min(0) + _HARDLY_OPEN)
    lost = (face.weights - weights)[:, _MOUTH_BLENDSHAPES].clamp_min(0).sum(1)
    kept = share_asked.clamp_max(1) * (1 - lost / _ALL_LOST).clamp_min(0)
    return torch.maximum(kept, (asked / _WIDE_OPEN).clamp(0, 1).square())


def _with_corners(face: PlacedFace, wanted: Tensor, was_apart: Tensor) -> Tensor:
    """wanted (B, 9), was_apart (9,) how far the lips are apart in a frame, and in the portrait, in decimetres ->
    wanted, as far in the middle on average, with corners as a mouth has them that opens from the middle.
    """
    rest = face.camera_points
    first, last = rest[INNER_LIPS[0]], rest[INNER_LIPS[10]]
    across = (rest[_UPPER_LIP] + rest[_LOWER_LIP]) / 2 - first
    u = (across @ (last - first) / (last - first).square().sum()).clamp(0, 1)
    height = 4 * u * (1 - u)
    middle, was = wanted[:, _MIDDLE].mean(1, keepdim=True).clamp_min(0), was_apart[_MIDDLE].mean().clamp_min(0)
    sealed = _SEALED * (1 - middle / (_UNSEALED_PART * was).clamp_min(_UNSEALED)).clamp_min(0)
    shaped = ((height - sealed) / (1 - sealed)).clamp_min(0) ** _POINTED
    shaped = (wanted.clamp_min(0) * middle * shaped).sqrt()
    shaped = shaped * middle / shaped[:, _MIDDLE].mean(1, keepdim=True).clamp_min(1e-6)
    otherwise = ((middle - was).abs() / (_OTHERWISE + _OTHERWISE_PART * was)).clamp(0, 1)
    return wanted + otherwise * (shaped - wanted.clamp_min(0))


def _pressed(face: PlacedFace, weights: Tensor, asked: Tensor) -> Tensor:
    """(B,) how firmly the lips have been pressed together since the portrait, 0..1; asked (B,) as in `_asked_gap`."""
    was = face.weights[_PRESSES].mean().clamp_min(0)
    surely = _PRESSED * (1 + ((asked - _PARTING) / _PARTING).clamp(0, 1))
    return ((weights[:, _PRESSES].mean(1) - was) / (surely - was).clamp_min(_PRESSED / 2)).clamp(0, 1)


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def spread_of_lips(device: torch.device) -> Tensor:
    """(468, 18) by what share each point follows the edge of the upper lip (9 points), and that of the lower."""
    canonical = load_canonical_face()
    within = _within_lips(skin_edges())
    springs = skin_springs(within)
    mobility = canonical.blendshapes[_MOUTH_BLENDSHAPES, :, 1].double().norm(dim=0)
    springs.diagonal().add_(torch.where(within, 0, _HELD / mobility.square()))
    edges = _UPPER_LIP + _LOWER_LIP
    free = torch.ones(N_POINTS, dtype=torch.bool)
    free[edges] = False
    spread = torch.zeros(N_POINTS, len(edges), dtype=torch.double)
    spread[edges] = torch.eye(len(edges), dtype=torch.double)
    spread[free] = torch.linalg.solve(springs[free][:, free], -springs[free][:, edges])
    return spread.float().to(device)


def skin_springs(within: Tensor | None = None) -> Tensor:
    """(468, 468) in double precision: times places of the points, how hard springs along the edges of the skin pull,
    which are the weaker the longer they are, and _LIP_HARDNESS times as hard between points that are `within` (468,).
    """
    places, pairs = load_canonical_face().mean.double(), skin_edges()
    lengths = (places[pairs[:, 0]] - places[pairs[:, 1]]).norm(dim=1)
    hardness = 1 / lengths if within is None else torch.where(within[pairs].all(1), _LIP_HARDNESS, 1.0) / lengths
    springs = torch.zeros(N_POINTS, N_POINTS, dtype=torch.double)
    springs[pairs[:, 0], pairs[:, 1]] = springs[pairs[:, 1], pairs[:, 0]] = -hardness
    springs.diagonal().copy_(-springs.sum(1))
    return springs


def skin_edges() -> Tensor:
    """(N, 2) points that an edge of the skin joins."""
    canonical = load_canonical_face()
    skin = canonical.triangles[canonical.kind == SKIN]
    return torch.cat([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]]).sort(dim=1).values.unique(dim=0)


def _within_lips(pairs: Tensor) -> Tensor:
    """(468,) the points of the lips with their edges: what pairs of neighbours (N, 2) lead to from the inner edge
    without crossing the outer one.
    """
    inside = torch.zeros(N_POINTS, dtype=torch.bool)
    inside[list(INNER_LIPS)] = True
    while True:
        leading = inside.clone()
        leading[list(OUTER_LIPS)] = False
        reached = pairs[leading[pairs].any(1)]
        if inside[reached].all():
            return inside
        inside[reached] = True
