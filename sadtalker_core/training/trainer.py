"""A training as the loop of engine.py sees it: the trainer, the settings of its run, and the input of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import OptionError

Precision = Literal["32-true", "bf16-mixed"]
PRECISIONS = get_args(Precision)


@dataclass(frozen=True)
class Run:
    """The settings of a run.

    folder: of the run; a run that is there is resumed;  steps: how many in all
    batch: examples per step of each process;  seed: of everything drawn
    rate_scale: what the learning rates of the trainer are multiplied by
    save_every, report_every, images_every, validate_every, videos_every: steps between two; 0 videos for none
    patience: validations without a better one after which the run ends; 0 goes on to the last step
    threads: that torch computes with on a CPU; 0 as many as fit the networks
    accelerator, devices, num_nodes, strategy, precision: as Lightning Fabric takes them ("auto", 2, "ddp", ...)
    """

    folder: Path
    steps: int
    batch: int = 32
    seed: int = 0
    rate_scale: float = 1.0
    save_every: int = 500
    report_every: int = 50
    images_every: int = 1000
    validate_every: int = 100
    videos_every: int = 0
    patience: int = 0
    threads: int = 0
    accelerator: str = "auto"
    devices: int | str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    precision: Precision = "32-true"

    def __post_init__(self) -> None:
        """Raises OptionError for settings that would otherwise fail only after hours."""
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise OptionError(f"expected --{name.replace('_', '-')} of {least} or more, got {getattr(self, name)}.")
        if not 0 < self.rate_scale < float("inf"):
            raise OptionError(f"expected a --rate-scale above 0, got {self.rate_scale}.")
        if self.precision not in PRECISIONS:
            raise OptionError(f"expected the precision {' or '.join(PRECISIONS)}, got {self.precision!r}.")


_LEAST = {
    "steps": 0, "batch": 1, "save_every": 1, "report_every": 1, "images_every": 1, "validate_every": 1,
    "videos_every": 0, "patience": 0, "threads": 0, "num_nodes": 1,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class StepContext:
    """The input of a training step.

    index: the step, from 0;  batch: examples that this process takes
    generator: on the CPU, other in each step and process;  device: where the networks are
    backward_and_step: (name of an optimizer, loss, largest norm of the gradient or None): one step down the loss. Every
        process has to call it with the same names in the same order.
    """

    index: int
    batch: int
    generator: torch.Generator
    device: torch.device
    backward_and_step: Callable[..., None]

    def rng(self) -> np.random.Generator:
        """The same for whoever draws with NumPy; each call is another generator."""
        return np.random.default_rng(torch.randint(2**62, (2,), generator=self.generator).tolist())


class Trainer:
    """A training, as the loop sees it. The constructor fills these on the CPU, with `seeded` where it draws.

    nets:       {name: net}, trained ones and any other whose numbers change (running averages): moved and saved
    optimizers: {name: optimizer} over parameters of the networks
    frozen:     {name: net} that stay as they are: moved, not saved
    settings:   what makes this run this one, as JSON has it; kept in run.json
    steps:      how many the run was planned for when it began, for schedules; the loop sets it
    averaged:   names of the networks whose running averages are kept, and then validated, displayed and exported
    average_decay: how much of the average stays in a step, after the first ones
    small:      whether one thread computes the networks best, see threads.py
    validation_metric: the figure of `validate` by which states are compared, less is better; "" where nothing is held
    out
    """

    nets: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    frozen: Mapping[str, nn.Module] = {}
    settings: Mapping[str, Any] = {}
    steps: int = 0
    averaged: tuple[str, ...] = ()
    average_decay: float = 0.999
    small: bool = True
    validation_metric: str = ""

    def step(self, context: StepContext) -> dict[str, Tensor]:
        """Draw a batch, take a step, and return the losses by name, each a scalar; a step may leave some out."""
        raise NotImplementedError

    def learning_rates(self, step: int) -> dict[str, float]:
        """{optimizer: learning rate} of those that depend on the step."""
        return {}

    def samples(self) -> dict[str, Tensor]:
        """Sample images (3, H, W) in 0..1; networks are in eval mode, without gradients."""
        return {}

    def in_final_form(self) -> AbstractContextManager[None]:
        """Inside, the networks are as they are validated, displayed, kept as the best and exported. It is entered in
        eval mode, without gradients; afterwards they are as before, to the bit.
        """
        return nullcontext()

    def validate(self) -> dict[str, float]:
        """Figures of what was held out; networks are in eval mode, without gradients. The same state has the same."""
        return {}

    def remarks(self, figures: Mapping[str, float]) -> list[str]:
        """Remarks "what: why" on these figures; each "what" is reported once in a run."""
        return []

    def sample_video(self, folder: Path, step: int) -> SampleVideo | None:
        """Write a video of the predictions beside the real one to the folder; None where there is nothing to show."""
        return None


@dataclass(frozen=True)
class SampleVideo:
    """file: the mp4;  frames (T, H, W, 3) uint8, some of its images;  fps: of these;  wave: (n,) at 16 kHz, or None"""

    file: Path
    frames: np.ndarray
    fps: float
    wave: Tensor | None
