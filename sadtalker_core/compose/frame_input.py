"""Frames and masks that other nodes made, or will take: checks, sizes, and how many are processed at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..datatypes import FrameStream
from ..errors import VideoError


def check_masks(name: str, masks: Tensor) -> Tensor:
    """A MASK (T, h, w), or one (h, w) for all -> (T, h, w)."""
    masks = masks[None] if masks.dim() == 2 else masks
    if masks.dim() != 3 or 0 in masks.shape:
        raise VideoError(f"expected {name} as (batch, height, width), got the shape {tuple(masks.shape)}.")
    if not torch.isfinite(torch.stack(masks.aminmax())).all():
        raise VideoError(f"{name} contains NaN or infinite values; check the node that made it.")
    return masks


def masks_at(masks: Tensor, places: Tensor, size_hw: tuple[int, int] | None = None) -> Tensor:
    """(T, h, w) -> (B, 1, H, W) in 0..1 of these frames, the last one held; resized to the size, if any."""
    found = masks[places.clamp(max=len(masks) - 1)][:, None].float().clamp(0, 1)
    if size_hw is not None and tuple(found.shape[-2:]) != size_hw:
        found = F.interpolate(found, size_hw, mode="bilinear", align_corners=False, antialias=True)
    return found


def n_at_once(pixels: int, most_pixels: int, most: int) -> int:
    """How many images of so many pixels are processed between two checks of the stop button."""
    return min(max(most_pixels // max(pixels, 1), 1), most)


def require_clip(name: str, clip: Tensor) -> None:
    """Raises VideoError for what is no batch of frames (T, H, W, 3 or more), and for an empty one."""
    if clip.dim() != 4 or clip.shape[3] < 3:
        raise VideoError(
            f"expected {name} as (batch, height, width, 3 channels), got the shape {tuple(clip.shape)}; "
            "check the node that made them."
        )
    if len(clip) == 0:
        raise VideoError(f"expected at least one frame in {name}, got none; check the node that made them.")


def with_even_sides(stream: FrameStream) -> FrameStream:
    """The same frames, an odd side made even by doubling its last row or column, as `VideoWriter` does: H.264, and so
    every node that saves a video, takes no other.
    """
    right, below = stream.width % 2, stream.height % 2
    if not (right or below):
        return stream

    def batches() -> Iterator[Tensor]:
        for frames in stream.batches():
            yield torch.nn.functional.pad(frames, (0, right, 0, below), mode="replicate")

    return replace(stream, width=stream.width + right, height=stream.height + below, batches=batches)
