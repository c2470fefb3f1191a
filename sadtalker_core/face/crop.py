"""Points of a face come in, the box to cut around it goes out; a box of the image becomes the square the networks
see.

The box is the bounding box of the oriented square that the FFHQ portraits are cut with: its middle and size come from
the eyes and the corners of the mouth. A point (x, y) has its origin at the left top CORNER of the first pixel, so that
its centre is at 0.5, and cutting and scaling are one multiplication. Letters: `S` the side of the square.
"""

from __future__ import annotations

import math
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..datatypes import Box, CropMode
from ..errors import FaceNotFound, OptionError, shorten
from ..lanczos import resize_lanczos
from ..opencv_resize import resize_bilinear

#: The extended modes add this part of the oriented square's side all around, and never less than three pixels.
EXTENDED_BORDER = 0.1
SMALLEST_BORDER = 3

#: A box with a shorter side than this is what is left of a face that lies off the image.
SMALLEST_BOX = 8

#: From twice this many pixels on, a face is first averaged down by a whole factor, because the resize below takes
#: single pixels of a large image and would make noise of it (PARITY.md P35 has the factor, too).
LARGE_FACE = 1024

#: What `render_size` may be: 0 goes by the size of the face; 256 is the fixed square, cut without a filter, that stored
#: workflows without this input get.
BY_THE_FACE, FIXED_RENDER, LARGEST_RENDER = 0, 256, 1024

#: pixels that differ by at most this part of what they and the next differ by lie beside an edge, and are alike
_FLAT = 0.01


class CropOptions(TypedDict, total=False):
    """The user's adjustments of a crop.

    crop_scale, offset: of the box, see `face_box`
    render_size: the side of the square in pixels, 256 to 1024; 0 goes by the size of the face, and 256 (FIXED_RENDER)
                 is the fixed square of stored workflows
    """

    crop_scale: float
    offset: tuple[float, float]
    render_size: int


def face_box(
    landmarks: Tensor | None,
    size_wh: tuple[int, int],
    mode: CropMode,
    *,
    crop_scale: float = 1.0,
    offset: tuple[float, float] = (0.0, 0.0),
) -> Box:
    """The part of the image that is driven, in whole pixels, cut off where the image ends (PARITY.md P31 and P35).

    landmarks:  (68, 2) pixels of the image; None will do in the resize mode, whose box is the whole image
    size_wh:    of the image
    crop_scale: 1.2 makes the box a fifth larger around its middle
    offset:     (x, y) moves the box right and down, in parts of its width and height
    Raises FaceNotFound when the points are no face or lie off the image, OptionError for a scale of 0 or less.
    """
    _check_adjustment(crop_scale, offset)
    width, height = size_wh
    if mode is CropMode.RESIZE:
        return Box(0, 0, width, height)
    if landmarks is None:
        raise FaceNotFound(f"the crop mode {mode.value} needs landmarks; without them only resize is possible.")
    left, top, right, bottom = _adjusted(head_bounds(landmarks, extended=mode.extended), crop_scale, offset)
    x, y = max(math.floor(left), 0), max(math.floor(top), 0)
    box = Box(x, y, min(math.floor(right), width) - x, min(math.floor(bottom), height) - y)
    if min(box.width, box.height) < SMALLEST_BOX:
        raise FaceNotFound(
            f"the box around the face, x {left:.0f}..{right:.0f} and y {top:.0f}..{bottom:.0f}, leaves nothing of the "
            f"{width} x {height} image. Select the face with a box, or set crop scale and offset closer to 1 and 0."
        )
    return box


def square_box(
    landmarks: Tensor,
    size_wh: tuple[int, int],
    mode: CropMode,
    *,
    crop_scale: float = 1.0,
    offset: tuple[float, float] = (0.0, 0.0),
) -> Box:
    """The same box, but near the edge of the image moved inwards, or made smaller, and not cut off: it stays square.

    A cut-off box is squeezed into the square the networks see. The released networks know such faces; the mini family's
    do not. Only where the square would lose a point of the face that the image shows, the box is cut off after all.
    """
    cut_off = face_box(landmarks, size_wh, mode, crop_scale=crop_scale, offset=offset)
    if mode is CropMode.RESIZE or abs(cut_off.width - cut_off.height) <= 1:
        return cut_off
    size = torch.tensor(size_wh)
    bounds = _adjusted(head_bounds(landmarks, extended=mode.extended), crop_scale, offset)
    left_top, right_bottom = torch.tensor(bounds).reshape(2, 2)
    side = min(round(float((right_bottom - left_top).max())), *size_wh)
    corner = ((left_top + right_bottom - side) / 2).round().int()
    x, y = torch.minimum(corner.clamp(min=0), size - side).tolist()
    square = Box(x, y, side, side)
    shown = torch.minimum(landmarks.clamp(min=0), size.to(landmarks))
    inside = (shown >= torch.tensor([x, y])) & (shown <= torch.tensor([square.right, square.bottom]))
    return square if bool(inside.all()) else cut_off


def _adjusted(
    bounds: tuple[float, float, float, float], crop_scale: float, offset: tuple[float, float]
) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) scaled around its middle and moved by parts of its size."""
    if crop_scale == 1 and tuple(offset) == (0, 0):
        return bounds
    left, top, right, bottom = bounds
    wide, high = right - left, bottom - top
    middle_x, middle_y = (left + right) / 2 + offset[0] * wide, (top + bottom) / 2 + offset[1] * high
    wide, high = wide * crop_scale / 2, high * crop_scale / 2
    return middle_x - wide, middle_y - high, middle_x + wide, middle_y + high


def head_bounds(landmarks: Tensor, *, extended: bool) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of the head, not yet cut off where the image ends.

    Half a pixel is added before the bounds of the plain box are rounded down; the extended box has whole numbers.
    """
    corners = oriented_square(landmarks)
    low, high = corners.min(axis=0), corners.max(axis=0)
    if extended:
        side = float(np.hypot(*(corners[1] - corners[0])))
        border = max(int(np.rint(side * EXTENDED_BORDER)), SMALLEST_BORDER)
        low, high = np.floor(low) - border, np.ceil(high) + border
    else:
        low, high = low + 0.5, high + 0.5
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def oriented_square(landmarks: Tensor) -> np.ndarray:
    """(68, 2) points -> (4, 2) corners of the square that stands on the face as the face stands in the image.

    0 ------- 3       `across` points from the middle to the right side and is half a side long,
    |  o   o  |       `down` to the lower side
    |    ^    |
    |   ---   |
    1 ------- 2
    """
    points = landmarks.detach().cpu().numpy()
    if points.shape != (68, 2):
        raise FaceNotFound(f"expected landmarks (68, 2), got {points.shape}")
    if not np.isfinite(points).all():
        raise FaceNotFound("the landmarks contain NaN or infinite values; choose another image or face.")
    eye_left, eye_right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    eyes, mouth = (eye_left + eye_right) * 0.5, (points[48] + points[54]) * 0.5
    eye_to_eye, eyes_to_mouth = eye_right - eye_left, mouth - eyes
    across = eye_to_eye.astype(np.float64) + (eyes_to_mouth[1], -eyes_to_mouth[0])
    length = np.hypot(*across)
    if length < 1e-3:
        raise FaceNotFound("the landmarks do not form a face; choose another image or face.")
    # in the precision of the points, which a Python number would raise under NumPy 1 and not under NumPy 2
    reach = max(np.hypot(*eye_to_eye) * np.float32(2), np.hypot(*eyes_to_mouth) * np.float32(1.8))
    across *= reach / length
    down = np.array([-across[1], across[0]])
    middle = eyes + eyes_to_mouth * 0.1
    return np.stack([middle - across - down, middle - across + down, middle + across + down, middle + across - down])


def image_to_square(points: Tensor, box: Box, size: int) -> Tensor:
    """(N, 2) or (N, 3) points of the image -> pixels of the square cut at `box`; z grows by the mean of both."""
    scale_x, scale_y = size / box.width, size / box.height
    return _move(points, (box.x, box.y), (scale_x, scale_y), (0.0, 0.0))


def square_to_image(points: Tensor, box: Box, size: int) -> Tensor:
    """The way back of `image_to_square`."""
    return _move(points, (0.0, 0.0), (box.width / size, box.height / size), (box.x, box.y))


def crop_square(image: Tensor, box: Box, size: int) -> Tensor:
    """image (H, W, C) in 0..1 -> (C, S, S): the box, resized without smoothing, in 256 levels.

    The released networks were trained on squares that had been written to a PNG file, hence the levels (PARITY.md P38).
    """
    part = image[box.y : box.bottom, box.x : box.right]
    factor = min(box.width, box.height) // LARGE_FACE
    part = part.permute(2, 0, 1)
    if factor > 1:
        part = torch.nn.functional.avg_pool2d(part[None], factor, ceil_mode=False)[0]
    return resize_bilinear(part, size)


def check_render_size(size: int) -> None:
    """Raises OptionError for a side that no square may have."""
    if size != BY_THE_FACE and not FIXED_RENDER <= size <= LARGEST_RENDER:
        raise OptionError(
            f"render_size: expected 0 (by the size of the face) or {FIXED_RENDER} to {LARGEST_RENDER} pixels, got "
            f"{shorten(repr(size))}."
        )


def even_box(box: Box) -> Box:
    """A box that is square to within a pixel -> square, its side even: so it can be rendered pixel by pixel, and videos
    have even sides. Others come back as they are.
    """
    if abs(box.width - box.height) > 1:
        return box
    side = min(box.width, box.height) // 2 * 2
    return Box(box.x, box.y, side, side)


def render_side(box: Box, size: int) -> int:
    """The side of the square for this box, even: the size that is asked for; by the face it is the box's own longer
    side, in 256..1024.
    """
    side = max(box.width, box.height) if size == BY_THE_FACE else size
    return min(max(side, FIXED_RENDER), LARGEST_RENDER) // 2 * 2


def crop_filtered(image: Tensor, box: Box, size: int) -> Tensor:
    """image (H, W, C) in 0..1 -> (C, S, S): the box, filtered as it is made smaller. At its own size to the bit."""
    part = image[box.y : box.bottom, box.x : box.right].permute(2, 0, 1)
    cut = resize_lanczos(part, (size, size))
    return cut if size <= min(part.shape[-2:]) else _without_ringing(cut, part.float())


def _without_ringing(larger: Tensor, image: Tensor) -> Tensor:
    """larger (C, S, S) made of image (C, h, w) -> the same without the rings of its edges where the pixels of the image
    between which it lies are alike. Colours ring to both sides, an alpha of 0 cannot, and a cut-out would differ from
    the opaque video.
    """
    padded = F.pad(image[None], (2,) * 4, mode="replicate")[0]
    darkest, lightest = _range_of_squares(padded[:, 1:-1, 1:-1], 2)
    low, high = _range_of_squares(padded, 4)
    alike = F.max_pool2d((lightest - darkest <= _FLAT * (high - low)).float(), 3, 1, 1) > 0
    size = larger.shape[-1]
    rows, columns = (
        ((torch.arange(size) + 0.5) * (n / size) + 0.5).floor().long().to(image.device) for n in image.shape[-2:]
    )
    bounds = (torch.where(alike, near, far)[:, rows][..., columns] for near, far in ((darkest, 0.0), (lightest, 1.0)))
    return larger.clamp(*bounds)


def _range_of_squares(image: Tensor, wide: int) -> tuple[Tensor, Tensor]:
    """(C, h, w) -> the darkest and the lightest pixel of each square of wide pixels (C, h - wide + 1, w - wide + 1)."""
    return -F.max_pool2d(-image, wide, 1), F.max_pool2d(image, wide, 1)


def _move(points: Tensor, start: tuple[float, ...], scale: tuple[float, ...], end: tuple[float, ...]) -> Tensor:
    depth = math.sqrt(scale[0] * scale[1])
    n = points.shape[-1]
    start_, scale_, end_ = ((*start, 0.0)[:n], (*scale, depth)[:n], (*end, 0.0)[:n])
    return (points - points.new_tensor(start_)) * points.new_tensor(scale_) + points.new_tensor(end_)


def _check_adjustment(crop_scale: float, offset: tuple[float, float]) -> None:
    if not (math.isfinite(crop_scale) and crop_scale > 0):
        raise OptionError(f"expected a crop scale above 0 (1 leaves the box unchanged), got {crop_scale}.")
    if not all(math.isfinite(part) for part in offset):
        raise OptionError(
            f"expected the crop offset as two values, fractions of the box's width and height, got {offset}."
        )
