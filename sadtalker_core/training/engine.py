"""The training loop: a `Trainer` and a `Run` come in; the run's folder holds the trained weights and the log.

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

Lightning Fabric starts the processes (several GPUs, several machines) and knows the devices. All random numbers
of a step come from (seed, step, rank), and every file of the folder is written atomically; so a run that was killed is
resumed by the same command as if it had never stopped. The folder holds

    state.pt ...   the last three states, and the best (see states.py)
    log.jsonl      a line per report: the step, the seconds, the mean of each loss since the line before; and a line
                   per validation, with its figures
    run.json       the settings of the run; a run with others is refused in this folder
    tensorboard/   the same losses, figures and sample images, for `tensorboard --logdir FOLDER`
    videos/        the real video beside the predicted one, of trainers that write them

A trainer with held-out data is validated every `validate_every` steps; the state with the lowest `validation_metric` is
kept as the best, and a run without improvement for `patience` validations ends.

Gradients are averaged over the processes by `StepContext.backward_and_step`, not by hooks on the networks: a training
with two adversaries passes through a network several times between two steps, and asks for methods other than
`forward`.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ..claims import sweep
from ..errors import CheckpointMismatch, InputError, OptionError, SadTalkerError, shorten
from ..saving import append_jsonl, atomic_write, complete_lines, disk_full_error
from ..threads import few_threads
from ..timeline import SAMPLE_RATE_HZ
from .states import PLANNED, STATE_FILE, load_nets, read_settings, read_state, save_best, save_state, settle

LOG_FILE, VIDEOS_FOLDER = "log.jsonl", "videos"
Precision = Literal["32-true", "bf16-mixed"]
PRECISIONS = get_args(Precision)
#: the share of the clips that is held out
HOLD_OUT = 0.15


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
    validation_metric: the figure of `validate` by which states are compared, lower is better; "" where nothing is
                held out
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


def train(trainer: Trainer, run: Run) -> bool:
    """Go to step `run.steps`, from where the folder's run stopped. The networks are left in eval mode.

    Returns whether this process is the first, the one to write what comes of the run.
    Raises OptionError where the folder holds another run, InputError when a loss is NaN or infinite.
    """
    fabric = _fabric(run)
    fabric.launch()
    with _threads(fabric, trainer, run):
        _Loop(fabric, trainer, run).go()
    return fabric.is_global_zero


def _threads(fabric: Any, trainer: Trainer, run: Run) -> AbstractContextManager[None]:
    if fabric.device.type != "cpu" or not (run.threads or trainer.small):
        return nullcontext()
    return few_threads(run.threads or None)


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
    """{net: {its own path: tensor}} as the run in `folder` left them. Raises what `read_state` raises."""
    return read_state(folder)["nets"]


def steps_done(folder: Path) -> int:
    """Raises what `read_state` raises."""
    return read_state(folder)["step"]


def trained(net: nn.Module, folder: Path, name: str) -> Any:
    """The network with what it has learnt in the run, ready to be used."""
    net.load_state_dict(saved_nets(folder)[name])
    return net.eval()


def synchronise_norms(nets: Mapping[str, nn.Module]) -> None:
    """Batch norms inside the networks see the examples of all processes from now on, in place; names and numbers stay.

    It takes several GPUs; on CPUs each process normalises by its own examples.
    """
    for net in nets.values():
        nn.SyncBatchNorm.convert_sync_batchnorm(net)


# ---- the loop --------------------------------------------------------------------------------------------------


class _Loop:
    def __init__(self, fabric: Any, trainer: Trainer, run: Run):
        self.fabric, self.trainer, self.run = fabric, trainer, run
        self.done = 0
        self.recent: dict[str, list[Tensor]] = {}
        self.best: dict[str, Any] = {}  # "step" and "figure" of the best state, and how many validations came "since"
        self.remarked: list[str] = []
        self.stopped = False
        for net in (*trainer.nets.values(), *trainer.frozen.values()):
            net.to(fabric.device)
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            synchronise_norms(trainer.nets)
        for net in trainer.frozen.values():
            net.eval().requires_grad_(False)
        for optimizer in trainer.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] *= run.rate_scale
        self.averages = {name: copy.deepcopy(trainer.nets[name]).requires_grad_(False) for name in trainer.averaged}
        self._resume()

    def go(self) -> None:
        from tqdm import tqdm

        run, first, begun = self.run, self.done, time.time()
        for net in self.trainer.nets.values():
            net.train()
        log = _Log(run.folder, first) if self.fabric.is_global_zero else None
        if self.trainer.validation_metric and not self.done and run.steps:
            self._validate(log, 0.0)
        steps = range(first, first if self.stopped else run.steps)
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
            self._average_weights()
            self.done = step + 1
            self._afterwards(log, time.time() - begun)
            if self.stopped:
                break
        if log:
            log.close()
        for net in self.trainer.nets.values():
            net.eval()

    def _afterwards(self, log: _Log | None, seconds: float) -> None:
        """What is due after a step: figures, images, videos, saved states."""
        run, trainer = self.run, self.trainer
        last = self.done == run.steps
        validate = bool(trainer.validation_metric) and (last or self.done % run.validate_every == 0)
        report, save = (last or self.done % every == 0 for every in (run.report_every, run.save_every))
        if report or save or validate:
            self._check_losses()
        if validate:
            self._validate(log, seconds)
            last = last or self.stopped
        if report or last:
            means = self._means()
            if log:
                log.losses(self.done, seconds, means)
        if log and (last or self.done % run.images_every == 0):
            with self._in_eval_mode():
                log.images(self.done, trainer.samples())
        if log and run.videos_every and (last or self.done % run.videos_every == 0):
            with self._in_eval_mode():
                log.video(self.done, trainer.sample_video(run.folder / VIDEOS_FOLDER, self.done))
        if save or last:
            self._save()

    def _validate(self, log: _Log | None, seconds: float) -> None:
        """Validate, keep the best state, and decide whether to stop. The first process does it for all."""
        name = self.trainer.validation_metric
        if log:
            with self._in_eval_mode():
                figures = self.trainer.validate()
                log.losses(self.done, seconds, figures)
                better = figures.get(name, float("nan")) < self.best.get("figure", float("inf"))
                if better:
                    self.best = {"step": self.done, "figure": figures[name], "since": 0}
                    nets = {key: _on_cpu(net.state_dict()) for key, net in self.trainer.nets.items()}
                    save_best(self.run.folder, {"nets": nets, "step": self.done, "figures": figures})
                elif self.best:
                    self.best["since"] += 1
            early = 4 * self.done < self.run.steps  # untrained networks would draw every remark
            for sentence in [] if early else self.trainer.remarks(figures):
                about = sentence.partition(":")[0]
                if about not in self.remarked:
                    self.remarked.append(about)
                    log.remark(self.done, sentence)
            patience = self.run.patience
            self.stopped = bool(patience and self.best and self.best["since"] >= patience)
            if self.stopped and self.done < self.run.steps:
                log.remark(
                    self.done,
                    f"stopped at step {self.done}: {name} was least at step {self.best['step']}, and has not been "
                    f"less in {patience} validations.",
                )
        self.stopped = self.fabric.broadcast(self.stopped)

    @torch.no_grad()
    def _average_weights(self) -> None:
        """Early steps count more: otherwise the averages would long be those of the initial weights."""
        decay = min(self.trainer.average_decay, (1 + self.done) / (10 + self.done))
        for name, average in self.averages.items():
            net = self.trainer.nets[name]
            for mean, now in zip(average.parameters(), net.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)
            for kept, new in zip(average.buffers(), net.buffers(), strict=True):
                kept.copy_(new)

    @contextmanager
    def _in_eval_mode(self) -> Iterator[None]:
        """The networks as they are validated: averaged where averages are kept, in eval mode, without gradients."""
        modules = [module for net in self.trainer.nets.values() for module in net.modules()]
        modes = [module.training for module in modules]
        self._swap()
        try:
            for module in modules:
                module.training = False
            with torch.no_grad(), self.trainer.in_final_form():
                yield
        finally:
            self._swap()
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode

    def _swap(self) -> None:
        """Networks and their averages change places."""
        for name, average in self.averages.items():
            net = self.trainer.nets[name]
            pairs: list[tuple[Tensor, Tensor]] = [*zip(net.parameters(), average.parameters(), strict=True)]
            pairs += zip(net.buffers(), average.buffers(), strict=True)
            for one, other in pairs:
                one.data, other.data = other.data, one.data

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
            saved = (self.run.folder / STATE_FILE).exists()
            kept = f"The last saved steps in {self.run.folder} are sound" if saved else "Nothing was saved before it"
            raise InputError(
                f"the loss {lost[0]!r} is no number any more, at or before step {self.done}. {kept}; look at the "
                f"coefficients of the clips, or try --rate-scale 0.3 in a new folder."
            )

    def _save(self) -> None:
        """Running means, which each process keeps of its own examples, are averaged first: what goes on here is then
        exactly what would go on after a kill.
        """
        nets = self.trainer.nets
        self._average([b for net in nets.values() for b in net.buffers() if b.is_floating_point()])
        if self.fabric.is_global_zero:
            state = {
                "nets": {name: net.state_dict() for name, net in nets.items()},
                "averages": {name: net.state_dict() for name, net in self.averages.items()},
                "optimizers": {name: o.state_dict() for name, o in self.trainer.optimizers.items()},
                "step": self.done,
                "recent": self.recent,
                "best": self.best,
                "remarked": self.remarked,
                "stopped": self.stopped,
            }
            save_state(self.run.folder, state)
        self.fabric.barrier()

    def _resume(self) -> None:
        folder, run = self.run.folder, self.run
        if self.fabric.is_global_zero:
            _make_folder(folder)
            sweep(folder)  # a run that has nothing more to write would leave what a kill left
            same = {name: getattr(run, name) for name in ("seed", "batch", "rate_scale")}
            settle(folder, {**same, PLANNED: run.steps, **self.trainer.settings})
        self.fabric.barrier()
        self.trainer.steps = read_settings(folder).get(PLANNED, run.steps)
        if self.fabric.is_global_zero and run.steps > self.trainer.steps:
            logging.warning(
                "this run was planned for %d steps, and its rates and parts go by that plan: beyond it they stay as "
                "they were at its end. For a training of %d steps from the beginning name another folder with --out.",
                self.trainer.steps,
                run.steps,
            )
        if not (folder / STATE_FILE).exists():
            return
        state = read_state(folder)
        load_nets(self.trainer.nets, state["nets"], folder)
        load_nets(self.averages, {**state["nets"], **state.get("averages", {})}, folder)
        try:
            for name, optimizer in self.trainer.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            recent = state["recent"]
        except (KeyError, ValueError) as error:
            raise CheckpointMismatch(
                f"the state in {folder} is of another version of this pack ({shorten(str(error), 120)}): name another "
                f"folder with --out."
            ) from error
        self.done = state["step"]
        self.best, self.remarked = state.get("best", {}), state.get("remarked", [])
        self.stopped = bool(state.get("stopped")) and run.patience > 0
        self.recent = {name: [loss.to(self.fabric.device) for loss in kept] for name, kept in recent.items()}


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"{folder} cannot be made ({error.strerror}): name another folder with --out.") from error


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


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

    def video(self, step: int, video: SampleVideo | None) -> None:
        """TensorBoard shows it as an animated image, with its audio beside it."""
        if video is None:
            return
        self.board._get_file_writer().add_summary(moving_image("video", video.frames, video.fps), step)
        if video.wave is not None:
            self.board.add_audio("audio", video.wave[None], step, sample_rate=SAMPLE_RATE_HZ)

    def remark(self, step: int, sentence: str) -> None:
        """On the terminal, in the log and on the board."""
        from tqdm import tqdm

        tqdm.write(sentence, file=sys.stderr)
        append_jsonl(self.file, {"step": step, "seconds": self.spent, "remark": sentence})
        self.board.add_text("remarks", sentence, step)

    def close(self) -> None:
        self.board.close()


def moving_image(name: str, frames: np.ndarray, fps: float) -> Any:
    """frames (T, H, W, 3) uint8 -> what TensorBoard shows among its images: a GIF that plays."""
    import io

    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary

    code, (first, *others) = io.BytesIO(), [Image.fromarray(frame) for frame in frames]
    first.save(code, "GIF", save_all=True, append_images=others, duration=round(1000 / fps), loop=0)
    height, width = frames.shape[1:3]
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=code.getvalue())
    return Summary(value=[Summary.Value(tag=name, image=image)])


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log.jsonl; a last one that a kill cut short is left out."""
    return [json.loads(line) for line in complete_lines(folder / LOG_FILE)]


def _fabric(run: Run) -> Any:
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise OptionError(
            "training needs lightning-fabric, tensorboard and tqdm; in the folder of the node pack: "
            "pip install .[train]"
        ) from error
    try:
        return Fabric(
            accelerator=run.accelerator,
            devices=run.devices,
            num_nodes=run.num_nodes,
            strategy=run.strategy,
            precision=run.precision,
        )
    except (RuntimeError, ValueError) as error:
        reason = shorten(" ".join(str(error).split()), 200)
        raise OptionError(
            f"--accelerator {run.accelerator} --devices {run.devices} --strategy {run.strategy} cannot be had on this "
            f"machine ({reason}). Leave them out to take what is there, or give --accelerator cpu."
        ) from error


# ---- the command line ------------------------------------------------------------------------------------------


def training_parser(doc: str | None, configs: Iterable[str], config: str, clips: str = "") -> argparse.ArgumentParser:
    """--data and --config.  doc: what --help begins with;  config: the default;  clips: which ones --data must hold"""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=f"the folder of clips{clips}")
    parser.add_argument(
        "--config",
        choices=configs,
        default=config,
        help=f"weights of the losses, width of a new network (default {config})",
    )
    return parser


def add_run_options(
    parser: argparse.ArgumentParser,
    *,
    out: str,
    steps: int,
    batch: int | None = None,
    images_every: int = 1000,
    validate_every: int = 100,
    patience: int = 10,
) -> None:
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
        "--images-every",
        "--pictures-every",
        type=int,
        default=images_every,
        help=f"steps between two sample images ({images_every})",
    )
    parser.add_argument(
        "--validate-every",
        type=int,
        default=validate_every,
        help=f"steps between two looks at what is held out ({validate_every})",
    )
    parser.add_argument(
        "--patience",
        type=int,
        default=patience,
        help=f"stop after so many validations without a better one; 0: never ({patience or 'never'})",
    )
    parser.add_argument(
        "--hold-out",
        type=float,
        default=HOLD_OUT,
        metavar="SHARE",
        help=f"the share of the videos that is not trained on but validated with, 0 to 0.5 ({HOLD_OUT})",
    )
    parser.add_argument(
        "--videos-every",
        "--films-every",
        type=int,
        default=None,
        help="steps between two short videos beside the real one in OUT/videos; 0: none (a fifth of --steps)",
    )
    parser.add_argument(
        "--threads", type=int, default=0, help="that torch computes with on a CPU (0: as many as fit the networks)"
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
    except OSError as error:
        full = disk_full_error(error, Path(error.filename or "the run"))
        if full is None:
            raise
        print(f"{full} The same command goes on from the last saved step.", file=sys.stderr)
        raise SystemExit(2) from error


def run_of(options: argparse.Namespace, batch: int = 32) -> Run:
    """The `Run` that a command line with `add_run_options` asks for. batch: the config's batch size."""
    devices = options.devices
    return Run(
        folder=options.out,
        steps=options.steps,
        batch=batch if options.batch is None else options.batch,
        seed=options.seed,
        rate_scale=options.rate_scale,
        save_every=options.save_every,
        report_every=options.report_every,
        images_every=options.images_every,
        validate_every=options.validate_every,
        videos_every=max(1, options.steps // 5) if options.videos_every is None else options.videos_every,
        patience=options.patience,
        threads=options.threads,
        accelerator=options.accelerator,
        devices=int(devices) if devices.isdigit() else devices,
        num_nodes=options.num_nodes,
        strategy=options.strategy,
        precision=options.precision,
    )


__all__ = [
    "SampleVideo",
    "HOLD_OUT",
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
    "training_parser",
]
