"""The same with weights that redraw a whole head, as the released ones do: every frame is a portrait of its own.

In: a frame and where its face is, and rows of the voice's expression around its moment. Out: the frame with its head
drawn again, of which dub.py takes what lies within the mask. It takes as long as Face Render does, and every frame is
read anew besides.
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
from .schedule import VoiceTrack


def rows_around(track: VoiceTrack, seconds: float) -> Tensor:
    """(W, 64): what MappingNet wants to know of the voice around that time."""
    return torch.stack([track.at(seconds + k / FRAMES_PER_SECOND)[0] for k in range(-WINDOW_RADIUS, WINDOW_RADIUS + 1)])


def redrawn(model: Model, frame: Tensor, points: Tensor, rows: Tensor) -> Tensor:
    """frame (H, W, 3) bytes, points (468, 3) in its pixels, rows (W, 64) -> (H, W, 3) in 0..1, its head as the voice
    has it in the middle of them.
    """
    image = frame.float() / 255
    portrait, source = pipeline.extract(model, Portrait(image, face_box=_box_of(points), checked=True))
    said = Expression(rows, model.family.name)
    pose = HeadPose(source.pose.expand(len(rows), -1), model.family.name)
    motion = pipeline.coefficients_to_motion(model, source, said, pose)[WINDOW_RADIUS : WINDOW_RADIUS + 1]
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


__all__ = ["redrawn", "rows_around"]
