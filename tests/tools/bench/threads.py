"""What a stage takes by the clock on one thread and on all, with the machine to itself and in a crowd.

In: how many busy programs make the crowd (one a core, when nothing is said); they are started here and ended here.
Out: a row for each stage with milliseconds for one thread and for all, idle and crowded, whether both give the same
bits, and what the pack itself takes in the crowd. Only a machine that is idle before can say what idle means.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, count
from typing import Any

import torch
from torch import Tensor

from sadtalker_core import pipeline, threads
from sadtalker_core.compose.whole_image import PASTED_AT_ONCE
from sadtalker_core.datatypes import MINI, RELEASED, CropMode, Portrait
from sadtalker_core.families import mini
from sadtalker_core.families.networks import KEYPOINT_DETECTOR
from sadtalker_core.model import SadTalkerModel, assemble_mini
from sadtalker_core.render.facevid2vid.fast import accelerate
from tests.render import tiny
from tests.tools.bench.measuring import model_by_rule, sample_image, voice

VOICE_SECONDS, ROUNDS = 4, 4
#: frames at once
BATCH = {MINI: mini.PIECES_AT_ONCE, RELEASED: 1}
#: rounds stop when a stage has had so many seconds
ENOUGH_S = 6.0
_BUSY = "while True: pass"


@contextmanager
def crowd(n_programs: int) -> Iterator[None]:
    """So many programs that want a core all the time."""
    programs = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(n_programs)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
        for program in programs:
            program.wait()


@contextmanager
def small_nets_on(n_threads: int) -> Iterator[None]:
    """The pack's choice exchanged, and torch's own number with it."""
    chosen, before = threads.SMALL_NETS, torch.get_num_threads()
    threads.SMALL_NETS = n_threads
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        threads.SMALL_NETS = chosen
        torch.set_num_threads(before)


@torch.inference_mode()
def measure(family: str, programs: int = 0) -> list[dict[str, Any]]:
    """A row for each stage of one family; programs: how many make the crowd, 0 for one a core."""
    n_cores = os.cpu_count() or 1
    programs = programs or n_cores
    rows = []
    timed, compared = stages(family)
    for what, stage in timed.items():
        row: dict[str, Any] = {"what": what, "threads": n_cores, "programs": programs}
        row["apart"] = apart(compared.get(what, stage), n_cores)
        row |= {f"idle_{name}_ms": ms for name, ms in by_threads(stage, n_cores).items()}
        with crowd(programs):
            row |= {f"crowded_{name}_ms": ms for name, ms in by_threads(stage, n_cores).items()}
        rows.append(row)
    return rows


def apart(stage: Callable[[], Tensor], n_threads: int) -> float:
    """The largest difference between what one thread computes and what so many do."""
    found = []
    for n in (1, n_threads):
        with small_nets_on(n):
            found.append(stage().double())
    return float((found[0] - found[1]).abs().max())


def by_threads(stage: Callable[[], Tensor], n_cores: int) -> dict[str, float]:
    """Milliseconds on one thread, on all, and as the pack does it: medians of rounds that take turns."""
    spent: dict[str, list[float]] = {"one": [], "all": [], "pack": []}
    begun = time.perf_counter()
    for _ in range(ROUNDS):
        for name, n in (("one", 1), ("all", n_cores), ("pack", None)):
            if n is None:
                spent[name].append(_timed(stage))
            else:
                with small_nets_on(n):
                    spent[name].append(_timed(stage))
        if time.perf_counter() - begun > ENOUGH_S:
            break
    return {name: 1000 * statistics.median(times) for name, times in spent.items()}


def _timed(stage: Callable[[], Tensor]) -> float:
    started = time.perf_counter()
    stage()
    return time.perf_counter() - started


def stages(family: str) -> tuple[dict[str, Callable[[], Tensor]], dict[str, Callable[[], Tensor]]]:
    """Name -> what is timed; and, where each call gives something else, what can be held against another call."""
    nets = assemble_mini() if family == MINI else model_by_rule(256)
    if family == RELEASED:
        nets = replace(nets, nets={**nets.nets, "generator": accelerate(nets.nets["generator"])})
    timed, frames = _stages_of(nets)
    batch = BATCH[family]
    timed[f"{batch} frames"] = partial(next, chain.from_iterable(frames(batch) for _ in count()))
    if family == MINI:
        wide, _ = pipeline.extract(nets, Portrait(sample_image(wide=True)), CropMode.CROP)
        heads = torch.rand(1, 256, 256, 3).expand(400, -1, -1, -1)
        stream, _ = pipeline.paste(heads, wide)  # of equal frames, so that every batch is the same
        timed[f"paste-back, 1920 x 1080, {PASTED_AT_ONCE} frames"] = partial(next, stream.batches())
    return {f"{family}: {name}": stage for name, stage in timed.items()}, {
        f"{family}: {batch} frames": lambda: next(frames(batch))
    }


def _stages_of(nets: SadTalkerModel) -> tuple[dict[str, Callable[[], Tensor]], Callable[[int], Iterator[Tensor]]]:
    """The stages up to the motion, and what begins to render."""
    face_image, wave = Portrait(sample_image(wide=False)), voice(VOICE_SECONDS)
    speech = pipeline.encode_audio(wave, 16_000)
    portrait, source = pipeline.extract(nets, face_image, CropMode.CROP)
    if "face_recon" in nets.nets:
        source = tiny.coefficients()  # weights made by rule know no faces
    expression, pose = (
        pipeline.predict_expression(nets, speech, source),
        pipeline.predict_head_pose(nets, speech, source),
    )
    motion = pipeline.coefficients_to_motion(nets, source, expression, pose)
    found: dict[str, Callable[[], Tensor]] = {
        f"audio encoding, {VOICE_SECONDS} s": lambda: pipeline.encode_audio(wave, 16_000).mel,
        "face and coefficients, an image": lambda: pipeline.extract(nets, face_image)[1].expression,
        f"ExpNet, {VOICE_SECONDS} s": lambda: pipeline.predict_expression(nets, speech, source).coefficients,
        f"PoseVAE, {VOICE_SECONDS} s": lambda: pipeline.predict_head_pose(nets, speech, source).coefficients,
        f"MappingNet, {VOICE_SECONDS} s": lambda: pipeline.coefficients_to_motion(
            nets, source, expression, pose
        ).driving.yaw,
    }  # fmt: skip
    if "keypoint_detector" in nets.nets:
        (detector,) = nets.use(KEYPOINT_DETECTOR)
        image = portrait.require_crop().image[None]
        found["key points, a clip"] = lambda: detector(image)
    return found, lambda batch: pipeline.render(nets, portrait, motion, batch_size=batch).batches()
