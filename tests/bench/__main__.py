"""What a frame costs, side by side in one run: the plain generator, the fast one, the fast one in bfloat16, the stages
around them, the mini from picture to film. In: nothing, the weights are made by rule. Out: a table, and JSON.

    python -m tests.bench [--side 256] [--rounds 3] [--json bench.json]        (make bench)
    python -m tests.bench.memory      python -m tests.bench.paste

A yardstick is one 3 x 3 convolution 512 -> 256 at 128 x 128 in float32; counted in them, a frame costs nearly the same
on every machine. The time is that of the processor, on one thread, for a busy machine disturbs it least, and each
measurement stands between two yardsticks. The mini is measured by the clock too, on all cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sadtalker_core import pipeline
from sadtalker_core.assembly import Talker, assemble_mini
from sadtalker_core.datatypes import RELEASED, CropMode, Portrait
from sadtalker_core.render.fast import accelerate
from tests.bench.memory import PROJECT, peak_mb, picture, voice
from tests.parity.harness import rule_net
from tests.render import tiny

FP32, BF16 = torch.float32, torch.bfloat16
PLAIN, FAST, BF16_PAINT, BF16_ALL = "plain fp32", "fast fp32", "fast bf16, motion fp32", "fast bf16"
DTYPES = {FAST: (FP32, FP32), BF16_PAINT: (BF16, FP32), BF16_ALL: (BF16, BF16)}
#: yardsticks a frame of 256 may cost, and of the mini by the clock on two cores
BARS = {FAST: 27.0, BF16_PAINT: 17.5, BF16_ALL: 15.5}
MINI_BAR = 0.40
MINI_SECONDS = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=256, choices=(256, 512))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peak:
        print(json.dumps(peak(asked.peak, asked.side)))
        return
    found: dict[str, Any] = {"machine": machine(), "side": asked.side}
    with torch.inference_mode():
        found["mini"] = mini()  # first, while nothing else holds memory
        torch.set_num_threads(1)
        found["frames"] = frames(asked.side, asked.rounds, asked.batches)
        found["stages"] = stages(asked.side)
    for row in found["frames"]:
        row["peak_mb"] = in_its_own_process(row["what"], asked.side) if row["batch"] == 1 else None
    show(found)
    asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Whose numbers these are."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    return {
        "processor": next((line.split(": ")[1] for line in text.splitlines() if line.startswith("model name")),
                          platform.processor()),
        "cores": os.cpu_count(),
        "bfloat16": [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags],
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- frames


def arranged(what: str):
    """The released generator with weights made by rule."""
    net = rule_net("generator", 0)
    return net if what == PLAIN else accelerate(net, *DTYPES[what])


def given(side: int, batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """A smooth picture, its key points, and those of some frames."""
    chance = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 32, 32, generator=chance)
    image = F.interpolate(image, size=(side, side), mode="bicubic").clamp(0, 1)
    source = 1.6 * torch.rand(1, 15, 3, generator=chance) - 0.8
    return image, source, source + 0.1 * torch.randn(batch, 15, 3, generator=chance)


def frames(side: int, rounds: int, batches: Sequence[int]) -> list[dict[str, Any]]:
    """Every arrangement in turn, again and again, so that all see the same weather."""
    cases = [(what, 1) for what in (PLAIN, *DTYPES)]
    cases += [(what, batch) for batch in batches if batch > 1 for what in (PLAIN, FAST)]
    nets = {what: arranged(what) for what in (PLAIN, *DTYPES)}
    image, source, _ = given(side)
    sources = {what: net.prepare(image, source) for what, net in nets.items()}
    costs: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    seconds: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    pictures = {}
    for turn in range(rounds):
        for what, batch in cases:
            driving = given(side, batch)[2] + 0.01 * turn  # never the same frame twice
            cost, spent, rendered = in_yardsticks(lambda n=nets[what], s=sources[what], d=driving: n.drive(s, d))
            costs[what, batch].append(cost / batch)
            seconds[what, batch].append(spent / batch)
            if batch == 1 and turn == 0:
                pictures[what] = rendered.image.float()
    rows = []
    for what, batch in cases:
        apart = (pictures[what] - pictures[PLAIN]).abs()
        rows.append({
            "what": what, "batch": batch, "yardsticks": statistics.median(costs[what, batch]),
            "least": min(costs[what, batch]), "cpu_s": statistics.median(seconds[what, batch]),
            "bar": BARS.get(what) if (side, batch) == (256, 1) else None,
            "max_to_plain": float(apart.max()), "mean_to_plain": float(apart.mean()),
        })  # fmt: skip
    return rows


def in_yardsticks(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Cost in yardsticks, processor seconds, and what the work gave."""
    before = yardstick()
    started = time.process_time()
    result = work()
    spent = time.process_time() - started
    return spent / ((before + yardstick()) / 2), spent, result


def yardstick(clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of one yardstick, the better of two."""
    image, kernel = torch.ones(1, 512, 128, 128), torch.ones(256, 512, 3, 3)
    times = []
    for _ in range(2):
        started = clock()
        F.conv2d(image, kernel, padding=1)
        times.append(clock() - started)
    return min(times)


def peak(what: str, side: int) -> dict[str, float]:
    """What this process has held at most with the weights alone, and after two frames."""
    net = arranged(what)
    rule_net.cache_clear()
    image, source, driving = given(side)
    weights = sum(tensor.nbytes for tensor in net.state_dict().values()) / 1e6
    before = peak_mb()
    with torch.inference_mode():
        prepared = net.prepare(image, source)
        for turn in range(2):
            net.drive(prepared, driving + 0.01 * turn)
    return {"weights": weights, "before": before, "peak": peak_mb()}


def in_its_own_process(what: str, side: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench", "--peak", what, "--side", str(side)]
    done = subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


# ---------------------------------------------------------------------------------------------------------- stages


def stages(side: int) -> list[dict[str, Any]]:
    """The released nets around the generator, and what each is counted by."""
    image, source, _ = given(side)
    generator = accelerate(rule_net("generator", 0))
    names = ("keypoint_detector", "face_recon", "mapping", "expnet", "posevae")
    nets = Talker("by rule", RELEASED, side, {name: rule_net(name, 0) for name in names})
    detector, recon = nets.use("keypoint_detector", "face_recon")
    face, speech = tiny.coefficients(), pipeline.hear(voice(1.0), 16_000)
    expression, pose = pipeline.express(nets, speech, face), pipeline.nod(nets, speech, face)
    work = {
        "source of the generator, a clip": lambda: generator.prepare(image, source),
        "key points, a clip": lambda: detector(image),
        "face reconstruction, a picture": lambda: recon(torch.zeros(1, 3, 224, 224)),
        "hearing, a second": lambda: pipeline.hear(voice(1.0), 16_000),
        "expression, a second": lambda: pipeline.express(nets, speech, face),
        "pose, a second": lambda: pipeline.nod(nets, speech, face),
        "mapping, a second": lambda: pipeline.map_tracks(nets, face, expression, pose),
    }
    rows = []
    for what, stage in work.items():
        stage()
        cost, spent, _ = in_yardsticks(stage)
        rows.append({"what": what, "yardsticks": cost, "cpu_s": spent})
    return rows


# ------------------------------------------------------------------------------------------------------------ mini


def mini() -> dict[str, Any]:
    """From the picture and the voice to the film, all nets and the encoding, a frame."""
    nets = assemble_mini()
    whole = picture(wide=False)
    steps: dict[str, float] = {}

    def step(name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        steps[name] = time.perf_counter() - started
        return result

    def walk(folder: str, wave: Tensor) -> int:
        portrait, source = step("face", lambda: pipeline.extract(nets, Portrait(whole), CropMode.CROP))
        speech = step("hearing", lambda: pipeline.hear(wave, 16_000))
        expression = step("expression", lambda: pipeline.express(nets, speech, source))
        pose = step("pose", lambda: pipeline.nod(nets, speech, source))
        motion = step("motion", lambda: pipeline.map_tracks(nets, source, expression, pose))
        stream = pipeline.render(nets, portrait, motion)
        film = Path(folder) / "film.mp4"
        step("frames and encoding", lambda: pipeline.film(film, stream, None, audio=(wave, 16_000)))
        return len(motion)

    with tempfile.TemporaryDirectory() as folder:
        walk(folder, voice(0.4))  # what is imported and looked up once is not a frame's cost
        sticks = [yardstick(time.perf_counter)]
        cpu, wall = processor_seconds(), time.perf_counter()
        n_frames = walk(folder, voice(MINI_SECONDS))
        cpu, wall = processor_seconds() - cpu, time.perf_counter() - wall
        sticks.append(yardstick(time.perf_counter))
    torch.set_num_threads(1)
    stick_cpu = yardstick()
    stick = statistics.mean(sticks)
    return {
        "frames": n_frames, "frames_per_second": n_frames / wall, "wall_yardsticks": wall / n_frames / stick,
        "cpu_yardsticks": cpu / n_frames / stick_cpu, "cpu_s": cpu / n_frames, "bar": MINI_BAR,
        "steps_wall_s": steps, "wall_yardstick_s": stick, "cpu_yardstick_s": stick_cpu,
    }  # fmt: skip


def processor_seconds() -> float:
    """Of this process and of the encoder that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


# ------------------------------------------------------------------------------------------------------------ table


def show(found: dict[str, Any]) -> None:
    print(f"{found['machine']}\n")
    heading = f"a frame of {found['side']}"
    print(f"{heading:32} batch  yardsticks   least    bar   CPU s  peak MB   max / mean to plain")
    for row in found["frames"]:
        bar = f"{row['bar']:6.1f}" if row["bar"] else "     -"
        held = f"{row['peak_mb']['peak']:8.0f}" if row["peak_mb"] else "       -"
        cost = f"{row['yardsticks']:11.1f} {row['least']:7.1f} {bar} {row['cpu_s']:7.2f}"
        apart = f"{row['max_to_plain']:.1e} / {row['mean_to_plain']:.1e}"
        print(f"{row['what']:32} {row['batch']:5} {cost} {held}   {apart}")
    print()
    for row in found["stages"]:
        print(f"{row['what']:32}       {row['yardsticks']:11.3f}                {row['cpu_s']:7.3f}")
    mini = found["mini"]
    print(
        f"\nmini, picture to film, a frame: {mini['wall_yardsticks']:.2f} yardsticks by the clock "
        f"(bar {mini['bar']:.2f}), {mini['cpu_yardsticks']:.2f} by the processor; "
        f"{mini['frames_per_second']:.1f} frames a second"
    )


if __name__ == "__main__":
    main()
