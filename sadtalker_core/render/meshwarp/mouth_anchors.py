"""Where teeth and tongue are: points inside the mouth that hang on the skull and on the jaw, in every driving frame.

In: the portrait's face, blendshape weights and head turns per frame. Out: `MouthAnchors`, on which mouth/interior.py
hangs its drawings; soft spots on the same points for the network; where the portrait shows the inside of its own mouth,
and the map by which that is kept while the head moves.

The points are the canonical face's (`CanonicalFace.teeth`: five along each tooth edge, three on the tongue), laid by
the corners of the portrait's mouth. Blendshapes of the jaw move lower teeth and tongue; the upper teeth follow the head
alone. Where the edges lie, in numbers: mouth/dentition.py.

Letters: `B` frames, `P` blendshapes, `K` points inside the mouth. Stage and camera coordinates as in placement.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import INNER_LIPS, MOUTH, OUTER_LIPS
from .placement import MARGIN, STAGE, WINDOW, PlacedFace
from .rasterizer import is_covered, rasterize

UPPER_TEETH, LOWER_TEETH, TONGUE = range(3)  #: `CanonicalFace.teeth_kind`, and the rows of `MouthAnchors.anchors`
_CORNERS = [INNER_LIPS[0], INNER_LIPS[10]]  #: of the mouth
_SPOT = 2.5  #: pixels of the stage: the spread of a soft spot, as the network was trained with it


@dataclass(frozen=True, eq=False)
class MouthAnchors:
    """Where the inside of the mouth is in driving frames, in pixels of the stage.

    axes (B, 2, 3)       a decimetre along x, y and z of the head
    anchors (B, 3, 2)    the middle of the upper and of the lower tooth edge, and the tip of the tongue
    """

    axes: Tensor
    anchors: Tensor


def mouth_anchors(face: PlacedFace, inside: Tensor, turn: Tensor) -> MouthAnchors:
    """inside (B, K, 2) of `inside_points`, turn (B, 3, 3) of the head."""
    kinds = face.canonical.teeth_kind
    middles = [int(torch.nonzero(kinds == k)[int((kinds == k).sum()) // 2]) for k in (UPPER_TEETH, LOWER_TEETH, TONGUE)]
    axes = (turn.to(inside) @ face.fit.rotation)[:, :2] * face.fit.scale
    return MouthAnchors(axes * axes.new_tensor([[1.0], [-1.0]]), inside[:, middles])


def inside_points(face: PlacedFace, weights: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
    """weights (B, P), turn (B, 3, 3), shift (B, 2) as `FaceRig.driven` takes them -> (B, K, 2) the points inside the
    mouth in pixels of the stage, placed by the template and the corners of the portrait's mouth."""
    canonical, rotation = face.canonical, face.fit.rotation
    found = face.to_camera(face.points[_CORNERS], face.depth[_CORNERS]).mean(0)
    template = canonical.mean - canonical.pivot + canonical.displacements(face.weights)
    own = found - (template[_CORNERS] @ rotation.T).mean(0)  # how this mouth lies beside the template's
    points = (canonical.teeth - canonical.pivot + canonical.teeth_displacements(weights)) @ rotation.T + own
    return face.to_stage(points @ turn.transpose(1, 2) + F.pad(shift, (0, 1))[:, None])


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


def own_mouth(face: PlacedFace) -> Tensor:
    """(1, 1, 160, 160) in 0..1: where the portrait shows the inside of its mouth, a pixel within its lips."""
    triangles = face.canonical.triangles[face.canonical.kind == MOUTH]
    _, corners = rasterize(face.points[None], face.depth[None], triangles, STAGE)
    inside = is_covered(corners)[:, None].to(face.points)
    return F.avg_pool2d(-F.max_pool2d(-inside, 3, 1, 1), 3, 1, 1, count_include_pad=False)


def skull_affine(face: PlacedFace, turn: Tensor, shift: Tensor) -> Tensor:
    """turn (B, 3, 3), shift (B, 2) -> (B, 3, 2) the affine map from driving to source that the lips would have if they
    only followed the head: a place of the stage (x, y, 1) times this is where the portrait shows it."""
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
