"""Square frames -> the aspect of the box, once in bytes as OpenCV does it, and once in floats as the nodes do it.

Bytes are cut off twice on their way through OpenCV's fixed-point numbers; floats are not, and so land up to a level
higher.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from sadtalker_core.datatypes import Box
from sadtalker_core.opencv_resize import resize_bilinear
from sadtalker_core.render.frames import to_box_aspect
from tests.parity.harness import Row, Vectors, compare_stored


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    for case in vectors.cases:
        given, want = vectors.inputs(case), vectors.outputs(case)
        frames = torch.from_numpy(given["frames"]).permute(0, 3, 1, 2) / 255
        side, (width, height) = given["img_size"], (int(n) for n in given["crop_size_wh"])
        in_bytes = resize_bilinear(frames, (int(side * height / width), side))
        in_floats = to_box_aspect(frames, Box(0, 0, width, height))
        yield compare_stored(vectors.stage, case, "frames", _levels(in_bytes), want, 1, 0.01)
        yield compare_stored(vectors.stage, case, "frames", _levels(in_floats), want, 1, 0.2, "in floats")


def _levels(frames):
    return (frames * 255).round().permute(0, 2, 3, 1)
