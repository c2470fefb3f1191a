"""Workers in processes of their own make what one process would have made, also when one of them is killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from sadtalker_core.batch.__main__ import main
from sadtalker_core.batch.jobs import read_jobs
from sadtalker_core.batch.record import DONE, FAILED, RunFolder
from sadtalker_core.batch.run import run_jobs
from sadtalker_core.batch.worker import JobPayload, Worker
from sadtalker_core.batch.worker_pool import Call, WorkerPool, WorkerPoolOptions
from sadtalker_core.errors import DoesNotFit
from tests.batch.conftest import NOBODY, PORTRAIT

CHUNK, CUT = 8, 20  #: frames of a chunk, and frames beyond which a clip is cut


class Watched(WorkerPool):
    """A worker pool that remembers what it was asked."""

    calls: list[Call]

    def ask(self, call: Call, *, first: bool = False) -> Call:
        self.calls.append(call)
        return super().ask(call, first=first)


@pytest.fixture(scope="module")
def local_ray():
    """Ray on this machine, with room for two pools of two and a store of 100 MB; it ends with this file."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(
        "local",
        num_cpus=4,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
        logging_level="error",
    )
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def pool(local_ray):
    with Watched(WorkerPoolOptions(n_workers=2, retries=1), 2) as pool:
        yield pool


@pytest.fixture(autouse=True)
def nothing_asked(request):
    if "pool" in request.fixturenames:
        request.getfixturevalue("pool").calls = []


@pytest.fixture(scope="module")
def alone():
    """What one process makes of a job, without Ray."""
    worker, made = Worker(n_threads=1), {}

    def make(job) -> bytes:
        key = (job.portrait, job.film, job.voice, job.options)
        if key not in made:
            made[key] = worker.do("run_job", JobPayload.of(job)).value[0]
        return made[key]

    return make


def run(table: Path, pool: WorkerPool, **how):
    """The outcomes of a table by the names of its videos, in a run folder of its own."""
    folder = RunFolder(table.with_suffix(".run"))
    outcomes = run_jobs(read_jobs(table), pool, folder, cut_frames=CUT, chunk_frames=CHUNK, **how)
    return {Path(outcome.out).name: outcome for outcome in outcomes}


@pytest.mark.slow
def test_what_many_make_is_what_one_makes_frame_for_frame(pool, table, alone):
    """Byte for byte, indeed: one clip whole, and one cut, whose colours follow the frames before."""
    path = table(
        "equal.csv",
        "portrait,voice,out,seed,paste_back",
        f"{PORTRAIT},short.wav,whole.mp4,3,",
        f"{PORTRAIT},long voice.wav,n\u00e9w/cut.mp4,5,yes",
    )
    outcomes = sorted(run(path, pool).values(), key=lambda outcome: outcome.line)
    assert [(outcome.status, outcome.n_frames) for outcome in outcomes] == [(DONE, 16), (DONE, 32)]
    assert [call.task for call in pool.calls].count("heads") == 4
    for job in read_jobs(path):
        assert job.out.read_bytes() == alone(job), job.out.name


@pytest.mark.slow
def test_a_video_that_is_cut_over_workers_is_dubbed_to_the_same_bytes(pool, table, alone, folder):
    from sadtalker_core.compose.video import VideoWriter
    from tests.dub.videos import gliding

    with VideoWriter(folder / "film.mp4", (224, 224), 25.0) as video:
        video.write(gliding(26))
    path = table("dubbed.csv", "film,voice,out,length", "film.mp4,long voice.wav,dubbed.mp4,hold")
    outcomes = run(path, pool)
    assert (outcomes["dubbed.mp4"].status, outcomes["dubbed.mp4"].n_frames) == (DONE, 32), outcomes
    assert [call.task for call in pool.calls] == ["mouths"] * 3
    (job,) = read_jobs(path)
    assert job.out.read_bytes() == alone(job)


@pytest.mark.slow
def test_a_worker_that_is_killed_takes_nothing_with_it(pool, table, alone):
    path = table("killed.csv", "portrait,voice,out,seed,paste_back", f"{PORTRAIT},long voice.wav,killed.mp4,5,yes")
    killed = []

    def kill_who_made_the_first_chunk(done, total):
        """By now it has been given another one."""
        if not killed:
            killed.extend(call.result.process for call in pool.calls if call.task == "heads" and call.result)
            os.kill(killed[0], getattr(signal, "SIGKILL", signal.SIGTERM))

    outcomes = run(path, pool, on_progress=kill_who_made_the_first_chunk)
    assert outcomes["killed.mp4"].status == DONE
    assert sorted(call.n_tries for call in pool.calls) == [1, 1, 1, 1, 2]
    (job,) = read_jobs(path)
    assert job.out.read_bytes() == alone(job)


@pytest.mark.slow
def test_a_job_that_fails_stops_no_other_and_a_second_run_makes_only_what_is_missing(local_ray, table, folder, capsys):
    path = table(
        "some.csv", "portrait,voice,out,idle_seconds", f"{NOBODY},short.wav,nobody.mp4,", f"{PORTRAIT},,idle.mp4,0.2"
    )
    assert main([str(path), "--workers", "1"]) == 1
    report = json.loads((folder / "some.run" / "report.json").read_text(encoding="utf-8"))
    assert [job["status"] for job in report["jobs"]] == [FAILED, DONE]
    assert report["jobs"][0]["sentence"].startswith("no face found in the image")
    assert "no face found in the image" in capsys.readouterr().out
    assert (folder / "idle.mp4").is_file() and not (folder / "nobody.mp4").exists()

    path.write_text(path.read_text(encoding="utf-8").replace(NOBODY, PORTRAIT), encoding="utf-8")
    made_before = (folder / "idle.mp4").stat().st_mtime_ns
    assert main([str(path), "--workers", "1"]) == 0
    report = json.loads((folder / "some.run" / "report.json").read_text(encoding="utf-8"))
    assert (report["done"], report["done_before"], report["frames"]) == (1, 1, 16)
    assert (folder / "idle.mp4").stat().st_mtime_ns == made_before


class Stillborn(Worker):
    """Dies before it has begun."""

    def __init__(self, *_):
        os._exit(1)


class Deadly:
    """Kills the process that unpacks it."""

    def __reduce__(self):
        return os._exit, (1,)


@pytest.mark.slow
def test_a_call_that_kills_every_worker_is_given_up_and_the_others_are_answered(pool):
    deadly = pool.ask(Call("run_job", lambda: (Deadly(),)))
    broken = pool.ask(Call("run_job", lambda: (None,)))
    while pool.busy:
        pool.wait(1.0)
    assert deadly.error.startswith("its worker died: ") and deadly.error.endswith("(tried 2 times)")
    assert broken.error == "AttributeError: 'NoneType' object has no attribute 'film' (tried 2 times)"


@pytest.mark.slow
def test_workers_that_cannot_begin_end_the_run_with_a_reason(local_ray, monkeypatch):
    monkeypatch.setattr("sadtalker_core.batch.worker_pool.Worker", Stillborn)
    with WorkerPool(WorkerPoolOptions(n_workers=1, retries=1), 1) as pool:
        call = pool.ask(Call("run_job", tuple))
        while pool.busy:
            pool.wait(1.0)
        too_late = pool.ask(Call("run_job", tuple))
    assert call.error.startswith("no worker could start: ")
    assert too_late.error == call.error, "nobody would ever answer it"


@pytest.mark.slow
def test_more_workers_than_there_is_room_for_are_refused(local_ray):
    with pytest.raises(DoesNotFit, match="9 workers with 1 cores and 0 GPUs each do not fit: Ray has 4 cores"):
        WorkerPool(WorkerPoolOptions(n_workers=9), 9).__enter__()
