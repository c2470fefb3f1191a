"""One training run of a small net: steps that can be stopped and taken up again, and come out the same either way.

Everything random in a step comes from `chance(seed, step)`, so a run that was interrupted at step 700 draws at step 700
what it would have drawn. The folder holds `state.pt` (net, optimizer, step) and `log.jsonl`, one line per report.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)


def chance(seed: int, step: int) -> np.random.Generator:
    return np.random.default_rng([seed, step])


def torch_chance(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


@dataclass(frozen=True)
class RunOptions:
    """folder: where the run lives;  steps: how many in all.

    The rate rises for `warmup` steps and then falls along a cosine to 2 %.
    """

    folder: Path
    steps: int
    rate: float = 2e-3
    warmup: int = 100
    weight_decay: float = 1e-4
    report_every: int = 50
    save_every: int = 200


def learning_rate(options: RunOptions, step: int) -> float:
    if step < options.warmup:
        return options.rate * (step + 1) / options.warmup
    done = (step - options.warmup) / max(1, options.steps - options.warmup)
    return options.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def train(net: nn.Module, options: RunOptions, losses: Callable[[int], dict[str, Tensor]]) -> None:
    """Minimise the sum of `losses(step)`, a dict of named scalars; `net` is changed in place and saved on the way."""
    options.folder.mkdir(parents=True, exist_ok=True)
    state_file = options.folder / "state.pt"
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.rate, weight_decay=options.weight_decay)
    first = 0
    if state_file.exists():
        state = torch.serialization.load(state_file, weights_only=True)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    net.train()
    began = time.time()
    for step in range(first, options.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(options, step)
        parts = losses(step)
        total = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        done = step + 1
        if done % options.report_every == 0 or done == options.steps:
            line = {"step": done, "seconds": round(time.time() - began), "loss": round(total.item(), 5)}
            line |= {name: round(value.item(), 5) for name, value in parts.items()}
            with open(options.folder / "log.jsonl", "a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
        if done % options.save_every == 0 or done == options.steps:
            partial = state_file.with_suffix(".part")
            torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "step": done}, partial)
            os.replace(partial, state_file)
    net.eval()


def trained(net: Net, folder: Path) -> Net:
    """The net as the run in `folder` left it, ready to be used."""
    net.load_state_dict(torch.serialization.load(folder / "state.pt", weights_only=True)["net"])
    return net.eval()
