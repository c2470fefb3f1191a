"""What is measured, on plain arrays: tracks, points and images in, a number out. Nothing here is fitted.

Letters: `T` frames. 68-point faces are (T, 68, 2) in any unit, x right, y down; meshes are those of face/metrics.py.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sadtalker_core.canonical_face import (
    HEAD_TO_IMAGE,
    LEFT_EYE,
    RIGHT_EYE,
    angles_of_rotation,
    fit_similarity,
    load_canonical_face,
)
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.face.landmarks import MESH_TO_68
from sadtalker_core.face.metrics import inner_lip_gap, mouth_width

FURTHEST_LAG = 5
_LEADS = range(-FURTHEST_LAG, FURTHEST_LAG + 1)

# ---- tracks ----------------------------------------------------------------------------------------------------------


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's r; 0 for a track that does not move."""
    if np.std(one) < 1e-9 or np.std(other) < 1e-9:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def best_lag(seen: np.ndarray, wanted: np.ndarray) -> int:
    """By how many frames `seen` comes after `wanted`: the shift at which they agree best."""

    def shifted(lag: int) -> float:
        n = len(seen) - abs(lag)
        return correlation(seen[max(lag, 0) :][:n], wanted[max(-lag, 0) :][:n])

    return max(range(-FURTHEST_LAG, FURTHEST_LAG + 1), key=lambda lag: (shifted(lag), -abs(lag)))


def ahead(seen: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """By how many frames `seen` comes before `wanted`, where they agree best, and how well they agree there.

    -> frames, with what lies between two of them by a parabola, and Pearson's r
    """
    n = len(seen) - FURTHEST_LAG
    ends = [correlation(seen[FURTHEST_LAG - k :][: n - FURTHEST_LAG], wanted[FURTHEST_LAG:n]) for k in _LEADS]
    best = int(np.argmax(ends))
    if best in (0, len(ends) - 1):
        return float(_LEADS[best]), ends[best]
    before, top, after = ends[best - 1 : best + 2]
    return _LEADS[best] + 0.5 * (before - after) / min(before - 2 * top + after, -1e-9), top


def moving(tracks: np.ndarray, by: float = 0.02) -> float:
    """(T, N) -> the share of frames in which any of the numbers moves on by more than `by`."""
    return float((np.abs(np.diff(tracks, axis=0)).max(1) > by).mean())


def hurrying(track: np.ndarray) -> float:
    """(T,) -> the share of frames in which it moves on by more than a quarter of its range (of nine frames in ten)."""
    low, high = np.quantile(track, (0.05, 0.95))
    return float((np.abs(np.diff(track)) > 0.25 * max(high - low, 1e-6)).mean())


def spread_ratio(seen: np.ndarray, wanted: np.ndarray) -> float:
    """Standard deviation by standard deviation; 0 where the target does not move."""
    return float(np.std(seen) / np.std(wanted)) if np.std(wanted) > 1e-9 else 0.0


def share_below(track: np.ndarray, frames: np.ndarray, limit: float) -> float:
    """The share of the chosen frames (indices) in which the track is below the limit; nan where none is chosen."""
    return float(np.mean(track[frames] < limit)) if len(frames) else float("nan")


# ---- 68 points -------------------------------------------------------------------------------------------------------

_INNER_LIPS_68 = ((61, 67), (62, 66), (63, 65))
_EYES_68 = ((36, 39, ((37, 41), (38, 40))), (42, 45, ((43, 47), (44, 46))))
_ROUNDS = 20


def _apart(points: Tensor, one: int, other: int) -> Tensor:
    return (points[:, one] - points[:, other]).norm(dim=-1)


def inner_lip_gap_68(points: Tensor) -> Tensor:
    """(T,) as face/metrics.py's inner_lip_gap: a part of the distance between the outer corners of the eyes."""
    gaps = torch.stack([_apart(points, *pair) for pair in _INNER_LIPS_68]).mean(0)
    return gaps / _apart(points, 36, 45)


def mouth_width_68(points: Tensor) -> Tensor:
    """(T,) between the corners of the mouth, in the same measure."""
    return _apart(points, 48, 54) / _apart(points, 36, 45)


def eye_aspect_ratio_68(points: Tensor) -> Tensor:
    """(T, 2) height by width of both eyes."""
    eyes = []
    for outer, inner, lids in _EYES_68:
        height = torch.stack([_apart(points, *pair) for pair in lids]).mean(0)
        eyes.append(height / _apart(points, outer, inner))
    return torch.stack(eyes, dim=-1)


def head_angles_68(points: Tensor) -> Tensor:
    """(T, 3) pitch, yaw, roll in radians, with the signs of the coefficients: the mean face laid on the found points.
    Depth is not seen, so it is taken from the fit itself until the two agree (DeMenthon and Davis 1995).

    All points count alike. On eight heads rendered with turns of 12 degrees that reads yaw within 2.6 and pitch within
    4 degrees on average; the nose and the corners of the eyes alone, which no face moves, 5.7 and 4.1.
    """
    canonical = load_canonical_face()
    head = ((canonical.mean - canonical.pivot) * torch.tensor(HEAD_TO_IMAGE))[list(MESH_TO_68)]
    points = points.float()
    rotation = torch.eye(3).expand(len(points), -1, -1)
    size = (points - points.mean(1, keepdim=True)).norm(dim=(1, 2)) / (head - head.mean(0))[:, :2].norm()
    for _ in range(_ROUNDS):
        depth = (rotation.to(head) @ head.T)[:, 2] * size.to(head)[:, None]
        rotation, size, _ = fit_similarity(torch.cat([points, depth[..., None]], -1), head, torch.ones(len(head)))
    return angles_of_rotation(rotation.float())


# ---- images --------------------------------------------------------------------------------------------------------

_INSIDE_THE_LIDS = 0.85  #: the part of the eye opening that is looked at, so that lashes and lids stay out
_FINER = 4


def psnr(one: np.ndarray, other: np.ndarray, where: np.ndarray | None = None) -> float:
    """Decibels between images (..., H, W, 3) uint8, over the pixels of the mask (H, W); 99 when they are equal,
    nan when the mask is empty.
    """
    error = (one.astype(np.float64) - other.astype(np.float64)) ** 2
    chosen = error if where is None else error[..., where, :]
    if not chosen.size:
        return float("nan")
    mean = chosen.mean()
    return float(min(99.0, 10 * np.log10(255**2 / mean))) if mean > 0 else 99.0


def flicker(frames: np.ndarray, where: np.ndarray) -> float:
    """The largest mean change from one frame to the next, of 255, over the pixels of the mask (H, W)."""
    steps = np.abs(np.diff(frames[:, where].astype(np.float64), axis=0))
    return float(steps.mean(axis=(1, 2)).max()) if len(steps) else 0.0


def eye_contrast(image: np.ndarray, points: np.ndarray) -> float:
    """How much light and dark there is inside the eyes: the standard deviation of the light within the edges of the
    lids, where an open eye shows white, iris and pupil, and a shut one skin. Mean of both eyes.

    image (H, W, 3) uint8;  points (468, 2) the mesh of the same face with its eyes open, in pixels
    """
    from PIL import Image, ImageDraw

    light, spreads = image.astype(np.float64).mean(-1), []
    for edge in (RIGHT_EYE, LEFT_EYE):
        outline = points[list(edge)].astype(np.float64)
        inner = outline.mean(0) + (outline - outline.mean(0)) * _INSIDE_THE_LIDS
        drawn = Image.new("L", tuple(_FINER * side for side in light.shape[::-1]))
        ImageDraw.Draw(drawn).polygon([(_FINER * float(x), _FINER * float(y)) for x, y in inner], fill=255)
        inside = np.asarray(drawn.resize(light.shape[::-1], Image.Resampling.BOX)) > 127
        spreads.append(light[inside].std() if inside.any() else 0.0)
    return float(np.mean(spreads))


# ---- what the coefficients ask for -----------------------------------------------------------------------------------


def commanded_gap(weights: np.ndarray) -> np.ndarray:
    """blendshape weights (T, 52 or more) -> (T,) the inner-lip gap that the mean face has under them.

    Only its changes count: at rest it is .07, because the basis keeps its points a little inside the lips' edges.
    """
    return inner_lip_gap(_mean_face_under(weights)).numpy()


def commanded_width(weights: np.ndarray) -> np.ndarray:
    """The same for the width of the mouth."""
    return mouth_width(_mean_face_under(weights)).numpy()


_SHUT_GAP = 0.02  #: beyond the gap at rest, as a part of the distance of the eyes: 1.8 mm
_PRESSED = 0.18  #: so much of `mouthPress` holds the lips together (render/meshwarp/lip_contact.py)


def commanded_shut(weights: np.ndarray) -> np.ndarray:
    """(T, 52 or more) -> (T,) whether the renderer brings the lips of the mean face together."""
    weights = np.asarray(weights, np.float32)
    gap = commanded_gap(weights) - commanded_gap(np.zeros_like(weights[:1]))
    pressed = weights[:, [BLENDSHAPE_INDEX[f"mouthPress{side}"] for side in ("Left", "Right")]].mean(1) / _PRESSED
    return gap * (1 - pressed.clip(0, 1)) < _SHUT_GAP


def _mean_face_under(weights: np.ndarray) -> Tensor:
    canonical = load_canonical_face()
    return canonical.mean + canonical.displacements(torch.from_numpy(np.asarray(weights, np.float32)).clamp(0, 1))
