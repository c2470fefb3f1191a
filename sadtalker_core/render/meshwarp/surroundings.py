"""What is around the face, which the mesh does not know: hair, ears and neck, and the background that stays.

In: the portrait's face, and how its head moves. Out: three rings of anchors around the outline of the face, which
follow the head part way, and the border of the stage, which never moves unless it is known where the head ends; and
the triangles between them.

    border ---- ring 3 ---- ring 2 ---- ring 1 ---- outline of the face, 36 points each

Letters: `B` frames, `V` the 36 points of FACE_OUTLINE, `R` rings. Camera coordinates and stage as in placement.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import FACE_OUTLINE, N_POINTS
from .placement import STAGE, PlacedFace
from .warp import sample


class Ring(NamedTuple):
    """size: how far out, 1 = the outline; depth in head coordinates, in decimetres, and head_share, what share of the
    motion of the head it takes, as cosine series of the angle from the top of the forehead; speech_share: what share of
    the motion of the jaw.
    """

    size: float
    depth: tuple[float, ...]
    head_share: tuple[float, ...]
    speech_share: float


# Depth and share are least squares on the exact flow of hair, ears and necks of 600 generated heads
# (training/heads/fit_rings.py), then made smaller by eye where the ring is rarely on a head, or the background would be
# dragged along, and at the crown: tuned on the columns of turns of the sheet that `make eval-mini` draws (docs/MINI.md,
# "The sheet").
RINGS = (
    Ring(1.15, (0.84, 0.13, 0.35, 0.04, 0.08), (0.87, 0.09, 0.06, -0.10, 0.06), 0.45),
    Ring(1.40, (0.63, 0.22, 0.31, -0.06, 0.11), (0.65, 0.01, 0.28, 0.03, 0.07), 0.15),
    Ring(1.70, (0.57, 0.03, 0.33, -0.08, 0.10), (0.45, 0.10, 0.17, 0.03, 0.02), 0.02),
)
#: of a head whose end is known: how far out each ring lies, from the face to that end, and what share of the depth by
#: which the face's outline is in front of that end, which lies _END_DEPTH decimetres in front of the pivot
_OUT, _NEARER, _END_DEPTH = (0.4, 0.8, 1.1), (0.77, 0.5, 0.1), 0.18
#: decimetres of depth per decimetre outwards, by which what a turn brings into view falls off at most: where the head
#: ends right beside the face, ears were drawn out to twice their width in turns of 20 degrees (obama's, now 1.4). By .7
#: to 1 ears look better still, but generated heads have less of theirs than in truth (colour .63 and .62, not .61)
_STEEPEST = 1.25
_JAW_DEG = (100.0, 130.0)  #: degrees from the top of the forehead between which the head passes into the neck
_NEAREST, _FURTHEST, _STEP = 1.06, 2.2, 0.02  #: times the outline, where the end of the head is looked for
_CHIN = FACE_OUTLINE[18]
#: decimetres from the chin to the shoulders, which stay where they are: so that collars stayed with shoulders, and
#: necks were not bent, in turns of 12 degrees of the photographs of the sheet
_NECK = 0.8
_BEHIND = -1.0  #: depth of the border, in decimetres
_BEYOND = 1.4  #: of the way to the border: where a border lies that goes along, so that it stays beyond the stage


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Of one portrait.

    rings (R, V, 2) in pixels of the stage;  depth (R, V) decimetres in front of the pivot;  head_share (R, V)
    opened (R, V) by how much less deep they are while a turn brings them into view;  outwards (V, 2) from the middle of
    the face, of length 1, x right and y up
    border (V, 2) in pixels of the stage;  border_share (V,) what share of the motion of the last ring it takes
    """

    rings: Tensor
    depth: Tensor
    head_share: Tensor
    opened: Tensor
    outwards: Tensor
    border: Tensor
    border_share: Tensor

    def places(self) -> Tensor:
        """(R V + V, 2) all of them in the portrait, in pixels of the stage."""
        return torch.cat([self.rings.flatten(0, 1), self.border])


def surroundings_of(face: PlacedFace, person: Tensor | None = None) -> Surroundings:
    """Of a portrait whose face has been placed: rings that stay on the stage, and its border straight out of them.

    person (1, 1, 160, 160): where the stage shows the person, 0..1. The rings are then laid through hair and ears to
    where the head ends, which turn with the face as one, and what is behind need not be spared. So does what is beyond
    them, because a tuft of hair may be there.
    """
    outline = face.points[list(FACE_OUTLINE)]
    middle = (outline.amin(0) + outline.amax(0)) / 2
    direction = outline - middle
    border = (STAGE / 2) / direction.abs().amax(-1, keepdim=True).clamp_min(1e-3)
    size = outline.new_tensor([ring.size for ring in RINGS])[:, None].expand(-1, len(outline))
    depth = torch.stack([cosine_sum(ring.depth).to(outline) - face.canonical.pivot[2] for ring in RINGS])
    share = torch.stack([cosine_sum(ring.head_share).to(outline) for ring in RINGS])
    along, opened = torch.zeros_like(size[0]), torch.zeros_like(size)
    if person is not None:
        along = _above_the_jaw().to(outline)
        out, nearer = (outline.new_tensor(x)[:, None] for x in (_OUT, _NEARER))
        rounded = _END_DEPTH + nearer * (face.depth[list(FACE_OUTLINE)] - _END_DEPTH)
        reach = _reach_of_head(person, middle, direction)
        around = 1 + out * (reach - 1)
        gentle = face.depth[list(FACE_OUTLINE)] - _STEEPEST * (around - 1) * direction.norm(dim=1) / face.fit.scale
        opened = (gentle - rounded).clamp_min(0) * along
        size = torch.lerp(size, around, along)
        depth = torch.lerp(depth, rounded, along)
        share = torch.lerp(share, torch.ones_like(share), along)
    rings = (middle + direction * size[..., None]).clamp(1.0, STAGE - 1.0)
    return Surroundings(
        rings=rings,
        depth=depth,
        head_share=share * _above_shoulders(rings, face),
        opened=opened,
        outwards=F.normalize(direction * direction.new_tensor([1.0, -1.0]), dim=1),
        border=STAGE / 2 + direction * border * (1 + (_BEYOND - 1) * along)[:, None],
        border_share=along,
    )


def _reach_of_head(person: Tensor, middle: Tensor, direction: Tensor) -> Tensor:
    """-> (V,) where the person ends on the way from the middle of the face through each point of its outline, 1 at
    that point.
    """
    steps = torch.arange(_NEAREST, _FURTHEST, _STEP, device=person.device)
    places = middle + direction[:, None] * steps[:, None]
    seen = sample(person, (places * (2 / STAGE) - 1)[None])[0, 0] * (places.sub(STAGE / 2).abs().amax(-1) < STAGE / 2)
    reach = _NEAREST + (seen > 0.5).to(steps).cumprod(1).sum(1) * _STEP
    around = torch.stack([reach.roll(k) for k in (-2, -1, 0, 1, 2)])
    return around.median(0).values.lerp(around.mean(0), 0.5)


def _above_the_jaw() -> Tensor:
    """(V,) 1 at forehead, temples and ears, 0 at the jaw."""
    n = len(FACE_OUTLINE)
    away = torch.minimum(torch.arange(n), n - torch.arange(n)) * (360 / n)
    return ((_JAW_DEG[1] - away) / (_JAW_DEG[1] - _JAW_DEG[0])).clamp(0, 1)


def _above_shoulders(places: Tensor, face: PlacedFace) -> Tensor:
    """Places (..., 2) on the stage -> (...,) 1 above the chin, and less along the neck, down to 0 at the shoulders."""
    down = face.down_on_stage / face.down_on_stage.square().sum().clamp_min(1e-6)  # to decimetres
    below = places @ down - (face.points[_CHIN] * down).sum()
    return (1 - below / _NECK).clamp(0, 1)


def carried_along(
    around: Surroundings, face: PlacedFace, turn: Tensor, shift: Tensor, speech: Tensor
) -> tuple[Tensor, Tensor]:
    """turn (B, 3, 3) and shift (B, 1, 3) of the head, speech (B, V, 3) what the expression does to the outline of the
    face, in camera coordinates -> places (B, R V + V, 2) in pixels of the stage, and their depth (B, R V + V).
    """
    parts, depths = [], []
    tilt = turn[:, None, :2, 2]
    comes_into_view = -(F.normalize(tilt, dim=-1) * around.outwards).sum(-1, keepdim=True)
    opens = F.pad(tilt * comes_into_view.clamp_min(0), (0, 1))
    for ring, places, depth, head_share, opened in zip(
        RINGS, around.rings, around.depth, around.head_share, around.opened, strict=True
    ):
        camera = face.to_camera(places, depth)
        carried = camera @ turn.transpose(1, 2) + shift - camera
        camera = camera + head_share[:, None] * carried + ring.speech_share * speech + opened[:, None] * opens
        parts.append(face.to_stage(camera))
        depths.append(depth.expand(len(camera), -1))
    parts.append(around.border + around.border_share[:, None] * (parts[-1] - around.rings[-1]))
    depths.append(torch.full_like(parts[-1][..., 0], _BEHIND))
    return torch.cat(parts, dim=1), torch.cat(depths, dim=1)


def surrounding_triangles() -> Tensor:
    """(N, 3) from the outline of the face to the border, by the numbers of the points of a whole rig."""
    n_outline = len(FACE_OUTLINE)
    loops = [torch.tensor(FACE_OUTLINE)]
    for k in range(len(RINGS) + 1):
        loops.append(N_POINTS + k * n_outline + torch.arange(n_outline))
    strips = []
    for inner, outer in pairwise(loops):
        ahead_inner, ahead_outer = inner.roll(-1), outer.roll(-1)
        strips += [torch.stack([inner, ahead_inner, outer], 1), torch.stack([ahead_inner, ahead_outer, outer], 1)]
    return torch.cat(strips)


def cosine_sum(series: tuple[float, ...]) -> Tensor:
    """(V,) a cosine series at the points of FACE_OUTLINE, taken as evenly spread from the top of the forehead on."""
    angle = torch.arange(len(FACE_OUTLINE)) * (2 * torch.pi / len(FACE_OUTLINE))
    waves = torch.cos(torch.arange(len(series))[:, None] * angle)
    return torch.tensor(series) @ waves
