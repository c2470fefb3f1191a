"""How samples, mel steps and video frames count."""

from __future__ import annotations

from itertools import pairwise

from sadtalker_core.timeline import frame_middle_step, half_frame_window_start, window_start


def test_a_window_start_is_cut_toward_zero():
    """3.2 mel steps a frame, from two frames before it: -6.4, -3.2, 0, 3.2, 6.4. A floor would give -7 and -4."""
    assert [window_start(frame) for frame in range(5)] == [-6, -3, 0, 3, 6]


def test_windows_of_half_frames_are_1_6_steps_apart_and_those_of_whole_ones_where_the_cut_ones_are_in_the_mean():
    begins = [sum(half_frame_window_start(half)) for half in range(-4, 30)]
    assert all(abs(after - before - 1.6) < 1e-9 for before, after in pairwise(begins))
    assert all(0 <= share < 1 for _, share in map(half_frame_window_start, range(-4, 30)))
    frames = range(2, 12)  # five frames make 16 steps; the first two are cut the other way
    exact = [sum(half_frame_window_start(2 * frame)) for frame in frames]
    assert abs(sum(exact) - sum(map(window_start, frames))) < 1e-9


def test_the_middle_of_a_frame_is_3_2_mel_steps_after_that_of_the_one_before():
    middles = [sum(frame_middle_step(frame)) for frame in range(-2, 20)]
    assert abs(middles[2] - 1.6) < 1e-9  # 0.02 s of 80 steps a second
    assert all(abs(after - before - 3.2) < 1e-9 for before, after in pairwise(middles))
    assert all(0 <= share < 1 for _, share in map(frame_middle_step, range(-2, 20)))
