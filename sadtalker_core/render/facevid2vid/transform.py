"""Turning and moving key points: canonical key points and the motion of a frame -> key points in that frame.

Letters: `B` frames, `K` key points. Places are (x, y, z) in -1..1: x right, y down, z away from the viewer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...datatypes import KeypointMotion

#: Degrees become radians by this number and not by pi: the released weights learned their angles with it (PARITY.md
#: P46). At 45 degrees the difference is 0.02 degrees.
TRAINING_PI = 3.14


def transform_keypoints(canonical: Tensor, motion: KeypointMotion) -> Tensor:
    """canonical (B or 1, K, 3) turned by the motion's angles, moved by its translation and bent by its offsets.

    motion: B frames with 3 K offsets each, (x, y, z) key point by key point. Of the translation only y counts: the
    released weights never learned to move a head sideways or nearer (PARITY.md P46).  ->  (B, K, 3)
    """
    turned = canonical @ rotation_matrix(motion.yaw, motion.pitch, motion.roll).mT
    _, up_down, _ = motion.translation.unbind(dim=-1)
    moved = torch.stack([torch.zeros_like(up_down), up_down, torch.zeros_like(up_down)], dim=-1)
    return turned + moved.unsqueeze(1) + motion.offsets.unflatten(-1, (-1, 3))


def rotation_matrix(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Angles in degrees, each (…,) -> (…, 3, 3), for column vectors: about z by roll, then about y by yaw, then about x
    by pitch.

    Seen by the viewer, pitch > 0 moves the nose down, yaw > 0 to the left of the image, roll > 0 tilts clockwise.
    """
    # as the original multiplies them; kornia's three rotations take ten times as long
    yaw, pitch, roll = (angle / 180 * TRAINING_PI for angle in (yaw, pitch, roll))
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def matrix(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)

    about_x = matrix((one, zero, zero), (zero, pitch.cos(), -pitch.sin()), (zero, pitch.sin(), pitch.cos()))
    about_y = matrix((yaw.cos(), zero, yaw.sin()), (zero, one, zero), (-yaw.sin(), zero, yaw.cos()))
    about_z = matrix((roll.cos(), -roll.sin(), zero), (roll.sin(), roll.cos(), zero), (zero, zero, one))
    return about_x @ about_y @ about_z
