"""A small network and the sum of its losses, on the engine: what the trainings of the built-in motion networks have in
common.

They run on the processor, in one process: their batches are made on the way, in less time than a GPU would take to get
them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from .engine import train, trained
from .trainer import Run, StepContext, Trainer
from .voices.speech_set import SpeechClip, load

#: steps on the way up, the rate at the end as a part of the highest, and the largest norm of the gradient
WARMUP_STEPS, LAST_RATE, LARGEST_NORM = 100, 0.02, 1.0


#: of one step: draws a batch with the step's generator
Losses = Callable[[StepContext], dict[str, Tensor]]
Net = TypeVar("Net", bound=nn.Module)


class MiniTrainer(Trainer):
    """One network, AdamW, and losses that are summed."""

    def __init__(
        self,
        name: str,
        net: nn.Module,
        losses: Losses,
        steps: int,
        rate: float = 2e-3,
    ):
        """losses: their sum is minimised."""
        self.name, self.losses, self.steps, self.rate = name, losses, steps, rate
        self.nets = {name: net}
        self.optimizers = {name: torch.optim.AdamW(net.parameters(), rate, weight_decay=1e-4)}
        self.settings = {"net": name, "rate": rate}

    def learning_rates(self, step: int) -> dict[str, float]:
        return {self.name: learning_rate(self.rate, step, self.steps)}

    def step(self, context: StepContext) -> dict[str, Tensor]:
        parts = self.losses(context)
        context.backward_and_step(self.name, torch.stack(list(parts.values())).sum(), LARGEST_NORM)
        return parts


def learning_rate(highest: float, step: int, steps: int) -> float:
    """It rises for WARMUP_STEPS and then falls along a cosine to 2 %."""
    if step < WARMUP_STEPS:
        return highest * (step + 1) / WARMUP_STEPS
    done = (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    return highest * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def command_line(doc: str | None, *, out: str, steps: int, evaluate: str) -> argparse.ArgumentParser:
    """The options that these trainings have in common.  evaluate: what is printed, for the help of --evaluate"""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, nargs="+", help="the .npz of voices.speech_set")
    parser.add_argument("--out", type=Path, default=Path(out), help=f"folder of the run; one there goes on ({out})")
    parser.add_argument("--steps", type=int, default=steps, help=f"steps in all ({steps})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--evaluate", action="store_true", help=f"only print {evaluate}")
    return parser


def read_speech(options: argparse.Namespace) -> tuple[list[SpeechClip], list[SpeechClip]]:
    """The clips of --speech: those to learn from, and those that are held out. From now on torch has --threads."""
    torch.set_num_threads(options.threads)
    clips = [clip for file in options.speech for clip in load(file)]
    return [clip for clip in clips if not clip.held_out], [clip for clip in clips if clip.held_out]


def learn(
    name: str,
    net: Net,
    losses_of: Callable[[Net, list[SpeechClip]], Losses],
    clips: list[SpeechClip],
    options: argparse.Namespace,
    rate: float,
) -> Net:
    """The network as the run in --out has it, which is trained first unless it is only to be evaluated."""
    if not options.evaluate:
        train_mini(MiniTrainer(name, net, losses_of(net, clips), options.steps, rate), options.out, options.seed)
    trained(net, options.out, name)
    return net


def train_mini(trainer: MiniTrainer, folder: Path, seed: int) -> None:
    """Trains on one CPU, in `folder`; an earlier run there goes on."""
    train(trainer, Run(folder, trainer.steps, batch=1, seed=seed, save_every=200, accelerator="cpu", devices=1))


__all__ = ["MiniTrainer", "command_line", "learn", "learning_rate", "read_speech", "train_mini"]
