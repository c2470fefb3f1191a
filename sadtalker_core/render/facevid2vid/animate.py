"""A cropped portrait and a Motion -> frames, batch by batch: memory is bounded by the batch, not by the clip.

An alpha is moved by the same deformation as the features, see alpha.py.
Letters: `B` frames of a batch, `T` frames of the clip, `S` the side of the square, `K` key points.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import fields

import torch
from torch import Tensor

from ...datatypes import FaceCrop, KeypointMotion, Motion, OnProgress
from ...errors import ImageError, InputError, OptionError
from ..batches import OutOfMemory, in_batches, memory_ran_out
from .alpha import move_alpha
from .generator import Generator, Source
from .keypoints import DOWNSCALE, KeypointDetector
from .transform import transform_keypoints


def render_frames(
    keypoint_detector: KeypointDetector,
    generator: Generator,
    crop: FaceCrop,
    motion: Motion[KeypointMotion],
    *,
    batch_size: int = 1,
    on_progress: OnProgress | None = None,
    is_out_of_memory: OutOfMemory = memory_ran_out,
) -> Iterator[Tensor]:
    """Yields (B, 3, S, S) float32 in 0..1, RGB, on the networks' device: T frames in order, the last batch maybe
    shorter. For a crop with alpha (B, 4, S, S), the alpha behind the colours, which are the same as without.

    What depends on the portrait alone is calculated once, before the first frame. The frames do not depend on
    `batch_size` beyond rounding; where memory runs out it is halved (batches.py). The inputs are moved to where the
    networks are, and left as they were; nothing is remembered for gradients. on_progress(done, total) counts
    frames and may raise to stop.
    Raises WrongFamily, OptionError, ImageError or InputError at once, not at the first frame.
    """
    _check(keypoint_detector, generator, crop, motion)
    return in_batches(
        _frame_maker(keypoint_detector, generator, crop, motion),
        len(motion),
        batch_size,
        on_progress=on_progress,
        is_out_of_memory=is_out_of_memory,
    )


def _frame_maker(
    keypoint_detector: KeypointDetector, generator: Generator, crop: FaceCrop, motion: Motion[KeypointMotion]
) -> Callable[[int, int], Tensor]:
    """Makes the frames from start to stop; what depends on the portrait alone, with the first ones."""

    @functools.cache
    @torch.no_grad()
    def portrait() -> tuple[Tensor, Source]:
        image = crop.image.unsqueeze(0).to(next(generator.parameters()))
        canonical = keypoint_detector(image.to(next(keypoint_detector.parameters()))).to(image.device)
        return canonical, generator.encode_source(
            image, transform_keypoints(canonical, _beside(canonical, motion.source))
        )

    @torch.no_grad()
    def make_frames(start: int, stop: int) -> Tensor:
        canonical, source = portrait()
        keypoints = transform_keypoints(canonical, _beside(canonical, motion.driving[start:stop]))
        rendered = generator.warp_and_decode(source, keypoints)
        if crop.alpha is None:
            return rendered.image.float()
        alpha = move_alpha(crop.alpha.to(rendered.image.device), rendered.motion)
        return torch.cat([rendered.image.float(), alpha], dim=1)

    return make_frames


def _beside(tensor: Tensor, motion: KeypointMotion) -> KeypointMotion:
    """The motion in the dtype and on the device of the tensor."""
    return KeypointMotion(**{part.name: getattr(motion, part.name).to(tensor) for part in fields(motion)})


def _check(
    keypoint_detector: KeypointDetector, generator: Generator, crop: FaceCrop, motion: Motion[KeypointMotion]
) -> None:
    motion.of(KeypointMotion)
    if len(motion) == 0:
        raise OptionError("expected a motion of at least one frame, got none.")

    levels = max(keypoint_detector.config.levels, generator.config.motion.levels)
    step = DOWNSCALE * 2**levels
    shape = tuple(crop.image.shape)
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2] or shape[1] == 0 or shape[1] % step:
        raise ImageError(f"expected a cropped portrait (3, S, S) with S a multiple of {step}, got {shape}.")
    if not crop.image.isfinite().all():
        raise ImageError("the cropped portrait contains NaN or infinite values; load the image again.")

    n_offsets = 3 * keypoint_detector.config.n_keypoints
    for whose, rows in (("source", motion.source), ("driving", motion.driving)):
        if rows.offsets.shape[-1] != n_offsets:
            raise InputError(f"expected {n_offsets} key-point offsets per {whose} row, got {rows.offsets.shape[-1]}.")
        numbers = torch.cat(
            [rows.yaw[:, None], rows.pitch[:, None], rows.roll[:, None], rows.translation, rows.offsets], dim=-1
        )
        bad = torch.nonzero(~numbers.isfinite().all(dim=-1))
        if len(bad):
            raise InputError(
                f"the {whose} motion of frame {int(bad[0])} contains NaN or infinite values; map it again."
            )
