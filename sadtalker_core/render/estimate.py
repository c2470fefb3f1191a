"""How long a frame will take and how many may be rendered at once: a rough estimate from before the work starts."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..threads import few_threads


@dataclass(frozen=True)
class RenderCost:
    """What a frame takes, by the side of the square in pixels; between two sides it grows with the pixels.

    convolutions: reference convolutions of one thread, by the networks as the nodes use them (docs/BENCH.md)
    working_bytes: beside the weights, in fp32
    One 3x3 convolution 512 -> 256 at 128 x 128 is the reference convolution: the cost of a frame counted in them is
    nearly the same on every machine.
    """

    convolutions: Mapping[int, float]
    working_bytes: Mapping[int, int]


RELEASED_COST = RenderCost({256: 24.0, 512: 120.0}, {256: 1_600_000_000, 512: 3_200_000_000})
#: with its encoding
MINI_COST = RenderCost({256: 0.25, 512: 0.35, 1024: 0.8}, {256: 120_000_000, 512: 200_000_000, 1024: 480_000_000})

LARGEST_AUTO_BATCH = 8


def working_bytes(cost: RenderCost, image_size: int) -> int:
    """Activations of one frame, bytes."""
    return round(_at(cost.working_bytes, image_size))


def auto_batch_size(cost: RenderCost, image_size: int, device: torch.device, free_bytes: int) -> int:
    """Frames at once. On a CPU 1: more is slower there, the cache is the limit. On a GPU what fits, up to 8."""
    if device.type == "cpu":
        return 1
    return max(1, min(LARGEST_AUTO_BATCH, free_bytes // working_bytes(cost, image_size)))


def free_bytes(device: torch.device) -> int:
    """What is free on a CUDA device. Of others we know nothing: 0, so that a batch is one frame."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


@functools.lru_cache(maxsize=8)
@torch.no_grad()
def reference_convolution_seconds(device: torch.device, dtype: torch.dtype, n_threads: int) -> float:
    """Time of one reference convolution there on so many threads (those that are set), the better of two, after one to
    warm up; measured once a process.
    """
    image = torch.ones(1, 512, 128, 128, device=device, dtype=dtype)
    kernel = torch.ones(256, 512, 3, 3, device=device, dtype=dtype)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        F.conv2d(image, kernel, padding=1)[0, 0, 0, 0].item()
        times.append(time.perf_counter() - started)
    return min(times[1:])


@functools.lru_cache(maxsize=4)
@torch.no_grad()
@few_threads()
def half_precision_cost(dtype: torch.dtype) -> float:
    """How many times as long as in float32 a small convolution takes in that dtype on this CPU, on one thread, the best
    of some turns; measured once a process, in a hundredth of a second.
    """
    seconds = []
    for kind in (torch.float32, dtype):
        image = torch.ones(1, 256, 32, 32, dtype=kind).contiguous(memory_format=torch.channels_last)
        kernel = torch.ones(256, 256, 3, 3, dtype=kind).contiguous(memory_format=torch.channels_last)
        times = []
        for _ in range(6):
            started = time.perf_counter()
            F.conv2d(image, kernel, padding=1)
            times.append(time.perf_counter() - started)
        seconds.append(min(times[1:]))
    return seconds[1] / max(seconds[0], 1e-9)


def seconds_per_frame(cost: RenderCost, image_size: int, device: torch.device, dtype: torch.dtype) -> float:
    """About how long one frame takes there."""
    return _at(cost.convolutions, image_size) * reference_convolution_seconds(device, dtype, torch.get_num_threads())


def _at(by_side: Mapping[int, float], side: int) -> float:
    """A cost at that side: as at the smallest known one below it, and beyond the largest on with the pixels."""
    sides = sorted(by_side)
    upper = next((k for k in sides[1:] if side <= k), sides[-1])
    lower = sides[sides.index(upper) - 1]
    share = (max(side, lower) ** 2 - lower**2) / (upper**2 - lower**2)
    return by_side[lower] + share * (by_side[upper] - by_side[lower])
