"""Expression, head pose and the portrait's own coefficients -> Motion, the way MappingNet reads them.

Letters: `T` video frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..coefficients import CROP_ROW
from ..datatypes import (
    UNSCALED,
    CropMode,
    Expression,
    FaceCoefficients,
    HeadPose,
    Motion,
    MotionRows,
    OnProgress,
    PoseAngles,
    require_family,
    require_same_length,
)
from ..errors import InputError, OptionError, shorten
from .mapping import MappingNet, run_mappingnet
from .semantics import driving_rows, source_row

#: a head angle as the user writes it: nothing, one number, numbers, or their text ("-20, 20")
Degrees = str | float | Sequence[float] | None


@dataclass(frozen=True)
class DrivingOptions:
    """How the tracks are used.

    expression_scale, pose_scale, still: see `driving_rows`
    yaw, pitch, roll: degrees that replace the predicted angle of every frame; see `degree_track`
    """

    expression_scale: float = 1.0
    pose_scale: PoseAngles = UNSCALED
    still: bool = False
    yaw: Degrees = None
    pitch: Degrees = None
    roll: Degrees = None


class Tracks(NamedTuple):
    """What is turned into motion.  source: the portrait's row;  expression, pose: of one length, (T) frames"""

    source: FaceCoefficients
    expression: Expression
    pose: HeadPose


def coefficients_to_motion(
    net: MappingNet,
    source: FaceCoefficients,
    expression: Expression,
    pose: HeadPose,
    options: DrivingOptions = DrivingOptions(),  # noqa: B008 (frozen)
    *,
    kind: type[MotionRows],
    on_progress: OnProgress | None = None,
) -> Motion[MotionRows]:
    """What the driving rows and the portrait's own row mean to the renderer.

    kind: what the network's numbers are: KeypointMotion of a released one, BlendshapeMotion of a mini one
    on_progress: (frames done, of how many); may raise to stop
    Raises WrongFamily for wires of two families, OptionError for tracks of two lengths and for numbers that mean
    nothing, InputError for NaN or infinite coefficients.
    """
    require_family("the coefficients", source.family, kind.family)
    _check(source, expression, pose, options.expression_scale, options.pose_scale)
    n_frames = len(expression)
    written = {name: parse_degrees(name, getattr(options, name)) for name in ("yaw", "pitch", "roll")}
    replaced = {
        name: torch.as_tensor(degree_track(degrees, n_frames), dtype=torch.float32)
        for name, degrees in written.items()
        if degrees
    }
    width = net.config.coefficients
    rows = driving_rows(
        source,
        expression,
        pose,
        width,
        expression_scale=options.expression_scale,
        pose_scale=options.pose_scale,
        still=options.still,
    )
    with torch.no_grad():
        driving, own = _read(net, rows, kind, on_progress), _read(net, source_row(source, width), kind)
    return Motion(driving=replace(driving, **replaced), source=own)


def require_mapping(net: MappingNet, mode: CropMode) -> None:
    """Refuse the released mapping network that was not trained for this crop mode. Raises OptionError."""
    wants_crop = net.config.coefficients == CROP_ROW
    if wants_crop != mode.full:
        raise OptionError(
            f"the coefficients were extracted in crop mode {mode.value}, which needs the mapping network of "
            f"{'70' if wants_crop else '73'} coefficients, got the one of {net.config.coefficients}; load the model "
            "again."
        )


def degree_track(values: Sequence[float], n_frames: int) -> np.ndarray:
    """Angles to pass through, in order -> (T,) float64 degrees, at one speed all the way.

    The first frame stands at the first value and the last frame at the last one; values in between are passed at the
    moment their share of the whole way has been gone, which may lie between two frames. One value, or equal ones,
    hold still; a single frame stands at the first value.
    """
    stations = [values[0], *(b for a, b in pairwise(values) if a != b)]
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(stations)))])
    gone = np.linspace(0.0, way[-1], n_frames)
    return np.interp(gone, way, np.asarray(stations, dtype=np.float64))


def parse_degrees(name: str, values: Degrees) -> list[float]:
    """A number, numbers, or text such as "-20, 0, 20" (commas, semicolons or spaces) -> the numbers; nothing -> none.

    name: what the user calls it, for the sentence of the OptionError where it is no angle between -180 and 180.
    """
    if isinstance(values, str):
        words: Sequence[Any] = values.replace("\N{MINUS SIGN}", "-").replace(",", " ").replace(";", " ").split()
    elif values is None:
        words = []
    else:
        words = values if isinstance(values, Sequence) else [values]
    sentence = f"{name}: expected degrees from -180 to 180, such as '-20, 0, 20', got {shorten(repr(values))}."
    try:
        degrees = [float(word) for word in words]
    except (TypeError, ValueError, OverflowError) as error:
        raise OptionError(sentence) from error
    if not all(abs(degree) <= 180 for degree in degrees):
        raise OptionError(sentence)
    return degrees


def _read(net: MappingNet, rows: Tensor, kind: type[MotionRows], on_progress: OnProgress | None = None) -> MotionRows:
    """Through the network where it is, and back to the CPU in float32."""
    motion = run_mappingnet(net, rows.to(next(net.parameters())), kind, on_progress=on_progress)
    return kind(*(getattr(motion, part.name).float().cpu() for part in fields(motion)))


def _check(
    source: FaceCoefficients, expression: Expression, pose: HeadPose, expression_scale: float, pose_scale: PoseAngles
) -> None:
    require_family("the expression", expression.family, source.family)
    require_family("the pose", pose.family, source.family)
    require_same_length(len(expression), pose=pose)
    if len(expression) == 0 or len(source) == 0:
        raise OptionError("expected at least one frame of expression and one row of coefficients, got none.")
    for name, value in (
        ("expression_scale", expression_scale),
        ("yaw", pose_scale.yaw),
        ("pitch", pose_scale.pitch),
        ("roll", pose_scale.roll),
    ):
        if not math.isfinite(value):
            raise OptionError(f"expected {name} to be a number, got {value}.")
    tracks = (
        ("coefficients", source.crop_rows()[:1]),
        ("expression", expression.coefficients),
        ("pose", pose.coefficients),
    )
    for name, rows in tracks:
        bad = torch.nonzero(~rows.isfinite().all(dim=-1))
        if len(bad):
            raise InputError(f"the {name} of frame {int(bad[0])} contains NaN or infinite values; generate it again.")
