"""From Run to the first live image of the mini: seconds by the clock and of the processor, in a process that has done
nothing yet, with the files in the system's cache.

    python -m tests.tools.bench.start          one start;  as a part of the bench: three

In: nothing; a drawn face and two seconds of voice. Out: how long each step took. What a ComfyUI server has imported by
then (torch, and the pack's own modules) is imported before the clock starts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

#: seconds by the clock on two cores
TARGET_S = 4.0
STARTS = 3


def measure(starts: int = STARTS) -> dict[str, Any]:
    """The quickest of some starts, each in a process of its own, after one that fills the cache."""
    from tests.tools.bench.measuring import PROJECT, reference_convolution

    line = [sys.executable, "-m", "tests.tools.bench.start"]
    seen = []
    for _ in range(starts + 1):
        done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, check=True)
        seen.append(json.loads(done.stdout.splitlines()[-1]))
    found = {key: min(row[key] for row in seen[1:]) for key in ("wall_s", "cpu_s")}
    return {"what": "from Run to the first live picture, mini", **found, "target": TARGET_S,
            "convolutions": found["cpu_s"] / reference_convolution(), "steps": seen[-1]["steps"]}  # fmt: skip


def start() -> dict[str, Any]:
    """One start, in this process."""
    import torch

    from sadtalker_core import device, pipeline
    from sadtalker_core.datatypes import Portrait
    from sadtalker_core.model import assemble_mini
    from tests.tools.bench.measuring import drawn_face, voice

    image, wave = drawn_face(), voice(2.0)
    steps: dict[str, float] = {}
    clock, cpu = time.perf_counter(), time.process_time()

    def step(name: str, work: Callable[[], Any]) -> Any:
        before = time.process_time()
        result = work()
        steps[name] = time.process_time() - before
        return result

    with torch.inference_mode():
        nets = step("model", lambda: device.to_device(assemble_mini(), torch.device("cpu"), "auto"))
        portrait, source = step("face", lambda: pipeline.extract(nets, Portrait(image), "crop"))
        speech = step("hearing", lambda: pipeline.encode_audio(wave, 16_000))
        expression = step("expression", lambda: pipeline.predict_expression(nets, speech, source))
        pose = step("pose", lambda: pipeline.predict_head_pose(nets, speech, source))
        motion = step("motion", lambda: pipeline.coefficients_to_motion(nets, source, expression, pose))
        step("first picture", lambda: next(iter(pipeline.render(nets, portrait, motion).batches())))
    return {"wall_s": time.perf_counter() - clock, "cpu_s": time.process_time() - cpu, "steps": steps}


if __name__ == "__main__":
    print(json.dumps(start()))
