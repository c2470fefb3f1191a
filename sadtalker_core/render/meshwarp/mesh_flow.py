"""Where each pixel of a driving frame lies in the source picture, from the mesh of the face alone.

In: the 468 points found in the source, blendshape weights and head turns per frame. Out: backward displacement and maps
that tell a network what it is looking at. The face is carried by its triangles; rings of anchors around it (hair, ears,
neck) follow part way, and the border of the stage never moves, so that the background stays what it was.

    crop, S x S                      the square picture that is driven
      stage, 160 x 160               a square of 3 decimetres around the head, cut out of the crop once per clip
        window, 128 x 128            its middle, 2.4 decimetres, where the network may repair what the mesh got wrong

Letters: `B` frames, `P` points, `N` triangles. Picture coordinates are x right, y down, in pixels, the centre of the
first one at (0.5, 0.5); z of found points goes away from the viewer. Head coordinates are those of canonical_face.py:
decimetres, y up, z to the viewer; rotations act in the axes of the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import (
    EYES,
    FACE_OUTLINE,
    HEAD_TO_PICTURE,
    INNER_LIPS,
    LEFT_EYE,
    LOWER_INNER_LIP,
    MOUTH,
    N_POINTS,
    OUTER_LIPS,
    RIGHT_EYE,
    SKIN,
    UPPER_INNER_LIP,
    CanonicalFace,
    fit_similarity,
    load_canonical_face,
)
from ...coefficients import BLENDSHAPE_INDEX

PITCH = 0.01875  #: decimetres between two pixels of the stage
STAGE = 160
WINDOW = 128
MARGIN = (STAGE - WINDOW) // 2
HEAD_CENTRE = (0.0, 7.08, 0.6)  #: the point of head coordinates in the middle of the stage

# Rings around the face: how far out (1 = the outline); how deep in head coordinates, and what share of the motion of
# the head they take, as cosine series of the angle from the top of the forehead; and how much of the jaw's. Depth and
# share are least squares on the exact flow of hair, ears and necks of 600 generated heads
# (training/heads/fit_rings.py), then made smaller by eye where the ring is rarely on a head, or the background would be
# dragged along, and at the crown.
RINGS = (
    (1.15, (0.84, 0.13, 0.35, 0.04, 0.08), (0.87, 0.09, 0.06, -0.10, 0.06), 0.45),
    (1.40, (0.63, 0.22, 0.31, -0.06, 0.11), (0.65, 0.01, 0.28, 0.03, 0.07), 0.15),
    (1.70, (0.57, 0.03, 0.33, -0.08, 0.10), (0.45, 0.10, 0.17, 0.03, 0.02), 0.02),
)
_SURROUNDINGS = 3  #: the kind of their triangles, beside those of canonical_face.py
_BEHIND = -1.0  #: depth of the border

_WINDOWS = (
    4,
    6,
    8,
    12,
    16,
    24,
    32,
    48,
    80,
    160,
)  #: sides of the squares in which the pixels of a triangle are looked for
_DEPTH_STEPS = 1 << 20
_DEPTH_RANGE = 8.0  #: decimetres, more than a head is deep
_INSIDE = -1e-4

#: what closes an eye, and the edges of its lids between the corners, the upper and the lower points in pairs
_LIDS = tuple(
    (unit, list(ring[1:8]), list(ring[:8:-1]))
    for unit, ring in (("eyeBlinkLeft", LEFT_EYE), ("eyeBlinkRight", RIGHT_EYE))
)
_MIDDLE = slice(2, 5)  #: the pairs by which an eye is measured; a blink is made this much smaller or larger
_LEAST_OPEN = 0.2  #: of an eye of the source, however closed it is said to be
_LID_RIM = 0.025  #: decimetres
_SMALLEST_BLINK, _LARGEST_BLINK = 0.3, 1.3

#: the edges of the lips between the corners, the upper and the lower points in pairs; the pairs by which a mouth is
#: measured
_UPPER_LIP, _LOWER_LIP = list(UPPER_INNER_LIP), list(LOWER_INNER_LIP[::-1])
_MIDDLE_OF_LIPS = slice(2, 7)
_MOUTH_BLENDSHAPES = [k for unit, k in BLENDSHAPE_INDEX.items() if unit.startswith(("jaw", "mouth"))]
_ALL_LOST = 1.0  #: of the weights of those units: when so much is gone, the source's expression is
_WIDE_OPEN = 0.2  #: decimetres
_PRESSES = [BLENDSHAPE_INDEX["mouthPressLeft"], BLENDSHAPE_INDEX["mouthPressRight"]]
#: so much of those units holds lips together whatever else is asked: the voice networks give a p, b or m 0.12 to 0.5
_PRESSED = 0.18
_HARDLY_OPEN = 0.004  #: decimetres
_LIP_RIM = 0.016  #: decimetres
_UPPER_SHARE = 0.45  #: of the way that is left is the upper lip's
#: How what the edges of the lips do spreads over the skin: by springs along the edges of the mesh, so much harder
#: within the lips, and by springs from each point to where it was, the harder the less mouth and jaw ever move it.
_LIP_HARDNESS = 40.0
_HELD = 0.01

#: the maps for the network, in order: see `MeshFlow`
MAPS = ("x", "y", "z", "mouth height", "mouth", "eyes", "backfacing", "stretch", "upper teeth", "lower teeth", "tongue")


@dataclass(frozen=True, eq=False)
class HeadFit:
    """Where a found mesh puts head coordinates in the picture, by scaled orthography: x, -y, -z of a picture point =
    scale * rotation @ (head point - pivot) + origin.  rotation (B, 3, 3), scale (B,) pixels per decimetre, origin (B,
    3)."""

    rotation: Tensor
    scale: Tensor
    origin: Tensor

    def stage_centre(self) -> Tensor:
        """(B, 2) the middle of the stage in pixels of the picture."""
        canonical = load_canonical_face()
        offset = torch.tensor(HEAD_CENTRE).to(self.scale) - canonical.pivot.to(self.scale)
        place = self.origin + self.scale[:, None] * (self.rotation @ offset)
        return place[:, :2] * place.new_tensor([1.0, -1.0])

    def stage_side(self) -> Tensor:
        """(B,) its side in pixels of the picture."""
        return self.scale * (STAGE * PITCH)


def fit_head(points: Tensor, canonical: CanonicalFace | None = None) -> HeadFit:
    """points (B, 468, 3) as found -> the placement that explains them best; those that blendshapes move count less."""
    canonical = canonical or load_canonical_face()
    moves = canonical.blendshapes.norm(dim=-1).amax(0).to(points)
    weights = 1 / (1 + (moves / 0.05) ** 2)
    found = points * points.new_tensor(HEAD_TO_PICTURE)
    return HeadFit(*fit_similarity(found, (canonical.mean - canonical.pivot).to(points), weights))


@dataclass(frozen=True, eq=False)
class MouthAnchors:
    """Where the inside of the mouth is in driving frames, in pixels of the stage: axes (B, 2, 3), a decimetre along x,
    y and z of the head; anchors (B, 3, 2), the middle of the upper and of the lower tooth edge, and the tip of the
    tongue."""

    axes: Tensor
    anchors: Tensor


@dataclass(frozen=True, eq=False)
class MeshFlow:
    """displacement (B, 2, 160, 160): where a driving pixel of the stage lies in the source, minus where it is, in
    pixels of the stage; maps (B, 11, 128, 128): what the window shows, see MAPS:

    x, y, z       the spot of the head in head coordinates, about -1..1
    mouth height  1 at the upper inner lip, -1 at the lower, between them in the open mouth; 0 elsewhere
    mouth, eyes   1 inside the opening
    backfacing    1 where the source shows that spot from behind
    stretch       how much larger the driving triangle is than the source's: log4, -1..1
    upper teeth, lower teeth, tongue     soft spots where their edges would be

    face (B, 1, 160, 160)    1 inside the outline, soft at the edge
    mesh (B, 468, 2)         the points in pixels of the stage
    eye_closure (B, 2)              how far the left and the right eye have closed since the source, 0..1
    mouth_anchors                     see there
    rigid_affine (B, 3, 2)          a place of the stage (x, y, 1) times this is where the source shows it, for what
                                    sits in
                             the middle of the face and follows the head alone
    """

    displacement: Tensor
    maps: Tensor
    face: Tensor
    mesh: Tensor
    eye_closure: Tensor
    mouth_anchors: MouthAnchors
    rigid_affine: Tensor


class FaceRig:
    """The source's mesh, taken once, and moved per frame.

    points (468, 3) as found in the source, already in pixels of the stage;  weights (P,) blendshape weights of the
    source.
    """

    def __init__(self, points: Tensor, weights: Tensor, canonical: CanonicalFace | None = None):
        self.canonical = _on(canonical or load_canonical_face(), points.device)
        self.fit = fit_head(points[None], self.canonical)
        self.weights = weights.to(points)
        self.scale = self.fit.scale[0]
        self.source = self._with_surroundings(points)
        self.gain = self._blink_gain(points)

    def flow(self, weights: Tensor, turn: Tensor, shift: Tensor) -> MeshFlow:
        """weights (B, P) of the driving frames, turn (B, 3, 3) from the source's head to theirs (times a growth, if
        they come nearer), shift (B, 2) decimetres, x right and y up."""
        driving, depth = self.driven(weights, turn, shift)
        topology = _topology(driving.device)
        triangle, corners = rasterise(driving, depth, topology.triangles, STAGE)
        source, eye_closure = self._without_rims(weights.to(self.source), driving)
        displacement = _displacement(source[:, topology.triangles], triangle, corners)
        inside = self._inside_points(weights, turn, shift)
        maps = torch.cat([self._surface_maps(driving, triangle, corners), self._teeth_maps(inside)], dim=1)
        face = (topology.kind[triangle][:, None] != _SURROUNDINGS).to(displacement)
        mesh = driving[:, :N_POINTS]
        return MeshFlow(
            displacement,
            maps,
            _smooth(_smooth(face)),
            mesh,
            eye_closure,
            self._mouth_anchors(inside, turn),
            self._rigid_affine(turn, shift),
        )

    def driven(self, weights: Tensor, turn: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """All points (B, P, 2) in pixels of the stage with surroundings and border, and their depth (B, P) in
        decimetres."""
        turn, shift, weights = turn.to(self.source), shift.to(self.source), weights.to(self.source)
        shift = F.pad(shift, (0, 1))[:, None]
        rest = self._relative(self.source[:N_POINTS], self.z[:N_POINTS])
        moved = self.canonical.displacements(weights * self.gain) - self.canonical.displacements(
            self.weights * self.gain
        )
        moved = self._lids_that_meet(rest, moved @ self.fit.rotation[0].T, weights)
        moved = self._lips_that_meet(rest, moved, weights)
        face = (rest + moved) @ turn.transpose(1, 2) + shift
        rigid = rest @ turn.transpose(1, 2) + shift
        parts, depths = [self._to_stage(face)], [face[..., 2]]
        outline = list(FACE_OUTLINE)
        speech = (face - rigid)[:, outline]
        for k, (_, _, _, follow_expression) in enumerate(RINGS):
            rows = slice(N_POINTS + k * len(outline), N_POINTS + (k + 1) * len(outline))
            ring = self._relative(self.source[rows], self.z[rows])
            carried = ring @ turn.transpose(1, 2) + shift - ring
            ring = ring + self.follow[rows, None] * carried + follow_expression * speech
            parts.append(self._to_stage(ring))
            depths.append(self.z[rows].expand(len(ring), -1))
        border = self.source[N_POINTS + len(RINGS) * len(outline) :]
        parts.append(border.expand(len(face), -1, -1))
        depths.append(torch.full_like(parts[-1][..., 0], _BEHIND))
        return torch.cat(parts, dim=1), torch.cat(depths, dim=1)

    def _lids_that_meet(self, rest: Tensor, moved: Tensor, weights: Tensor) -> Tensor:
        """Displacements (B, 468, 3), the upper lids corrected: a full blink brings them onto the lower ones along the
        whole eye, and nothing brings them further."""
        moved = moved.clone()
        down = -self.fit.rotation[0][:, 1]
        for closing, (unit, upper, lower) in zip(self._eye_closure(weights).T[..., None, None], _LIDS, strict=True):
            k = BLENDSHAPE_INDEX[unit]
            open_share = max(1 - float(self.weights[k]), _LEAST_OPEN)
            full = self.canonical.blendshapes[k] * self.gain[k] * open_share @ self.fit.rotation[0].T
            rest_gap = rest[lower] - rest[upper]
            moved[:, upper] += closing * (rest_gap + full[lower] - full[upper])
            gap = rest_gap + moved[:, lower] - moved[:, upper]
            too_far = (gap @ down).clamp_max(0)[..., None]
            moved[:, upper] += too_far * down
        return moved

    def _lips_that_meet(self, rest: Tensor, moved: Tensor, weights: Tensor) -> Tensor:
        """Displacements (B, 468, 3), with the lips as far apart as the weights ask. What the template's lips lack to
        close the source's smile or open mouth stays only while the mouth keeps the source's expression, or is wide open
        again."""
        gap = (rest + moved)[:, _LOWER_LIP] - (rest + moved)[:, _UPPER_LIP]
        down = -self.fit.rotation[0][:, 1]
        apart, was_apart = gap @ down, (rest[_LOWER_LIP] - rest[_UPPER_LIP]) @ down
        asked, was_asked = self._asked_gap(weights), self._asked_gap(self.weights[None])
        share_asked = (asked.clamp_min(0) + _HARDLY_OPEN) / (was_asked.clamp_min(0) + _HARDLY_OPEN)
        lost = (self.weights - weights)[:, _MOUTH_BLENDSHAPES].clamp_min(0).sum(1)
        kept = share_asked.clamp_max(1) * (1 - lost / _ALL_LOST).clamp_min(0)
        kept = torch.maximum(kept, (asked / _WIDE_OPEN).clamp(0, 1).square())
        shortfall = (1 - kept) * (was_apart[_MIDDLE_OF_LIPS].mean() - was_asked).clamp_min(0)
        share = (1 - shortfall / apart[:, _MIDDLE_OF_LIPS].mean(1).clamp_min(_HARDLY_OPEN)).clamp_min(0)[:, None]
        wanted = torch.maximum(share * apart, was_apart.clamp_max(0)) * (1 - self._pressed(weights)[:, None])
        closing = (1 - wanted / apart.where(apart.abs() > 1e-6, 1e-6)).clamp(0, 1)[..., None] * gap
        edges = torch.cat([_UPPER_SHARE * closing, (_UPPER_SHARE - 1) * closing], dim=1)
        return moved + _spread_of_lips(moved.device) @ edges

    def _asked_gap(self, weights: Tensor) -> Tensor:
        """(B,) how much further than at rest weights (B, P) hold the lips of the template apart, in decimetres."""
        lips = self.canonical.displacements(weights)[..., 1]
        return (lips[:, _UPPER_LIP] - lips[:, _LOWER_LIP])[:, _MIDDLE_OF_LIPS].mean(1)

    def _pressed(self, weights: Tensor) -> Tensor:
        """(B,) how firmly the lips have been pressed together since the source, 0..1."""
        was = self.weights[_PRESSES].mean().clamp_min(0)
        return ((weights[:, _PRESSES].mean(1) - was) / (_PRESSED - was).clamp_min(_PRESSED / 2)).clamp(0, 1)

    def _eye_closure(self, weights: Tensor) -> Tensor:
        """(B, 2) how far the left and the right eye have closed since the source, 0..1."""
        blinks = [BLENDSHAPE_INDEX[unit] for unit, _, _ in _LIDS]
        was = self.weights[blinks]
        return ((weights[:, blinks] - was) / (1 - was).clamp_min(_LEAST_OPEN)).clamp(0, 1)

    def _without_rims(self, weights: Tensor, driving: Tensor) -> tuple[Tensor, Tensor]:
        """Where the source is looked at (B, P, 2), and `_eye_closure`: the mesh lies a little inside the edges of lids
        and lips, so one that closes is taken from further out, or it would bring a rim of the eye or of the teeth
        along."""
        eye_closure = self._eye_closure(weights)
        source = self.source.expand(len(weights), -1, -1).clone()
        down = self.fit.rotation[0][:2, 1] * source.new_tensor([-1.0, 1.0]) * self.scale
        for closing, (_, upper, lower) in zip(eye_closure.T[..., None, None], _LIDS, strict=True):
            source[:, upper] -= closing * down * _LID_RIM
            source[:, lower] += closing * down * _LID_RIM / 2
        apart, was_apart = ((at[:, _LOWER_LIP] - at[:, _UPPER_LIP]).norm(dim=-1) for at in (driving, self.source[None]))
        rim = ((was_apart - apart) / (4 * self.scale)).clamp(0, _LIP_RIM)[..., None]
        source[:, _UPPER_LIP] -= rim * down
        source[:, _LOWER_LIP] += rim * down
        return source, eye_closure

    def _blink_gain(self, points: Tensor) -> Tensor:
        """(P,) 1, and for the two blinks as much as makes a full one close these eyes and not those of the template."""
        gain = torch.ones_like(self.weights)
        upright = (points[:, :2] @ points.new_tensor([[1.0, 0.0], [0.0, -1.0]])) @ self.fit.rotation[0, :2, :2]
        for unit, upper, lower in _LIDS:
            upper, lower = upper[_MIDDLE], lower[_MIDDLE]
            lids = self.canonical.blendshapes[BLENDSHAPE_INDEX[unit], :, 1]
            closing = float(lids[lower].mean() - lids[upper].mean()) * max(
                1 - float(self.weights[BLENDSHAPE_INDEX[unit]]), _LEAST_OPEN
            )
            open_now = float(upright[upper, 1].mean() - upright[lower, 1].mean()) / float(self.scale)
            gain[BLENDSHAPE_INDEX[unit]] = min(max(open_now / closing, _SMALLEST_BLINK), _LARGEST_BLINK)
        return gain

    def own_teeth(self) -> Tensor:
        """(1, 1, 160, 160) in 0..1: where the source shows the inside of its mouth, a pixel within its lips."""
        triangles = self.canonical.triangles[self.canonical.kind == MOUTH]
        _, corners = rasterise(self.source[None], self.z[None], triangles, STAGE)
        inside = (corners.sum(-1) > 0.5)[:, None].to(self.source)
        return _smooth(-F.max_pool2d(-inside, 3, 1, 1))

    def _rigid_affine(self, turn: Tensor, shift: Tensor) -> Tensor:
        """(B, 3, 2) the affine map from driving to source that the lips would have if they only followed the head."""
        lips = list(INNER_LIPS + OUTER_LIPS)
        rest = self._relative(self.source[lips], self.z[lips])
        carried = rest @ turn.to(rest).transpose(1, 2) + F.pad(shift.to(rest), (0, 1))[:, None]
        driving = F.pad(self._to_stage(carried) - STAGE / 2, (0, 1), value=1.0).double()
        moved_back = (self.source[lips] - STAGE / 2).double() - driving[..., :2]
        affine = torch.linalg.solve(driving.mT @ driving, driving.mT @ moved_back) + torch.eye(3, 2).to(driving)
        # from places counted from the middle of the stage to places counted from its corner
        origin = STAGE / 2 - (STAGE / 2) * affine[:, :2].sum(1)
        affine[:, 2] += origin
        return affine.to(rest)

    def _with_surroundings(self, points: Tensor) -> Tensor:
        """(P, 2) the found points, the rings and the border; notes their depth and how much they follow."""
        outline = points[list(FACE_OUTLINE), :2]
        middle = (outline.amin(0) + outline.amax(0)) / 2
        relative_z = (-points[:, 2] - self.fit.origin[0, 2]) / self.scale
        places, depths, follows = [points[:, :2]], [relative_z], [torch.ones_like(relative_z)]
        for out, depth, share, _ in RINGS:
            places.append((middle + (outline - middle) * out).clamp(1.0, STAGE - 1.0))
            depths.append(_around(depth).to(points) - self.canonical.pivot[2])
            follows.append(_around(share).to(points))
        direction = outline - middle
        reach = (STAGE / 2) / direction.abs().amax(-1, keepdim=True).clamp_min(1e-3)
        places.append(STAGE / 2 + direction * reach)
        depths.append(torch.full_like(outline[:, 0], _BEHIND))
        follows.append(torch.zeros_like(outline[:, 0]))
        self.z, self.follow = torch.cat(depths), torch.cat(follows)
        return torch.cat(places)

    def _relative(self, places: Tensor, z: Tensor) -> Tensor:
        """Pixels of the stage (..., 2) and depth -> decimetres from the pivot, in the axes of the camera."""
        origin = self.fit.origin[0]
        x, y = (places[..., 0] - origin[0]) / self.scale, (-places[..., 1] - origin[1]) / self.scale
        return torch.stack([x, y, z], dim=-1)

    def _to_stage(self, relative: Tensor) -> Tensor:
        origin = self.fit.origin[0]
        return torch.stack(
            [relative[..., 0] * self.scale + origin[0], -(relative[..., 1] * self.scale + origin[1])], dim=-1
        )

    def _surface_maps(self, driving: Tensor, triangle: Tensor, corners: Tensor) -> Tensor:
        """(B, 8, 128, 128) the maps that come with the triangles."""
        inner = slice(MARGIN, MARGIN + WINDOW)
        triangle, corners = triangle[:, inner, inner], corners[:, inner, inner]
        topology = _topology(driving.device)
        spots = _interpolate(topology.places[None, topology.triangles], triangle, corners)
        source_area = _areas(self.source[topology.triangles])
        driving_area = _areas(driving[:, topology.triangles])
        growth = torch.log2(driving_area.abs().clamp_min(0.05) / source_area.abs().clamp_min(0.05)) / 2
        # The face turns clockwise in pictures (y is down); a triangle that does not is seen from behind.
        backfacing = (source_area > -0.02).to(driving) * (topology.kind < 0)
        rows = torch.arange(len(driving), device=driving.device)[:, None, None]
        kind = topology.kind[triangle]
        flags = torch.stack([kind == MOUTH, kind == EYES], dim=1).to(driving)
        stretch = growth.clamp(-1, 1)[rows, triangle]
        rest = torch.stack([backfacing[triangle], stretch], dim=1)
        return torch.cat([spots.permute(0, 3, 1, 2), flags, rest], dim=1)

    def _inside_points(self, weights: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
        """(B, M, 2) the points inside the mouth in pixels of the stage, placed by the template and the lips."""
        turn, shift, weights = turn.to(self.source), shift.to(self.source), weights.to(self.source)
        canonical, rotation = self.canonical, self.fit.rotation[0]
        corners = [78, 308]
        found = self._relative(self.source[corners], self.z[corners]).mean(0)
        template = canonical.mean - canonical.pivot + canonical.displacements(self.weights)
        own = found - (template[corners] @ rotation.T).mean(0)  # how this mouth lies beside the template's
        points = (canonical.teeth - canonical.pivot + canonical.teeth_displacements(weights)) @ rotation.T + own
        return self._to_stage(points @ turn.transpose(1, 2) + F.pad(shift, (0, 1))[:, None])

    def _mouth_anchors(self, inside: Tensor, turn: Tensor) -> MouthAnchors:
        kinds = self.canonical.teeth_kind
        middles = [int(torch.nonzero(kinds == k)[int((kinds == k).sum()) // 2]) for k in range(3)]
        axes = (turn.to(inside) @ self.fit.rotation[0])[:, :2] * self.scale
        return MouthAnchors(axes * axes.new_tensor([[1.0], [-1.0]]), inside[:, middles])

    def _teeth_maps(self, inside: Tensor) -> Tensor:
        """(B, 3, 128, 128) soft spots of 2.5 pixels on the points inside the mouth."""
        places = inside - MARGIN
        grid = torch.arange(WINDOW, device=inside.device) + 0.5
        across = torch.exp(-((grid - places[..., :1]) ** 2) / (2 * 2.5**2))
        down = torch.exp(-((grid - places[..., 1:]) ** 2) / (2 * 2.5**2))
        kinds = self.canonical.teeth_kind
        spots = [torch.einsum("bky,bkx->byx", down[:, kinds == k], across[:, kinds == k]) for k in range(3)]
        return torch.stack(spots, dim=1).clamp(0, 1)


def _around(series: tuple[float, ...]) -> Tensor:
    """(36,) a cosine series at the points of FACE_OUTLINE, taken as evenly spread from the top of the forehead on."""
    angle = torch.arange(len(FACE_OUTLINE)) * (2 * torch.pi / len(FACE_OUTLINE))
    waves = torch.cos(torch.arange(len(series))[:, None] * angle)
    return torch.tensor(series) @ waves


def _smooth(mask: Tensor) -> Tensor:
    return F.avg_pool2d(mask, 3, 1, 1, count_include_pad=False)


def _on(canonical: CanonicalFace, device) -> CanonicalFace:
    return (
        canonical
        if canonical.mean.device == device
        else CanonicalFace(**{k: t.to(device) for k, t in vars(canonical).items()})
    )


@dataclass(frozen=True, eq=False)
class _Topology:
    """triangles (N, 3), kind (N,) as in canonical_face.py, -1 - kind for those of the face that can hide, places (P, 4)
    what `MeshFlow` says of x, y, z and mouth height."""

    triangles: Tensor
    kind: Tensor
    places: Tensor


@lru_cache(maxsize=4)
def _topology(device) -> _Topology:
    canonical = load_canonical_face()
    n_outline = len(FACE_OUTLINE)
    loops = [torch.tensor(FACE_OUTLINE)]
    for k in range(len(RINGS) + 1):
        loops.append(N_POINTS + k * n_outline + torch.arange(n_outline))
    strips = []
    for inner, outer in pairwise(loops):
        ahead_inner, ahead_outer = inner.roll(-1), outer.roll(-1)
        strips += [torch.stack([inner, ahead_inner, outer], 1), torch.stack([ahead_inner, ahead_outer, outer], 1)]
    surroundings = torch.cat(strips)
    kind = torch.where(canonical.kind == 0, -1, canonical.kind)
    face = (canonical.mean - torch.tensor(HEAD_CENTRE)) / torch.tensor([1.0, 1.0, 1.5])
    outline = face[list(FACE_OUTLINE)]
    rings = [
        torch.cat([outline[:, :2] * out, (_around(depth)[:, None] - HEAD_CENTRE[2]) / 1.5], 1)
        for out, depth, *_ in RINGS
    ]
    reach = 1.5 / outline[:, :2].abs().amax(1, keepdim=True).clamp_min(1e-3)
    border = torch.cat([outline[:, :2] * reach, torch.full((n_outline, 1), -1.0)], 1)
    places = torch.cat([face, *rings, border])
    height = torch.zeros(len(places), 1)
    height[list(UPPER_INNER_LIP)], height[list(LOWER_INNER_LIP)] = 1.0, -1.0
    return _Topology(
        torch.cat([canonical.triangles, surroundings]).to(device),
        torch.cat([kind, torch.full((len(surroundings),), _SURROUNDINGS)]).to(device),
        torch.cat([places, height], 1).to(device),
    )


@lru_cache(maxsize=4)
def _spread_of_lips(device) -> Tensor:
    """(468, 18) by what share each point follows the edge of the upper lip (9 points), and that of the lower."""
    canonical = load_canonical_face()
    skin = canonical.triangles[canonical.kind == SKIN]
    pairs = torch.cat([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]]).sort(dim=1).values.unique(dim=0)
    places = canonical.mean.double()
    within = _within_lips(pairs)
    lengths = (places[pairs[:, 0]] - places[pairs[:, 1]]).norm(dim=1)
    hardness = torch.where(within[pairs].all(1), _LIP_HARDNESS, 1.0) / lengths
    springs = torch.zeros(N_POINTS, N_POINTS, dtype=torch.double)
    springs[pairs[:, 0], pairs[:, 1]] = springs[pairs[:, 1], pairs[:, 0]] = -hardness
    springs.diagonal().copy_(-springs.sum(1))
    mobility = canonical.blendshapes[_MOUTH_BLENDSHAPES, :, 1].double().norm(dim=0)
    springs.diagonal().add_(torch.where(within, 0, _HELD / mobility.square()))
    edges = _UPPER_LIP + _LOWER_LIP
    free = torch.ones(N_POINTS, dtype=torch.bool)
    free[edges] = False
    spread = torch.zeros(N_POINTS, len(edges), dtype=torch.double)
    spread[edges] = torch.eye(len(edges), dtype=torch.double)
    spread[free] = torch.linalg.solve(springs[free][:, free], -springs[free][:, edges])
    return spread.float().to(device)


def _within_lips(pairs: Tensor) -> Tensor:
    """(468,) the points of the lips with their edges: what pairs of neighbours (N, 2) lead to from the inner edge
    without crossing the outer one."""
    inside = torch.zeros(N_POINTS, dtype=torch.bool)
    inside[list(INNER_LIPS)] = True
    while True:
        leading = inside.clone()
        leading[list(OUTER_LIPS)] = False
        reached = pairs[leading[pairs].any(1)]
        if inside[reached].all():
            return inside
        inside[reached] = True


def _areas(corners: Tensor) -> Tensor:
    """(..., 3, 2) -> (...,) twice the signed area, positive when the corners turn clockwise in the picture."""
    one, two = corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    return one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0]


def _interpolate(values: Tensor, triangle: Tensor, corners: Tensor) -> Tensor:
    """values (B, N, 3, C) at the corners of all triangles -> (B, h, w, C)."""
    rows = torch.arange(len(triangle), device=triangle.device)[:, None, None]
    picked = values.expand(len(triangle), -1, -1, -1)[rows, triangle]
    return (picked * corners[..., None]).sum(-2)


def _displacement(source: Tensor, triangle: Tensor, corners: Tensor) -> Tensor:
    """source (B, N, 3, 2) where the corners of all triangles are in the source."""
    grid = torch.arange(STAGE, device=source.device) + 0.5
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    spots = _interpolate(source, triangle, corners)
    covered = (corners.sum(-1, keepdim=True) > 0.5).to(source)
    return ((spots - torch.stack([x, y], -1)) * covered).permute(0, 3, 1, 2)


def rasterise(points: Tensor, depth: Tensor, triangles: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Which triangle is in front at each pixel.

    points (B, P, 2) in pixels, depth (B, P) larger is nearer, triangles (N, 3) -> triangle (B, side, side) long and the
    weights of its corners (B, side, side, 3); where nothing covers a pixel, triangle 0 with weights 0.

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
    area = _areas(places)
    drawn = (extent[0] > 0) & (area.abs() > 1e-6)
    best = torch.full((n_frames * side * side,), -1, dtype=torch.long, device=points.device)
    smaller = 0
    for size in _WINDOWS:
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


def _corner_weights(corner: Tensor, area: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Barycentric weights of the point (x, y) in triangles (..., 3, 2) of twice the signed `area`."""
    ax, ay = corner[..., 0, 0], corner[..., 0, 1]
    bx, by = corner[..., 1, 0] - ax, corner[..., 1, 1] - ay
    cx, cy = corner[..., 2, 0] - ax, corner[..., 2, 1] - ay
    px, py = x - ax, y - ay
    second = (px * cy - cx * py) / area
    third = (bx * py - px * by) / area
    return 1 - second - third, second, third
