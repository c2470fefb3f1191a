"""On a GPU, where there is one: frames per second of the plain generator at batch 2 and of the fast one in fp32 and
fp16, and the whole crop-mode job against playback.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from typing import Any

import torch

from sadtalker_core.render.estimate import RELEASED_COST, auto_batch_size
from sadtalker_core.render.facevid2vid.fast import accelerate
from sadtalker_core.timeline import FRAMES_PER_SECOND
from tests.parity.harness import rule_net
from tests.tools.bench.end_to_end import Steps, film
from tests.tools.bench.frames import FP16, FP32, given
from tests.tools.bench.measuring import talker_by_rule, voice

#: times as fast as the plain arrangement in batches of two
TARGET = 6.0
SECONDS = 10.0


@torch.inference_mode()
def measure(device: torch.device | None = None, rounds: int = 20) -> list[dict[str, Any]]:
    """One row that says so where torch finds no CUDA device. Another device may be named to try this out."""
    if device is None:
        if not torch.cuda.is_available():
            return [{"what": "not measured: torch finds no CUDA device"}]
        device = torch.device("cuda")
    rows = []
    for side in (256, 512):
        plain = rate(rule_net("generator", 0).to(device), side, 2, device, rounds)
        rows.append({"what": "plain fp32", "side": side, "batch": 2, "frames_per_second": plain, "factor": 1.0})
        for dtype in (FP32, FP16):
            net = accelerate(rule_net("generator", 0), dtype).to(device)
            free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
            batch = auto_batch_size(RELEASED_COST, side, device, free)
            found = rate(net, side, batch, device, rounds)
            rows.append(
                {
                    "what": f"fast {dtype}",
                    "side": side,
                    "batch": batch,
                    "frames_per_second": found,
                    "factor": found / plain,
                    "target": TARGET,
                }
            )
        rule_net.cache_clear()
    rows.append(whole_job(device))
    return rows


def rate(net, side: int, batch: int, device: torch.device, rounds: int) -> float:
    """Frames per second, by the clock, after two batches to warm up."""
    image, source, driving = (tensor.to(device) for tensor in given(side, batch))
    prepared = net.encode_source(image, source)
    for turn in range(rounds + 2):
        if turn == 2:
            wait(device)
            started = time.perf_counter()
        net.warp_and_decode(prepared, driving + 0.01 * turn)
    wait(device)
    return rounds * batch / (time.perf_counter() - started)


def whole_job(device: torch.device) -> dict[str, Any]:
    """Crop mode at 256 in fp16, image to film."""
    nets = talker_by_rule(256)
    fast = nets.nets | {"generator": accelerate(nets.nets["generator"], FP16)}
    nets = replace(nets, nets={name: net.to(device) for name, net in fast.items()})
    with tempfile.TemporaryDirectory() as folder:
        film(nets, folder, voice(1.0), Steps())
        started = time.perf_counter()
        n_frames = film(nets, folder, voice(SECONDS), Steps())
        spent = time.perf_counter() - started
    return {
        "what": "picture to film, fast fp16",
        "side": 256,
        "frames_per_second": n_frames / spent,
        "factor": n_frames / spent / FRAMES_PER_SECOND,
        "target": 1.0,
    }


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
