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

import copy
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..claims import sweep
from ..errors import CheckpointMismatch, InputError, OptionError, shorten
from ..threads import few_threads
from .run_log import RunLog
from .states import PLANNED, STATE_FILE, load_nets, read_settings, read_state, save_best, save_state, settle
from .trainer import Run, StepContext, Trainer

VIDEOS_FOLDER = "videos"


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
        log = RunLog(run.folder, first) if self.fabric.is_global_zero else None
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

    def _afterwards(self, log: RunLog | None, seconds: float) -> None:
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

    def _validate(self, log: RunLog | None, seconds: float) -> None:
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
            f"--accelerator {run.accelerator} --devices {run.devices} --strategy {run.strategy} is not available on "
            f"this machine ({reason}). Leave them out to take what is there, or give --accelerator cpu."
        ) from error


__all__ = [
    "step_generator",
    "saved_nets",
    "seeded",
    "steps_done",
    "synchronise_norms",
    "train",
    "trained",
]
