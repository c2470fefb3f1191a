"""A cropped square and its 68 points come in; the 224 x 224 face that the 3-D face network wants goes out.

The face is moved and scaled, never turned: five of the points are fitted to five points of a mean face by least
squares, and only the scale and the place of that fit are used (PARITY.md P23 and P24). Letters: `S` the side of the
square.

Here, and only here, y counts UP from the last row of pixels (y_up = H - 1 - y), because the released coefficients were
made that way; everywhere else it counts down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import FaceNotFound
from .recon import ALIGNED_SIZE

#: How large the mean face is drawn: pixels per unit of the template in the aligned image.
ALIGNED_SCALE = 102.0

#: A face that must be enlarged more than this has hardly a dozen pixels; its coefficients would be made up.
LARGEST_ENLARGEMENT = 16.0

#: Five points of the mean face: the eyes, the nose tip and the corners of the mouth, left of the image before right;
#: x right, y up, z to the viewer, in units of the face model. In float32, as the original holds them: the points that
#: stand in for a face that is not found (`template_points`) then miss a whole pixel by a hair, and the cut with int()
#: falls on the same side of it.
TEMPLATE = np.array(
    [
        (-0.31148657, 0.29036078, 0.13377953),
        (0.30979887, 0.28972036, 0.13179526),
        (0.003253499, -0.046179324, 0.55244243),
        (-0.25216928, -0.38133916, 0.22405732),
        (0.2484662, -0.38128236, 0.22235769),
    ],
    dtype=np.float32,
)


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """What the 3-D face network looks at, and where it came from.

    image: (3, 224, 224) in 0..1, black where the square ended
    crop:  (3,) s, tx, ty: the scale from the square to the aligned image, and the place of the template's origin in
           pixels of the square, ty counting up
    """

    image: Tensor
    crop: Tensor


def align_face(square: Tensor, landmarks: Tensor | None) -> AlignedFace:
    """Cut the face out as the 3-D face network was trained to see it.

    square:    (3, S, S) in 0..1 (other shapes work, too)
    landmarks: (68, 2) pixels of the square, y down; or None: assume a face of the template's size in the middle, which
               is what the original does when it finds no face in the square (PARITY.md P24)
    Raises FaceNotFound when the points do not make a face.
    """
    height, width = square.shape[-2:]
    points = template_points(width, height) if landmarks is None else five_points(flip_points(landmarks, height))
    origin, face_scale = fit_template(points)
    scale = ALIGNED_SCALE / face_scale
    if scale > LARGEST_ENLARGEMENT:
        raise FaceNotFound(
            f"the face is only about {2 * face_scale:.0f} pixels wide in the {width} x {height} square, too small to "
            f"read; use a crop mode other than resize, or an image with a larger face."
        )
    image = _resize_and_crop(square, origin, scale)
    return AlignedFace(image, torch.tensor([scale, *origin], dtype=torch.float32))


def flip_points(landmarks: Tensor, height: int) -> np.ndarray:
    """(68, 2) points, y down -> the same with y counting up from the last row."""
    points = landmarks.detach().cpu().numpy().copy()
    if points.shape != (68, 2):
        raise FaceNotFound(f"expected landmarks (68, 2), got {points.shape}")
    points[:, 1] = height - 1 - points[:, 1]
    return points


def five_points(points: np.ndarray) -> np.ndarray:
    """(68, 2) -> (5, 2): both eyes, as the middle of their CORNERS alone, the nose tip, the corners of the mouth."""
    left_eye, right_eye = points[[36, 39]].mean(axis=0), points[[42, 45]].mean(axis=0)
    return np.stack([left_eye, right_eye, points[30], points[48], points[54]])


def template_points(width: int, height: int) -> np.ndarray:
    """(5, 2) where the template's points lie when -1..1 of the face model fills the image, y up."""
    return (TEMPLATE[:, :2] + 1) / 2 * np.array([width, height], dtype=np.float32)


def fit_template(points: np.ndarray) -> tuple[tuple[float, float], float]:
    """Where the template's origin lies (tx, ty), and how many pixels a unit of it measures.

    points: (5, 2), y up. Two affine rows are fitted, x and y each from the three coordinates of the template; the scale
    is the mean length of the two, so turning the head hardly changes it.
    """
    if not np.isfinite(points).all():
        raise FaceNotFound("the landmarks contain NaN or infinite values; choose another image or face.")
    design = np.concatenate([TEMPLATE, np.ones((5, 1))], axis=1)
    solution = np.linalg.lstsq(design, points.astype(np.float64), rcond=None)[0]  # (4, 2): three directions, the origin
    scale = float(np.linalg.norm(solution[:3], axis=0).mean())
    if scale < 1e-3:
        raise FaceNotFound("the landmarks are all at one point and do not form a face; choose another image or face.")
    return (float(solution[3, 0]), float(solution[3, 1])), scale


def _resize_and_crop(square: Tensor, origin: tuple[float, float], scale: float) -> Tensor:
    """Scale the image with Pillow's bicubic filter and cut 224 x 224 around the origin; int() as in PARITY.md P24."""
    from PIL import Image

    height, width = square.shape[-2:]
    wide, high = int(width * scale), int(height * scale)
    if wide < 1 or high < 1:
        raise FaceNotFound("the landmarks reach far outside the image and do not form a face; choose another face.")
    left = int(wide / 2 - ALIGNED_SIZE / 2 + (origin[0] - width / 2) * scale)
    top = int(high / 2 - ALIGNED_SIZE / 2 + (height / 2 - origin[1]) * scale)
    pixels = (square.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(pixels).resize((wide, high), resample=Image.Resampling.BICUBIC)
    image = image.crop((left, top, left + ALIGNED_SIZE, top + ALIGNED_SIZE))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
