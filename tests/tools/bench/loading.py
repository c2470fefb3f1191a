"""What it costs to load the released model from its files and to arrange its generator for speed, once a loader.

In: how many busy programs make the crowd (one a core, when nothing is said). Out: a row for each step and weather, in
processor seconds of one pass, in reference convolutions and by the clock. The files are made by rule and lie in the
disk's cache.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sadtalker_core.checkpoint.catalog import MAPPINGS, SADTALKER_256, SAFETENSORS_256
from sadtalker_core.model import load_model
from sadtalker_core.render.facevid2vid.fast import accelerate
from tests.checkpoint import released_files
from tests.tools.bench.measuring import reference_convolution
from tests.tools.bench.threads import crowd


def measure(programs: int = 0) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for file in (SAFETENSORS_256, *MAPPINGS):
            released_files.write(file, Path(folder))
        load_model("mini", [])  # what is imported or opened once is not counted
        load_model(SADTALKER_256, [Path(folder)])
        for weather, around in (("idle", nullcontext()), ("crowded", crowd(programs or os.cpu_count() or 1))):
            with around:
                rows.append(_timed(f"loading, {weather}", lambda: load_model(SADTALKER_256, [Path(folder)])))
                generator = load_model(SADTALKER_256, [Path(folder)]).nets["generator"]
                rows.append(_timed(f"arranging the generator, {weather}", lambda: accelerate(generator)))  # noqa: B023
    return rows


def _timed(what: str, step: Callable[[], Any]) -> dict[str, Any]:
    before, cpu_s, clock_s = reference_convolution(), time.process_time(), time.perf_counter()
    step()
    cpu_s, clock_s = time.process_time() - cpu_s, time.perf_counter() - clock_s
    return {
        "what": what,
        "convolutions": cpu_s / ((before + reference_convolution()) / 2),
        "cpu_s": cpu_s,
        "clock_s": clock_s,
    }
