"""Rows of the face model -> the input of MappingNet: which numbers, scaled how, over which frames.

Letters: `T` frames, `nc` coefficients per row: 70, or 73 where the crop parameters steer the network too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..coefficients import CROP_ROW
from ..datatypes import UNSCALED, Expression, FaceCoefficients, HeadPose, PoseAngles

#: frames on each side of the one that a window is of
WINDOW_RADIUS = 13
WINDOW_FRAMES = 2 * WINDOW_RADIUS + 1


def clamped_rows(rows: Tensor, start: int, stop: int) -> Tensor:
    """The rows start..stop of a track (T, nc), the first and the last repeated outside of it -> (stop - start, nc)."""
    frames = torch.arange(start, stop, device=rows.device)
    return rows[frames.clamp(0, rows.shape[0] - 1)]


def semantic_windows(rows: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
    """A track (T, nc) -> the windows (B, nc, 27) of its frames start..stop, clamped at the ends (PARITY.md P39).

    One row is a face that holds still: its window is that row 27 times, which is how a source portrait is passed.
    """
    stop = rows.shape[0] if stop is None else stop
    around = clamped_rows(rows, start - WINDOW_RADIUS, stop + WINDOW_RADIUS)
    return around.unfold(0, WINDOW_FRAMES, 1).contiguous()


def source_row(source: FaceCoefficients, width: int) -> Tensor:
    """The portrait's own row, (1, nc): its first, with the crop parameters where `width` is 73."""
    rows = source.crop_rows() if width == CROP_ROW else source.motion_rows()
    return rows[:1]


def driving_rows(
    source: FaceCoefficients,
    expression: Expression,
    pose: HeadPose,
    width: int,
    *,
    expression_scale: float = 1.0,
    pose_scale: PoseAngles = UNSCALED,
    still: bool = False,
) -> Tensor:
    """The rows that drive the portrait, (T, nc).

    expression_scale: times the expression of the driving rows, and of them only (PARITY.md P41).
    pose_scale: for each angle, how far the head turns away from where the portrait holds it: 0 not at all.
    still: rotation and translation stay the portrait's own (PARITY.md P41).
    """
    n_frames = len(expression)
    face = expression.coefficients * expression_scale
    if still:
        head = source.pose[:1].expand(n_frames, -1)
    else:
        own = source.rotation[:1].to(pose.rotation)
        # lerp at 1 gives exactly the end that it goes to
        rotation = torch.lerp(own, pose.rotation, own.new_tensor([[pose_scale.pitch, pose_scale.yaw, pose_scale.roll]]))
        head = torch.cat([rotation, pose.translation], dim=-1)
    parts = [face, head]
    if width == CROP_ROW:
        parts.append(source.crop[:1].expand(n_frames, -1))
    return torch.cat(parts, dim=-1)
