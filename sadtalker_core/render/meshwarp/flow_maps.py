"""Where each pixel of a driving frame lies in the portrait, from the mesh of the face alone.

In: a rig, blendshape weights and head turns per frame. Out: backward displacement, and maps that tell the network
(network.py) what it is looking at. The face is carried by its triangles, what surrounds it by those of its rings.

Letters: `B` frames, `P` blendshapes, `M` points of the rig, `N` triangles. Stage and window as in placement.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ...canonical_face import (
    EYES,
    FACE_OUTLINE,
    LOWER_INNER_LIP,
    MOUTH,
    N_POINTS,
    SKIN,
    UPPER_INNER_LIP,
    load_canonical_face,
)
from .lid_contact import eye_closure, without_lid_rims
from .lip_contact import without_lip_rims
from .mouth_anchors import MouthAnchors, inside_maps, inside_points, mouth_anchors, skull_affine
from .placement import HEAD_CENTRE, MARGIN, STAGE, WINDOW
from .rasterizer import interpolate, is_covered, rasterize, signed_areas
from .rig import FaceRig
from .surroundings import RINGS, cosine_sum, surrounding_triangles
from .warp import mean_around

#: the maps for the network, in order: see `MeshFlow`
MAPS = ("x", "y", "z", "mouth height", "mouth", "eyes", "backfacing", "stretch", "upper teeth", "lower teeth", "tongue")

#: kinds of triangles beside those of canonical_face.py: those of the skin, which can turn away, and the surroundings
_HIDEABLE, _SURROUNDINGS = -1, 3
_SPOT_RANGE = (1.0, 1.0, 1.5)  #: decimetres that are 1 in the maps "x", "y" and "z", as the network was trained
_EDGE_ON = -0.02  #: twice the signed area, in square pixels, above which a triangle of the skin is seen from behind
_SMALLEST = 0.05  #: the same, below which triangles are not compared


@dataclass(frozen=True, eq=False)
class MeshFlow:
    """What the mesh gives for driving frames.

    displacement (B, 2, 160, 160)   where a driving pixel of the stage lies in the portrait, minus where it is, in
                                    pixels of the stage
    maps (B, 11, 128, 128)          what the window shows, in the order of MAPS:
        x, y, z       the spot of the head in head coordinates, about -1..1
        mouth height  1 at the upper inner lip, -1 at the lower, between them in the open mouth; 0 elsewhere
        mouth, eyes   1 inside the opening
        backfacing    1 where the portrait shows that spot from behind
        stretch       how much larger the driving triangle is than the portrait's: log4, -1..1
        upper teeth, lower teeth, tongue     soft spots where their edges would be
    face (B, 1, 160, 160)           1 inside the outline, soft at the edge
    on_face (B, 1, 160, 160)        1 where the displacement is that of a triangle of the face, 0 elsewhere
    mesh (B, 468, 2)                the points in pixels of the stage
    at_rest (B, 468, 2)             the same of the portrait's own face, carried by the head alone
    eye_closure (B, 2)              how far the left and the right eye have closed since the portrait, 0..1
    mouth_anchors                   where teeth and tongue are
    rigid_affine (B, 3, 2)          a place of the stage (x, y, 1) times this is where the portrait shows it, for what
                                    sits in the middle of the face and follows the head alone
    triangle, corners               of `rasterize`
    """

    displacement: Tensor
    maps: Tensor
    face: Tensor
    on_face: Tensor
    mesh: Tensor
    at_rest: Tensor
    eye_closure: Tensor
    mouth_anchors: MouthAnchors
    rigid_affine: Tensor
    triangle: Tensor
    corners: Tensor


def mesh_flow(rig: FaceRig, weights: Tensor, turn: Tensor, shift: Tensor) -> MeshFlow:
    """weights (B, P), turn (B, 3, 3), shift (B, 2) as `FaceRig.driven` takes them."""
    weights, turn, shift = (t.to(rig.source) for t in (weights, turn, shift))
    driving, depth = rig.driven(weights, turn, shift)
    topology = _topology(driving.device)
    triangle, corners = rasterize(driving, depth, topology.triangles, STAGE)
    closure = eye_closure(rig.face, weights)
    source = without_lid_rims(rig.face, rig.source.expand(len(weights), -1, -1), closure)
    source = without_lip_rims(rig.face, source, driving)
    displacement = _displacement(source[:, topology.triangles], triangle, corners)
    inside = inside_points(rig.face, weights, turn, shift)
    on_face = _on_face(triangle, corners)
    return MeshFlow(
        displacement=displacement,
        maps=torch.cat([_surface_maps(rig, driving, triangle, corners), inside_maps(rig.face, inside)], dim=1),
        face=_softened(on_face),
        on_face=on_face,
        mesh=driving[:, :N_POINTS],
        at_rest=rig.at_rest(turn, shift),
        eye_closure=closure,
        mouth_anchors=mouth_anchors(rig.face, inside, weights, turn),
        rigid_affine=skull_affine(rig.face, turn, shift),
        triangle=triangle,
        corners=corners,
    )


def on_the_mesh(values: Tensor, flow: MeshFlow, rows: slice, columns: slice) -> Tensor:
    """values (B, 468, C) at the points of the face -> (B, 1 + C, h, w) in these rows and columns of the stage: 1 where
    the face is, and what they are there; 0 elsewhere.
    """
    topology = _topology(values.device)
    triangle, corners = flow.triangle[:, rows, columns], flow.corners[:, rows, columns]
    face = (topology.kind[triangle] != _SURROUNDINGS) & is_covered(corners)
    last = int((topology.kind != _SURROUNDINGS).sum())  # those of the face come first
    found = interpolate(values[:, topology.triangles[:last]], triangle.clamp_max(last - 1), corners)
    return torch.cat([torch.ones_like(found[..., :1]), found], dim=-1).mul(face[..., None]).permute(0, 3, 1, 2)


def rigid_flow(rig: FaceRig, turn: Tensor, shift: Tensor) -> Tensor:
    """(B, 4, 2): times a driving place (x, y, 1, depth) it gives the displacement, in pixels of the stage, of a spot
    that follows the head alone. depth in decimetres from the pivot to the viewer; turn and shift as `FaceRig.driven`
    takes them.
    """
    fit = rig.face.fit
    up = rig.source.new_tensor([1.0, -1.0])
    back = torch.linalg.inv(turn.float()).to(rig.source)[:, :2]
    flat = back[:, :, :2] * up * up[:, None] - torch.eye(2).to(back)
    origin = fit.origin[:2] * up
    moved = (back[:, :, :2] @ shift.to(back)[..., None])[..., 0] * up * fit.scale
    constant = -(flat @ origin) - moved
    deeper = back[:, :, 2] * up * fit.scale
    return torch.cat([flat.mT, constant[:, None], deeper[:, None]], dim=1)


def _displacement(source: Tensor, triangle: Tensor, corners: Tensor) -> Tensor:
    """source (B, N, 3, 2) where the corners of all triangles are in the portrait."""
    grid = torch.arange(STAGE, device=source.device) + 0.5
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    spots = interpolate(source, triangle, corners)
    covered = is_covered(corners)[..., None].to(source)
    return ((spots - torch.stack([x, y], -1)) * covered).permute(0, 3, 1, 2)


def _surface_maps(rig: FaceRig, driving: Tensor, triangle: Tensor, corners: Tensor) -> Tensor:
    """(B, 8, 128, 128) the maps that come with the triangles."""
    inner = slice(MARGIN, MARGIN + WINDOW)
    triangle, corners = triangle[:, inner, inner], corners[:, inner, inner]
    topology = _topology(driving.device)
    spots = interpolate(topology.places[None, topology.triangles], triangle, corners)
    source_area = signed_areas(rig.source[topology.triangles])
    driving_area = signed_areas(driving[:, topology.triangles])
    growth = torch.log2(driving_area.abs().clamp_min(_SMALLEST) / source_area.abs().clamp_min(_SMALLEST)) / 2
    # The face turns counter-clockwise in images (signed area below 0); what does not is seen from behind.
    backfacing = (source_area > _EDGE_ON).to(driving) * (topology.kind == _HIDEABLE)
    rows = torch.arange(len(driving), device=driving.device)[:, None, None]
    kind = topology.kind[triangle]
    flags = torch.stack([kind == MOUTH, kind == EYES], dim=1).to(driving)
    stretch = growth.clamp(-1, 1)[rows, triangle]
    rest = torch.stack([backfacing[triangle], stretch], dim=1)
    return torch.cat([spots.permute(0, 3, 1, 2), flags, rest], dim=1)


def face_at_rest(rig: FaceRig) -> Tensor:
    """(1, 1, 160, 160) where the face of the portrait is, as `MeshFlow.face`."""
    points, depth = rig.driven(rig.face.weights[None], torch.eye(3)[None], torch.zeros(1, 2))
    return _softened(_on_face(*rasterize(points, depth, _topology(points.device).triangles, STAGE)))


def _on_face(triangle: Tensor, corners: Tensor) -> Tensor:
    """(B, h, h) and (B, h, h, 3) of `rasterize` -> (B, 1, h, h) 1 where the nearest triangle is one of the face."""
    face = (_topology(triangle.device).kind[triangle] != _SURROUNDINGS) & is_covered(corners)
    return face[:, None].to(corners)


def _softened(on_face: Tensor) -> Tensor:
    return mean_around(mean_around(on_face, 3), 3)


@dataclass(frozen=True, eq=False)
class _Topology:
    """triangles (N, 3);  kind (N,) MOUTH, EYES, _HIDEABLE or _SURROUNDINGS;  places (M, 4) what `MeshFlow` gives for x,
    y, z and mouth height.
    """

    triangles: Tensor
    kind: Tensor
    places: Tensor


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _topology(device: torch.device) -> _Topology:
    canonical, around = load_canonical_face(), surrounding_triangles()
    kind = torch.where(canonical.kind == SKIN, _HIDEABLE, canonical.kind)
    return _Topology(
        torch.cat([canonical.triangles, around]).to(device),
        torch.cat([kind, torch.full((len(around),), _SURROUNDINGS)]).to(device),
        _spots_of_head().to(device),
    )


def _spots_of_head() -> Tensor:
    """(M, 4) the maps x, y, z and mouth height at the points of a rig."""
    face = (load_canonical_face().mean - torch.tensor(HEAD_CENTRE)) / torch.tensor(_SPOT_RANGE)
    outline = face[list(FACE_OUTLINE)]
    rings = [
        torch.cat([outline[:, :2] * size, (cosine_sum(depth)[:, None] - HEAD_CENTRE[2]) / _SPOT_RANGE[2]], 1)
        for size, depth, *_ in RINGS
    ]
    reach = 1.5 / outline[:, :2].abs().amax(1, keepdim=True).clamp_min(1e-3)
    border = torch.cat([outline[:, :2] * reach, torch.full((len(outline), 1), -1.0)], 1)
    places = torch.cat([face, *rings, border])
    height = torch.zeros(len(places), 1)
    height[list(UPPER_INNER_LIP)], height[list(LOWER_INNER_LIP)] = 1.0, -1.0
    return torch.cat([places, height], 1)
