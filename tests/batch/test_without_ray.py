"""What ends before Ray begins, and the order of things with a worker pool that answers in the worst order."""

from __future__ import annotations

import errno
import os
import socket
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sadtalker_core.batch.__main__ import _Bar, main
from sadtalker_core.batch.jobs import read_jobs
from sadtalker_core.batch.record import DONE, FAILED, SKIPPED, Outcome, RunFolder
from sadtalker_core.batch.run import CHUNKS_PER_WORKER, run_jobs
from sadtalker_core.batch.worker import JobPayload, PlannedClip, Result
from sadtalker_core.batch.worker_pool import CORE, Call, WorkerPool, WorkerPoolOptions
from sadtalker_core.claims import claim_path
from sadtalker_core.datatypes import Portrait
from sadtalker_core.errors import DoesNotFit, OptionError
from sadtalker_core.saving import save_bytes
from tests.batch.conftest import PORTRAIT
from tests.batch.instant import VIDEO, Instant
from tests.render import tiny


def test_a_file_that_went_away_costs_its_own_job_alone(table, folder):
    """Here without Ray: no call gets as far as that."""
    (folder / "soon gone.wav").write_bytes((folder / "short.wav").read_bytes())
    path = table("gone.csv", "portrait,voice,out", f"{PORTRAIT},soon gone.wav,gone.mp4")
    (job,) = read_jobs(path)
    (folder / "soon gone.wav").unlink()
    pool = WorkerPool(WorkerPoolOptions(), 1)
    pool._idle = [object()]
    (outcome,) = run_jobs([job], pool, RunFolder(folder / "gone.run"), cut_frames=1000)
    assert outcome.status == FAILED and outcome.sentence.startswith("FileNotFoundError: ")


def test_a_video_that_another_run_is_making_costs_its_own_job_alone_and_names_who_has_it(table, folder):
    """Their run folders differ, so that the lock of the run folder does not keep them apart."""
    path = table("both.csv", "portrait,out,idle_seconds", f"{PORTRAIT},both.mp4,1")
    (job,) = read_jobs(path)
    pool = WorkerPool(WorkerPoolOptions(), 1)
    pool._idle = [object()]  # which would fail at once if it were given anything
    with claim_path(job.out):
        (outcome,) = run_jobs([job], pool, RunFolder(folder / "other.run"), cut_frames=1000)
    assert outcome.status == FAILED
    assert f"both.mp4 is in use by process {os.getpid()} on " in outcome.sentence


def test_what_a_killed_run_left_goes_though_its_jobs_are_in_no_table_any_more(table, folder, monkeypatch):
    monkeypatch.setattr("sadtalker_core.batch.__main__.WorkerPool", Instant)
    (folder / "swept").mkdir()
    claim = claim_path(folder / "swept" / "of yesterday.mp4")
    claim.part("whole").write_bytes(b"half")
    claim.abandon()
    assert main([str(table("swept.csv", "portrait,out,idle_seconds", f"{PORTRAIT},swept/today.mp4,1"))]) == 0
    assert [file.name for file in (folder / "swept").iterdir()] == ["today.mp4"]


def test_without_ray_one_sentence_explains_how_to_get_it(table, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    path = table("noray.csv", "portrait,voice,out", f"{PORTRAIT},short.wav,noray.mp4")
    assert main([str(path)]) == 2
    assert 'not installed: pip install "ray' in capsys.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere"])
def test_a_cluster_that_is_not_there_gets_a_sentence(address):
    with pytest.raises(OptionError, match=f"expected a running Ray cluster at --address {address}, got: "):
        WorkerPool(WorkerPoolOptions(address=address), 1).__enter__()


class Cards:
    """A Ray of eight cores and two GPUs that remembers who was hired, for what, and how it was begun."""

    exceptions = SimpleNamespace(RayError=ValueError)

    def __init__(self, begun=True):
        self.started, self.begun = [], begun

    def is_initialized(self):
        return self.begun

    def init(self, address, **args):
        self.begun = address, args

    def shutdown(self):
        self.begun = False

    def cluster_resources(self):
        return {"CPU": 8.0, "GPU": 2.0}

    def remote(self, kind):
        return SimpleNamespace(options=self.options)

    def options(self, **asked):
        return SimpleNamespace(remote=lambda folders, device, *_: self.start(asked | {"device": device}))

    def start(self, asked):
        self.started.append(asked)
        return SimpleNamespace(ping=SimpleNamespace(remote=object))

    def kill(self, worker):
        self.started.pop()


@pytest.mark.parametrize(("option", "size", "gpus", "device"), [
    ({}, 2, 1.0, "cuda"), ({"gpus_each": 0.5}, 4, 0.5, "cuda"), ({"gpus_each": 0.0}, 8, 0.0, "cpu"),
    ({"gpus_each": 0.0, "cpus_each": 3}, 2, 0.0, "cpu"), ({"n_workers": 1}, 1, 1.0, "cuda"),
])  # fmt: skip
def test_a_worker_takes_its_share_of_the_gpus_and_there_are_as_many_as_fit(monkeypatch, option, size, gpus, device):
    ray = Cards()
    monkeypatch.setattr("sadtalker_core.batch.worker_pool._import_ray", lambda: ray)
    with WorkerPool(WorkerPoolOptions(**option), 100) as pool:
        assert pool.size == len(ray.started) == size
        assert ray.started[0] == {"num_cpus": option.get("cpus_each", 1), "num_gpus": gpus, "device": device}
    assert ray.started == []


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_cluster_is_joined_by_its_address_and_given_our_code(monkeypatch, address):
    ray = Cards(begun=False)
    monkeypatch.setattr("sadtalker_core.batch.worker_pool._import_ray", lambda: ray)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = address.format(server.getsockname()[1])
        with WorkerPool(WorkerPoolOptions(address=address), 1):
            joined, args = ray.begun
    assert joined == address and args["runtime_env"] == {"py_modules": [str(CORE)]}
    assert not ray.begun, "a guest who came leaves again"


def test_more_gpus_than_there_are_get_a_sentence(monkeypatch):
    monkeypatch.setattr("sadtalker_core.batch.worker_pool._import_ray", Cards)
    with pytest.raises(DoesNotFit, match="3 workers with 1 cores and 1 GPUs each do not fit: .* 8 cores and 2 GPUs"):
        WorkerPool(WorkerPoolOptions(n_workers=3), 100).__enter__()


def test_a_table_with_faults_begins_nothing(table, folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([str(table("bad.csv", "portrait,voice,out", "gone.png,short.wav,bad.mp4"))]) == 2
    assert capsys.readouterr().err.startswith("bad.csv, line 2: portrait: there is no file")
    assert not (folder / "bad.run").exists()


def test_a_full_disk_below_the_run_folder_costs_no_video_and_is_reported_at_the_end(table, folder, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sadtalker_core.batch.__main__.WorkerPool", Instant)
    monkeypatch.setattr("sadtalker_core.batch.record.append_jsonl", full)
    path = table("full.csv", "portrait,out,idle_seconds", *(f"{PORTRAIT},full{k}.mp4,1" for k in range(3)))
    assert main([str(path)]) == 3
    assert [(folder / f"full{k}.mp4").read_bytes() for k in range(3)] == 3 * [VIDEO]
    message = capsys.readouterr().err
    assert (
        message.count("the record of this run could not be written to") == 1 and "(No space left on device)" in message
    )
    monkeypatch.undo()
    monkeypatch.setattr("sadtalker_core.batch.__main__.WorkerPool", Instant)
    assert main([str(path)]) == 0, "with room there it is an ordinary run"


def test_of_two_runs_of_a_table_the_second_begins_nothing_and_names_who_has_it(table, folder, monkeypatch, capsys):
    monkeypatch.setattr("sadtalker_core.batch.__main__.WorkerPool", Instant)
    monkeypatch.setattr(Instant, "n_asked", 0)
    path = table("two.csv", "portrait,out,idle_seconds", f"{PORTRAIT},two.mp4,1")
    with RunFolder(folder / "two.run"):
        assert main([str(path)]) == 2
    assert f"is in use by process {os.getpid()} on " in capsys.readouterr().err
    assert Instant.n_asked == 0 and not (folder / "two.mp4").exists()
    assert main([str(path)]) == 0 and Instant.n_asked == 1


def test_a_run_folder_that_cannot_be_written_to_begins_nothing(table, folder, monkeypatch, capsys):
    monkeypatch.setattr("sadtalker_core.batch.__main__.WorkerPool", Instant)
    path = table("norun.csv", "portrait,out,idle_seconds", f"{PORTRAIT},norun.mp4,1")
    assert main([str(path), "--run", str(folder / "short.wav" / "run")]) == 2
    assert "cannot be written to (Not a directory); choose another with --run." in capsys.readouterr().err
    assert not (folder / "norun.mp4").exists()


def test_the_leading_process_leaves_the_cores_to_its_workers(table, monkeypatch):
    monkeypatch.setattr("sadtalker_core.batch.__main__.WorkerPool", Instant)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert main([str(table("threads.csv", "portrait,out,idle_seconds", f"{PORTRAIT},threads.mp4,1"))]) == 0
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("odd", [
    ("--cut-seconds", "nan"), ("--cut-seconds", "-1"), ("--gpus-per-worker", "1.5"), ("--gpus-per-worker", "-2"),
    ("--gpus-per-worker", "inf"), ("--retries", "-1"), ("--batch-size", "-1"), ("--workers", "0"),
])  # fmt: skip
def test_an_argument_that_means_nothing_is_refused(table, capsys, odd):
    with pytest.raises(SystemExit) as ended:
        main(["jobs.csv", *odd])
    assert ended.value.code == 2 and f"argument {odd[0]}: " in capsys.readouterr().err


class Backwards:
    """A worker pool of two that answers its newest call first. A head is one pixel as bright as its yaw."""

    size = 2

    def __init__(self, clip: PlannedClip):
        self.clip, self.queue, self.n_asked = clip, [], 0
        self.made: list[str] = []

    def ask(self, call: Call, *, first: bool = False) -> Call:
        self.queue.append(call)
        self.n_asked += call.task == "heads"
        return call

    def share(self, value):
        return value

    @property
    def busy(self) -> bool:
        return bool(self.queue)

    def wait(self, timeout_s: float) -> None:
        if self.queue:
            call = self.queue.pop()
            call.result = Result(getattr(self, call.task)(*call.args()), 0.0, "here", 0)
            if call.callback:
                call.callback(call)

    def plan(self, order: JobPayload) -> PlannedClip:
        return self.clip

    def run_job(self, order: JobPayload) -> tuple[bytes, int]:
        self.made.append(order.options.precision)
        return b"film", 1

    @staticmethod
    def heads(options, portrait, motion) -> np.ndarray:
        return np.broadcast_to(motion.driving.yaw.numpy()[:, None, None, None], (len(motion), 3, 1, 1))


def test_the_bar_is_full_when_the_missing_videos_are_made(table):
    lines = [f"{PORTRAIT},bar{k}.mp4,{k}" for k in (1, 2)]
    before, now = read_jobs(table("bar.csv", "portrait,out,idle_seconds", *lines))
    with _Bar([before, now]) as bar:
        assert bar.bar.total == 75
        bar.report_outcome(Outcome(before.id, 2, "bar1.mp4", SKIPPED, n_frames=25))
        assert bar.bar.total == 50
        bar.move(48, 50)
        bar.move(50, 50)
        bar.report_outcome(Outcome(now.id, 3, "bar2.mp4", DONE, n_frames=50))
        assert bar.bar.n == bar.bar.total == 50 and bar.bar.postfix == "2 of 2 jobs"


def test_chunks_are_written_in_order_and_few_are_asked_for_ahead(table, folder, monkeypatch):
    clip = PlannedClip(Portrait(torch.zeros(8, 8, 3)), tiny.motion(95), 1, 1)
    pool, written, ahead = Backwards(clip), [], []

    def video(claim, heads, portrait, voice, options, background):
        for frames in heads.batches():
            ahead.append(pool.n_asked - len(written) // 10)
            written.extend(frames[:, 0, 0, 0].tolist())
        save_bytes(claim, b"film")

    monkeypatch.setattr("sadtalker_core.batch.run.write_job_video", video)
    jobs = read_jobs(table("order.csv", "portrait,out,idle_seconds", f"{PORTRAIT},new/order.mp4,4"))
    counted = []
    (outcome,) = run_jobs(
        jobs,
        pool,
        RunFolder(folder / "order.run"),
        cut_frames=50,
        chunk_frames=10,
        on_progress=lambda done, total: counted.append((done, total)),
    )
    assert outcome.status == DONE and counted[-1] == (95, jobs[0].n_frames) and outcome.n_frames == 95
    assert written == clip.motion.driving.yaw.tolist()
    assert max(ahead) == CHUNKS_PER_WORKER * pool.size


def test_jobs_for_the_same_nets_are_made_together(table, folder):
    pool = Backwards(PlannedClip(Portrait(torch.zeros(8, 8, 3)), tiny.motion(5), 1, 1))
    precisions = ["fp32", "bf16", "fp32", "bf16"]
    jobs = read_jobs(
        table(
            "nets.csv",
            "portrait,out,idle_seconds,precision",
            *(f"{PORTRAIT},nets{k}.mp4,1,{precision}" for k, precision in enumerate(precisions)),
        )
    )
    run_jobs(jobs, pool, RunFolder(folder / "nets.run"), cut_frames=50)
    assert pool.made == ["bf16", "bf16", "fp32", "fp32"]


def test_a_video_that_cannot_be_written_costs_its_own_job_alone(table, folder, monkeypatch):
    def video(path, heads, portrait, voice, options, background):
        next(heads.batches())
        raise RuntimeError("the unexpected")

    monkeypatch.setattr("sadtalker_core.batch.run.write_job_video", video)
    pool = Backwards(PlannedClip(Portrait(torch.zeros(8, 8, 3)), tiny.motion(50), 1, 1))
    jobs = read_jobs(table("broken.csv", "portrait,out,idle_seconds", f"{PORTRAIT},a.mp4,2", f"{PORTRAIT},b.mp4,2"))
    outcomes = run_jobs(jobs, pool, RunFolder(folder / "broken.run"), cut_frames=20, chunk_frames=10)
    assert [outcome.status for outcome in outcomes] == [FAILED, FAILED]
    assert {outcome.sentence for outcome in outcomes} == {"RuntimeError: the unexpected"}
