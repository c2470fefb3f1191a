"""Collects a stream of frames into one IMAGE batch, with progress bar, live preview and the stop button."""

from __future__ import annotations

import logging

import psutil
import torch
from comfy import model_management
from torch import Tensor

from ..sadtalker_core.datatypes import FrameStream
from .progress import Progress


def collect(stream: FrameStream, what: str) -> Tensor:
    """-> (n, height, width, 3) float32 in 0..1 on ComfyUI's intermediate device. Raises DoesNotFit before it starts."""
    return collect_with_alpha(stream, what)[0]


def collect_with_alpha(stream: FrameStream, what: str) -> tuple[Tensor, Tensor]:
    """-> the same, and their alpha (n, height, width); where the stream has none it is 1, expanded from one value."""
    logging.info("SadTalker: %s makes %s.", what, stream.summary())
    stream.check_memory(psutil.virtual_memory().available)
    frames = torch.empty(
        (stream.n_frames, stream.height, stream.width, 3), device=model_management.intermediate_device()
    )
    alpha = opaque(stream.n_frames, stream.height, stream.width)
    if stream.has_alpha:
        alpha = torch.empty(alpha.shape, device=frames.device)
    progress, done = Progress(stream.n_frames), 0
    progress(0, stream.n_frames)
    for batch in stream.batches():
        frames[done : done + len(batch)] = batch[:, :3].permute(0, 2, 3, 1)
        if stream.has_alpha:
            alpha[done : done + len(batch)] = batch[:, 3]
        done += len(batch)
        progress.show(batch[-1, :3])
        progress(done, stream.n_frames)
    return frames, alpha


def opaque(n_frames: int, height: int, width: int) -> Tensor:
    """(n, height, width) of ones, expanded from one value."""
    return torch.ones(1, 1, 1, device=model_management.intermediate_device()).expand(n_frames, height, width)
