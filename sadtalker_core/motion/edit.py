"""Tracks come in, tracks go out as the user wants them: stronger, calmer, mixed, longer.

Letters: `T` frames, `N` numbers per frame. Nothing here needs a network: it takes milliseconds, whatever the length.
"""

from __future__ import annotations

import math
from dataclasses import replace
from enum import Enum
from numbers import Integral, Real
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..choices import of_kind, one_of
from ..coefficients import ARKIT_BLENDSHAPES, EXPRESSION, POSE, ROTATION
from ..datatypes import UNSCALED, Expression, HeadPose, PoseAngles, require_family
from ..errors import OptionError, shorten
from .reference import ReferenceLength, plan_fit
from .smoothing import ORDER, smooth

Track = TypeVar("Track", Expression, HeadPose)

#: prefixes of the names of a group's blendshapes; every blendshape is in one group
GROUPS = {
    "mouth": ("jaw", "mouth", "tongue", "cheekPuff", "noseSneer"),
    "eyes": ("eye", "cheekSquint"),
    "brows": ("brow",),
}
MOUTH_GROUP, EYES_GROUP, BROWS_GROUP = GROUPS
_LIDS = "eyeBlink"
_UNTURNED = PoseAngles(0.0, 0.0, 0.0)
#: a smoothing window above this many frames (2 s) leaves no speech in a track
LONGEST_SMOOTHING = 51
#: how two tracks become one
JOIN_MODES = BLEND, ONE_AFTER_THE_OTHER = ("blend", "one after the other")


class FitHow(str, Enum):
    """How a track becomes longer or shorter."""

    LOOP = "loop"  #: begin again
    PING_PONG = "ping-pong"  #: go back and forth, without a jump
    HOLD = "hold"  #: stay on the last frame
    STRETCH = "stretch"  #: the whole track, slower or faster
    CUT = "cut"  #: shorten only


def blendshapes_of(group: str) -> list[int]:
    """The columns of a mini expression that move the mouth, the eyes or the brows."""
    return [i for i, name in enumerate(ARKIT_BLENDSHAPES) if name.startswith(GROUPS[group])]


def edit_expression(
    expression: Expression,
    *,
    mouth: float = 1.0,
    eyes: float = 1.0,
    brows: float = 1.0,
    overall: float = 1.0,
    smoothing: int = 0,
) -> Expression:
    """Every coefficient times `overall`, and in the mini family the blendshapes of each group times the group's factor.

    smoothing: frames of the sliding parabola that calms the track, 0 for none. Lids of the mini family are left out:
               a blink is as short as the window, and would no longer shut the eye.
    A mini blendshape is never driven beyond 1 (full), except where it was there already.
    The released basis mixes mouth, eyes and brows in every number, so there a group raises OptionError.
    """
    of_kind("expression", expression, Expression)
    groups = {MOUTH_GROUP: mouth, EYES_GROUP: eyes, BROWS_GROUP: brows}
    for name, factor in {**groups, "overall": overall}.items():
        _number(name, factor)
    named = expression.blendshapes
    if not named and any(scale != 1 for scale in groups.values()):
        raise OptionError(
            f"a {expression.family} expression cannot be scaled by group: each of its coefficients moves mouth, eyes "
            "and brows together. Leave mouth, eyes and brows at 1 and use overall, or choose the mini model."
        )
    before = expression.coefficients
    scale = torch.full((EXPRESSION,), float(overall))
    if named:
        for group, factor in groups.items():
            scale[blendshapes_of(group)] *= factor
    after = _calm(before * scale, smoothing)
    if named:
        lids = [i for i, name in enumerate(ARKIT_BLENDSHAPES) if name.startswith(_LIDS)]
        after[:, lids] = before[:, lids] * scale[lids]
        after = after.clamp(min=before.clamp(max=0) * scale, max=before.clamp(min=1))
    return replace(expression, coefficients=after)


def edit_pose(
    pose: HeadPose,
    *,
    scales: PoseAngles = UNSCALED,
    offsets_deg: PoseAngles = _UNTURNED,
    translation: float = 1.0,
    smoothing: int = 0,
) -> HeadPose:
    """Scales the angles and the translation about the first frame, then turns the whole track by the offsets, degrees.

    About the first frame, because there the head is where the portrait has it: a scale of 0 holds it there.
    smoothing: as for expressions.
    """
    of_kind("pose", pose, HeadPose)
    for name, angles in {"scales": scales, "offsets_deg": offsets_deg}.items():
        if len(of_kind(name, angles, tuple)) != ROTATION:
            raise OptionError(f"{name}: expected {ROTATION} angles (pitch, yaw, roll), got {len(angles)}.")
        for angle in angles:
            _number(name, angle)
    _number("translation", translation)
    rows = _calm(pose.coefficients, smoothing)
    scale = torch.tensor([*scales, *(translation,) * (POSE - ROTATION)])
    rows = rows[:1] + (rows - rows[:1]) * scale
    rows[:, :ROTATION] += torch.deg2rad(torch.tensor(offsets_deg))
    return replace(pose, coefficients=rows)


def blend(track: Track, other: Track, weight: float) -> Track:
    """Frame by frame from `track` (weight 0) to `other` (weight 1); the result is as long as the shorter one."""
    rows, others = _same_family(track, other)
    _number("weight", weight)
    n_frames = min(len(rows), len(others))
    return replace(track, coefficients=torch.lerp(rows[:n_frames], others[:n_frames], float(weight)))


def concatenate(track: Track, other: Track, crossfade: int = 0) -> Track:
    """`other` behind `track`. The last `crossfade` frames of the one melt into the first ones of the other, so the
    result is as much shorter; a crossfade longer than either track is cut down to the shorter.
    """
    rows, others = _same_family(track, other)
    _count("crossfade", crossfade)
    n_mixed = min(crossfade, len(rows), len(others))
    weight = (torch.arange(n_mixed) + 1.0) / (n_mixed + 1)
    mixed = torch.lerp(rows[len(rows) - n_mixed :], others[:n_mixed], weight[:, None])
    return replace(track, coefficients=torch.cat([rows[: len(rows) - n_mixed], mixed, others[n_mixed:]]))


def resize(track: Track, n_frames: int, how: FitHow | str, *, crossfade: int = 0) -> Track:
    """-> n_frames frames, or fewer for `cut`. crossfade: frames over which a loop melts into its next round."""
    how, rows = one_of("method", how, FitHow), _rows("track", track)
    _count("n_frames", n_frames)
    _count("crossfade", crossfade)
    if n_frames < 1 or len(rows) == 0:
        raise OptionError(f"expected at least one frame in and one frame out, got {len(rows)} and {n_frames}.")
    if how is FitHow.STRETCH:
        stretched = F.interpolate(rows.T[None], size=n_frames, mode="linear", align_corners=True)
        return replace(track, coefficients=stretched[0].T.contiguous())
    plan = plan_fit(len(rows), n_frames, ReferenceLength(how.value), blend=crossfade)
    fitted = rows[plan.row]
    if plan.melting is not None:
        other, weight = plan.melting
        fitted = torch.lerp(fitted, rows[other], weight[:, None].to(rows))
    return replace(track, coefficients=fitted)


def _calm(rows: Tensor, window: int) -> Tensor:
    """A new tensor, smoothed when the window, made odd, is wide enough for a parabola."""
    _count("smoothing", window)
    if window > LONGEST_SMOOTHING:
        raise OptionError(f"expected a smoothing of 0 to {LONGEST_SMOOTHING} frames, got {window}.")
    window += 1 - window % 2
    return smooth(rows, window) if window > ORDER + 1 else rows.clone()


def _same_family(track: Track, other: Track) -> tuple[Tensor, Tensor]:
    rows, others = _rows("track", track), _rows("other", other)
    if type(other) is not type(track):
        raise OptionError(f"other: expected {type(track).__name__}, got {type(other).__name__}.")
    require_family("the other track", other.family, track.family)
    return rows, others


def _rows(name: str, track: Expression | HeadPose) -> Tensor:
    if not isinstance(track, Expression | HeadPose):
        raise OptionError(f"{name}: expected Expression or HeadPose, got {type(track).__name__}.")
    return track.coefficients


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise OptionError(f"{name}: expected a finite number, got {shorten(repr(value), 100)}.")


def _count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 0:
        raise OptionError(f"{name}: expected a whole number from 0, got {shorten(repr(value), 100)}.")


__all__ = [
    "GROUPS",
    "LONGEST_SMOOTHING",
    "FitHow",
    "blend",
    "concatenate",
    "edit_expression",
    "edit_pose",
    "resize",
    "blendshapes_of",
]
