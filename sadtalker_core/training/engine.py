"""The one training loop: a `Trainer` and a `Run` come in; the run's folder holds what was learnt, and how.

    class Halves(Trainer):                                  train(Halves(), Run(Path("runs/halves"), steps=1000))
        def __init__(self):
            with seeded(0):
                self.nets = {"half": Linear(1, 1)}
            self.optimizers = {"half": Adam(self.nets["half"].parameters(), 1e-3)}

        def step(self, context):
            x = torch.randn(context.batch, 1, generator=context.generator).to(context.device)
            error = (self.nets["half"](x) - x / 2).square().mean()
            context.backward_and_step("half", error)
            return {"error": error}

Lightning Fabric starts the processes (several GPUs, several machines) and knows the devices. What a step draws comes
from (seed, step, rank) and from nowhere else, and the folder is saved as a whole or not at all; so a run that was
killed goes on, with the same command, as if it had never stopped. The folder holds

    state.pt       networks, optimizers, the step, and the losses since the last report
    log.jsonl      a line per report: the step, the seconds, the mean of each loss since the line before
    run.json       the settings of the run; one with others is refused in this folder
    tensorboard/   the same losses and sample images, for `tensorboard --logdir FOLDER`

Gradients are averaged over the processes by `StepContext.backward_and_step`, not by hooks on the nets: a training with
two adversaries passes through a network several times between two steps, and asks for methods other than `forward`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ..claims import sweep
from ..errors import CheckpointMissing, InputError, OptionError, SadTalkerError
from ..saving import append_jsonl, atomic_write, complete_lines

STATE_FILE, LOG_FILE, SETTINGS_FILE = "state.pt", "log.jsonl", "run.json"
Precision = Literal["32-true", "bf16-mixed"]
PRECISIONS = get_args(Precision)


@dataclass(frozen=True)
class Run:
    """Where and how long.

    folder: where the run lives; one that is there goes on;  steps: how many in all
    batch: examples per step of each process;  seed: of everything drawn
    rate_scale: what the learning rates of the trainer are multiplied by
    save_every, report_every, images_every: steps between two
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
    accelerator: str = "auto"
    devices: int | str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    precision: Precision = "32-true"


@dataclass(frozen=True, eq=False)
class StepContext:
    """What a step is given.

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
    frozen:   {name: net} that stay as they are: moved, not saved
    settings:   what makes this run this one, as JSON has it; kept in run.json
    """

    nets: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    frozen: Mapping[str, nn.Module] = {}
    settings: Mapping[str, Any] = {}

    def step(self, context: StepContext) -> dict[str, Tensor]:
        """Draw a batch, take a step, and name the losses, each a single number. Not all need come in each step."""
        raise NotImplementedError

    def learning_rates(self, step: int) -> dict[str, float]:
        """{optimizer: learning rate} where the step decides about it."""
        return {}

    def samples(self) -> dict[str, Tensor]:
        """Images (3, H, W) in 0..1 of what has been learnt so far; networks are in eval mode, without gradients."""
        return {}


def train(trainer: Trainer, run: Run) -> bool:
    """Go to step `run.steps`, from where the folder's run stopped. The networks are left in eval mode.

    Returns whether this process is the first, the one to write what comes of the run.
    Raises OptionError where the folder holds another run, InputError when a loss is no number any more.
    """
    fabric = _fabric(run)
    fabric.launch()
    _Loop(fabric, trainer, run).go()
    return fabric.is_global_zero


def step_generator(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """What a process draws from in a step."""
    state = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Nets made inside begin with the same numbers, and the global generator is not touched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def saved_nets(folder: Path) -> dict[str, dict[str, Tensor]]:
    """{net: {its own path: tensor}} as the run in `folder` left them. Raises CheckpointMissing."""
    return _read_state(folder)["nets"]


def steps_done(folder: Path) -> int:
    """Raises CheckpointMissing."""
    return _read_state(folder)["step"]


def trained(net: nn.Module, folder: Path, name: str) -> Any:
    """The network with what it has learnt in the run, ready to be used."""
    net.load_state_dict(saved_nets(folder)[name])
    return net.eval()


def synchronise_norms(nets: Mapping[str, nn.Module]) -> None:
    """Batch norms inside the networks see the examples of all processes from now on, in place; names and numbers stay.

    Several GPUs alone can do that; processors normalise by the examples of their own process.
    """
    for net in nets.values():
        nn.SyncBatchNorm.convert_sync_batchnorm(net)


# ---- the loop --------------------------------------------------------------------------------------------------


class _Loop:
    def __init__(self, fabric: Any, trainer: Trainer, run: Run):
        self.fabric, self.trainer, self.run = fabric, trainer, run
        self.done = 0
        self.recent: dict[str, list[Tensor]] = {}
        for net in (*trainer.nets.values(), *trainer.frozen.values()):
            net.to(fabric.device)
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            synchronise_norms(trainer.nets)
        for net in trainer.frozen.values():
            net.eval().requires_grad_(False)
        for optimizer in trainer.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] *= run.rate_scale
        self._resume()

    def go(self) -> None:
        from tqdm import tqdm

        run, first, begun = self.run, self.done, time.time()
        for net in self.trainer.nets.values():
            net.train()
        log = _Log(run.folder, first) if self.fabric.is_global_zero else None
        steps = range(first, run.steps)
        for step in tqdm(steps, initial=first, total=run.steps, disable=None if log else True, unit="step"):
            for name, rate in self.trainer.learning_rates(step).items():
                for group in self.trainer.optimizers[name].param_groups:
                    group["lr"] = rate * run.rate_scale
            draw = step_generator(run.seed, step, self.fabric.global_rank)
            with self.fabric.autocast():
                losses = self.trainer.step(
                    StepContext(step, run.batch, draw, self.fabric.device, self._backward_and_step)
                )
            for name, loss in losses.items():
                self.recent.setdefault(name, []).append(loss.detach())
            self.done = step + 1
            last = self.done == run.steps
            report, save = (last or self.done % every == 0 for every in (run.report_every, run.save_every))
            if report or save:
                self._check_losses()
            if report:
                means = self._means()
                if log:
                    log.losses(self.done, time.time() - begun, means)
            if log and (last or self.done % run.images_every == 0):
                log.images(self.done, self._samples())
            if save:
                self._save()
        if log:
            log.close()
        for net in self.trainer.nets.values():
            net.eval()

    def _backward_and_step(self, name: str, loss: Tensor, largest_norm: float | None = None) -> None:
        optimizer = self.trainer.optimizers[name]
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self._average([p.grad for p in parameters if p.grad is not None])
        if largest_norm is not None:
            nn.utils.clip_grad_norm_(parameters, largest_norm)
        optimizer.step()

    def _average(self, tensors: list[Tensor]) -> None:
        """In place, over the processes."""
        if self.fabric.world_size == 1 or not tensors:
            return
        flat = self.fabric.all_reduce(torch.cat([t.flatten() for t in tensors]), reduce_op="mean")
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def _means(self) -> dict[str, float]:
        """Of the losses since the last report, over the processes."""
        names = sorted(self.recent)
        means = [torch.stack(self.recent[name]).float().mean() for name in names]
        self._average(means)
        self.recent = {}
        return {name: mean.item() for name, mean in zip(names, means, strict=True)}

    def _check_losses(self) -> None:
        """Raises InputError, so that nothing is saved, when a loss is no number."""
        lost = [name for name, losses in self.recent.items() if not torch.stack(losses).isfinite().all()]
        if lost:
            raise InputError(
                f"the loss {lost[0]!r} is no number any more, at or before step {self.done}. The last "
                f"saved step in {self.run.folder} is sound; look at the coefficients of the clips, or try "
                f"--rate-scale 0.3 in a new folder."
            )

    def _samples(self) -> dict[str, Tensor]:
        modules = [module for net in self.trainer.nets.values() for module in net.modules()]
        modes = [module.training for module in modules]
        for module in modules:
            module.training = False
        with torch.no_grad():
            images = self.trainer.samples()
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        return images

    def _save(self) -> None:
        """Running means, which each process keeps of its own examples, are averaged first: what goes on here is then
        exactly what would go on after a kill.
        """
        nets, folder = self.trainer.nets, self.run.folder
        self._average([b for net in nets.values() for b in net.buffers() if b.is_floating_point()])
        if self.fabric.is_global_zero:
            state = {
                "nets": {name: net.state_dict() for name, net in nets.items()},
                "optimizers": {name: o.state_dict() for name, o in self.trainer.optimizers.items()},
                "step": self.done,
                "recent": self.recent,
            }
            with atomic_write(folder / STATE_FILE) as unfinished:
                torch.save(state, unfinished)
        self.fabric.barrier()

    def _resume(self) -> None:
        folder = self.run.folder
        if self.fabric.is_global_zero:
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)  # a run that has nothing more to write would leave what a kill left
            same = {name: getattr(self.run, name) for name in ("seed", "batch", "rate_scale")}
            _check_settings(folder, {**same, **self.trainer.settings})
        self.fabric.barrier()
        if not (folder / STATE_FILE).exists():
            return
        state = _read_state(folder)
        for name, net in self.trainer.nets.items():
            net.load_state_dict(state["nets"][name])
        for name, optimizer in self.trainer.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.done = state["step"]
        self.recent = {name: [loss.to(self.fabric.device) for loss in kept] for name, kept in state["recent"].items()}


class _Log:
    """log.jsonl and tensorboard/. Lines of steps that a kill undid are dropped: they come again."""

    def __init__(self, folder: Path, first: int):
        from torch.utils.tensorboard import SummaryWriter

        self.file = folder / LOG_FILE
        kept = [line for line in read_log(folder) if line["step"] <= first]
        self.spent = kept[-1]["seconds"] if kept else 0.0
        with atomic_write(self.file) as unfinished:
            unfinished.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=first + 1)

    def losses(self, step: int, seconds: float, means: dict[str, float]) -> None:
        append_jsonl(self.file, {"step": step, "seconds": round(self.spent + seconds, 1), **means})
        for name, mean in means.items():
            self.board.add_scalar(name, mean, step)

    def images(self, step: int, images: dict[str, Tensor]) -> None:
        for name, image in images.items():
            self.board.add_image(name, image.float().clamp(0, 1).cpu(), step)

    def close(self) -> None:
        self.board.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log.jsonl; a last one that a kill cut short is left out."""
    return [json.loads(line) for line in complete_lines(folder / LOG_FILE)]


def _read_state(folder: Path) -> dict[str, Any]:
    file = folder / STATE_FILE
    if not file.is_file():
        raise CheckpointMissing(
            f"{folder} holds no run: there is no {STATE_FILE} in it. Train first, or name another folder."
        )
    return torch.serialization.load(file, map_location="cpu", weights_only=True)


def _check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write run.json, or see that it says the same. Raises OptionError naming what differs."""
    file, given = folder / SETTINGS_FILE, json.loads(json.dumps(settings))
    if not file.exists():
        with atomic_write(file) as unfinished:
            unfinished.write_text(json.dumps(given, indent=1, sort_keys=True), encoding="utf-8")
        return
    there, given = _leaves(json.loads(file.read_text(encoding="utf-8"))), _leaves(given)
    other = sorted(name for name in there.keys() | given.keys() if there.get(name) != given.get(name))
    if other:
        name = other[0]
        raise OptionError(
            f"{folder} holds a run with {name} = {there.get(name)!r}, and this one has "
            f"{given.get(name)!r}. Name another folder with --out, or give the same."
        )


def _leaves(settings: dict[str, Any], above: str = "") -> dict[str, Any]:
    """{"training.net.width": 8}"""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _leaves(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return flat


def _fabric(run: Run) -> Any:
    if run.precision not in PRECISIONS:
        raise OptionError(f"expected the precision {' or '.join(PRECISIONS)}, got {run.precision!r}.")
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise OptionError(
            "training needs lightning-fabric, tensorboard and tqdm; in the folder of the node pack: "
            "pip install .[train]"
        ) from error
    return Fabric(
        accelerator=run.accelerator,
        devices=run.devices,
        num_nodes=run.num_nodes,
        strategy=run.strategy,
        precision=run.precision,
    )


# ---- the command line ------------------------------------------------------------------------------------------


def add_run_options(parser: argparse.ArgumentParser, *, out: str, steps: int, batch: int | None = None) -> None:
    """The options of a `Run`, the same for every trainer. batch: None where a config decides about it."""
    parser.add_argument("--out", type=Path, default=Path(out), help=f"folder of the run; one there goes on ({out})")
    parser.add_argument("--steps", type=int, default=steps, help=f"steps in all ({steps})")
    parser.add_argument(
        "--batch", type=int, default=batch, help=f"examples per step and process ({batch or 'as the config has it'})"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate-scale", type=float, default=1.0, help="multiply the learning rates of the config (1)")
    parser.add_argument("--save-every", type=int, default=500, help="steps between two saves (500)")
    parser.add_argument("--report-every", type=int, default=50, help="steps between two lines of the log (50)")
    parser.add_argument(
        "--images-every", "--pictures-every", type=int, default=1000, help="steps between two sample images (1000)"
    )
    parser.add_argument("--accelerator", default="auto", help="auto, cpu, gpu, mps (Lightning Fabric)")
    parser.add_argument("--devices", default="auto", help="auto, a number, or a list like 0,1 (Lightning Fabric)")
    parser.add_argument("--num-nodes", type=int, default=1, help="machines that work together (Lightning Fabric)")
    parser.add_argument("--strategy", default="auto", help="auto, ddp (Lightning Fabric)")
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0])


def command(main: Callable[[], None]) -> None:
    """Run a program from the command line: what the pack refuses is a sentence there, and no traceback."""
    try:
        main()
    except KeyboardInterrupt:
        print("Stopped. The same command goes on.", file=sys.stderr)
        raise SystemExit(130) from None
    except SadTalkerError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error


def run_of(options: argparse.Namespace, batch: int = 32) -> Run:
    """The `Run` that a command line with `add_run_options` asks for. batch: what the config says."""
    devices = options.devices
    return Run(
        folder=options.out,
        steps=options.steps,
        batch=options.batch or batch,
        seed=options.seed,
        rate_scale=options.rate_scale,
        save_every=options.save_every,
        report_every=options.report_every,
        images_every=options.images_every,
        accelerator=options.accelerator,
        devices=int(devices) if devices.isdigit() else devices,
        num_nodes=options.num_nodes,
        strategy=options.strategy,
        precision=options.precision,
    )


__all__ = [
    "StepContext",
    "Run",
    "Trainer",
    "add_run_options",
    "step_generator",
    "command",
    "read_log",
    "run_of",
    "saved_nets",
    "seeded",
    "steps_done",
    "synchronise_norms",
    "train",
    "trained",
]
