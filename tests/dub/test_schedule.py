"""What is on when: how long a dubbed video is, which image is on, what the mouth does at that moment."""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.dub.schedule import DubLength, amount_of, n_frames_of, played
from tests.dub.videos import track_of, video_of

IMAGES = (torch.arange(4.0) / 255)[:, None, None, None].expand(-1, 64, 64, 3)


@pytest.mark.parametrize(("length", "voice_frames", "shown"), [
    ("hold", 7, [0, 1, 2, 3, 3, 3, 3]), ("loop", 10, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]),
    ("bounce", 10, [0, 1, 2, 3, 3, 2, 1, 0, 0, 1]), ("silence", 10, [0, 1, 2, 3]), ("cut", 10, [0, 1, 2, 3]),
    ("hold", 2, [0, 1, 2, 3]), ("loop", 2, [0, 1, 2, 3]), ("silence", 2, [0, 1, 2, 3]), ("cut", 2, [0, 1]),
])  # fmt: skip
def test_each_length_shows_its_images(length, voice_frames, shown):
    video, seconds = video_of(IMAGES), voice_frames / 25
    assert [int(frame[0, 0, 0]) for frame in played(video, seconds, DubLength(length))] == shown
    assert n_frames_of(4, seconds, 25.0, DubLength(length)) == len(shown)


def test_between_two_rows_the_mouth_goes_along_a_straight_line_and_behind_the_voice_it_rests():
    track = track_of(3, jawOpen=0.8)
    jaw = track.weights[0].argmax()
    assert [round(float(track.at(seconds)[0][jaw]), 3) for seconds in (0.0, 0.06, 0.1, 0.12, 1.0)] == [
        0.8, 0.8, 0.4, 0.0, 0.0,
    ]  # fmt: skip
    assert [round(track.at(seconds)[1], 3) for seconds in (0.0, 0.1, 1.0)] == [1.0, 0.5, 0.0]


def test_in_silence_the_video_keeps_its_mouth_as_far_as_is_requested():
    assert amount_of(0.0, 1.0, 1.0) == 0.0
    assert amount_of(1.0, 1.0, 1.0) == 1.0
    assert amount_of(0.0, 1.0, 0.25) == 0.75
    assert amount_of(1.0, 0.5, 0.0) == 0.5
