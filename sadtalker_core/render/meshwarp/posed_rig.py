"""A portrait's mesh and the rows of its motion -> the head on its stage, and how far it turns and goes in each frame.

Letters: `B` frames, `S` side of the crop; stage and head coordinates as in placement.py.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...canonical_face import HEAD_TO_IMAGE, N_POINTS, rotation_of_angles
from ...datatypes import BlendshapeMotion
from ...errors import FaceNotFound
from .placement import STAGE, fit_head
from .rig import FaceRig
from .warp import pixel_centres, sample

_FURTHEST_SHIFT, _FURTHEST_GROWTH = 0.35, 1.25  #: decimetres; a head that goes further would leave the stage
#: A real head hides one cheek as it turns and shows more of the other; a moved mesh cannot, and the network only in
#: part. The mesh network sees generated heads that turn by 12 degrees as 12.1, portraits that were moved by 12 times
#: this as 11.1, the network of 68 points as 12.2 (medians of thirteen, half of what lies between the two sides). Nods
#: look right.
_YAW_GAIN = 1.15
#: the part of a face's width beyond a border at which half of its motion away from there is left: an eye at the border
#: would be drawn out
_HALF_HELD = 0.03


class PosedRig:
    """What stays the same for a clip: `rig` with the mesh on the stage, `left_top` (2,) of the stage in pixels of the
    crop and `zoom`, pixels of the crop in one of the stage; `density`, pixels of the crop per decimetre; `person`
    (1, 1, 160, 160), where the stage shows the person, if that is known.

    landmarks (468, 3) in pixels of a crop of `side` pixels; source: one row, the portrait's own motion; person
    (1, side, side) in 0..1, where the crop shows the person, if that is known. Raises FaceNotFound.
    """

    def __init__(self, landmarks: Tensor, side: int, source: BlendshapeMotion, person: Tensor | None = None):
        if landmarks.ndim != 2 or tuple(landmarks.shape) != (N_POINTS, 3):
            raise FaceNotFound(
                f"expected the {N_POINTS} points of the face mesh ({N_POINTS}, 3), got {tuple(landmarks.shape)}; "
                "run 3DMM Extract with the mini model."
            )
        fit = fit_head(landmarks)
        self.left_top = fit.stage_centre() - fit.stage_side() / 2
        self.zoom = fit.stage_side() / STAGE
        self.density = float(fit.scale)
        if person is not None:
            places = self.on_crop(pixel_centres(STAGE, landmarks.device)) * (2 / side) - 1
            person = sample(person[None].to(landmarks), places) * (places.abs().amax(-1) <= 1)[:, None]
        self.rig = FaceRig.from_points(
            torch.cat([self.on_stage(landmarks[:, :2]), landmarks[:, 2:] / self.zoom], dim=1),
            source.weights[0].to(landmarks),
            person=person,
        )
        self.person = person
        self._source, self._held = source, _held_by_the_border(landmarks[:, 0], side)
        self._back = _head_rotation(source)[:1].mT
        self._translation = source.translation
        self._half_side = side / 2 / self.density  # in decimetres

    def pose(self, driving: BlendshapeMotion) -> tuple[Tensor, Tensor]:
        """turn (B, 3, 3), times the growth of a head that comes nearer, and shift (B, 2), as `FaceRig` takes them."""
        driving = _held(driving, self._source, self._held)
        x, y, nearer = (driving.translation - self._translation).float().cpu().unbind(-1)
        growth = nearer.exp().clamp(1 / _FURTHEST_GROWTH, _FURTHEST_GROWTH)
        shift = torch.stack([x, -y], dim=-1) * self._half_side
        turn = (_head_rotation(driving) @ self._back) * growth[:, None, None]
        return turn, shift.clamp(-_FURTHEST_SHIFT, _FURTHEST_SHIFT)

    def on_crop(self, places: Tensor) -> Tensor:
        """Pixels of the stage (..., 2) -> of the crop."""
        return places * self.zoom + self.left_top

    def on_stage(self, places: Tensor) -> Tensor:
        """Pixels of the crop (..., 2) -> of the stage."""
        return (places - self.left_top) / self.zoom


def _held_by_the_border(across: Tensor, side: int) -> tuple[float, float]:
    """across (468,), x of the face's points in a crop of `side` pixels -> what share of its motion is left to a head
    that would go to the right, and to the left: all, but where the left or the right border cuts its face, of which
    there is no more to show.
    """
    left, right = float(across.min()), float(across.max())
    wide = max(right - left, 1.0)
    shares = (1 / (1 + max(cut, 0.0) / wide / _HALF_HELD) for cut in (-left, right - side))
    return tuple(shares)  # type: ignore[return-value]


def _held(driving: BlendshapeMotion, source: BlendshapeMotion, shares: tuple[float, float]) -> BlendshapeMotion:
    """A head that turns, leans or goes away from the border that cuts its face does so only by a share."""
    if min(shares) == 1:
        return driving
    to_right, to_left = shares

    def held(value: Tensor, own: Tensor, right: float, left: float) -> Tensor:
        moved = value - own.to(value)
        return own.to(value) + torch.where(moved > 0, moved * right, moved * left)

    place, own = driving.translation, source.translation[:1]
    across = held(place[:, :1], own[:, :1], to_right, to_left)
    return replace(
        driving,
        yaw=held(driving.yaw, source.yaw[:1], to_left, to_right),
        roll=held(driving.roll, source.roll[:1], to_right, to_left),
        translation=torch.cat([across, place[:, 1:]], dim=1),
    )


def _head_rotation(rows: BlendshapeMotion) -> Tensor:
    """The angles of each row -> (T, 3, 3) in the axes of head coordinates."""
    angles = torch.deg2rad(torch.stack([rows.pitch, rows.yaw * _YAW_GAIN, rows.roll], dim=-1).float().cpu())
    axes = torch.tensor(HEAD_TO_IMAGE)
    return axes[:, None] * rotation_of_angles(angles) * axes
