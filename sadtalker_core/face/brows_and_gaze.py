"""Brows and gaze from the meshes and irises of a clip, as blendshape weights.

How high somebody's brows are, and where between the corners an iris is, differs more from person to person than with
what they do. So neither is read from one image; in a clip they are told by how far they are from where they usually
are, which is taken for rest and for a look into the camera.

How well, on 160 images of 20 generated heads, each against the median of that person: brow height r .77, gaze across
r .91, off by 2.5 degrees in the mean (tests/tools/mini_evaluator/reading.py; the gain and the shares were found on 50
other heads). Up and down is not read: lids go along, and hide it.

Letters: `T` frames.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..canonical_face import LEFT_EYE, LIFTED, LOWERED, RIGHT_EYE, brow_weights, gaze_weights
from ..coefficients import EXPRESSION
from ..datatypes import FaceCoefficients
from .iris import Eye
from .linear_3dmm import Linear3DMM

_LEFT_BROW = [285, 295, 282, 334, 296, 336, 293, 283, 276, 300]
_RIGHT_BROW = [55, 65, 52, 105, 66, 107, 63, 53, 46, 70]
_STEADY = [33, 133, 263, 362, 168, 6]  #: corners of the eyes, and between them
_BROW_GAIN = 1.67  #: the mesh network sees brows move less than they do: spread of the true heights by that of the read
_SIN_PER_WIDTH = 2.0  #: sine of the angle per width of the eye: the width by the radius of the eyeball
_SIN_PER_YAW = 0.32  #: an iris lies in front of the line between the corners, so a head that turns shifts it
_FURTHEST_SIN = 0.5
_TREMBLES_DEG = 1.0  #: a look that is no further from the last one is the same look


class UpperFaceReading(NamedTuple):
    """brows (T, 2): decimetres that the left and the right brow are above the eyes, beyond the mean face's; looks (T,):
    where the irises are between the corners, in widths of the eye, to the left of the person; NaN: not seen yet.
    """

    brows: Tensor
    looks: Tensor


def brow_heights(net: Linear3DMM, meshes: Tensor) -> Tensor:
    """(T, 468, 3) -> (T, 2): as `UpperFaceReading` has them."""
    template = net.template
    with torch.no_grad():
        residual = net.residual(meshes.to(template.device, torch.float32))[0]
    up = -residual.view(len(meshes), -1, 3)[..., 1].float().cpu()
    steady = up[:, _STEADY].mean(1)
    return torch.stack([up[:, brow].mean(1) - steady for brow in (_LEFT_BROW, _RIGHT_BROW)], dim=1)


def looks_aside(irises: Tensor, points: Tensor) -> float:
    """irises (2, 3) of `find_irises`, points (468, 2 or 3) -> as `UpperFaceReading.looks`, the mean of both eyes."""
    places = []
    for iris, ring in zip(irises, (LEFT_EYE, RIGHT_EYE), strict=True):
        eye = Eye.of(points.cpu(), ring)
        places.append((iris[:2] - eye.middle) @ eye.along / eye.along.square().sum())
    return float(torch.stack(places).mean())


def with_brows_and_gaze(rows: FaceCoefficients, seen: UpperFaceReading) -> FaceCoefficients:
    """The rows of a clip, brows and gaze added to their expression."""
    usual = seen.brows.median(dim=0).values
    away = (seen.brows - usual) * _BROW_GAIN
    brows = torch.where(away > 0, away / LIFTED, away / LOWERED).clamp(-1, 1)
    sine = _SIN_PER_WIDTH * seen.looks + _SIN_PER_YAW * torch.sin(rows.rotation[:, 1])
    sine = (sine - sine.nanmedian()).nan_to_num(0.0).clamp(-_FURTHEST_SIN, _FURTHEST_SIN)
    alone = torch.cat([sine[:1], sine, sine[-1:]]).unfold(0, 3, 1).median(-1).values  # no leap of a single frame
    across = _resting(torch.rad2deg(torch.asin(alone)))
    added = brow_weights(*brows.unbind(1)) + gaze_weights(across, torch.zeros_like(across))
    return replace(rows, expression=(rows.expression + added[:, :EXPRESSION]).clamp(max=1))


def _resting(degrees: Tensor) -> Tensor:
    """(T,) without the trembling of what was measured."""
    rested: list[float] = []
    for value in degrees.tolist():
        rested.append(rested[-1] if rested and abs(value - rested[-1]) < _TREMBLES_DEG else value)
    return torch.tensor(rested)


__all__ = ["UpperFaceReading", "brow_heights", "looks_aside", "with_brows_and_gaze"]
