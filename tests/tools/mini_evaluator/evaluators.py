"""Two evaluators look at frames: the pack's own face mesh, and the 68-point network that training never saw.

In: frames (T, H, W, 3) uint8 and where the face is in them, more or less. Out: what each evaluator reads, `Reading`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sadtalker_core.datatypes import Box
from sadtalker_core.face.detector import detect_faces
from sadtalker_core.face.embedded import embedded_face_nets
from sadtalker_core.face.landmarks import mesh_to_68
from sadtalker_core.face.mesh import face_mesh
from sadtalker_core.face.metrics import eye_aspect_ratio, head_angles, inner_lip_gap, mouth_width

from . import sources
from .measures import eye_aspect_ratio_68, head_angles_68, inner_lip_gap_68, mouth_width_68
from .points68 import Points68, read_weights

MESH, POINTS = "mesh", "68 points"
EVALUATORS = (MESH, POINTS)
_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Reading:
    """gap (T,) between the inner lips, by the distance of the eyes; eyes (T,) height by width, mean of both;
    pitch, yaw (T,) degrees; width (T,) of the mouth, by the distance of the eyes.
    """

    gap: np.ndarray
    eyes: np.ndarray
    pitch: np.ndarray
    yaw: np.ndarray
    width: np.ndarray

    def __getitem__(self, rows) -> Reading:
        return Reading(self.gap[rows], self.eyes[rows], self.pitch[rows], self.yaw[rows], self.width[rows])


class Evaluators:
    def __init__(self, folder: Path):
        self.detector, self.mesh = embedded_face_nets()
        self.points68 = Points68(read_weights(sources.points68(folder)))

    def find(self, image: np.ndarray) -> Tensor:
        """(468, 3) the mesh of the largest face of an image (H, W, 3) uint8."""
        floats = _floats(image)
        return face_mesh(self.mesh, floats, detect_faces(self.detector, floats)[0]).points

    def read(self, frames: np.ndarray, landmarks: Tensor) -> dict[str, Reading]:
        """landmarks (468, 2 or 3): the mesh in some frame of the clip."""
        low, high = landmarks[:, :2].amin(0).tolist(), landmarks[:, :2].amax(0).tolist()
        around = Box(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))
        meshes = torch.stack([face_mesh(self.mesh, _floats(frame), around).points for frame in frames])
        starts = mesh_to_68(meshes)
        parts = zip(torch.from_numpy(frames).split(_AT_ONCE), starts.split(_AT_ONCE), strict=True)
        points = torch.cat([self.points68.find(f.permute(0, 3, 1, 2).float() / 255, s) for f, s in parts])
        return {
            MESH: _reading(inner_lip_gap(meshes), eye_aspect_ratio(meshes), head_angles(meshes), mouth_width(meshes)),
            POINTS: _reading(
                inner_lip_gap_68(points),
                eye_aspect_ratio_68(points),
                head_angles_68(points),
                mouth_width_68(points),
            ),
        }


def _reading(gap: Tensor, eyes: Tensor, angles: Tensor, width: Tensor) -> Reading:
    pitch, yaw, _ = angles.rad2deg().numpy().T
    return Reading(gap.numpy(), eyes.mean(-1).numpy(), pitch, yaw, width.numpy())


def _floats(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).float() / 255
