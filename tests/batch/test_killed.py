"""A driver that is killed at any moment leaves whole videos and a record that the next run goes on from."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time

import pytest

from sadtalker_core.batch.__main__ import main
from tests.batch.conftest import PORTRAIT
from tests.batch.instant import VIDEO, Instant

N_JOBS = 90  #: of which each takes 20 ms and more: it is killed long before the last


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_driver_that_is_killed_leaves_whole_videos_and_a_run_that_goes_on(table, folder, project, monkeypatch, seed):
    path = table(
        f"killed{seed}.csv", "portrait,out,idle_seconds", *(f"{PORTRAIT},killed{seed}/{k}.mp4,1" for k in range(N_JOBS))
    )
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.batch.instant", str(path)],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert driver.stdout is not None and driver.stdout.readline() == "begun\n"
    time.sleep(random.Random(seed).uniform(0, 0.4))
    driver.kill()
    assert driver.wait() != 0, "it was at work"
    driver.stdout.close()

    videos = folder / f"killed{seed}"
    made = {video.name for video in videos.glob("*.mp4")}
    assert all((videos / name).read_bytes() == VIDEO for name in made)
    monkeypatch.setattr("sadtalker_core.batch.__main__.WorkerPool", Instant)
    monkeypatch.setattr(Instant, "n_asked", 0)
    assert main([str(path)]) == 0
    report = json.loads((folder / f"killed{seed}.run" / "report.json").read_text(encoding="utf-8"))
    assert report["done"] == Instant.n_asked and report["done_before"] == N_JOBS - Instant.n_asked
    assert len(made) - report["done_before"] in (0, 1), "the last video may be there without its line"
    left = {file.name for file in videos.iterdir()}
    shutil.rmtree(videos)
    assert left == {f"{k}.mp4" for k in range(N_JOBS)}, "nothing half written stays"
