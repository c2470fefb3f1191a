"""Checks images: what a wire or a file brings comes in; a clean (H, W, 3) image or an ImageError comes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ImageError

#: An image whose shorter side has fewer pixels than this holds no face the networks could read.
SMALLEST_SIDE = 64


def check_image(image: Tensor, what: str = "the image") -> tuple[Tensor, Tensor | None]:
    """Any usable image -> (H, W, 3) float32 RGB in 0..1, and its mask, or None.

    image: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), floating in 0..1 or uint8 in 0..255; a batch of one is opened.
        Grey becomes RGB. Values slightly outside 0..1, as resizers leave them, are clamped.
    what: how the user knows the image; the sentences begin with it.

    The mask is (H, W) in 0..1 and 1 where an RGBA image is transparent, as ComfyUI's Load Image gives it. The colours
    under transparent pixels are kept. Both lie on the CPU, wherever the image did. Raises ImageError for another
    shape, for NaN or infinity, and when the shorter side is below 64 pixels.
    """
    if not isinstance(image, Tensor):
        raise ImageError(f"{what}: expected a tensor of shape (height, width, 3), got {type(image).__name__}.")
    got = tuple(image.shape)
    if image.ndim == 4 and image.shape[0] == 1:
        image = image[0]
    if image.ndim == 4:
        raise ImageError(f"{what}: expected one image, got a batch of {got[0]} images; choose one with batch_index.")
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4):
        raise ImageError(f"{what}: expected the shape (height, width, 1, 3 or 4 channels), got {got}.")
    height, width, channels = image.shape
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(
            f"{what} is {width} x {height} pixels, too small to find a face in. "
            f"Use an image of at least {SMALLEST_SIDE} x {SMALLEST_SIDE}, better 512 x 512."
        )
    if image.dtype == torch.uint8:
        image = image.float() / 255
    elif not image.is_floating_point():
        raise ImageError(f"{what}: expected float values in 0..1 or uint8 values, got {image.dtype}.")
    image = image.cpu().float()
    if not torch.isfinite(image).all():
        raise ImageError(f"{what} contains NaN or infinite values; check the node that made it.")
    image = image.clamp(0, 1)
    mask = 1 - image[..., 3] if channels == 4 else None
    colours = image.expand(-1, -1, 3) if channels == 1 else image[..., :3]
    return colours.contiguous(), mask


def upright(frame: Any) -> Tensor:
    """A frame that PyAV has decoded -> (H, W, 3) float32 in 0..1, turned as its file asks: phones record lying down."""
    pixels = frame.to_ndarray(format="rgb24")
    return torch.from_numpy(np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))).float().div_(255)


def timed_frames(container: Any) -> Iterator[tuple[float | None, float | None, Any]]:
    """The images of a PyAV container as `playback.resample_frames` wants them: (time stamp, duration, frame)."""
    for frame in container.decode(video=0):
        lasts = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else None
        yield frame.time, lasts, frame
