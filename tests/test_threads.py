"""Small networks compute on one thread, and whoever else is in the process keeps the threads that it had."""

from __future__ import annotations

import threading
import weakref
from contextlib import closing
from queue import Queue
from types import SimpleNamespace

import pytest
import torch
from torch.overrides import TorchFunctionMode

from sadtalker_core import pipeline, threads
from sadtalker_core.datatypes import MINI, RELEASED, CropMode, FrameStream, Portrait
from sadtalker_core.errors import FaceNotFound
from sadtalker_core.families import FAMILIES
from sadtalker_core.model import assemble_mini
from sadtalker_core.threads import each_on_few_threads, few_threads, side_by_side
from tests.face.images import astronaut
from tests.render import tiny


def of_a_new_thread() -> int:
    answers: Queue[int] = Queue()
    thread = threading.Thread(target=lambda: answers.put(torch.get_num_threads()))
    thread.start()
    thread.join()
    return answers.get()


@pytest.fixture(autouse=True)
def three_threads():
    before, default = torch.get_num_threads(), of_a_new_thread()
    torch.set_num_threads(3)
    yield
    thread = threading.Thread(target=torch.set_num_threads, args=(default,))
    torch.set_num_threads(before)
    thread.start()
    thread.join()


def test_inside_it_is_one_and_afterwards_what_it_was():
    with few_threads():
        assert torch.get_num_threads() == threads.SMALL_NETS == 1
    assert torch.get_num_threads() == 3


def test_the_number_comes_back_when_the_work_fails():
    with pytest.raises(KeyError), few_threads():
        raise KeyError("stopped")
    assert torch.get_num_threads() == 3


def test_threads_that_are_born_meanwhile_get_what_they_would_have_got():
    with few_threads():
        assert of_a_new_thread() == 3
    assert of_a_new_thread() == 3


def test_a_thread_at_work_beside_it_keeps_its_own():
    ask, answers = Queue(), Queue()

    def neighbour() -> None:
        torch.set_num_threads(2)
        answers.put(torch.get_num_threads())
        ask.get()
        answers.put(torch.get_num_threads())

    thread = threading.Thread(target=neighbour)
    thread.start()
    assert answers.get() == 2
    with few_threads():
        ask.put("now")
        assert answers.get() == 2
    thread.join()


def test_what_new_threads_get_is_not_taken_for_what_this_one_has():
    thread = threading.Thread(target=torch.set_num_threads, args=(5,))
    thread.start()
    thread.join()
    with few_threads():
        pass
    assert (torch.get_num_threads(), of_a_new_thread()) == (3, 5)


def test_it_never_takes_more_than_the_user_allows():
    with few_threads(8):
        assert torch.get_num_threads() == 3


def test_one_inside_another_leaves_the_outer_one_as_it_is():
    with few_threads(2):
        with few_threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2


def test_many_at_once_all_give_back():
    def often() -> None:
        torch.set_num_threads(3)
        for _ in range(20):
            with few_threads():
                assert torch.get_num_threads() == 1
        left.append(torch.get_num_threads())

    left: list[int] = []
    crowd = [threading.Thread(target=often) for _ in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert left == [3] * 4 and of_a_new_thread() == 3


def test_batches_are_made_on_one_thread_and_taken_on_as_many_as_before():
    made = each_on_few_threads(torch.get_num_threads() for _ in range(2))
    taken = [(number, torch.get_num_threads()) for number in made]
    assert taken == [(1, 3), (1, 3)] and torch.get_num_threads() == 3


def test_no_batch_is_held_while_the_next_one_is_made():
    held, alive = [], []

    def batches():
        for _ in range(3):
            alive.append(sum(ref() is not None for ref in held))
            frames = torch.zeros(4)
            held.append(weakref.ref(frames))
            yield frames
            del frames

    for batch in each_on_few_threads(batches()):
        del batch
    assert alive == [0, 0, 0]


def test_a_batch_that_fails_or_a_clip_that_is_left_gives_back():
    def fails():
        yield torch.get_num_threads()
        raise KeyError("stopped")

    made = each_on_few_threads(fails())
    assert next(made) == 1 and torch.get_num_threads() == 3
    with pytest.raises(KeyError):
        next(made)
    assert torch.get_num_threads() == 3


class Watch(TorchFunctionMode):
    """Notes how many threads torch has at each operation that weighs something."""

    HEAVY = ("conv1d", "conv2d", "linear", "matmul", "einsum", "__matmul__")

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[int]] = {}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in self.HEAVY:
            self.seen.setdefault(self.stage, set()).add(torch.get_num_threads())
        return function(*args, **(kwargs or {}))

    def of(self, stage, *given):
        self.stage = stage.__name__
        made = stage(*given)
        return made if self.stage != "render" else list(made.batches())


@torch.inference_mode()
def test_every_stage_of_the_mini_computes_on_one_thread():
    nets = assemble_mini()
    with Watch() as watch:
        portrait, source = watch.of(pipeline.extract, nets, Portrait(astronaut()), CropMode.CROP)
        speech = watch.of(pipeline.encode_audio, torch.rand(1, 3200))
        expression = watch.of(pipeline.predict_expression, nets, speech, source)
        pose = watch.of(pipeline.predict_head_pose, nets, speech, source)
        motion = watch.of(pipeline.coefficients_to_motion, nets, source, expression, pose)
        watch.of(pipeline.render, nets, portrait, motion)
    assert watch.seen == dict.fromkeys(
        ("extract", "encode_audio", "predict_expression", "predict_head_pose", "coefficients_to_motion", "render"), {1}
    )
    assert torch.get_num_threads() == 3


def test_a_finder_of_points_that_is_brought_along_keeps_all_threads():
    released = SimpleNamespace(family=FAMILIES[RELEASED], image_size=256, use=lambda *names: [None] * len(names))
    seen = []

    def look(selector):
        seen.append(torch.get_num_threads())
        raise FaceNotFound("nobody")

    for frames in ({}, {"fps": 25.0}):
        stage, given = (pipeline.extract_video, [astronaut()]) if frames else (pipeline.extract, Portrait(astronaut()))
        with pytest.raises(FaceNotFound):
            stage(released, given, points=look, **frames)
    assert seen == [3, 3]


def test_heads_are_made_on_all_threads_and_pasted_and_written_on_one(tmp_path):
    painting, pasting = [], []

    def heads():
        for _ in range(2):
            painting.append(torch.get_num_threads())
            yield torch.zeros(1, 3, 32, 32)

    def as_bytes(head):
        pasting.append(torch.get_num_threads())
        return torch.zeros(1, 48, 64, 3, dtype=torch.uint8)

    whole = SimpleNamespace(size_wh=(64, 48), as_bytes=as_bytes)
    pipeline.render_video(tmp_path / "film.mp4", FrameStream(2, 32, 32, heads), whole)
    assert painting == [3, 3] and pasting == [1, 1]


def test_pieces_are_made_side_by_side_each_on_one_thread_and_come_in_their_order():
    together = threading.Barrier(3, timeout=60)  # opens when three are being made at once

    def make(piece):
        together.wait()
        return piece, torch.get_num_threads(), torch.is_inference_mode_enabled()

    with torch.inference_mode(), few_threads():
        made = list(side_by_side(make, range(6), torch.device("cpu")))
    assert made == [(piece, 1, True) for piece in range(6)]
    assert of_a_new_thread() == 3


def test_outside_of_few_threads_pieces_are_made_one_by_one_here():
    made = side_by_side(lambda piece: (piece, threading.current_thread()), range(3), torch.device("cpu"))
    assert list(made) == [(piece, threading.current_thread()) for piece in range(3)]


def test_a_piece_that_fails_raises_and_one_who_leaves_has_no_more_made():
    begun = []

    def make(piece):
        begun.append(piece)
        if piece == 1:
            raise KeyError("stopped")

    with few_threads(), closing(side_by_side(make, range(1000), torch.device("cpu"))) as made:
        assert next(made) is None
        with pytest.raises(KeyError):
            next(made)
    assert len(begun) < 10


@torch.inference_mode()
def test_long_voices_give_the_same_tracks_whatever_the_number_of_threads():
    nets, source = assemble_mini(), tiny.coefficients(family=MINI)
    speech = pipeline.encode_audio(torch.rand(1, 16_000 * 6, generator=torch.Generator().manual_seed(1)))

    def tracks():
        return pipeline.predict_expression(nets, speech, source).coefficients, pipeline.predict_head_pose(
            nets, speech, source
        ).coefficients

    of_three = tracks()
    torch.set_num_threads(1)
    of_one = tracks()
    assert all(torch.equal(one, three) for one, three in zip(of_one, of_three, strict=True))


@pytest.mark.slow
@torch.inference_mode()
def test_frames_made_side_by_side_are_those_made_one_by_one():
    nets = assemble_mini()
    portrait, source = pipeline.extract(nets, Portrait(astronaut()), CropMode.CROP)
    speech = pipeline.encode_audio(torch.rand(1, 3200, generator=torch.Generator().manual_seed(1)))
    motion = pipeline.coefficients_to_motion(
        nets,
        source,
        pipeline.predict_expression(nets, speech, source),
        pipeline.predict_head_pose(nets, speech, source),
    )
    together = list(pipeline.render(nets, portrait, motion).batches())
    torch.set_num_threads(1)
    one_by_one = list(pipeline.render(nets, portrait, motion).batches())
    assert [len(batch) for batch in together] == [5] and [len(batch) for batch in one_by_one] == [4, 1]
    assert torch.equal(torch.cat(together), torch.cat(one_by_one))
