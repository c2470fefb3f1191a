"""How many frames are made at once: as many as memory allows, and fewer when it runs out all the same.

Letters: `B` frames of a batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..datatypes import OnProgress
from ..errors import OptionError

#: error -> whether memory has run out
OutOfMemory = Callable[[Exception], bool]

#: for CUDA devices torch has an error of its own; where it computes on a CPU or on MPS, a RuntimeError has these words
FULL = ("DefaultCPUAllocator: ", "MPS backend out of memory")


def memory_ran_out(error: Exception) -> bool:
    """Whether torch reports that its device is full; other errors are not retried."""
    by_message = isinstance(error, RuntimeError) and any(words in str(error) for words in FULL)
    return by_message or isinstance(error, torch.OutOfMemoryError)


def in_batches(
    make: Callable[[int, int], Tensor],
    n_frames: int,
    batch_size: int,
    *,
    on_progress: OnProgress | None = None,
    is_out_of_memory: OutOfMemory = memory_ran_out,
) -> Iterator[Tensor]:
    """Yields make(start, stop), (B, …), until n_frames have come, B = batch_size and the last one maybe fewer.

    Where memory runs out, the same frames are made again half as many at a time, and so are all that follow; a single
    frame that does not fit is an error. on_progress(done, total) may raise to stop.
    Raises OptionError at once for a batch of less than one.
    """
    if batch_size < 1:
        raise OptionError(f"expected a batch_size of at least 1, got {batch_size}.")
    return _batches(make, n_frames, batch_size, on_progress, is_out_of_memory)


def _batches(
    make: Callable[[int, int], Tensor],
    n_frames: int,
    at_once: int,
    on_progress: OnProgress | None,
    is_out_of_memory: OutOfMemory,
) -> Iterator[Tensor]:
    start = 0
    while start < n_frames:
        stop = min(start + at_once, n_frames)
        try:
            frames = make(start, stop)
        except Exception as error:
            if stop - start == 1 or not is_out_of_memory(error):
                raise
            frames = None
        # Tried again only out here, where the error is gone, and with it what the frames it remembers were holding.
        if frames is None:
            at_once = (stop - start) // 2
            logging.warning("SadTalker: out of memory; continuing with batches of %d frames.", at_once)
            continue
        start = stop
        if on_progress is not None:
            on_progress(stop, n_frames)
        yield frames
