"""Frames of the head, and where they were cut -> the whole image, by the seamless blend that the original uses.

An OpenCV older than 4.11 could put a box with an odd side a pixel off (PARITY.md P58). The vectors come from a newer
one, which puts every box where it belongs, as we do, so there is nothing to mend here and odd sizes are held against it
as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from sadtalker_core.compose.paste import Blend, PasteBack
from sadtalker_core.datatypes import Box, CropMode, FaceCrop, Portrait
from sadtalker_core.opencv_resize import resize_bilinear
from tests.parity.harness import Row, Vectors, compare_stored


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    for case in vectors.cases:
        given, want = vectors.inputs(case), vectors.outputs(case)
        got = pasted(given["full_image"], given["frames"], box_of(given))
        yield compare_stored(vectors.stage, case, "frames", got, want, 1, 0.01)


def box_of(given) -> Box:
    left, top, right, bottom = (int(n) for n in given["crop"])
    if not given["extended"]:
        x1, y1, x2, y2 = (int(n) for n in given["quad"])
        left, top, right, bottom = left + x1, top + y1, left + x2, top + y2
    return Box(left, top, right - left, bottom - top)


def pasted(full_image: np.ndarray, frames: np.ndarray, box: Box) -> np.ndarray:
    """(H, W, 3) and (n, h, w, 3) bytes -> (n, H, W, 3) bytes; OpenCV cuts its result off rather than rounding it."""
    frames = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
    heads = resize_bilinear(frames, (box.height, box.width))
    crop = FaceCrop(heads[0], torch.zeros(68, 2), box, CropMode.FULL)
    paste = PasteBack(Portrait(torch.from_numpy(full_image) / 255, crop=crop), blend=Blend.SEAMLESS)
    levels = paste(heads.double()) * 255
    return (levels + 1e-6).floor().permute(0, 2, 3, 1).numpy()
