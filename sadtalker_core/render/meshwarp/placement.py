"""Where the face is: the stage cut out around a head, and the canonical face laid on the mesh found in the portrait.

In: the 468 points that the face network finds, and the blendshape weights that were read from them. Out: `HeadFit`, the
camera that shows the canonical head where it was found, and `PlacedFace`, all that is known of the portrait's face.

    crop, S x S                      the square image that is driven
      stage, 160 x 160               a square of 3 decimetres around the head, cut out of the crop once per clip
        window, 128 x 128            its middle, 2.4 decimetres, where the network may repair what the mesh got wrong

Letters: `P` blendshapes. Image coordinates are x right, y down, in pixels, the centre of the first one at (0.5, 0.5);
z of found points goes away from the viewer. Head coordinates are those of canonical_face.py: decimetres, y up, z to the
viewer. Camera coordinates are decimetres from the pivot of the head, x right, y up, z to the viewer: head coordinates,
turned as the portrait's head is.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

from ...canonical_face import HEAD_TO_IMAGE, CanonicalFace, fit_similarity, load_canonical_face

PITCH = 0.01875  #: decimetres between two pixels of the stage
STAGE = 160
WINDOW = 128
MARGIN = (STAGE - WINDOW) // 2
HEAD_CENTRE = (0.0, 7.08, 0.6)  #: the point of head coordinates in the middle of the stage

#: decimetres: a point that the blendshapes move so far counts half in `fit_head`
_EXPRESSIVE = 0.05


@dataclass(frozen=True, eq=False)
class HeadFit:
    """Where a found mesh puts head coordinates in the image, by scaled orthography: x, -y, -z of an image point =
    scale * rotation @ (head point - pivot) + origin.

    rotation (3, 3);  scale () pixels per decimetre;  origin (3,)
    """

    rotation: Tensor
    scale: Tensor
    origin: Tensor

    def stage_centre(self) -> Tensor:
        """(2,) the middle of the stage in pixels of the image."""
        canonical = load_canonical_face()
        offset = torch.tensor(HEAD_CENTRE).to(self.scale) - canonical.pivot.to(self.scale)
        place = self.origin + self.scale * (self.rotation @ offset)
        return place[:2] * place.new_tensor([1.0, -1.0])

    def stage_side(self) -> Tensor:
        """() its side in pixels of the image."""
        return self.scale * (STAGE * PITCH)


def fit_head(points: Tensor, canonical: CanonicalFace | None = None) -> HeadFit:
    """points (468, 3) as found -> the placement that explains them best; those that blendshapes move count less."""
    canonical = canonical or load_canonical_face()
    moves = canonical.blendshapes.norm(dim=-1).amax(0).to(points)
    weights = 1 / (1 + (moves / _EXPRESSIVE) ** 2)
    found = points * points.new_tensor(HEAD_TO_IMAGE)
    rotation, scale, origin = fit_similarity(found[None], (canonical.mean - canonical.pivot).to(points), weights)
    return HeadFit(rotation[0], scale[0], origin[0])


@dataclass(frozen=True, eq=False)
class PlacedFace:
    """The portrait's face, on the device of its mesh.

    canonical        the canonical face
    fit              where it is on the stage
    points (468, 2)  the found mesh in pixels of the stage
    depth (468,)     decimetres that its points lie in front of the pivot
    weights (P,)     blendshape weights of the portrait
    """

    canonical: CanonicalFace
    fit: HeadFit
    points: Tensor
    depth: Tensor
    weights: Tensor

    @cached_property
    @torch.inference_mode(False)
    def camera_points(self) -> Tensor:
        """(468, 3) the found mesh in camera coordinates."""
        return self.to_camera(self.points, self.depth)

    @property
    def down(self) -> Tensor:
        """(3,) from the forehead to the chin, in camera coordinates."""
        return -self.fit.rotation[:, 1]

    @property
    def down_on_stage(self) -> Tensor:
        """(2,) a decimetre from the forehead to the chin, in pixels of the stage."""
        return self.fit.rotation[:2, 1] * self.points.new_tensor([-1.0, 1.0]) * self.fit.scale

    def to_camera(self, places: Tensor, depth: Tensor) -> Tensor:
        """Pixels of the stage (..., 2) and decimetres in front of the pivot (...) -> camera coordinates (..., 3)."""
        scale, origin = self.fit.scale, self.fit.origin
        x, y = (places[..., 0] - origin[0]) / scale, (-places[..., 1] - origin[1]) / scale
        return torch.stack([x, y, depth], dim=-1)

    def to_stage(self, camera: Tensor) -> Tensor:
        """The way back: camera coordinates (..., 3) -> pixels of the stage (..., 2)."""
        scale, origin = self.fit.scale, self.fit.origin
        return torch.stack([camera[..., 0] * scale + origin[0], -(camera[..., 1] * scale + origin[1])], dim=-1)


def place_face(points: Tensor, weights: Tensor, canonical: CanonicalFace | None = None) -> PlacedFace:
    """points (468, 3) as found, already in pixels of the stage; weights (P,) blendshape weights of the portrait."""
    canonical = _on(canonical or load_canonical_face(), points.device)
    fit = fit_head(points, canonical)
    depth = (-points[:, 2] - fit.origin[2]) / fit.scale
    return PlacedFace(canonical, fit, points[:, :2], depth, weights.to(points))


def _on(canonical: CanonicalFace, device: torch.device) -> CanonicalFace:
    if canonical.mean.device == device:
        return canonical
    return CanonicalFace(**{field.name: getattr(canonical, field.name).to(device) for field in fields(canonical)})
