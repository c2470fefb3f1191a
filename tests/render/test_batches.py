"""Frames come batch by batch; when memory runs out, the batch is halved and the frames stay the same."""

import gc
import weakref

import pytest
import torch

from sadtalker_core.errors import Cancelled, OptionError
from sadtalker_core.families import FAMILIES
from sadtalker_core.model import SadTalkerModel
from sadtalker_core.render.batches import in_batches, memory_ran_out
from sadtalker_core.render.estimate import (
    LARGEST_AUTO_BATCH,
    MINI_COST,
    RELEASED_COST,
    auto_batch_size,
    free_bytes,
    working_bytes,
)
from sadtalker_core.render.facevid2vid.animate import render_frames
from sadtalker_core.render.facevid2vid.fast import accelerate
from tests.render import tiny

FULL = torch.OutOfMemoryError("Tried to allocate 2.00 GiB")


class Device:
    """Counts from start to stop, as long as no more than `room` frames are asked for."""

    def __init__(self, room):
        self.room, self.asked = room, []

    def __call__(self, start, stop):
        self.asked.append(stop - start)
        if stop - start > self.room:
            raise FULL
        return torch.arange(start, stop)


@pytest.mark.parametrize("room", [1, 2, 3, 5, 8, 100])
@pytest.mark.parametrize("n_frames", [1, 7, 20])
def test_every_frame_comes_once_and_in_order_however_little_room_there_is(room, n_frames):
    device = Device(room)
    assert torch.cat(list(in_batches(device, n_frames, 8))).tolist() == list(range(n_frames))


def test_the_batch_is_halved_until_it_fits_and_stays_small():
    device = Device(3)
    list(in_batches(device, 20, 16))
    assert device.asked == [16, 8, 4, 2] + [2] * 9


def test_a_last_batch_that_is_short_already_is_halved_too():
    device = Device(2)
    list(in_batches(device, 3, 64))
    assert device.asked == [3, 1, 1, 1]


def test_a_single_frame_that_does_not_fit_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        list(in_batches(Device(0), 4, 4))


@pytest.mark.parametrize("error", [RuntimeError("shapes"), ValueError("no"), KeyboardInterrupt()])
def test_other_errors_are_not_tried_again(error):
    asked = []

    def make(start, stop):
        asked.append(stop)
        raise error

    with pytest.raises(type(error)):
        list(in_batches(make, 8, 4))
    assert asked == [4]


def test_who_listens_may_stop_and_is_not_taken_for_a_full_device():
    def stop(done, total):
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        list(in_batches(Device(9), 8, 4, on_progress=stop))


def test_what_a_failed_batch_held_is_given_back_before_the_next_try():
    held, left = [], []

    def make(start, stop):
        left.append([one() is not None for one in held])
        heavy = torch.zeros(9)
        held.append(weakref.ref(heavy))
        if stop - start > 1:
            raise torch.OutOfMemoryError("full")
        return heavy.new_zeros(1)

    gc.disable()
    try:
        next(in_batches(make, 4, 4))
    finally:
        gc.enable()
    assert left == [[], [False], [False, False]]


def test_no_batch_is_refused_at_once():
    with pytest.raises(OptionError, match="batch_size of at least 1, got 0"):
        in_batches(Device(9), 4, 0)


@pytest.mark.parametrize("fast", [False, True])
def test_the_released_frames_stay_the_same_when_memory_runs_out(fast, monkeypatch):
    net = accelerate(tiny.generator()) if fast else tiny.generator()
    given = tiny.keypoint_detector(), net, tiny.crop(), tiny.motion(7)
    want = torch.cat(list(render_frames(*given)))
    tried = tiny.cramp(monkeypatch, net, room=2)
    batches = list(render_frames(*given, batch_size=6))
    assert tried == [6, 3] + [1] * 7
    assert [len(batch) for batch in batches] == [1] * 7
    assert torch.allclose(torch.cat(batches), want, atol=1e-6)


def test_a_model_reports_what_is_free_and_when_memory_ran_out():
    model = SadTalkerModel("tiny", FAMILIES["released"], 32, {})
    assert model.free_bytes(torch.device("cpu")) == free_bytes(torch.device("cpu")) == 0
    assert model.is_out_of_memory(FULL) and memory_ran_out(FULL)
    assert not model.is_out_of_memory(RuntimeError("CUDA error: an illegal memory access"))


def test_a_full_computer_is_known_by_its_words():
    with pytest.raises(RuntimeError) as full:
        torch.empty(1 << 50)
    assert memory_ran_out(full.value)
    assert memory_ran_out(RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB, max allowed: 9.07 GB)"))
    assert not memory_ran_out(ValueError(str(full.value))), "somebody else's"


@pytest.mark.parametrize(("cost", "sides"), [(RELEASED_COST, (256, 512)), (MINI_COST, (256, 512, 1024))])
def test_a_frame_takes_what_is_known_of_its_size_and_in_between_by_its_pixels(cost, sides):
    assert [working_bytes(cost, side) for side in sides] == [cost.working_bytes[side] for side in sides]
    assert working_bytes(cost, 64) == working_bytes(cost, 256), "the smallest that is known"
    half_as_many_more = working_bytes(cost, round((sides[0] ** 2 / 2 + sides[1] ** 2 / 2) ** 0.5))
    assert half_as_many_more == pytest.approx(sum(cost.working_bytes[side] for side in sides[:2]) / 2, rel=0.01)
    steps = [working_bytes(cost, side) for side in range(256, 1400, 50)]
    assert steps == sorted(steps) and steps[-1] > working_bytes(cost, sides[-1])


@pytest.mark.parametrize("cost", [RELEASED_COST, MINI_COST])
@pytest.mark.parametrize("side", [256, 512])
def test_nothing_chosen_is_what_fits_on_a_gpu_and_one_on_a_cpu(cost, side):
    gpu, one = torch.device("cuda"), working_bytes(cost, side)
    assert auto_batch_size(cost, side, torch.device("cpu"), 1 << 50) == 1
    assert auto_batch_size(cost, side, gpu, 0) == 1
    assert auto_batch_size(cost, side, gpu, 3 * one) == 3
    assert auto_batch_size(cost, side, gpu, 1 << 50) == LARGEST_AUTO_BATCH
