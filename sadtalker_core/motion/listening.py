"""Two voices and where both heads are come in; who listens looks towards who speaks, a little.

The eyes go first and quickly, the head follows slowly and less far; when the other one has finished, both come back.
What eyes and head do besides goes on. Letters: `T` frames.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..canonical_face import look_further
from ..coefficients import ROTATION
from ..datatypes import Box, Expression, HeadPose, SpeechWindows
from ..errors import OptionError
from ..timeline import FRAMES_PER_SECOND
from .silence import speaking

#: degrees by which eyes and head turn to somebody beside them; up and down half as far
EYES_DEG, HEAD_DEG = 10.0, 5.0
_UPWARDS = 0.5
#: seconds after which somebody who begins to speak is looked at, and pauses over which the look stays
_REACTION_S, _PAUSE_S = 0.28, 1.2
#: seconds over which the eyes, and the head, get there
_EYES_S, _HEAD_S = 0.08, 0.9


def listening(own: SpeechWindows, other: SpeechWindows) -> Tensor:
    """(T,) of 0 or 1, T those of `own`: 1 while the other one speaks and this one does not."""
    n_frames = own.n_frames
    theirs = _fitted(_speaks(other), n_frames)
    return theirs * (1 - _speaks(own))


def look_at_speaker(
    expression: Expression | None,
    pose: HeadPose | None,
    own: SpeechWindows,
    other: SpeechWindows,
    towards: tuple[float, float],
    *,
    amount: float = 1.0,
) -> tuple[Expression | None, HeadPose | None]:
    """The tracks of who listens, looking towards the speaker wherever the other one speaks alone.

    own, other: their voices, each silent where they do not speak
    towards:    which way the other head is in the image, (right, down), of any length; see `way_to`
    amount:     1 is EYES_DEG of the eyes and HEAD_DEG of the head, 0 nothing
    Released expressions have no gaze: they stay as they are, and the head alone turns.
    """
    length = math.hypot(*towards)
    if not math.isfinite(length) or length == 0:
        raise OptionError("both portraits show the same face; select another face for one of them.")
    right, down = towards[0] / length, towards[1] / length * _UPWARDS
    wanted = listening(own, other) * amount
    late = round(_REACTION_S * FRAMES_PER_SECOND)
    wanted = torch.cat([torch.zeros(min(late, len(wanted))), wanted[: max(len(wanted) - late, 0)]])
    if expression is not None and expression.blendshapes:
        look = _fitted(_eased(wanted, _EYES_S), len(expression)) * EYES_DEG
        expression = replace(expression, coefficients=look_further(expression.coefficients, look * right, -look * down))
    if pose is not None:
        turn = torch.deg2rad(_fitted(_eased(wanted, _HEAD_S), len(pose)) * HEAD_DEG)
        rows = pose.coefficients.clone()
        # pitch looks down, yaw to the left of the image; a head leans a little to where it looks
        rows[:, :ROTATION] += torch.stack([turn * down, -turn * right, turn * right * 0.15], dim=1)
        pose = replace(pose, coefficients=rows)
    return expression, pose


def way_to(own: Box, other: Box) -> tuple[float, float]:
    """From the middle of one box of an image to that of another: (right, down) in pixels."""
    return (
        other.x + other.width / 2 - own.x - own.width / 2,
        other.y + other.height / 2 - own.y - own.height / 2,
    )


def _speaks(speech: SpeechWindows) -> Tensor:
    """(T,) of 0 or 1; pauses within what somebody says are filled."""
    voiced = speaking(speech, attack=0.0, release=0.0) > 0
    frames = torch.nonzero(voiced)[:, 0].tolist()
    for before, after in zip(frames[:-1], frames[1:], strict=True):
        if after - before <= _PAUSE_S * FRAMES_PER_SECOND:
            voiced[before:after] = True
    return voiced.float()


def _eased(track: Tensor, seconds: float) -> Tensor:
    """(T,) -> (T,): each change takes so many seconds, begins and ends softly, and never begins early."""
    n = max(round(seconds * FRAMES_PER_SECOND), 1)
    kernel = torch.sin(math.pi * (torch.arange(n) + 0.5) / n).square()
    padded = F.pad(track[None, None], (n - 1, 0))
    return F.conv1d(padded, (kernel / kernel.sum())[None, None])[0, 0]


def _fitted(track: Tensor, n_frames: int) -> Tensor:
    """(T,) -> (n_frames,), zeros behind its end."""
    return F.pad(track[:n_frames], (0, max(n_frames - len(track), 0)))


__all__ = ["EYES_DEG", "HEAD_DEG", "listening", "look_at_speaker", "way_to"]
