"""make bench goes on when a part fails or takes too long, and says which."""

import os

import pytest
import torch

from sadtalker_core import threads
from sadtalker_core.compose.paste import Blend
from tests.face.images import astronaut
from tests.tools.bench.__main__ import ARRANGEMENTS, PARTS, in_its_own_process, line
from tests.tools.bench.frames import DTYPES, PLAIN
from tests.tools.bench.load import NO_WORK, assessed, drift, processor_seconds_of, small_convolution, table
from tests.tools.bench.measuring import sample_image, voice
from tests.tools.bench.paste import SEAMS, jumps
from tests.tools.bench.precision import row
from tests.tools.bench.threads import crowd, small_nets_on


def test_every_arrangement_has_a_name():
    assert ARRANGEMENTS == (PLAIN, *DTYPES)


@pytest.mark.slow
def test_a_part_that_fails_is_named_with_its_last_words():
    (row,) = in_its_own_process({"part": "nothing of the kind"}, 300.0)
    assert row == {"what": "nothing of the kind", "error": "KeyError: 'nothing of the kind'"}


def test_a_part_that_takes_too_long_is_named():
    (row,) = in_its_own_process({"part": PARTS[0], "side": 256}, 0.01)
    assert row == {"what": "mini, 256", "error": "took longer than 0 s"}


def test_a_row_is_one_line():
    row = {
        "what": "fast fp32",
        "convolutions": 25.512,
        "cpu_s": 312.7,
        "each": [1.0],
        "target": None,
        "steps": {"a": 0.5},
    }
    assert line(row) == "fast fp32; convolutions 25.5; cpu_s 313; steps a 0.50"


def test_frames_and_lips_of_halved_weights_are_held_against_the_exact_ones():
    exact = torch.zeros(2, 3, 8, 8), torch.tensor([[3.0, 1.0], [5.0, 1.0]])
    narrow = torch.full((2, 3, 8, 8), 0.5), torch.tensor([[3.0, 1.0], [4.0, 1.0]])
    assert row("half", narrow, exact) == {
        "what": "half",
        "max": 0.5,
        "mean": 0.5,
        "lips_max_px": 1.0,
        "lips_mean_px": 0.25,
        "lips_opening_px": 1.0,
    }


def test_every_blend_hides_the_edge_of_the_box_and_no_blend_does_not():
    found = jumps(astronaut(), SEAMS["astronaut"], "astronaut")
    assert found["no blend"] > 1.3 * found["picture"]
    for way in (*(blend.value for blend in Blend), "seamlessClone"):
        assert abs(found[way] - found["picture"]) < 0.05, way


def test_the_voice_of_any_length_begins_with_the_same_syllables():
    short, long = voice(1.0), voice(25.0)
    assert short.shape == (1, 16_000) and long.shape == (1, 400_000)
    assert torch.equal(short, long[:, :16_000]) and 0.1 < long.abs().max() <= 1.5


def test_the_image_is_a_portrait_or_as_wide_as_a_video():
    assert sample_image(wide=False).shape == (512, 512, 3) and sample_image(wide=True).shape == (1080, 1920, 3)


def sampled(n, **rising):
    """n prompts after which a server holds the same, but for what rises by so much with each."""
    return [
        {
            "memory_mb": 600.0,
            "files": 11.0,
            "threads": 4.0,
            "programs": 0.0,
            "temporary": 1.0,
            "seconds": 1.0,
            "cpu_s": 2.0,
            "small_convolutions": 300.0,
            **{what: start + k * step for what, (start, step) in rising.items()},
        }
        for k in range(n)
    ]


def test_a_server_that_keeps_nothing_is_flat():
    assert assessed(sampled(200))["complaints"] == []


@pytest.mark.parametrize(("what", "step"), [("memory_mb", 0.5), ("files", 0.02), ("threads", 1.0), ("programs", 0.01)])
def test_what_a_server_keeps_of_every_prompt_is_named(what, step):
    (complaint,) = assessed(sampled(200, **{what: (10.0, step)}))["complaints"]
    assert complaint.startswith(f"{what} is not flat: ")


def test_a_prompt_that_works_more_and_more_is_named():
    rising = {"cpu_s": (2.0, 0.01), "small_convolutions": (300.0, 1.5)}
    (complaint,) = assessed(sampled(200, **rising))["complaints"]
    assert complaint.startswith("the work of a prompt is not flat: 2.7")
    assert assessed(sampled(10, cpu_s=(2.0, 1.0), small_convolutions=(300.0, 150.0)))["complaints"] == [], (
        "too few to say"
    )


@pytest.mark.parametrize("what", ["cpu_s", "small_convolutions"])
def test_a_crowd_that_slows_everything_down_is_not_held_against_the_server(what):
    assert assessed(sampled(200, **{what: (2.0, 0.01)}))["complaints"] == []


def test_where_processor_time_is_not_to_be_had_the_table_reports_it():
    samples = sampled(8)
    for sample in samples:
        del sample["cpu_s"], sample["small_convolutions"]
    found = assessed(samples) | {"took_s": 1.0, "load": None}
    assert found["complaints"] == [] and NO_WORK in table("short", found)
    assert processor_seconds_of(2**22 + 1) is None, "no process has this number"


def test_the_processor_time_of_a_process_rises_with_its_work():
    before = processor_seconds_of(os.getpid())
    while processor_seconds_of(os.getpid()) < before + 0.02:
        small_convolution()


def test_a_slope_is_that_of_one_prompt_and_not_of_what_fills_caches():
    rising = [100.0 * k for k in range(10)] + [1000.0 + k for k in range(30)]
    assert drift(rising, 1.0)["each"] == 1.0


def test_a_crowd_ends_with_its_work():
    import psutil

    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(KeyError), crowd(2):
        programs = {child.pid for child in psutil.Process().children()} - before
        raise KeyError("the work fails")
    assert len(programs) == 2 and not any(psutil.pid_exists(number) for number in programs)


def test_the_choice_of_threads_is_exchanged_for_a_measurement_and_comes_back():
    chosen, before = threads.SMALL_NETS, torch.get_num_threads()
    with small_nets_on(3):
        assert (threads.SMALL_NETS, torch.get_num_threads()) == (3, 3)
    assert (threads.SMALL_NETS, torch.get_num_threads()) == (chosen, before)
