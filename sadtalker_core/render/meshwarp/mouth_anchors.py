"""Where teeth and tongue are: points inside the mouth that hang on the skull and on the jaw, in every driving frame.

In: the portrait's face, blendshape weights and head turns per frame. Out: `MouthAnchors`, on which mouth/interior.py
hangs its drawings; soft spots on the same points for the network; and the map by which what the portrait shows of its
own teeth is kept while the head moves (mouth/own_teeth.py).

The points are the canonical face's (`CanonicalFace.teeth`: five along each tooth edge, three on the tongue). From side
to side they lie by the corners of the portrait's mouth; in depth, up and down by the line where its own lips meet when
the face rests. Blendshapes of the jaw move lower teeth and tongue; the upper teeth follow the head alone. How far from
the lips, in numbers: mouth/dentition.py.

Letters: `B` frames, `P` blendshapes, `K` points inside the mouth. Stage and camera coordinates as in placement.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import INNER_LIPS, LOWER_INNER_LIP, OUTER_LIPS, UPPER_INNER_LIP
from .lip_contact import with_lips_that_meet
from .placement import MARGIN, STAGE, WINDOW, PlacedFace

UPPER_TEETH, LOWER_TEETH, TONGUE = range(3)  #: `CanonicalFace.teeth_kind`, and the rows of `MouthAnchors.anchors`
_CORNERS = [INNER_LIPS[0], INNER_LIPS[10]]  #: of the mouth
_LIPS = list(UPPER_INNER_LIP[3:6] + LOWER_INNER_LIP[3:6])  #: in the middle
_SEAM = list(LOWER_INNER_LIP[3:6])  #: where the lips of the template meet; its upper points lie within the lip
_SPOT = 2.5  #: pixels of the stage: the spread of a soft spot, as the network was trained with it


@dataclass(frozen=True, eq=False)
class MouthAnchors:
    """Where the inside of the mouth is in driving frames, in pixels of the stage.

    axes (B, 2, 3)       a decimetre along x, y and z of the head
    anchors (B, 3, 2)    the middle of the upper and of the lower tooth edge, and the tip of the tongue
    jaw (B, 2)           by how much the lower teeth have moved since the portrait, beside what the head does
    """

    axes: Tensor
    anchors: Tensor
    jaw: Tensor


def mouth_anchors(face: PlacedFace, inside: Tensor, weights: Tensor, turn: Tensor) -> MouthAnchors:
    """inside (B, K, 2) of `inside_points`, for weights (B, P), turn (B, 3, 3) of the head."""
    middles = [middle_of(face, kind) for kind in (UPPER_TEETH, LOWER_TEETH, TONGUE)]
    axes = (turn.to(inside) @ face.fit.rotation)[:, :2] * face.fit.scale
    axes = axes * axes.new_tensor([[1.0], [-1.0]])
    since = (weights.to(inside) - face.weights)[:, : face.canonical.teeth_blendshapes.shape[0]]
    jaw = face.canonical.teeth_displacements(since)[:, middles[LOWER_TEETH]]
    return MouthAnchors(axes, inside[:, middles], torch.einsum("bij,bj->bi", axes, jaw))


def middle_of(face: PlacedFace, kind: int) -> int:
    """Which of the points inside the mouth is the middle of a tooth edge, or the tip of the tongue."""
    places = torch.nonzero(face.canonical.teeth_kind == kind)[:, 0]
    return int(places[len(places) // 2])


def inside_points(face: PlacedFace, weights: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
    """weights (B, P), turn (B, 3, 3), shift (B, 2) as `FaceRig.driven` takes them -> (B, K, 2) the points inside the
    mouth in pixels of the stage.
    """
    canonical, rotation = face.canonical, face.fit.rotation
    points = canonical.teeth - canonical.pivot + canonical.teeth_displacements(weights) + _own_mouth_beside(face)
    return face.to_stage((points @ rotation.T) @ turn.transpose(1, 2) + F.pad(shift, (0, 1))[:, None])


#: what _own_mouth_beside found for a face, for as long as that face is used
_OWN_MOUTHS: WeakKeyDictionary[PlacedFace, Tensor] = WeakKeyDictionary()


def _own_mouth_beside(face: PlacedFace) -> Tensor:
    """(K, 3) in head coordinates: how the inside of this mouth, at rest, lies beside the template's."""
    found = _OWN_MOUTHS.get(face)
    if found is None:
        found = _OWN_MOUTHS[face] = _find_own_mouth(face)
    return found


@torch.inference_mode(False)
def _find_own_mouth(face: PlacedFace) -> Tensor:
    canonical, rotation = face.canonical, face.fit.rotation
    rest = torch.zeros_like(face.weights)[None]
    moved = (canonical.displacements(rest) - canonical.displacements(face.weights)) @ rotation.T
    lips = face.camera_points + with_lips_that_meet(face, moved, rest)[0]
    template = canonical.mean - canonical.pivot
    beside = lips @ rotation - template
    own = torch.cat([beside[_CORNERS, :1].mean(0), beside[_LIPS, 1:].mean(0)]).repeat(len(canonical.teeth), 1)
    # As the portrait shows it, every row lies as far below the line where the lips meet as in the template.
    down = face.down[:2]
    for kind in (UPPER_TEETH, LOWER_TEETH, TONGUE):
        middle = middle_of(face, kind)
        edge = canonical.teeth[middle] - canonical.pivot
        below = (rotation @ (edge + own[middle]) - lips[_LIPS].mean(0))[:2] @ down / down.square().sum()
        own[canonical.teeth_kind == kind, 1] += below - (template[_SEAM, 1].mean() - edge[1])
    return own


def inside_maps(face: PlacedFace, inside: Tensor) -> Tensor:
    """(B, 3, 128, 128) in 0..1: soft spots on inside (B, K, 2) in the window: upper teeth, lower teeth, tongue."""
    places = inside - MARGIN
    grid = torch.arange(WINDOW, device=inside.device) + 0.5
    across = torch.exp(-((grid - places[..., :1]) ** 2) / (2 * _SPOT**2))
    down = torch.exp(-((grid - places[..., 1:]) ** 2) / (2 * _SPOT**2))
    kinds = face.canonical.teeth_kind
    spots = [
        torch.einsum("bky,bkx->byx", down[:, kinds == k], across[:, kinds == k])
        for k in (UPPER_TEETH, LOWER_TEETH, TONGUE)
    ]
    return torch.stack(spots, dim=1).clamp(0, 1)


def skull_affine(face: PlacedFace, turn: Tensor, shift: Tensor) -> Tensor:
    """turn (B, 3, 3), shift (B, 2) -> (B, 3, 2) the affine map from driving to source that the lips would have if they
    only followed the head: a place of the stage (x, y, 1) times this is where the portrait shows it.
    """
    lips = list(INNER_LIPS + OUTER_LIPS)
    rest = face.to_camera(face.points[lips], face.depth[lips])
    carried = rest @ turn.to(rest).transpose(1, 2) + F.pad(shift.to(rest), (0, 1))[:, None]
    driving = F.pad(face.to_stage(carried) - STAGE / 2, (0, 1), value=1.0).double()
    moved_back = (face.points[lips] - STAGE / 2).double() - driving[..., :2]
    affine = torch.linalg.solve(driving.mT @ driving, driving.mT @ moved_back) + torch.eye(3, 2).to(driving)
    # from places counted from the middle of the stage to places counted from its corner
    origin = STAGE / 2 - (STAGE / 2) * affine[:, :2].sum(1)
    affine[:, 2] += origin
    return affine.to(rest)
