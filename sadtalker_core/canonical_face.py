"""The canonical face model of the mini family: 468 points of a head, and how the 52 blendshapes move them.

It lies outside the packages because face (mesh -> coefficients), render (coefficients -> mesh) and training share it.
The table assets/mini_basis.safetensors is made by training/heads/landmarks.py from CC0 data.

Canonical head coordinates: decimetres, x to the left of the person (right in the image), y up, z to the viewer. The
points are those of MediaPipe's face mesh, in its order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from .coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX, EXPRESSION

CANONICAL_FACE_FILE = Path(__file__).resolve().parent / "assets" / "mini_basis.safetensors"
N_POINTS = 468
#: what the file calls them
STORED_NAMES = {"units": "blendshapes", "teeth_units": "teeth_blendshapes"}

#: what a triangle of the mesh covers
SKIN, MOUTH, EYES = 0, 1, 2

#: the edge of the open mouth, from the right corner of the person's mouth along the upper lip and back along the lower
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
UPPER_INNER_LIP = INNER_LIPS[1:10]
LOWER_INNER_LIP = INNER_LIPS[11:]
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
#: the edges of the eye openings, the person's right eye (left in the image) first
RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
LEFT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)

#: around the face, from the top of the forehead clockwise as seen in the image
FACE_OUTLINE = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class CanonicalFace:
    """The table, float32.

    mean (468, 3);  blendshapes (52, 468, 3) displacement at full weight, in the order of ARKIT_BLENDSHAPES
    triangles (N, 3) long, counter-clockwise as seen from the front;  kind (N,) SKIN, MOUTH or EYES
    pivot (3,) what the head turns around
    teeth (M, 3), teeth_blendshapes (52, M, 3): points inside the mouth, `teeth_kind` (M,) 0 upper, 1 lower teeth, 2
    tongue
    """

    mean: Tensor
    blendshapes: Tensor
    triangles: Tensor
    kind: Tensor
    pivot: Tensor
    teeth: Tensor
    teeth_blendshapes: Tensor
    teeth_kind: Tensor

    def displacements(self, weights: Tensor) -> Tensor:
        """Blendshape weights (..., 52 or more; what comes behind is ignored) -> displacements (..., 468, 3)."""
        return torch.tensordot(weights[..., : len(ARKIT_BLENDSHAPES)].to(self.blendshapes), self.blendshapes, dims=1)

    def teeth_displacements(self, weights: Tensor) -> Tensor:
        """The same for the points inside the mouth, (..., M, 3)."""
        return torch.tensordot(
            weights[..., : len(ARKIT_BLENDSHAPES)].to(self.teeth_blendshapes), self.teeth_blendshapes, dims=1
        )


@lru_cache(maxsize=1)
@torch.inference_mode(False)  # training, later in this process, could not use tensors of that mode
def load_canonical_face() -> CanonicalFace:
    """The embedded table; read once, never written on."""
    from safetensors.torch import load_file

    whole = ("triangles", "kind", "teeth_kind")
    # copies in any case: what `load_file` gives is mapped
    read = load_file(CANONICAL_FACE_FILE).items()
    tensors = {name: t.to(torch.int64 if name in whole else torch.float32, copy=True) for name, t in read}
    return CanonicalFace(**{STORED_NAMES.get(name, name): tensor for name, tensor in tensors.items()})


#: degrees that a gaze blendshape of weight 1 turns an eye: towards the nose, away from it, up, down
IN_DEG, OUT_DEG, UP_DEG, DOWN_DEG = 22.0, 21.0, 10.3, 15.3
#: weights of the brow blendshapes that raise, or lower, a brow by the usual range of a lively face
INNER_UP, OUTER_UP, BROW_DOWN = 0.85, 0.9, 0.55
#: decimetres by which that raises, or lowers, the brow, averaged over its length
LIFTED, LOWERED = 0.040, 0.028


def gaze_weights(across: Tensor, up: Tensor) -> Tensor:
    """Gaze as two (T,), degrees to the left of the person, and up -> (T, 64) blendshape weights."""
    weights = torch.zeros(len(across), EXPRESSION)
    for side, outwards in (("Left", across), ("Right", -across)):
        weights[:, BLENDSHAPE_INDEX[f"eyeLookOut{side}"]] = outwards.clamp(min=0) / OUT_DEG
        weights[:, BLENDSHAPE_INDEX[f"eyeLookIn{side}"]] = (-outwards).clamp(min=0) / IN_DEG
        weights[:, BLENDSHAPE_INDEX[f"eyeLookUp{side}"]] = up.clamp(min=0) / UP_DEG
        weights[:, BLENDSHAPE_INDEX[f"eyeLookDown{side}"]] = (-up).clamp(min=0) / DOWN_DEG
    return weights


def add_gaze(rows: Tensor, across: Tensor, up: Tensor) -> Tensor:
    """rows (T, 64) and two (T,), degrees to the left of the person, and up, to add to the gaze that the rows have, each
    eye separately -> (T, 64). A frame that adds nothing is unchanged to the bit.
    """
    rows = rows.clone()
    moves = ((across != 0) | (up != 0))[:, None]
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        columns = [BLENDSHAPE_INDEX[f"eyeLook{way}{side}"] for way in ("Out", "In", "Up", "Down")]
        outwards, inwards, upwards, downwards = (rows[:, column] for column in columns)
        now = sign * (OUT_DEG * outwards - IN_DEG * inwards), UP_DEG * upwards - DOWN_DEG * downwards
        gaze = gaze_weights(now[0] + across, now[1] + up).clamp(max=1)
        rows[:, columns] = torch.where(moves, gaze[:, columns], rows[:, columns])
    return rows


def brow_weights(left: Tensor, right: Tensor) -> Tensor:
    """Two (T,), the height of each brow: 1 raised, -1 lowered -> (T, 64) blendshape weights."""
    weights = torch.zeros(len(left), EXPRESSION)
    weights[:, BLENDSHAPE_INDEX["browInnerUp"]] = INNER_UP * ((left + right) / 2).clamp(min=0)
    for side, height in (("Left", left), ("Right", right)):
        weights[:, BLENDSHAPE_INDEX[f"browOuterUp{side}"]] = OUTER_UP * height.clamp(min=0)
        weights[:, BLENDSHAPE_INDEX[f"browDown{side}"]] = BROW_DOWN * (-height).clamp(min=0)
    return weights


#: from head coordinates (y up, z to the viewer) to the axes of images (y down, z away from the viewer), and back
HEAD_TO_IMAGE = (1.0, -1.0, -1.0)


def rotation_of_angles(angles: Tensor) -> Tensor:
    """Pitch, yaw, roll (..., 3) in radians, as coefficients and motion carry them -> rotations (..., 3, 3).

    The rotation is the released family's, pitch @ yaw @ roll, in the axes of images: x right, y down, z away from the
    viewer. Positive pitch looks down, positive yaw looks to the left of the image, positive roll tilts the head
    clockwise as seen in the image. With F = diag(HEAD_TO_IMAGE), the same turn of head coordinates is F @ R @ F.
    """
    # by hand, because three of kornia's rotations, multiplied, take ten times as long and round the same
    (cp, cy, cr), (sp, sy, sr) = (part.unbind(-1) for part in (torch.cos(angles), torch.sin(angles)))
    rows = (
        (cy * cr, -cy * sr, sy),
        (cp * sr + sp * sy * cr, cp * cr - sp * sy * sr, -sp * cy),
        (sp * sr - cp * sy * cr, sp * cr + cp * sy * sr, cp * cy),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def angles_of_rotation(rotation: Tensor) -> Tensor:
    """The way back: rotations (..., 3, 3) -> pitch, yaw, roll (..., 3); yaw is between -90 and 90 degrees."""
    pitch = torch.atan2(-rotation[..., 1, 2], rotation[..., 2, 2])
    yaw = torch.asin(rotation[..., 0, 2].clamp(-1, 1))
    roll = torch.atan2(-rotation[..., 0, 1], rotation[..., 0, 0])
    return torch.stack([pitch, yaw, roll], dim=-1)


def fit_similarity(points: Tensor, template: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The similarity transform that best maps a template to points: points ~ scale * rotation @ template + origin.

    points (B, K, 3), template (K, 3), weights (K,) how much each point counts -> rotation (B, 3, 3), scale (B,),
    origin (B, 3). Umeyama's closed form (1991), in double precision and therefore on the CPU, never a reflection.
    """
    found, rest, share = (t.to("cpu", torch.float64) for t in (points, template, weights))
    share = (share / share.sum())[:, None]
    middle, rest_middle = (found * share).sum(1, keepdim=True), (rest * share).sum(0)
    covariance = (found - middle).transpose(1, 2) @ ((rest - rest_middle) * share)
    u, spread, v = torch.linalg.svd(covariance)
    signs = torch.ones_like(spread)
    signs[:, 2] = torch.sign(torch.linalg.det(u @ v))
    rotation = (u * signs[:, None]) @ v
    scale = (spread * signs).sum(-1) / ((rest - rest_middle) ** 2 * share).sum()
    origin = middle[:, 0] - scale[:, None] * (rotation @ rest_middle)
    return rotation.to(points), scale.to(points), origin.to(points)
