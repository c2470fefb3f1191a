"""Which image a player shows at each 25th of a second, by time stamps alone."""

import numpy as np
import pytest

from sadtalker_core.errors import VideoError
from sadtalker_core.playback import resample_frames_to_25


def shown(stamps, rate=25.0, lasts=None, **how):
    """Which images are shown, by their place; the last stays for `lasts`."""
    stays = [*[None] * (len(stamps) - 1), lasts][: len(stamps)]
    return list(resample_frames_to_25(zip(stamps, stays, range(len(stamps)), strict=True), rate, lambda i: i, **how))


@pytest.mark.parametrize("fps", [10, 12.5, 24000 / 1001, 24, 25, 30000 / 1001, 30, 50, 60, 120])
def test_at_any_rate_it_is_the_last_one_that_has_come(fps):
    stamps = np.arange(round(3 * fps)) / fps
    got = shown(stamps.tolist(), fps)
    assert got == [int((stamps <= k / 25 + 0.002).nonzero()[0][-1]) for k in range(len(got))]
    assert abs(len(got) / 25 - len(stamps) / fps) <= 0.04


def test_a_turn_in_a_screen_recording_comes_when_it_came():
    """Five images in five seconds; their average rate would put the turn at 0.36 s."""
    got = shown([0.0, 1.8, 1.84, 1.88, 4.9], rate=1.0, lasts=0.1)
    assert got[:45] == [0] * 45 and got[45:48] == [1, 2, 3] and len(got) == 125


def test_50_then_12_and_a_half_a_second_keep_their_times():
    stamps = [*np.arange(50) / 50, *(1 + np.arange(12) * 0.08)]
    assert shown(stamps, rate=62 / 1.96) == [*range(0, 50, 2), *(50 + k // 2 for k in range(24))]


def test_time_stamps_rounded_to_a_thousandth_do_not_move_an_image():
    exact = np.arange(300) / 25
    for rounded in (np.floor(exact * 1000) / 1000, np.ceil(exact * 1000) / 1000):
        assert shown(rounded.tolist()) == list(range(300))


def test_until_the_first_image_comes_it_is_used_already():
    stamps = [0.6 + i / 25 for i in range(5)]
    assert shown(stamps, begin=0.0) == [0] * 15 + [0, 1, 2, 3, 4]
    assert shown(stamps) == [0, 1, 2, 3, 4]


def test_sound_that_fills_the_decoder_first_delays_nothing():
    stamps = [0.064 + i / 25 for i in range(5)]
    assert shown(stamps, begin=0.0) == [0, 1, 2, 3, 4]


def test_a_file_that_begins_at_any_other_time_begins_with_its_first_image():
    assert shown([1234.5 + i / 25 for i in range(4)], begin=1234.5) == [0, 1, 2, 3]


def test_images_without_time_stamps_come_at_their_rate():
    assert shown([None] * 6, rate=50.0) == [0, 2, 4]


def test_joined_clips_that_each_count_from_0_follow_one_another():
    assert shown([0.0, 0.04, 0.08, 0.0, 0.04, 0.08]) == [0, 1, 2, 3, 4, 5]


def test_a_last_image_stays_for_its_duration():
    assert shown([0.0, 0.04], lasts=1.0) == [0] + [1] * 25


def test_an_end_that_is_lost_is_reported():
    lengths = []
    assert len(shown([i / 25 for i in range(50)], announced=4.0, broken_off=lengths.append)) == 50
    assert lengths == [pytest.approx(2.0)]
    shown([i / 25 for i in range(50)], announced=2.1, broken_off=lengths.append)
    assert len(lengths) == 1


def test_nothing_comes_of_nothing():
    lengths = []
    assert shown([], broken_off=lengths.append) == [] and lengths == [0.0]


def test_an_image_that_nobody_sees_is_not_made():
    made = []
    images = [(i / 100, None, i) for i in range(40)]
    assert len(list(resample_frames_to_25(images, 100.0, made.append))) == 10 and made == list(range(0, 40, 4))


@pytest.mark.parametrize(
    ("stamps", "how"),
    [
        ([0.0, 0.04, 95_443.7], {}),  # the clock of a broadcast that began anew
        ([95_443.7, 95_443.74], {"begin": 0.0}),
        ([0.0, 0.04], {"lasts": 1e12}),
        ([0.0, 1e300], {}),
        ([0.0, float("nan")], {}),
    ],
)
def test_time_stamps_that_jump_by_a_day_are_refused_before_a_million_images_are_made(stamps, how):
    with pytest.raises(VideoError, match=r"time stamps of the video jump by .* at most 36000"):
        shown(stamps, **how)
