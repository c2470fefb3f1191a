"""Calls come in, their answers go out, wherever they were worked out: the only file that knows Ray.

A worker is a process (a Ray actor) with some cores and GPUs of its own; it does one call at a time. When it dies, or
the machine it ran on, another takes its place and its call is made again. Ray is imported when a crew begins.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DoesNotFit, OptionError, PackageMissing, SadTalkerError
from .worker import Answer, Worker

INSTALL = 'pip install "ray>=2.40" "av>=12" "Pillow>=10.1" "tqdm>=4.60"'
KNOCK_SECONDS = 10.0
CORE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class CrewOptions:
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

    task, given: see Worker.do; `given` is called when a worker is free, so that what it reads is read no sooner
    then: told when the call has ended
    answer, error: one of them is there at the end; error is a sentence
    """

    task: str
    given: Callable[[], tuple]
    then: Callable[[Call], None] | None = None
    answer: Answer | None = None
    error: str = ""
    n_tries: int = 0
    withdrawn: bool = field(default=False, repr=False)

    @property
    def ended(self) -> bool:
        return self.answer is not None or bool(self.error)


class Crew:
    """Use it as `with Crew(options, n_calls) as crew`; Ray ends with the block if it was begun by it."""

    def __init__(self, options: CrewOptions, most_useful: int, *, store_bytes: int | None = None):
        """most_useful: how many workers there is work for;  store_bytes: of shared memory for Ray, None as Ray likes

        Raises PackageMissing or DoesNotFit.
        """
        self.options, self.most_useful, self.store_bytes = options, most_useful, store_bytes
        self._first: deque[Call] = deque()
        self._later: deque[Call] = deque()
        self._idle: list[Any] = []
        self._running: dict[Any, tuple[Call, Any]] = {}
        self.size = 0

    def __enter__(self) -> Crew:
        ray = self._ray = _import_ray()
        self._began = not ray.is_initialized()
        if self._began:
            _begin(ray, self.options.address, self.store_bytes)
        try:
            there = ray.cluster_resources()
            self.gpus_each = self.options.gpus_each
            if self.gpus_each is None:
                self.gpus_each = 1.0 if there.get("GPU") else 0.0
            self.size = self._fitting(there)
            self._idle = [self._hire() for _ in range(self.size)]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        if self._began:
            self._ray.shutdown()
        else:
            for worker in (*self._idle, *(worker for _, worker in self._running.values())):
                self._ray.kill(worker)

    def ask(self, call: Call, *, first: bool = False) -> Call:
        """Puts a call into the queue; first: before those that were not asked so."""
        (self._first if first else self._later).append(call)
        self._send()
        return call

    def share(self, value: Any) -> Any:
        """Something that many calls are given, put where every worker can fetch it."""
        return self._ray.put(value)

    @property
    def busy(self) -> bool:
        return bool(self._running or self._first or self._later)

    def wait(self, timeout_s: float) -> None:
        """Until a call has ended, or that long; 0 only looks."""
        ready = self._ray.wait(list(self._running), timeout=timeout_s)[0] if self._running else []
        for reference in ready:
            call, worker = self._running.pop(reference)
            self._settle(call, worker, reference)
            self._send()  # before anybody thinks about the answer: workers shall not wait
            self._tell(call)

    def _send(self) -> None:
        """Gives every idle worker a call."""
        while self._idle and (self._first or self._later):
            call = (self._first or self._later).popleft()
            if call.withdrawn:
                continue
            try:
                given = call.given()
            except OSError as error:  # a file was there when the table was read
                call.error = f"{error}."
                self._tell(call)
                continue
            call.n_tries += 1
            worker = self._idle.pop()
            self._running[worker.do.remote(call.task, *given)] = call, worker

    def _tell(self, call: Call) -> None:
        if call.ended and call.then is not None and not call.withdrawn:
            call.then(call)

    def _settle(self, call: Call, worker: Any, reference: Any) -> None:
        """Keeps an answer, or decides what becomes of a call that has none."""
        from ray.exceptions import RayError, RayTaskError

        try:
            call.answer = self._ray.get(reference)
            self._idle.append(worker)
        except RayTaskError as error:  # it lives, the call failed
            self._idle.append(worker)
            cause = error.cause
            if isinstance(cause, SadTalkerError):
                call.error = str(cause)
            else:
                self._again(call, f"{type(cause).__name__}: {cause}")
        except RayError as error:
            self._ray.kill(worker)
            self._idle.append(self._hire())
            self._again(call, f"its worker died: {str(error).splitlines()[0]}")

    def _again(self, call: Call, reason: str) -> None:
        if call.n_tries > self.options.retries:
            call.error = f"{reason} (tried {call.n_tries} times)"
        else:
            self._first.appendleft(call)

    def _hire(self) -> Any:
        kind = self._ray.remote(Worker).options(num_cpus=self.options.cpus_each, num_gpus=self.gpus_each)
        device = "cuda" if self.gpus_each else "cpu"
        return kind.remote(self.options.model_folders, device, self.options.batch_size, self.options.cpus_each)

    def _fitting(self, there: dict[str, float]) -> int:
        """How many workers there shall be, of the cores and GPUs that are there."""
        fit = int(there.get("CPU", 0) // self.options.cpus_each)
        if self.gpus_each:
            fit = min(fit, int(there.get("GPU", 0) // self.gpus_each))
        wanted = self.options.n_workers or max(1, min(fit, self.most_useful))
        if wanted > fit:
            raise DoesNotFit(
                f"{wanted} workers with {self.options.cpus_each} cores and {self.gpus_each:g} GPUs each do not fit: "
                f"Ray has {there.get('CPU', 0):g} cores and {there.get('GPU', 0):g} GPUs. Ask for fewer."
            )
        return wanted


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report home
    try:
        import ray
    except ImportError as error:
        raise PackageMissing(f"Jobs are spread over workers by Ray, which is not installed: {INSTALL}") from error
    return ray


def _begin(ray: Any, address: str | None, store_bytes: int | None) -> None:
    """Ray on this machine alone, or as a guest of a cluster, whose machines are then given our code."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is None:
        ray.init("local", include_dashboard=False, object_store_memory=store_bytes, **quiet)
        return
    try:
        if address != "auto":  # Ray itself would knock for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
        ray.init(address, runtime_env={"py_modules": [str(CORE)]}, **quiet)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise OptionError(
            f"expected a running Ray cluster at --address {address}, got: {str(error).splitlines()[0]}. Start one with "
            "`ray start --head`; one that asks for a token wants RAY_AUTH_MODE=token in the environment."
        ) from error


__all__ = ["Call", "Crew", "CrewOptions"]
