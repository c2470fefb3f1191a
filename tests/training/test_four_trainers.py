"""What is promised of each training: it goes on after a kill as if there had been none, shows what it does, and is
shared by several processes.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from sadtalker_core.training.engine import saved_nets, train
from sadtalker_core.training.run_log import read_log
from tests.training.four_trainers import NAMES, STEPS, run_of, trainer_of, write_clips

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def unbroken(clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    for name in NAMES:
        train(trainer_of(name, clips), run_of(folder / name))
    return folder


def losses(folder):
    return [{name: value for name, value in line.items() if name != "seconds"} for line in read_log(folder)]


@pytest.mark.parametrize("name", NAMES)
def test_after_a_kill_the_losses_and_the_nets_are_those_of_an_unbroken_run(name, clips, unbroken, tmp_path):
    class Killed(BaseException):
        pass

    killed = trainer_of(name, clips)
    step = killed.step

    def step_until_killed(context):
        if context.index == STEPS - 1:
            raise Killed
        return step(context)

    killed.step = step_until_killed
    with pytest.raises(Killed):
        train(killed, run_of(tmp_path))
    train(trainer_of(name, clips), run_of(tmp_path))
    assert losses(tmp_path) == losses(unbroken / name) and len(losses(tmp_path)) == STEPS
    nets, wanted = saved_nets(tmp_path), saved_nets(unbroken / name)
    assert nets.keys() == wanted.keys()
    assert [
        f"{net}.{path}"
        for net in wanted
        for path, tensor in wanted[net].items()
        if not torch.equal(nets[net][path], tensor)
    ] == []


@pytest.mark.parametrize("name", NAMES)
def test_tensorboard_shows_each_loss_and_sample_images(name, unbroken):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(unbroken / name / "tensorboard")).Reload()
    logged = {key for line in losses(unbroken / name) for key in line} - {"step"}
    assert set(board.Tags()["scalars"]) == logged and len(logged) >= 2
    images = [event for tag in board.Tags()["images"] for event in board.Images(tag)]
    assert images and all(event.step == STEPS and min(event.width, event.height) >= 32 for event in images)


@pytest.mark.slow
def test_two_processes_share_each_training_and_keep_the_same_nets(clips, project, tmp_path, unbroken):
    command = [sys.executable, "-m", "tests.training.four_trainers", str(tmp_path), "--clips", str(clips)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        one, other = (torch.serialization.load(tmp_path / f"{name}.rank{rank}.pt") for rank in (0, 1))
        alone, saved = saved_nets(unbroken / name), saved_nets(tmp_path / name)
        for net in one:
            assert all(torch.equal(other[net][path], tensor) for path, tensor in one[net].items()), (name, net)
            assert all(torch.equal(saved[net][path], tensor) for path, tensor in one[net].items()), (name, net)
        assert any(not torch.equal(alone[net][path], tensor) for net in one for path, tensor in one[net].items())
