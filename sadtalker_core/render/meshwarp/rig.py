"""The portrait's mesh with what surrounds it, moved as driving frames ask.

In: the 468 points found in the portrait, blendshape weights and head turns per frame. Out: where all points are in each
frame. The face moves by what the blendshapes of the canonical face do between the portrait's weights and the frame's;
lids and lips then meet (lid_contact.py, lip_contact.py); all that turns with the head; rings around it follow part way
(surroundings.py).

Letters: `B` frames, `P` blendshapes, `M` points, those of the face first. Stage and camera coordinates as in
placement.py; rotations act in camera coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import FACE_OUTLINE, CanonicalFace
from .lid_contact import blink_gain, eye_closure, with_lids_that_meet
from .lip_contact import with_lips_that_meet
from .placement import PlacedFace, place_face
from .surroundings import Surroundings, carried_along, surroundings_of


@dataclass(frozen=True, eq=False)
class FaceRig:
    """Made once per portrait, by `from_points`.

    face            the portrait's face
    around          what surrounds it
    gain (P,)       by what its blendshape weights are multiplied, so that a blink closes these eyes
    source (M, 2)   all points in the portrait, in pixels of the stage
    """

    face: PlacedFace
    around: Surroundings
    gain: Tensor
    source: Tensor

    @classmethod
    def from_points(
        cls, points: Tensor, weights: Tensor, canonical: CanonicalFace | None = None, person: Tensor | None = None
    ) -> FaceRig:
        """points (468, 3) as found in the portrait, already in pixels of the stage; weights (P,) blendshape weights of
        the portrait; person as `surroundings_of` takes it.
        """
        face = place_face(points, weights, canonical)
        around = surroundings_of(face, person)
        return cls(face, around, blink_gain(face), torch.cat([face.points, around.places()]))

    def driven(self, weights: Tensor, turn: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """weights (B, P) of the driving frames, turn (B, 3, 3) from the portrait's head to theirs (times a growth, if
        they come nearer), shift (B, 2) decimetres, x right and y up -> all points (B, M, 2) in pixels of the stage, and
        their depth (B, M) in decimetres, larger is nearer.
        """
        face, weights, turn = self.face, weights.to(self.source), turn.to(self.source)
        shift = F.pad(shift.to(self.source), (0, 1))[:, None]
        rest = face.camera_points
        posed = (rest + self._expression(weights)) @ turn.transpose(1, 2) + shift
        rigid = rest @ turn.transpose(1, 2) + shift
        speech = (posed - rigid)[:, list(FACE_OUTLINE)]
        places, depth = carried_along(self.around, face, turn, shift, speech)
        return torch.cat([face.to_stage(posed), places], dim=1), torch.cat([posed[..., 2], depth], dim=1)

    def at_rest(self, turn: Tensor, shift: Tensor) -> Tensor:
        """turn and shift as `driven` takes them -> the points of the face (B, 468, 2) in pixels of the stage, if its
        expression stays the portrait's.
        """
        turn, shift = turn.to(self.source), F.pad(shift.to(self.source), (0, 1))[:, None]
        return self.face.to_stage(self.face.camera_points @ turn.transpose(1, 2) + shift)

    def _expression(self, weights: Tensor) -> Tensor:
        """weights (B, P) -> (B, 468, 3) what they move since the portrait, in camera coordinates, the head at rest."""
        face, canonical = self.face, self.face.canonical
        moved = canonical.displacements((weights - face.weights) * self.gain)
        moved = with_lids_that_meet(face, self.gain, moved @ face.fit.rotation.T, eye_closure(face, weights))
        return with_lips_that_meet(face, moved, weights)
