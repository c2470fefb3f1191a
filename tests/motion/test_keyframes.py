"""A number or keyframes as somebody writes them: what each frame gets, and what a wrong one is told."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sadtalker_core.errors import OptionError
from sadtalker_core.motion.keyframes import parse_keyframes


def course(text, n_frames=101, low=-1.0, high=1.0):
    return parse_keyframes("smile", text, low, high).at_frames(n_frames)


def test_a_number_is_the_same_in_every_frame():
    assert course("0.3", 4).tolist() == pytest.approx([0.3] * 4)
    assert course(0.3, 2).tolist() == pytest.approx([0.3] * 2)
    assert course("  ", 2).tolist() == [0, 0]


def test_keyframes_are_met_at_their_seconds_and_held_outside():
    track = course("1:0.2, 2:-0.4, 3:1")
    assert track[[25, 50, 75]].tolist() == pytest.approx([0.2, -0.4, 1.0])
    assert (track[:25] == track[25]).all() and (track[75:] == track[75]).all()


def test_keyframes_may_follow_one_another_by_a_millisecond():
    keys = parse_keyframes("smile", ", ".join(f"{ms / 1000:.3f}:0" for ms in range(3000)), -1, 1)
    assert len(keys.seconds) == 3000  # in floats 0.009 - 0.008 is less


def test_between_two_keyframes_it_is_a_smoothstep():
    x = torch.linspace(0, 1, 26)
    torch.testing.assert_close(course("0:0, 1:0.5", 26), 0.5 * x * x * (3 - 2 * x))


def test_it_does_not_stop_at_a_keyframe_that_it_passes():
    track = course("0:0, 1:0.3, 2:0.6, 3:0.9")
    speed = track.diff()
    assert speed[24:26].min() > 0.5 * speed.max() and speed[0] < 0.1 * speed.max()


@given(st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=2, max_size=8))
def test_it_never_leaves_the_values_of_its_neighbours(values):
    track = course(", ".join(f"{place}:{value:.6f}" for place, value in enumerate(values)), 25 * len(values))
    for place, (before, after) in enumerate(pairwise(values)):
        part = track[25 * place : 25 * place + 26]
        assert part.min() >= min(before, after) - 1e-5 and part.max() <= max(before, after) + 1e-5


def test_other_keyboards_and_lines_are_understood():
    plain = course("0:0, 1.5:-0.4, 3:0")
    assert torch.equal(plain, course("0\uff1a0\uff0c1.5\uff1a\u22120.4\n3:0,"))


@pytest.mark.parametrize(("text", "sentence"), [
    ("much", "smile: expected a number from -1 to 1, or keyframes such as '0:0, 1.5:0.4, 3:0', got 'much'."),
    ("1.5", "smile: expected a number from -1 to 1, or keyframes such as '0:0, 1.5:0.4, 3:0', got '1.5'."),
    ("0:0, 1:nan", "smile, keyframe 2 of 2 ('1:nan'): expected a number from -1 to 1, got 'nan'."),
    ("0:0, 1:2, 2:0", "smile, keyframe 2 of 3 ('1:2'): expected a number from -1 to 1, got '2'."),
    ("0:0, x:1", "smile, keyframe 2 of 2 ('x:1'): expected a time from 0 to 360000 s, got 'x'."),
    ("-1:0, 1:1", "smile, keyframe 1 of 2 ('-1:0'): expected a time from 0 to 360000 s, got '-1'."),
    ("0:0, 0.5", "smile, keyframe 2 of 2 ('0.5'): expected seconds:value, such as 1.5:0.4."),
    ("0:0,, 1:1", "smile, keyframe 2 of 3 (''): expected seconds:value, such as 1.5:0.4."),
    ("0:0, 2:1, 1:0",
     "smile, keyframe 3 of 3 ('1:0'): expected a time after the one before it, 2 s, got 1 s."),
])  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(text, sentence):
    with pytest.raises(OptionError) as caught:
        course(text)
    assert str(caught.value) == sentence
