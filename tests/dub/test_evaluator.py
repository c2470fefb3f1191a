"""The evaluation of dubbing gives the truth full marks, and a video that was not dubbed none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sadtalker_core.dub.dub import DubOptions, dubbed_frames
from sadtalker_core.dub.schedule import SpeechTrack
from sadtalker_core.model import load_model
from tests.dub.videos import gliding, track_of, video_of
from tests.tools.dub_evaluator.measures import COLUMNS, Dubbed, compared
from tests.tools.dub_evaluator.videos import TwoVideos, _with_lips_shut

pytestmark = pytest.mark.slow

N = 5
R, UNDUBBED, SPREAD, ERROR, BEYOND, FLICKER = COLUMNS


@pytest.fixture(scope="module")
def videos() -> TwoVideos:
    """A mouth that opens, and one that closes meanwhile."""
    images, track = gliding(N), track_of(N, jawOpen=0.6)
    opening = torch.linspace(0, 1, N)[:, None]
    made = [
        torch.stack(
            list(dubbed_frames(load_model("mini", []), video_of(images), SpeechTrack(rows, track.speaks), DubOptions()))
        ).numpy()
        for rows in (track.weights * opening, track.weights * opening.flip(0))
    ]
    return TwoVideos(made[0], made[1], (np.zeros(1), np.zeros(1)), np.zeros((2, N, 52)))


def test_the_truth_has_no_error_and_an_undubbed_video_all_of_it(videos):
    masks = np.zeros(videos.first.shape[:3], np.float32)
    masks[:, 120:200, 70:180] = 1
    masks[:, 120:122] = 0.5
    points = np.zeros((N, 468, 3))
    true, none = (compared(videos, Dubbed(frames, masks, points)) for frames in (videos.second, videos.first))
    assert (true[R], true[ERROR], true[SPREAD]) == (pytest.approx(1), 0, pytest.approx(1))
    assert none[R] < 0 and none[R] == none[UNDUBBED]
    assert (none[ERROR], none[BEYOND], none[FLICKER]) == (pytest.approx(1), 0, pytest.approx(1))


def test_a_change_beyond_the_mask_is_noticed(videos):
    masks = np.zeros(videos.first.shape[:3], np.float32)
    masks[:, 120:200, 70:180] = 1
    masks[:, 120:122] = 0.5
    frames = videos.second.copy()
    frames[2, 10, 10] += 40
    assert compared(videos, Dubbed(frames, masks, np.zeros((N, 468, 3))))[BEYOND] >= 40


def test_lips_that_are_pressed_are_shut():
    rows = np.zeros((2, 52))
    rows[:, [24, 33]] = 0.5, 0.4  # jawOpen, mouthLowerDownLeft
    rows[1, [35, 36]] = 0.3  # mouthPress
    shut = _with_lips_shut(rows)
    assert (shut[0] == rows[0]).all()
    assert (shut[1, 26], shut[1, 33], shut[1, 24]) == (0.5, 0.0, 0.5), "mouthClose takes back what the jaw opens"
