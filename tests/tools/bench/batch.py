"""What a batch makes in a second with one worker and with two, on the mini: short jobs, and one clip cut in chunks.

    python -m tests.tools.bench.batch [--rounds 3] [--jobs 6] [--seconds 3] [--long 16] [--json batch.json]

In: the public domain portrait that comes with scikit-image and a made-up voice. Out, for each kind of work and number
of workers: frames per second by the clock, the median of rounds that take turns, and processor milliseconds of a frame
in the workers and in the process that leads them. Then how fast that process alone encodes heads and whole images:
beyond that, more workers do not make one long clip faster. Workers and the leading process have one thread each, as in
the program, and networks are loaded before the clock starts.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from sadtalker_core.batch.__main__ import LEADING_THREADS
from sadtalker_core.batch.jobs import Job, read_jobs
from sadtalker_core.batch.record import DONE, RunFolder
from sadtalker_core.batch.run import run_jobs
from sadtalker_core.batch.worker import JobPayload, PlannedClip, Worker, write_job_video
from sadtalker_core.batch.worker_pool import Call, WorkerPool, WorkerPoolOptions
from sadtalker_core.datatypes import FrameStream
from tests.tools.bench.measuring import sample_image, voice
from tests.waves import write_wave

WORKERS = (1, 2)
CUT_FRAMES = 96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=6, help="short jobs in a round")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a short job")
    parser.add_argument("--long", type=float, default=16.0, help="length of the long clip, seconds")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(LEADING_THREADS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = {"short jobs": short_jobs(folder, asked.jobs, asked.seconds),
                  "one clip, cut": long_job(folder, asked.long),
                  "one clip on 1920 x 1080, cut": long_job(folder, asked.long, wide=True)}  # fmt: skip
        rows = throughput(tables, asked.rounds)
        rows += [leading(jobs[0], what) for what, jobs in tables.items() if what != "short jobs"]
    print(f"{'work':30}{'workers':>8}{'frames/s':>10}{'of rounds':>16}{'worker ms':>11}{'leader ms':>11}")
    for row in rows:
        spread = f"{min(row['rounds']):.1f} to {max(row['rounds']):.1f}"
        print(
            f"{row['work']:30}{row['workers']:8}{row['frames_per_second']:10.1f}{spread:>16}"
            f"{row['worker_ms']:11.1f}{row['leader_ms']:11.1f}"
        )
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def short_jobs(folder: Path, n_jobs: int, seconds: float) -> list[Job]:
    return _jobs(folder, "short", [{"seed": seed} for seed in range(n_jobs)], seconds)


def long_job(folder: Path, seconds: float, wide: bool = False) -> list[Job]:
    option = {"crop_mode": "full", "paste_back": "yes"} if wide else {}
    return _jobs(folder, "wide" if wide else "long", [option], seconds, wide)


def _jobs(folder: Path, name: str, arguments: list[dict[str, Any]], seconds: float, wide: bool = False) -> list[Job]:
    """The jobs of a table that is written for them."""
    from PIL import Image

    Image.fromarray((sample_image(wide) * 255).byte().numpy()).save(folder / f"{name}.png")
    write_wave(folder / f"{name}.wav", voice(seconds)[0].clamp(-1, 1))
    path = folder / f"{name}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["portrait", "voice", "out", *arguments[0]])
        table.writeheader()
        for k, option in enumerate(arguments):
            table.writerow({"portrait": f"{name}.png", "voice": f"{name}.wav", "out": f"{name}{k}.mp4", **option})
    return read_jobs(path)


def throughput(tables: dict[str, list[Job]], rounds: int) -> list[dict[str, Any]]:
    """Every kind of work with every number of workers in turn, again and again, so that all see the same weather."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        "local", num_cpus=sum(WORKERS), num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level="error"
    )
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    pools = {n: WorkerPool(WorkerPoolOptions(n_workers=n), n).__enter__() for n in WORKERS}
    processes = {n: _loaded(pool, tables["short jobs"][0]) for n, pool in pools.items()}
    for _ in range(rounds):
        for work, jobs in tables.items():
            for n, pool in pools.items():
                found.setdefault((work, n), []).append(_timed(jobs, pool, processes[n]))
    ray.shutdown()
    rows = []
    for (work, n), runs in found.items():
        rates = [run["frames"] / run["seconds"] for run in runs]
        rows.append(
            {
                "work": work,
                "workers": n,
                "frames_per_second": statistics.median(rates),
                "rounds": rates,
                **{
                    f"{who}_ms": statistics.median(1000 * run[f"{who}_cpu"] / run["frames"] for run in runs)
                    for who in ("worker", "leader")
                },
            }
        )
    return rows


def _loaded(pool: WorkerPool, job: Job) -> list[int]:
    """The process numbers of the workers, each of which has done a little of a job."""
    calls: list[Call] = []
    while len({call.result.process for call in calls if call.result}) < pool.size:
        calls.append(pool.ask(Call("plan", lambda: (JobPayload.of(job),))))
        calls.append(pool.ask(Call("plan", lambda: (JobPayload.of(job),))))
        while pool.busy:
            pool.wait(1.0)
    return sorted({call.result.process for call in calls if call.result})


def _timed(jobs: list[Job], pool: WorkerPool, workers: list[int]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        worker_cpu, leader_cpu, started = _cpu(workers), _cpu([os.getpid()]), time.perf_counter()
        outcomes = run_jobs(jobs, pool, RunFolder(Path(folder)), cut_frames=CUT_FRAMES)
        seconds = time.perf_counter() - started
    assert all(outcome.status == DONE for outcome in outcomes), outcomes
    return {
        "frames": sum(outcome.n_frames for outcome in outcomes),
        "seconds": seconds,
        "worker_cpu": _cpu(workers) - worker_cpu,
        "leader_cpu": _cpu([os.getpid()]) - leader_cpu,
    }


def _cpu(processes: list[int]) -> float:
    """Processor seconds of these processes and of the children they have waited for (encoders)."""
    import psutil

    return sum(sum(psutil.Process(number).cpu_times()[:4]) for number in processes)


@torch.inference_mode()
def leading(job: Job, what: str) -> dict[str, Any]:
    """What the leading process alone does with heads that are there already."""
    worker = Worker(n_threads=1)
    clip: PlannedClip = worker.do("plan", JobPayload.of(job)).value
    heads = torch.rand(8, 3, 16, 16).repeat_interleave(16, 2).repeat_interleave(16, 3)
    heads = torch.nn.functional.interpolate(heads, (clip.height, clip.width), mode="bilinear")
    stream = FrameStream(len(clip), clip.height, clip.width, lambda: iter([heads] * (len(clip) // 8)))
    cpu, started = _cpu([os.getpid()]), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write_job_video(Path(folder) / "film.mp4", stream, clip.portrait, None, job.options)
    seconds, n_frames = time.perf_counter() - started, len(clip) // 8 * 8
    return {
        "work": f"  encoding of {what.removesuffix(', cut')}"[:30],
        "workers": 0,
        "frames_per_second": n_frames / seconds,
        "rounds": [n_frames / seconds],
        "worker_ms": 0.0,
        "leader_ms": 1000 * (_cpu([os.getpid()]) - cpu) / n_frames,
    }


if __name__ == "__main__":
    main()
