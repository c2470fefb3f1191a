"""Many portraits and voices become talking heads, spread over workers by Ray.

    python -m sadtalker_core.batch jobs.csv
    python -m sadtalker_core.batch jobs.csv --workers 2 --models ~/ComfyUI/models/sadtalker
    python -m sadtalker_core.batch jobs.csv --address auto --gpus-per-worker 1

docs/BATCH.md describes the table. Exit status: 0 all jobs are done, 1 some failed, 2 nothing was
begun, 3 all are done and the record of it could not be kept.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from ..errors import SadTalkerError
from ..locking import sweep_work_folders
from ..model_folders import VARIABLE, model_folders
from ..timeline import frames_in_seconds
from .jobs import Job, read_jobs
from .record import FAILED, SKIPPED, Outcome, RunFolder, summary, table
from .run import CHUNK_FRAMES, run_jobs
from .worker import WORK_FOLDER
from .worker_pool import WorkerPool, WorkerPoolOptions

#: torch's threads in the process that leads: its workers hold the cores, and where the cores are wanted each operation
#: on two threads waits for the slower one. Paste Back at 1920 x 1080 in a crowd: 9.4 frames/s on one, 1.2 on two
LEADING_THREADS = 1
ALL_DONE, SOME_FAILED, NOT_BEGUN, NOT_RECORDED, STOPPED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a table of jobs -> exit status: 0, or what went wrong."""
    asked = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be no text, or none of the terminal's letters
        sys.stdout.reconfigure(errors="backslashreplace")
    torch.set_num_threads(LEADING_THREADS)
    try:
        sweep_work_folders(WORK_FOLDER)
        asked.models = model_folders(asked.models)
        jobs = read_jobs(asked.jobs, asked.models)
        with RunFolder(asked.run or asked.jobs.with_suffix(".run")) as folder:
            return _run(jobs, folder, asked)
    except SadTalkerError as error:
        print(error, file=sys.stderr)
        return NOT_BEGUN
    except KeyboardInterrupt:
        return STOPPED


def _run(jobs: Sequence[Job], folder: RunFolder, asked: argparse.Namespace) -> int:
    options = WorkerPoolOptions(
        asked.workers,
        asked.gpus_per_worker,
        asked.cpus_per_worker,
        asked.address,
        asked.batch_size,
        asked.retries,
        tuple(asked.models),
    )
    cut_frames = frames_in_seconds(asked.cut_seconds)
    pieces = sum(1 if job.n_frames <= cut_frames else -(-job.n_frames // CHUNK_FRAMES) for job in jobs)
    with WorkerPool(options, pieces) as pool, _Bar(jobs) as bar:
        started = time.perf_counter()
        stopped = False
        try:
            run_jobs(
                jobs,
                pool,
                folder,
                cut_frames=cut_frames,
                model_folders=asked.models,
                on_progress=bar.move,
                on_outcome=bar.report_outcome,
            )
        except KeyboardInterrupt:
            stopped = True
        report = summary(bar.outcomes, time.perf_counter() - started, pool.size)
    folder.write_report(report)
    print(table(report))
    if folder.fault:
        print(folder.fault, file=sys.stderr)
    if stopped:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return STOPPED
    if report["failed"]:
        return SOME_FAILED
    return NOT_RECORDED if folder.fault else ALL_DONE


class _Bar:
    """Frames made and to be made, and a line for each job that fails."""

    def __init__(self, jobs: Sequence[Job]):
        self.jobs = {job.id: job for job in jobs}
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> _Bar:
        from tqdm import tqdm

        self.bar = tqdm(total=sum(job.n_frames for job in self.jobs.values()), unit="frame", dynamic_ncols=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def move(self, done: int, total: int) -> None:
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def report_outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if outcome.status == SKIPPED:
            self.bar.total -= self.jobs[outcome.id].n_frames
        if outcome.status == FAILED:
            self.bar.write(f"line {outcome.line}: {outcome.sentence}", file=sys.stderr)
        self.bar.set_postfix_str(f"{len(self.outcomes)} of {len(self.jobs)} jobs")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sadtalker_core.batch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("jobs", type=Path, help="the table, CSV in UTF-8")
    parser.add_argument("--run", type=Path, help="folder of manifest and report; else jobs.run beside jobs.csv")
    parser.add_argument(
        "--models",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help=f"folders with released weights, searched before ${VARIABLE}, models/sadtalker of the "
        "ComfyUI around this pack, and the user's cache folder",
    )
    parser.add_argument("--workers", type=_count, help="processes that work; else as many as fit")
    parser.add_argument("--gpus-per-worker", type=_share, help="0.5 lets two share one; 1 where there are GPUs")
    parser.add_argument("--cpus-per-worker", type=_count, default=1, help="cores of a worker (1)")
    parser.add_argument("--address", help="of a Ray cluster: auto, or ray://host:10001; else this machine")
    parser.add_argument("--batch-size", type=_from_0, default=0, help="frames at once; 0 as many as memory suggests")
    parser.add_argument("--cut-seconds", type=_seconds, default=60.0, help="longer clips are cut over the workers (60)")
    parser.add_argument(
        "--retries", type=_from_0, default=2, help="how often what a dead worker was doing is tried again"
    )
    return parser


def _count(text: str, least: int = 1) -> int:
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"expected {least} or more")
    return number


def _from_0(text: str) -> int:
    return _count(text, least=0)


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError("expected a number of seconds, 0 or more")
    return number


def _share(text: str) -> float:
    """Ray divides a GPU, and gives several only whole."""
    number = float(text)
    if not 0 <= number < math.inf or (number > 1 and number != int(number)):
        raise argparse.ArgumentTypeError("expected a number from 0 to 1, or a whole one")
    return number


if __name__ == "__main__":
    sys.exit(main())
