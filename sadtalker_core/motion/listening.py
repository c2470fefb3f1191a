"""Makes a listener look towards the speaker: the speech of both and the positions of their heads come in.

The eyes move first and quickly, the head follows slowly and less far; when the speaker has finished, both return. The
listener's own gaze and head movement continue underneath. Letters: `T` frames.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..canonical_face import add_gaze
from ..coefficients import ROTATION
from ..datatypes import Box, Expression, HeadPose, SpeechWindows
from ..errors import OptionError
from ..timeline import FRAMES_PER_SECOND
from .silence import speaking

#: degrees by which eyes and head turn to somebody beside them; vertically half as far
EYES_DEG, HEAD_DEG = 10.0, 5.0
_UPWARDS = 0.5
#: seconds after which a listener looks at a new speaker, and pauses of the speaker that are bridged
_REACTION_S, _PAUSE_S = 0.28, 1.2
#: seconds that the eyes, and the head, take to turn
_EYES_S, _HEAD_S = 0.08, 0.9


def listening(own: SpeechWindows, other: SpeechWindows) -> Tensor:
    """(T,) of 0 or 1, T that of `own`: 1 while the other person speaks and this one does not."""
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
    """The listener's tracks, turned towards the speaker wherever only the other person speaks.

    own, other: the speech of the listener and of the other person, each silent where they do not speak
    towards:    direction to the other head in the image, (right, down), of any length; see `direction_to`
    amount:     1 turns the eyes by EYES_DEG and the head by HEAD_DEG, 0 nothing
    Released expressions have no gaze: they are unchanged, only the head turns. Raises OptionError for a direction of
    length 0.
    """
    length = math.hypot(*towards)
    if not math.isfinite(length) or length == 0:
        raise OptionError("both portraits show the same face; select another face for one of them.")
    right, down = towards[0] / length, towards[1] / length * _UPWARDS
    wanted = listening(own, other) * amount
    delay = round(_REACTION_S * FRAMES_PER_SECOND)
    wanted = torch.cat([torch.zeros(min(delay, len(wanted))), wanted[: max(len(wanted) - delay, 0)]])
    if expression is not None and expression.blendshapes:
        gaze = _fitted(_eased(wanted, _EYES_S), len(expression)) * EYES_DEG
        expression = replace(expression, coefficients=add_gaze(expression.coefficients, gaze * right, -gaze * down))
    if pose is not None:
        turn = torch.deg2rad(_fitted(_eased(wanted, _HEAD_S), len(pose)) * HEAD_DEG)
        rows = pose.coefficients.clone()
        # pitch looks down, yaw to the left of the image; a head leans a little to where it looks
        rows[:, :ROTATION] += torch.stack([turn * down, -turn * right, turn * right * 0.15], dim=1)
        pose = replace(pose, coefficients=rows)
    return expression, pose


def direction_to(own: Box, other: Box) -> tuple[float, float]:
    """From the middle of one box of an image to that of another: (right, down) in pixels."""
    return (
        other.x + other.width / 2 - own.x - own.width / 2,
        other.y + other.height / 2 - own.y - own.height / 2,
    )


def _speaks(speech: SpeechWindows) -> Tensor:
    """(T,) of 0 or 1; short pauses are bridged."""
    voiced = speaking(speech, attack=0.0, release=0.0) > 0
    frames = torch.nonzero(voiced)[:, 0].tolist()
    for before, after in zip(frames[:-1], frames[1:], strict=True):
        if after - before <= _PAUSE_S * FRAMES_PER_SECOND:
            voiced[before:after] = True
    return voiced.float()


def _eased(track: Tensor, seconds: float) -> Tensor:
    """(T,) -> (T,): a causal smoothing in which each change takes so many seconds, with a soft start and end."""
    n = max(round(seconds * FRAMES_PER_SECOND), 1)
    kernel = torch.sin(math.pi * (torch.arange(n) + 0.5) / n).square()
    padded = F.pad(track[None, None], (n - 1, 0))
    return F.conv1d(padded, (kernel / kernel.sum())[None, None])[0, 0]


def _fitted(track: Tensor, n_frames: int) -> Tensor:
    """(T,) -> (n_frames,), padded with zeros or cut."""
    return F.pad(track[:n_frames], (0, max(n_frames - len(track), 0)))


__all__ = ["EYES_DEG", "HEAD_DEG", "listening", "look_at_speaker", "direction_to"]
