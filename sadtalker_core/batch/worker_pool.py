"""Calls come in, their answers go out, wherever they were worked out: the only file that knows Ray.

A worker is a process (a Ray actor) with some cores and GPUs of its own; it does one call at a time. When it dies, or
the machine it ran on, another takes its place and its call is made again. Ray is imported when a worker pool begins.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DoesNotFit, OptionError, PackageMissing, SadTalkerError
from .worker import Result, Worker

INSTALL = 'pip install "ray>=2.40" "av>=12" "Pillow>=10.1" "tqdm>=4.60"'
CONNECT_TIMEOUT_S = 10.0
CORE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class WorkerPoolOptions:
    """n_workers: None takes as many as fit, and never more than there is work for
    gpus_each: GPUs of a worker, 0.5 lets two share one; None is 1 where there are GPUs, else 0
    cpus_each: cores of a worker, and its threads
    address: of a running cluster ("auto", "ray://..."); None starts Ray on this machine
    retries: how often a call is made again after its worker died or it failed for no reason of its own
    """

    n_workers: int | None = None
    gpus_each: float | None = None
    cpus_each: int = 1
    address: str | None = None
    batch_size: int = 0
    retries: int = 2
    model_folders: Sequence[Path] = ()


@dataclass(eq=False)
class Call:
    """Something to be done by whichever worker is free.

    task, args: see Worker.do; `args` is called when a worker is free, so that what it reads is read no sooner
    callback: called when the call has ended
    result, error: one of them is there at the end; error is a sentence
    """

    task: str
    args: Callable[[], tuple[Any, ...]]
    callback: Callable[[Call], None] | None = None
    result: Result | None = None
    error: str = ""
    n_tries: int = 0
    withdrawn: bool = field(default=False, repr=False)

    @property
    def ended(self) -> bool:
        return self.result is not None or bool(self.error)


class WorkerPool:
    """Use it as `with WorkerPool(options, n_calls) as pool`; Ray ends with the block if it was begun by it."""

    def __init__(self, options: WorkerPoolOptions, most_useful: int):
        """most_useful: how many workers there is work for

        The block raises PackageMissing, DoesNotFit or OptionError when it begins.
        """
        self.options, self.most_useful = options, most_useful
        self.size = 0
        self._first: deque[Call] = deque()
        self._later: deque[Call] = deque()
        self._coming: dict[Any, Any] = {}  # ping that is not answered yet -> worker
        self._idle: list[Any] = []
        self._running: dict[Any, tuple[Call, Any]] = {}  # answer to come -> call, worker
        self._n_lost_before_work = 0
        self._fatal_error = ""  # why no more workers can be started

    def __enter__(self) -> WorkerPool:
        ray = self._ray = _import_ray()
        self._began = not ray.is_initialized()
        if self._began:
            _begin(ray, self.options.address)
        try:
            available = ray.cluster_resources()
            self.gpus_each = self.options.gpus_each
            if self.gpus_each is None:
                self.gpus_each = 1.0 if available.get("GPU") else 0.0
            self.size = self._fitting(available)
            for _ in range(self.size):
                self._start_worker()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._began:
            self._ray.shutdown()
        else:
            for worker in (*self._coming.values(), *self._idle, *(worker for _, worker in self._running.values())):
                self._ray.kill(worker)

    def ask(self, call: Call, *, first: bool = False) -> Call:
        """Puts a call into the queue; first: before those that were not asked so."""
        (self._first if first else self._later).append(call)
        if self._fatal_error:
            self._give_up()
        self._send()
        return call

    def share(self, value: Any) -> Any:
        """An argument that many calls share, stored where every worker can fetch it."""
        return self._ray.put(value)

    @property
    def busy(self) -> bool:
        return bool(self._running or self._first or self._later)

    def wait(self, timeout_s: float) -> None:
        """Until a call has ended, or that long; 0 only looks."""
        for reference in self._ray.wait([*self._running, *self._coming], timeout=timeout_s)[0]:
            if reference in self._coming:
                self._on_ready(reference)
                self._send()
            else:
                call, worker = self._running.pop(reference)
                self._settle(call, worker, reference)
                self._send()  # before anybody thinks about the answer: workers shall not wait
                self._notify(call)

    def _send(self) -> None:
        """Gives every idle worker a call."""
        while self._idle and (self._first or self._later):
            call = (self._first or self._later).popleft()
            if call.withdrawn:
                continue
            try:
                args = call.args()
            except (OSError, SadTalkerError) as error:  # a file that was there when the table was read
                call.error = sentence_of(error)
                self._notify(call)
                continue
            call.n_tries += 1
            worker = self._idle.pop()
            self._running[worker.do.remote(call.task, *args)] = call, worker

    def _notify(self, call: Call) -> None:
        if call.ended and call.callback is not None and not call.withdrawn:
            call.callback(call)

    def _settle(self, call: Call, worker: Any, reference: Any) -> None:
        """Keeps an answer, or decides what becomes of a call that has none."""
        from ray.exceptions import RayError, RayTaskError

        try:
            call.result = self._ray.get(reference)
            self._idle.append(worker)
        except RayTaskError as error:  # it lives, the call failed
            self._idle.append(worker)
            if isinstance(error.cause, SadTalkerError):
                call.error = sentence_of(error.cause)
            else:
                self._again(call, sentence_of(error.cause))
        except RayError as error:
            self._ray.kill(worker)
            self._start_worker()
            self._again(call, f"its worker died: {_first_line(error)}")

    def _again(self, call: Call, reason: str) -> None:
        if call.n_tries > self.options.retries:
            call.error = f"{reason} (tried {call.n_tries} times)"
        else:
            self._first.appendleft(call)

    def _start_worker(self) -> None:
        """Asks for a worker. It gets no call before its ping is answered: without free resources it may never start."""
        kind = self._ray.remote(Worker).options(num_cpus=self.options.cpus_each, num_gpus=self.gpus_each)
        device = "cuda" if self.gpus_each else "cpu"
        args = self.options.model_folders, device, self.options.batch_size, self.options.cpus_each
        worker = kind.remote(*args)
        self._coming[worker.ping.remote()] = worker

    def _on_ready(self, ready: Any) -> None:
        """The worker is there, or it died on its way; when none is left after that, nothing can be done."""
        from ray.exceptions import RayError

        worker = self._coming.pop(ready)
        try:
            self._ray.get(ready)
            self._idle.append(worker)
        except RayError as error:
            self._n_lost_before_work += 1
            if self._n_lost_before_work <= self.options.retries:
                self._start_worker()
            elif not (self._coming or self._idle or self._running):
                self._fatal_error = f"no worker could start: {_first_line(error)}"
                self._give_up()

    def _give_up(self) -> None:
        while self._first or self._later:
            call = (self._first or self._later).popleft()
            call.error = self._fatal_error
            self._notify(call)

    def _fitting(self, available: dict[str, float]) -> int:
        """How many workers there shall be, of the cores and GPUs that are there."""
        fit = int(available.get("CPU", 0) // self.options.cpus_each)
        if self.gpus_each:
            fit = min(fit, int(available.get("GPU", 0) // self.gpus_each))
        wanted = self.options.n_workers or max(1, min(fit, self.most_useful))
        if wanted > fit:
            raise DoesNotFit(
                f"{wanted} workers with {self.options.cpus_each} cores and {self.gpus_each:g} GPUs each do not fit: "
                f"Ray has {available.get('CPU', 0):g} cores and {available.get('GPU', 0):g} GPUs. Ask for fewer."
            )
        return wanted


def sentence_of(error: BaseException) -> str:
    """The text of an error in a report: our own errors are sentences, others need their class name."""
    return str(error) if isinstance(error, SadTalkerError) else f"{type(error).__name__}: {error}"


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0]


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report home
    try:
        import ray
    except ImportError as error:
        raise PackageMissing(f"batch runs need the package ray, which is not installed: {INSTALL}") from error
    return ray


def _begin(ray: Any, address: str | None) -> None:
    """Ray on this machine alone, or as a client of a cluster, whose machines are then sent our code."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is None:
        with _in_the_folder_of(CORE):
            ray.init("local", include_dashboard=False, **quiet)
        return
    try:
        if address != "auto":  # Ray itself would try to connect for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
        with _in_the_folder_of(CORE):
            ray.init(address, runtime_env={"py_modules": [str(CORE)]}, **quiet)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise OptionError(
            f"expected a running Ray cluster at --address {address}, got: {_first_line(error)}. Start one with "
            "`ray start --head`; one that asks for a token wants RAY_AUTH_MODE=token in the environment."
        ) from error


@contextmanager
def _in_the_folder_of(core: Path) -> Iterator[None]:
    """Ray puts the current folder before all others on the path of its workers: there they find this very copy of the
    code, even if another one is installed, or this one is and the command is run from the folder of another.
    """
    before = Path.cwd()
    os.chdir(core.parent)
    try:
        yield
    finally:
        os.chdir(before)


__all__ = ["Call", "WorkerPool", "WorkerPoolOptions", "sentence_of"]
