"""A training with an adversary, small enough to be killed and run twice: python -m tests.training.two_players FOLDER

A maker with a norm learns to halve numbers; at every second step a critic learns to tell its halves from true ones.
Beside the run's folder each process writes what it drew and where its weights ended, as rank<number>.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path

import torch
from torch.nn import BatchNorm1d, Linear, Sequential

from sadtalker_core.training.engine import seeded, train
from sadtalker_core.training.trainer import Run, Trainer


class TwoPlayers(Trainer):
    def __init__(self, die_at: int | None = None, sour_at: int | None = None):
        with seeded(3):
            self.maker, self.critic = Sequential(BatchNorm1d(2), Linear(2, 4), Linear(4, 2)), Linear(2, 1)
        self.nets = {"maker": self.maker, "critic": self.critic}
        self.optimizers = {
            "maker": torch.optim.Adam(self.maker.parameters(), 0.02),
            "critic": torch.optim.SGD(self.critic.parameters(), 0.01, momentum=0.9),
        }
        self.die_at, self.sour_at = die_at, sour_at
        self.drawn: list[list[float]] = []

    def learning_rates(self, step):
        return {"maker": 0.02 / (1 + step / 10)}

    def step(self, context):
        if context.index == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        numbers = torch.randn(context.batch, 2, generator=context.generator)
        self.drawn.append(numbers[0].tolist())
        made = self.maker(numbers)
        losses = {"error": (made - numbers / 2).square().mean(), "fooled": -self.critic(made).mean()}
        if context.index == self.sour_at:
            losses["error"] = losses["error"] / 0
        context.backward_and_step("maker", losses["error"] + 0.01 * losses["fooled"], largest_norm=1.0)
        if context.index % 2 == 0:
            losses["told apart"] = (self.critic(made.detach()) - self.critic(numbers / 2)).mean().square()
            context.backward_and_step("critic", losses["told apart"])
        return losses

    def samples(self):
        return {"black": torch.zeros(3, 4, 4)}


def run_of(folder: Path, steps: int = 40, **how) -> Run:
    return Run(
        folder, steps, **{"batch": 4, "save_every": 10, "report_every": 5, "accelerator": "cpu", "devices": 1, **how}
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    trainer = TwoPlayers(options.die_at)
    several = {"devices": options.processes, "strategy": "ddp"} if options.processes > 1 else {}
    train(trainer, run_of(options.folder, **several))
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    result = {
        "drawn": trainer.drawn,
        "weights": [p.tolist() for p in trainer.maker.parameters()],
        "mean": trainer.maker[0].running_mean.tolist(),
    }
    options.folder.with_name(f"rank{rank}.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
