"""68 points and the size of the image -> the box of the extended modes (`crop`), and inside it that of the others.

The original is wrong in four kinds of cases, and all show in the points and the size alone (`look_at`):

- it clamps the right and the lower edge of the quad to the WIDTH of the image, where the crop's own size is meant;
- it takes each edge of the quad from the two corners that lie there on an upright face; on one that is rolled by more
  than 90 degrees others lie there: the box is small, and turns inside out towards 180 degrees;
- a face of 2048 pixels and more is measured in an image shrunk by a whole factor, while the full one is cut;
- points off the image give a box with hardly a pixel, or none.

There the edges are held against the slow calculation below, which knows nothing of crop.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from sadtalker_core.datatypes import CropMode
from sadtalker_core.errors import FaceNotFound
from sadtalker_core.face.crop import face_box
from tests.parity.harness import Row, Vectors, compare, fixed

WRONG_CLAMP = "the quad was clamped to the width of the picture, not to the crop"
WRONG_CORNERS = "the quad was taken from the corners of an upright face"
WRONG_SCALE = "the boxes were in pixels of a shrunk picture"
EMPTY = "the landmarks lie off the picture, and nothing was cut"


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    for case in vectors.cases:
        given, want = vectors.inputs(case), vectors.outputs(case)
        size_wh = tuple(int(v) for v in given["size_wh"])
        case_id = (vectors.stage, case)
        truth = look_at(given["lm68"], size_wh, int(given["output_size"]))
        yield from check_boxes(case_id, given["lm68"], size_wh, truth, want["crop_x0y0x1y1"], want["quad_lx_ly_rx_ry"])


@dataclass(frozen=True)
class Truth:
    """Where the boxes ought to be (left, top, right, bottom), and what the original makes of such a face."""

    outer: list[int]
    inner: list[int]
    shrink: int  #: the whole factor by which the original shrinks the image; 1: not at all
    empty: bool
    wrong_right: bool
    wrong_bottom: bool
    lost_rows: bool  #: the wrong lower edge cuts pixels off; otherwise only the size it states is wrong
    rolled: tuple[bool, bool, bool, bool]  #: left, top, right, bottom: other corners than the original's lie there


def look_at(landmarks: np.ndarray, size_wh: tuple[int, int], output_size: int) -> Truth:
    """The slow calculation, and the kinds of cases it belongs to."""
    width, height = size_wh
    corners, side = slow_square([(float(x), float(y)) for x, y in landmarks])
    outer, inner = slow_boxes(corners, side, width, height)
    wide, high = outer[2] - outer[0], outer[3] - outer[1]
    smallest = min(inner[2] - inner[0], inner[3] - inner[1])
    right, bottom = (max(corner[axis] for corner in corners) + 0.5 - outer[axis] for axis in (0, 1))
    return Truth(
        outer,
        inner,
        max(int(side / output_size * 0.5), 1),
        empty=smallest < 8,
        wrong_right=min(right, width) != min(right, wide),
        wrong_bottom=min(bottom, width) != min(bottom, high),
        lost_rows=min(bottom, high) > width,
        rolled=tuple(theirs != ours for theirs, ours in zip(upright_bounds(corners), bounds(corners), strict=True)),
    )


def bounds(corners: list[tuple[float, float]]) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of all four corners."""
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def upright_bounds(corners: list[tuple[float, float]]) -> tuple[float, float, float, float]:
    """The same of the corners that lie there on an upright face: what the original takes. Corner 0 is the face's upper
    left one, then it goes round by its lower left one.
    """
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners
    return min(x0, x1), min(y0, y3), max(x2, x3), max(y1, y2)


def check_boxes(
    case: tuple[str, str],
    landmarks: np.ndarray,
    size_wh: tuple[int, int],
    truth: Truth,
    crop: np.ndarray,
    quad: np.ndarray,
) -> Iterator[Row]:
    """Both boxes of a face against what the original stored."""
    if truth.empty:
        yield refused(case, landmarks, size_wh)
        return
    outer = _edges(landmarks, size_wh, CropMode.EXTENDED_CROP)
    inner = _edges(landmarks, size_wh, CropMode.CROP)
    if truth.shrink > 1:
        yield fixed(*case, "crop", WRONG_SCALE, outer, truth.outer, 1)
        yield fixed(*case, "quad", WRONG_SCALE, inner, truth.inner, 1)
        # enlarged, the original's boxes are the same but for the rounding, in pixels of the shrunk image
        rough = 2 * truth.shrink
        yield compare(*case, "crop, enlarged", outer, crop * truth.shrink, rough)
        lefts_and_tops = (crop[:2] + np.trunc(quad[:2])) * truth.shrink
        if not any(truth.rolled[:2]):
            yield compare(*case, "quad, enlarged", inner[:2], lefts_and_tops, rough)
        return
    theirs = np.trunc(quad) + np.tile(crop[:2], 2)
    yield compare(*case, "crop", outer, crop, 0)
    clamped = (False, False, truth.wrong_right, truth.wrong_bottom)
    for at, name in enumerate(("left", "top", "right", "bottom")):
        if truth.rolled[at] or clamped[at]:
            reason = WRONG_CORNERS if truth.rolled[at] else WRONG_CLAMP
            yield fixed(*case, f"quad {name}", reason, inner[at], truth.inner[at])
        else:
            yield compare(*case, f"quad {name}", inner[at], theirs[at], 0)


def _edges(landmarks: np.ndarray, size_wh: tuple[int, int], mode: CropMode) -> np.ndarray:
    box = face_box(torch.from_numpy(landmarks), size_wh, mode)
    return np.array([box.x, box.y, box.right, box.bottom])


def refused(case: tuple[str, str], landmarks: np.ndarray, size_wh: tuple[int, int]) -> Row:
    """We say so, instead."""
    try:
        _edges(landmarks, size_wh, CropMode.CROP)
        refused = 0.0
    except FaceNotFound:
        refused = 1.0
    return fixed(*case, "refused", EMPTY, refused, 1.0)


def slow_square(points: list[tuple[float, float]]) -> tuple[list[tuple[float, float]], float]:
    """The four corners of the oriented square and its side, in complex numbers x + iy."""
    z = [complex(x, y) for x, y in points]
    left, right = sum(z[36:42]) / 6, sum(z[42:48]) / 6
    eyes, mouth = (left + right) / 2, (z[48] + z[54]) / 2
    apart, down = right - left, mouth - eyes
    direction = apart + down / 1j
    half = direction / abs(direction) * max(2 * abs(apart), 1.8 * abs(down))
    middle = eyes + 0.1 * down
    corners = [middle + half * turn for turn in (-1 - 1j, -1 + 1j, 1 + 1j, 1 - 1j)]
    return [(c.real, c.imag) for c in corners], 2 * abs(half)


def slow_boxes(corners: list[tuple[float, float]], side: float, width: int, height: int) -> tuple[list[int], list[int]]:
    """The wider and the plain box, cut off where the image ends."""
    border = max(round(side * 0.1), 3)
    xs, ys = zip(*corners, strict=True)
    outer = [
        max(math.floor(min(xs)) - border, 0), max(math.floor(min(ys)) - border, 0),
        min(math.ceil(max(xs)) + border, width), min(math.ceil(max(ys)) + border, height),
    ]  # fmt: skip
    inner = [
        max(math.floor(min(xs) + 0.5), 0), max(math.floor(min(ys) + 0.5), 0),
        min(math.floor(max(xs) + 0.5), width), min(math.floor(max(ys) + 0.5), height),
    ]  # fmt: skip
    return outer, inner
