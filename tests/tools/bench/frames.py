"""One arrangement of the released generator, weights made by rule: what a frame costs, and the frame itself.

In: which arrangement, and the side of the square. Out: reference convolutions a frame one by one and in batches, the
once-a-clip work, peaks of memory; the frame goes to a file, so that arrangements can be held against one another.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sadtalker_core.render.facevid2vid.fast import accelerate
from tests.parity.harness import rule_net
from tests.tools.bench.measuring import forget_peak, in_reference_convolutions, peak_mb

FP32, BF16, FP16 = torch.float32, torch.bfloat16, torch.float16
PLAIN, FAST, BF16_PAINT, BF16_ALL = "plain fp32", "fast fp32", "fast bf16, motion fp32", "fast bf16"
#: what paints, and what finds motion
DTYPES = {FAST: (FP32, FP32), BF16_PAINT: (BF16, FP32), BF16_ALL: (BF16, BF16)}
#: reference convolutions that a frame of 256 may cost
TARGETS = {FAST: 24.0, BF16_PAINT: 17.5, BF16_ALL: 15.5}


def arranged(what: str):
    """The generator, so or so."""
    net = rule_net("generator", 0)
    rule_net.cache_clear()
    return net if what == PLAIN else accelerate(net, *DTYPES[what])


def given(side: int, batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """A smooth image, its key points, and those of some frames."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 32, 32, generator=generator)
    image = F.interpolate(image, size=(side, side), mode="bicubic").clamp(0, 1)
    source = 1.6 * torch.rand(1, 15, 3, generator=generator) - 0.8
    return image, source, source + 0.1 * torch.randn(batch, 15, 3, generator=generator)


@torch.inference_mode()
def measure(what: str, side: int, rounds: int, batches: Sequence[int], frame_file: Path) -> dict[str, Any]:
    """The first frame warms up and is the one that is kept; the peak is that of single frames, loading apart."""
    torch.set_num_threads(1)
    net = arranged(what)
    image, source, driving = given(side)
    weights = sum(tensor.nbytes for tensor in net.state_dict().values()) / 1e6
    loading = peak_mb()
    forget_peak()
    encode_source, _, prepared = in_reference_convolutions(lambda: net.encode_source(image, source))
    first = net.warp_and_decode(prepared, driving)
    np.savez(frame_file, image=first.image.float().numpy(), moved=first.motion.deformation.float().numpy())
    costs, seconds = [], []
    for turn in range(1, rounds + 1):
        cost, spent, _ = in_reference_convolutions(
            lambda keypoints=driving + 0.01 * turn: net.warp_and_decode(prepared, keypoints)
        )
        costs.append(cost)
        seconds.append(spent)
    found = {
        "what": what, "side": side, "convolutions": statistics.median(costs), "each": costs,
        "cpu_s": statistics.median(seconds), "target": TARGETS.get(what) if side == 256 else None,
        "once_a_clip": encode_source, "weights_mb": weights, "loading_mb": loading, "peak_mb": peak_mb(),
    }  # fmt: skip
    for batch in batches:
        several = given(side, batch)[2] + 0.02
        cost, _, _ = in_reference_convolutions(lambda keypoints=several: net.warp_and_decode(prepared, keypoints))
        found[f"in_batches_of_{batch}"] = cost / batch
    return found


def apart(frame_file: Path, plain_file: Path) -> dict[str, float]:
    """How far two frames lie apart (0..1), and how far what they show was read from elsewhere, in pixels."""
    ours, plain = np.load(frame_file), np.load(plain_file)
    sample_image = np.abs(ours["image"] - plain["image"])
    places = np.abs(ours["moved"] - plain["moved"])[..., :2] * (plain["image"].shape[-1] / 2)
    return {
        "max_to_plain": float(sample_image.max()),
        "mean_to_plain": float(sample_image.mean()),
        "pixels_to_plain": float(places.mean()),
    }
