"""Coefficients of a reference video come in; rows as long as the clip go out, and what an option takes from them.

Letters: `L` rows of the reference, `T` frames of the clip, `N` numbers per row, `k` rows that a loop blends over.
"""

from __future__ import annotations

from dataclasses import fields, replace
from enum import Enum
from typing import Any, NamedTuple, TypedDict

import torch
from torch import Tensor

from ..choices import one_of
from ..coefficients import BLENDSHAPE_INDEX
from ..datatypes import Expression, FaceCoefficients, HeadPose
from ..errors import OptionError, VideoError
from .expnet import ExpNet


class ReferenceLength(str, Enum):
    """What happens when a reference video is shorter than the clip. A longer one always loses its end."""

    LOOP = "loop"  #: begin again
    PING_PONG = "ping-pong"  #: go back and forth, without a jump
    HOLD = "hold"  #: stay on the last row
    CUT = "cut"  #: end the clip with the reference


class ReferenceOptions(TypedDict, total=False):
    """What a track takes from a reference video.

    reference: its coefficients, or None (the default)
    reference_mode: what is taken, by the names that the stage has for it; its first one when left out
    reference_length: a ReferenceLength (loop)
    """

    reference: FaceCoefficients | None
    reference_mode: str
    reference_length: str


def fit_length(
    coefficients: FaceCoefficients, n_frames: int, how: ReferenceLength | str, *, blend: int = 0
) -> FaceCoefficients:
    """L rows -> n_frames rows, or fewer for `cut`.

    blend: how many rows at the end of each round of a loop melt into the first ones of the next, so that nothing
           jumps; the rounds get shorter by as much. 0 jumps, as the original does.
    """
    n_rows = len(coefficients)
    if n_rows == 0:
        raise VideoError("expected a reference with at least one frame, got none.")
    plan = plan_fit(n_rows, n_frames, how, blend=blend)
    fitted = take_rows(coefficients, plan.row)
    if plan.melting is None:
        return fitted
    other, weight = plan.melting
    return _mix(fitted, take_rows(coefficients, other), weight)


class Fit(NamedTuple):
    """Which rows make a track of another length: row (n,), and where a loop melts (other (n,), by weight (n,))."""

    row: Tensor
    melting: tuple[Tensor, Tensor] | None = None


def plan_fit(n_rows: int, n_frames: int, how: ReferenceLength | str, *, blend: int = 0) -> Fit:
    """How n_rows > 0 rows become n_frames, or fewer for `cut`; see `fit_length`. Raises OptionError."""
    if blend < 0:
        raise OptionError(f"expected a blend of 0 frames or more, got {blend}.")
    how = one_of("reference_length", how, ReferenceLength)
    blend = min(blend, n_rows // 2)
    frame = torch.arange(n_frames)
    if how is ReferenceLength.CUT:
        return Fit(frame[:n_rows])
    if how is ReferenceLength.HOLD:
        return Fit(frame.clamp(max=n_rows - 1))
    if how is ReferenceLength.PING_PONG:
        period = max(2 * n_rows - 2, 1)
        phase = frame % period
        return Fit(torch.minimum(phase, period - phase) if n_rows > 1 else phase)
    if n_frames <= n_rows:
        return Fit(frame)  # no second round, so nothing to melt into
    period = n_rows - blend
    row = torch.where(frame < n_rows, frame, frame % period)
    # The rows period..L of a round lie over the first `blend` rows of the next one.
    into_round = frame % period
    melting = (frame >= period) & (into_round < blend)
    if not melting.any():
        return Fit(row)
    other = torch.where(melting, into_round, row)
    row = torch.where(melting, period + into_round, row)
    weight = torch.where(melting, (into_round + 1) / (blend + 1), torch.zeros(()))
    return Fit(row, (other, weight))


def take_rows(coefficients: FaceCoefficients, rows: Tensor) -> FaceCoefficients:
    """The rows with these indices (n,) int64, in that order."""
    taken: dict[str, Any] = {name: value[rows] for name, value in _tracks(coefficients).items()}
    return replace(coefficients, **taken)


def eyelids_by_blendshapes(reference: FaceCoefficients) -> Tensor:
    """(L,) in 0..1: how far the lids of a mini reference are down, which has two blendshapes for it."""
    lids = [BLENDSHAPE_INDEX["eyeBlinkLeft"], BLENDSHAPE_INDEX["eyeBlinkRight"]]
    return reference.expression[:, lids].mean(dim=1).clamp(0, 1)


def eyelids_by_expnet(reference: FaceCoefficients, net: ExpNet) -> Tensor:
    """(L,) in 0..1: how far the lids of a released reference are down; its mouth is ignored.

    The basis of the released family knows no lids of their own: we measure along the direction in which the ExpNet
    itself moves a face when its blink input is set (the last column of its head), starting where the eyes are open,
    which we take to be where the lowest tenth of the frames ends. What else moves along that direction is taken for
    lids. The original hands all 64 numbers of the reference to the network instead, mouth included; see
    `predict_expression`.
    """
    closing = closing_of_expnet(net)
    shut = reference.expression @ closing / closing.square().sum().clamp(min=1e-12)
    return (shut - shut.quantile(0.1)).clamp(0, 1)


def closing_of_expnet(net: ExpNet) -> Tensor:
    """(64,) how a whole blink moves the coefficients of a face, as an ExpNet of this family does it."""
    return net.head.weight[:, -1].detach().float().cpu()


def reenact(reference: FaceCoefficients, source: FaceCoefficients | None = None) -> tuple[Expression, HeadPose]:
    """Expression and pose wholly from the reference, which should be as long as the clip.

    source: keep the portrait's place: the head begins as in the portrait and moves as the reference does from its
            first row on.
    Without it the head goes where the reference's head is.
    """
    pose = reference.pose
    if source is not None:
        pose = source.pose[:1] + follow(reference)
    return Expression(reference.expression.clone(), reference.family), HeadPose(pose.clone(), reference.family)


def follow(reference: FaceCoefficients) -> Tensor:
    """(L, 6): how the head of the reference has moved since its first row."""
    return reference.pose - reference.pose[:1]


def _mix(a: FaceCoefficients, b: FaceCoefficients, weight: Tensor) -> FaceCoefficients:
    """a where weight (n,) is 0, b where it is 1."""
    others = _tracks(b)
    mixed: dict[str, Any] = {}
    for name, value in _tracks(a).items():
        if value.is_floating_point():
            mixed[name] = torch.lerp(value, others[name], weight[:, None].to(value))
        else:  # found: by all rows that count
            mixed[name] = (value | (weight == 1)) & (others[name] | (weight == 0))
    return replace(a, **mixed)


def _tracks(coefficients: FaceCoefficients) -> dict[str, Any]:
    values = {field.name: getattr(coefficients, field.name) for field in fields(coefficients)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


__all__ = [
    "Fit",
    "ReferenceLength",
    "closing_of_expnet",
    "eyelids_by_blendshapes",
    "eyelids_by_expnet",
    "fit_length",
    "follow",
    "plan_fit",
    "reenact",
    "take_rows",
]
