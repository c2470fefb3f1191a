"""How eyelids close: a full blink brings them together in every portrait, along the whole eye, and no further.

In: the portrait's face and the blendshape weights of driving frames. Out: displacements of the mesh with the upper lids
corrected, how far each eye has closed, and where the source is looked at, so that a lid that closes brings no rim of
the eye along. (The line that lashes draw where lids meet: eyes/lash_line.py.)

Letters: `B` frames, `P` blendshapes. Camera coordinates and stage as in placement.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...canonical_face import LEFT_EYE, RIGHT_EYE
from ...coefficients import BLENDSHAPE_INDEX
from .placement import PlacedFace

#: what closes an eye, and the edges of its lids between the corners, the upper and the lower points in pairs
_LIDS = tuple(
    (unit, list(ring[1:8]), list(ring[:8:-1]))
    for unit, ring in (("eyeBlinkLeft", LEFT_EYE), ("eyeBlinkRight", RIGHT_EYE))
)
_MIDDLE = slice(2, 5)  #: the pairs by which an eye is measured

# Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet"), column "blink":
# narrow, wide and painted eyes shut, and no white is left between the lids.
_LEAST_OPEN = 0.2  #: share of its opening that an eye of the portrait has left, however closed its blendshapes are
_SMALLEST_BLINK, _LARGEST_BLINK = 0.3, 1.3  #: of the template's; further, a misread eye would tear the lids
_LID_RIM = 0.025  #: decimetres that the mesh lies within the edge of an upper lid; half of it for a lower one


def blink_gain(face: PlacedFace) -> Tensor:
    """(P,) 1, and for the two blinks as much as makes a full one close these eyes and not those of the template."""
    gain = torch.ones_like(face.weights)
    upright = (face.points @ face.points.new_tensor([[1.0, 0.0], [0.0, -1.0]])) @ face.fit.rotation[:2, :2]
    for unit, upper, lower in _LIDS:
        blink, upper, lower = BLENDSHAPE_INDEX[unit], upper[_MIDDLE], lower[_MIDDLE]
        lids = face.canonical.blendshapes[blink, :, 1]
        closing = float(lids[lower].mean() - lids[upper].mean()) * _open_share(face, blink)
        open_now = float(upright[upper, 1].mean() - upright[lower, 1].mean()) / float(face.fit.scale)
        gain[blink] = min(max(open_now / closing, _SMALLEST_BLINK), _LARGEST_BLINK)
    return gain


def eye_closure(face: PlacedFace, weights: Tensor) -> Tensor:
    """weights (B, P) -> (B, 2) how far the left and the right eye have closed since the portrait, 0..1."""
    blinks = [BLENDSHAPE_INDEX[unit] for unit, _, _ in _LIDS]
    was = face.weights[blinks]
    return ((weights[:, blinks] - was) / (1 - was).clamp_min(_LEAST_OPEN)).clamp(0, 1)


def with_lids_that_meet(face: PlacedFace, gain: Tensor, moved: Tensor, closure: Tensor) -> Tensor:
    """Displacements moved (B, 468, 3) in camera coordinates, made with gain (P,) of `blink_gain`; closure (B, 2) of
    `eye_closure` -> the same, the upper lids corrected: a full blink brings them onto the lower ones along the whole
    eye, and nothing brings them further.
    """
    moved, rest = moved.clone(), face.camera_points
    for closing, (unit, upper, lower) in zip(closure.T[..., None, None], _LIDS, strict=True):
        blink = BLENDSHAPE_INDEX[unit]
        full = face.canonical.blendshapes[blink] * gain[blink] * _open_share(face, blink) @ face.fit.rotation.T
        rest_gap = rest[lower] - rest[upper]
        moved[:, upper] += closing * (rest_gap + full[lower] - full[upper])
        gap = rest_gap + moved[:, lower] - moved[:, upper]
        too_far = (gap @ face.down).clamp_max(0)[..., None]
        moved[:, upper] += too_far * face.down
    return moved


def without_lid_rims(face: PlacedFace, source: Tensor, closure: Tensor) -> Tensor:
    """source (B, P, 2) where the portrait is looked at, in pixels of the stage -> the same, lids that close taken from
    further out: the mesh lies a little inside their edges, and they would bring a rim of the eye along.
    """
    source, down = source.clone(), face.down_on_stage
    for closing, (_, upper, lower) in zip(closure.T[..., None, None], _LIDS, strict=True):
        source[:, upper] -= closing * down * _LID_RIM
        source[:, lower] += closing * down * _LID_RIM / 2
    return source


def _open_share(face: PlacedFace, blink: int) -> float:
    """What is left of the opening of an eye in the portrait, 0.2..1 and more."""
    return max(1 - float(face.weights[blink]), _LEAST_OPEN)
