"""Dubbing with the released weights, which render a whole head: every frame is a source image of its own.

In: a frame, its face mesh, and the expression of the speech around it. Out: the frame with its head rendered anew, of
which dub.py takes what lies within the mask. Each frame costs a 3DMM extraction and a Face Render.
Letters: `H W` a frame, `W` rows of a window.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import pipeline
from ..datatypes import Box, Expression, HeadPose, Portrait
from ..families.base import Model
from ..render.semantics import WINDOW_RADIUS
from ..timeline import FRAMES_PER_SECOND
from .schedule import SpeechTrack


def rows_around(track: SpeechTrack, seconds: float) -> Tensor:
    """(W, 64): the window of expression rows that MappingNet takes for that time, in seconds."""
    return torch.stack([track.at(seconds + k / FRAMES_PER_SECOND)[0] for k in range(-WINDOW_RADIUS, WINDOW_RADIUS + 1)])


def rendered(model: Model, frame: Tensor, points: Tensor, rows: Tensor) -> Tensor:
    """frame (H, W, 3) uint8, points (468, 3) in its pixels, rows (W, 64) -> (H, W, 3) in 0..1, its head rendered with
    the expression of the middle row.
    """
    image = frame.float() / 255
    portrait, source = pipeline.extract(model, Portrait(image, face_box=_box_of(points), checked=True))
    expression = Expression(rows, model.family.name)
    pose = HeadPose(source.pose.expand(len(rows), -1), model.family.name)
    motion = pipeline.coefficients_to_motion(model, source, expression, pose)[WINDOW_RADIUS : WINDOW_RADIUS + 1]
    (head,) = pipeline.render(model, portrait, motion).batches()
    box = portrait.require_crop().box
    head = F.interpolate(head[:1].float().cpu(), (box.height, box.width), mode="bilinear", antialias=True)[0]
    whole = image.clone()
    whole[box.y : box.bottom, box.x : box.right] = head.permute(1, 2, 0)
    return whole


def _box_of(points: Tensor) -> Box:
    (left, top), (right, bottom) = (
        edge.round().int().tolist() for edge in (points[:, :2].amin(0), points[:, :2].amax(0))
    )
    return Box(left, top, max(right - left, 1), max(bottom - top, 1))


__all__ = ["rendered", "rows_around"]
