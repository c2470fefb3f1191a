"""Writes an expression and a pose as blendshapes for other programs; blendshape_layout.py describes the files. For the
family whose coefficients are blendshapes.

Letters: `T` frames at 25 fps, `n` frames of a file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..canonical_face import DOWN_DEG, HEAD_TO_IMAGE, IN_DEG, OUT_DEG, UP_DEG, rotation_of_angles
from ..choices import number_in, of_kind, one_of
from ..claims import Claim
from ..coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX, ROTATION
from ..datatypes import Expression, HeadPose, OnProgress
from ..errors import OptionError, SadTalkerError, shorten
from ..saving import save_text
from ..timeline import FRAMES_PER_SECOND
from .blendshape_layout import (
    APPLE_ORDER,
    EXPORT_FORMS,
    FRAMES_AT_ONCE,
    HIGHEST_FPS,
    JSON_ARKIT,
    JSON_KEY,
    JSON_VRM,
    LIVE_LINK,
    LIVE_LINK_COLUMNS,
    LIVE_LINK_INDEX,
    LOWEST_FPS,
    VERSION,
    between,
    flipped_signs,
    require_names,
)
from .visemes import GESTURE_BLENDSHAPES, SHAPES, SPEECH_BLENDSHAPES, blendshape_indices

#: file name endings
ENDINGS = {LIVE_LINK: ".csv", JSON_ARKIT: ".json", JSON_VRM: ".json"}
#: decimals of a weight or an angle
CSV_DIGITS, JSON_DIGITS = 10, 6

#: VRM's mouth expressions and the viseme that each stands for; a mouth is a mixture of these
VRM_MOUTHS = {"aa": "ah", "ih": "ih", "ou": "oo", "ee": "ee", "oh": "oh"}
#: the other expressions of VRM 1.0 that follow from ARKit's blendshapes, as means of these
VRM_MEANS = {
    "blinkLeft": ("eyeBlinkLeft",),
    "blinkRight": ("eyeBlinkRight",),
    "lookUp": ("eyeLookUpLeft", "eyeLookUpRight"),
    "lookDown": ("eyeLookDownLeft", "eyeLookDownRight"),
    "lookLeft": ("eyeLookOutLeft", "eyeLookInRight"),
    "lookRight": ("eyeLookInLeft", "eyeLookOutRight"),
}


def export_blendshapes(
    path: Path | str | Claim,
    expression: Expression,
    pose: HeadPose | None = None,
    *,
    form: str = LIVE_LINK,
    fps: float = FRAMES_PER_SECOND,
    on_progress: OnProgress | None = None,
) -> Path:
    """Write a mini expression, and a pose, as blendshapes to a path; it appears whole or not at all. Returns the path.

    form: "Live Link Face CSV", "JSON, ARKit names" or "JSON, VRM 1.0 names"
    fps:  frames per second of the file, 1 to 240; at 25 every frame is written as it is, else those between are
          interpolated
    on_progress: called with (frames done, of how many); may raise to stop
    Raises WrongFamily for an expression whose coefficients have no names, OptionError for tracks of two lengths or
    without frames, an unknown form, an fps out of its range, and a path that cannot be written to.
    """
    form = one_of("format", form, EXPORT_FORMS)
    fps = number_in("fps", fps, LOWEST_FPS, HIGHEST_FPS)
    require_names(of_kind("expression", expression, Expression), "exported")
    if not isinstance(path, str | Path | Claim):
        raise OptionError(f"path: expected text or a Path, got {type(path).__name__}.")
    if pose is not None and len(of_kind("pose", pose, HeadPose)) != len(expression):
        raise OptionError(
            f"expected a pose of {len(expression)} frames, as the expression has, got {len(pose)}; make both from the "
            "same Audio Encode, or use Resize Track."
        )
    if not len(expression):
        raise OptionError("expected at least one frame to export, got none.")
    rows = expression.coefficients.detach().float().cpu()
    angles = torch.zeros(len(rows), ROTATION) if pose is None else pose.rotation.detach().float().cpu()
    if not torch.isfinite(rows).all() or not torch.isfinite(angles).all():
        raise OptionError("the tracks contain NaN or infinite values; generate them again.")
    table = torch.cat([rows[:, : len(ARKIT_BLENDSHAPES)], angles], dim=1)
    write = _csv if form == LIVE_LINK else _json_arkit if form == JSON_ARKIT else _json_vrm
    pieces = write(table, fps, pose is not None, on_progress)
    if isinstance(path, Claim):
        return save_text(path, pieces)
    try:
        return save_text(Path(path), pieces)
    except (OSError, ValueError) as error:
        if isinstance(error, SadTalkerError):
            raise
        reason = shorten(getattr(error, "strerror", None) or error)
        raise OptionError(f"{shorten(repr(str(path)))} cannot be written ({reason}); choose another path.") from error


def _sampled(table: Tensor, fps: float, on_progress: OnProgress | None) -> Iterator[tuple[int, Tensor]]:
    """Yields (number of the first, rows) of a few frames at a time, resampled to `fps`; calls on_progress in
    between.
    """
    n_frames = max(math.ceil(len(table) * fps / FRAMES_PER_SECOND - 1e-9), 1)
    for first in range(0, n_frames, FRAMES_AT_ONCE):
        last = min(first + FRAMES_AT_ONCE, n_frames)
        yield first, between(table, torch.arange(first, last, dtype=torch.float64) * FRAMES_PER_SECOND / fps)
        if on_progress is not None:
            on_progress(last, n_frames)


def _csv(table: Tensor, fps: float, has_head: bool, on_progress: OnProgress | None) -> Iterator[str]:
    yield ",".join(("Timecode", "BlendShapeCount", *LIVE_LINK_COLUMNS)) + "\r\n"
    n_blendshapes = len(ARKIT_BLENDSHAPES)
    for first, rows in _sampled(table, fps, on_progress):
        pitch, yaw, roll = flipped_signs(rows[:, n_blendshapes:]).unbind(1)
        numbers = torch.cat(
            [rows[:, LIVE_LINK_INDEX], torch.stack([yaw, pitch, roll], dim=1), eye_angles(rows[:, :n_blendshapes])],
            dim=1,
        )
        for k, values in enumerate(numbers.double().tolist(), start=first):
            cells = ",".join(f"{value:.{CSV_DIGITS}f}" for value in values)
            yield f"{timecode(k, fps)},{len(LIVE_LINK_COLUMNS)},{cells}\r\n"


def timecode(frame: int, fps: float) -> str:
    """HH:MM:SS:FF.mmm of a frame, as the app writes it; 29.97 fps and the like count frames to the next whole rate."""
    base = math.ceil(fps - 1e-9)
    if base == fps:
        seconds, thousandths = frame // base, 1000 * (frame % base)
    else:
        at = frame / fps
        seconds = math.floor(at + 1e-9)
        thousandths = round((at - seconds) * base * 1000)
    whole, rest = divmod(max(thousandths, 0), 1000)
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{whole:02d}.{rest:03d}"


def eye_angles(weights: Tensor) -> Tensor:
    """(n, 52) weights -> (n, 6): yaw, pitch and roll of the left and the right eye in radians, with the app's signs: to
    the right of the person and down are positive, and roll is yaw times pitch.
    """
    angles = []
    for side, outwards in (("Left", -1.0), ("Right", 1.0)):
        out, into, up, down = (
            weights[:, BLENDSHAPE_INDEX[f"eyeLook{way}{side}"]] for way in ("Out", "In", "Up", "Down")
        )
        yaw = torch.deg2rad(out * OUT_DEG - into * IN_DEG) * outwards
        pitch = torch.deg2rad(down * DOWN_DEG - up * UP_DEG)
        angles += [yaw, pitch, yaw * pitch]
    return torch.stack(angles, dim=1)


def _json_arkit(table: Tensor, fps: float, has_head: bool, on_progress: OnProgress | None) -> Iterator[str]:
    order = [BLENDSHAPE_INDEX[name] for name in APPLE_ORDER]
    return _json(table, fps, has_head, on_progress, "ARKit", APPLE_ORDER, lambda rows: rows[:, order])


def _json_vrm(table: Tensor, fps: float, has_head: bool, on_progress: OnProgress | None) -> Iterator[str]:
    return _json(table, fps, has_head, on_progress, "VRM 1.0", (*VRM_MOUTHS, *VRM_MEANS), vrm_weights)


def _json(
    table: Tensor, fps: float, has_head: bool, on_progress: OnProgress | None, names: str, targets: Sequence[str],
    weights_of: Any,
) -> Iterator[str]:  # fmt: skip
    """Yields one line for each frame: its time, its weights, and the head's angles and quaternion."""
    head = {
        JSON_KEY: VERSION,
        "fps": fps,
        "names": names,
        "morph_targets": list(targets),
        "columns": ["time", "weights", *(["head_angles", "head_quaternion"] if has_head else [])],
        "units": "seconds; weights 0..1; head_angles pitch, yaw, roll in radians (down, to the left of the image, "
        "clockwise); head_quaternion x, y, z, w in glTF's axes",
    }
    yield json.dumps(head)[:-1] + ', "frames": [\n'
    n_blendshapes = len(ARKIT_BLENDSHAPES)
    for first, rows in _sampled(table, fps, on_progress):
        angles = rows[:, n_blendshapes:]
        parts: list[list[Any]] = [_rounded(weights_of(rows[:, :n_blendshapes]))]
        if has_head:
            parts += [_rounded(angles), _rounded(_quaternions(angles))]
        for k, values in enumerate(zip(*parts, strict=True), start=first):
            yield ("" if k == 0 else ",\n") + json.dumps([round(k / fps, JSON_DIGITS), *values], separators=(",", ":"))
    yield "\n]}\n"


def _rounded(rows: Tensor) -> list[list[float]]:
    return [[round(value, JSON_DIGITS) for value in row] for row in rows.double().tolist()]


def _quaternions(angles: Tensor) -> Tensor:
    """(n, 3) pitch, yaw, roll -> (n, 4) x, y, z, w of the same rotation in glTF's axes: y up, the face towards z."""
    from scipy.spatial.transform import Rotation

    flip = torch.tensor(HEAD_TO_IMAGE)
    turns = flip[:, None] * rotation_of_angles(angles) * flip
    return torch.from_numpy(Rotation.from_matrix(turns.double().numpy()).as_quat())


def vrm_weights(arkit: Tensor) -> Tensor:
    """(n, 52) -> (n, 11): the mixture of VRM's five mouth expressions nearest to the mouth, and the means of VRM_MEANS.

    The mixture is a non-negative least-squares fit; with five mouths every subset is tried.
    """
    basis = np.zeros((len(ARKIT_BLENDSHAPES), len(VRM_MOUTHS)))
    for k, shape in enumerate(VRM_MOUTHS.values()):
        for gesture, value in SHAPES[shape].items():
            for name, amount in GESTURE_BLENDSHAPES[gesture].items():
                basis[blendshape_indices(name), k] += value * amount
    moved = [k for k in SPEECH_BLENDSHAPES if basis[k].any()]
    basis, wanted = basis[moved], arkit[:, moved].double().numpy()
    best, weights = np.square(wanted).sum(axis=1), np.zeros((len(arkit), basis.shape[1]))
    for chosen in range(1, 2 ** basis.shape[1]):
        columns = [k for k in range(basis.shape[1]) if chosen >> k & 1]
        mixed = wanted @ np.linalg.pinv(basis[:, columns]).T
        error = np.square(wanted - mixed @ basis[:, columns].T).sum(axis=1)
        better = (mixed >= 0).all(axis=1) & (error < best)
        best = np.where(better, error, best)
        weights[better] = 0.0
        weights[np.ix_(better, columns)] = mixed[better]
    means = [arkit[:, [BLENDSHAPE_INDEX[name] for name in names]].mean(dim=1) for names in VRM_MEANS.values()]
    mouths = torch.from_numpy(weights).to(arkit).clamp(max=1)
    return torch.cat([mouths, torch.stack(means, dim=1)], dim=1)


__all__ = ["ENDINGS", "export_blendshapes", "eye_angles", "timecode", "vrm_weights"]
