"""Blink tracks: the released draws with their trap mended, and ours with a rate, a strength and a seed."""

import random
from itertools import pairwise

import pytest
import torch

from sadtalker_core.errors import OptionError
from sadtalker_core.motion.blink import BLINK, blink_track, chosen_blinks, released_blinks, varied_blinks


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def blinks_in(track):
    """First frames of the blinks; fails where the track is anything but whole blinks with open eyes between them."""
    starts, frame, values = [], 0, track.tolist()
    while frame < len(values):
        if values[frame] == 0:
            frame += 1
            continue
        assert values[frame : frame + 5] == pytest.approx(BLINK)
        starts.append(frame)
        frame += 5
    return starts


@pytest.mark.parametrize("n_frames", [0, 1, 5, 20])
def test_the_released_eyes_stay_open_in_short_clips(n_frames):
    assert released_blinks(n_frames, random.Random(0)).tolist() == [0] * n_frames


def test_21_frames_make_one_blink_where_the_original_fails():
    for seed in range(5):
        assert blinks_in(released_blinks(21, random.Random(seed))) == [10]


@pytest.mark.parametrize("seed", range(8))
def test_released_gaps_are_10_to_69_frames(seed):
    starts = blinks_in(released_blinks(2000, random.Random(seed)))
    gaps = [starts[0]] + [b - a - 5 for a, b in pairwise(starts)]
    assert min(gaps) >= 10 and max(gaps) <= 69 and len(starts) > 20


def test_released_draws_are_those_of_pythons_random():
    """random.seed(3); random.choice(range(10, 50)) -> 40 (100 frames): the first blink begins there."""
    random.seed(3)
    first = random.choice(range(10, 50))
    assert blinks_in(released_blinks(100, random.Random(3)))[0] == first


@pytest.mark.parametrize("n_frames", [*range(0, 40), 400])
def test_any_length_gets_whole_blinks(n_frames):
    for seed in range(5):
        track = blink_track(n_frames, generator=seeded(seed))
        assert track.shape == (n_frames,)
        blinks_in(track)


@pytest.mark.parametrize("rate", [5.0, 15.0, 30.0, 60.0])
def test_the_rate_is_what_was_asked_for(rate):
    minutes = 40
    track = blink_track(minutes * 60 * 25, per_minute=rate, generator=seeded())
    assert len(blinks_in(track)) / minutes == pytest.approx(rate, rel=0.12)


def test_gaps_differ_and_are_never_hectic():
    starts = blinks_in(blink_track(25 * 600, generator=seeded()))
    gaps = torch.tensor(starts).diff() - 5
    assert gaps.min() >= 7 and gaps.float().std() > 20


def test_most_short_clips_have_a_blink():
    n_with = sum(bool(blinks_in(blink_track(100, generator=seeded(seed)))) for seed in range(50))
    assert n_with > 40


def test_the_same_seed_blinks_the_same_and_longer_clips_begin_the_same():
    track = blink_track(500, generator=seeded(7))
    assert torch.equal(track, blink_track(500, generator=seeded(7)))
    assert not torch.equal(track, blink_track(500, generator=seeded(8)))
    assert torch.equal(track[:300], blink_track(1000, generator=seeded(7))[:300])


def test_strength_scales_and_zero_is_off():
    full = blink_track(500, generator=seeded())
    torch.testing.assert_close(blink_track(500, strength=0.5, generator=seeded()), full / 2)
    assert not blink_track(500, strength=0, generator=seeded()).any()
    assert not blink_track(500, per_minute=0, generator=seeded()).any()


def test_nothing_global_is_drawn_from():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    blink_track(500, generator=seeded())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "options",
    [{"per_minute": -1}, {"per_minute": 61}, {"per_minute": float("nan")}, {"strength": -0.1}, {"strength": 1.6}],
)
@pytest.mark.parametrize("draw", [blink_track, varied_blinks])
def test_impossible_blinks_get_a_sentence(options, draw):
    with pytest.raises(OptionError, match="expected a blink"):
        draw(100, generator=seeded(), **options)


def test_the_original_choice_draws_what_the_original_draws_with_that_seed():
    for seed in (0, 7, 2**64 - 1):
        track = chosen_blinks("original", 1500, seed=seed)
        assert torch.equal(track, released_blinks(1500, random.Random(seed)))
        assert torch.equal(track, chosen_blinks("original", 1500, seed=seed, per_minute=3))
    assert not torch.equal(chosen_blinks("original", 1500, seed=0), chosen_blinks("original", 1500, seed=1))
    assert blinks_in(chosen_blinks("original", 21)) == [10]


def test_the_original_blinks_about_34_times_a_minute():
    minutes = 60
    assert len(blinks_in(chosen_blinks("original", minutes * 1500))) / minutes == pytest.approx(33.7, abs=1)


def test_the_choices_are_ours_none_and_the_originals():
    assert torch.equal(
        chosen_blinks("auto", 500, per_minute=30, seed=3), blink_track(500, per_minute=30, generator=seeded(3))
    )
    assert not chosen_blinks("off", 500, per_minute=30).any()
    torch.testing.assert_close(chosen_blinks("original", 500, strength=0.5), chosen_blinks("original", 500) / 2)


def test_no_choice_draws_from_the_global_generator():
    state, python = torch.get_rng_state(), random.getstate()
    for choice in ("auto", "original"):
        chosen_blinks(choice, 500)
    assert torch.equal(torch.get_rng_state(), state) and random.getstate() == python


def test_an_unknown_choice_and_strength_get_a_sentence():
    with pytest.raises(OptionError, match="blink: expected one of auto, off, original, got 'sometimes'"):
        chosen_blinks("sometimes", 100)
    with pytest.raises(OptionError, match="expected a blink strength"):
        chosen_blinks("original", 100, strength=1.6)


# ---- blinks of two lids ----------------------------------------------------------------------------------------------


def varied_in(track):
    """(T, 2) -> the lids of each blink (or two, where it came twice), (n, 2)."""
    shut = torch.nn.functional.pad((track > 0).any(1).int(), (1, 1)).diff()
    edges = zip(torch.nonzero(shut == 1)[:, 0], torch.nonzero(shut == -1)[:, 0], strict=True)
    return [track[a:b] for a, b in edges]


@pytest.fixture(scope="module")
def varied():
    return varied_in(varied_blinks(25 * 60 * 40, generator=seeded()))


def test_varied_blinks_come_as_often_as_was_asked_for(varied):
    assert len(varied) / 40 == pytest.approx(18, rel=0.12)
    sparse = varied_in(varied_blinks(25 * 60 * 40, per_minute=5, generator=seeded(1)))
    assert len(sparse) / 40 == pytest.approx(5, rel=0.12)


def test_varied_blinks_differ_in_length_and_depth(varied):
    """Two real speakers: shut by half or more for 3.4 to 4 frames."""
    depths = torch.stack([lids.amax() for lids in varied])
    frames = torch.tensor([float((lids.mean(1) > lids.amax() / 2).sum()) for lids in varied])
    assert 3.2 < frames.mean() < 4.8 and frames.std() > 0.7
    assert 0.1 < (depths < 0.93).float().mean() < 0.3 and (depths == 1).float().mean() > 0.6
    assert depths.min() > 0.3


def test_the_lids_of_a_blink_are_not_the_same_and_none_is_always_the_deeper(varied):
    apart = torch.stack([lids[:, 0].amax() - lids[:, 1].amax() for lids in varied])
    assert 0.02 < apart.abs().mean() < 0.12
    assert 0.4 < (apart[apart != 0] > 0).float().mean() < 0.6


def test_some_blinks_come_twice(varied):
    """Within one blink the lids then rise and fall again."""

    def falls(lids):
        down = lids.mean(1).diff() > 0.02
        return int((down[1:] & ~down[:-1]).sum()) + int(down[0])

    assert 0.03 < sum(falls(lids) > 1 for lids in varied) / len(varied) < 0.2


def test_lids_fall_faster_than_they_rise(varied):
    falling = sum(int((lids.mean(1).diff() > 0).sum()) for lids in varied)
    rising = sum(int((lids.mean(1).diff() < 0).sum()) for lids in varied)
    assert rising > 1.4 * falling


def test_longer_clips_begin_with_the_same_blinks():
    track = varied_blinks(600, generator=seeded(7))
    assert torch.equal(track, varied_blinks(600, generator=seeded(7)))
    assert not torch.equal(track, varied_blinks(600, generator=seeded(8)))
    assert torch.equal(track[:400], varied_blinks(2000, generator=seeded(7))[:400])


def test_varied_blinks_are_scaled_and_turned_off():
    full = varied_blinks(1000, generator=seeded())
    torch.testing.assert_close(varied_blinks(1000, strength=0.5, generator=seeded()), full / 2)
    for options in ({"strength": 0}, {"per_minute": 0}):
        assert not varied_blinks(1000, generator=seeded(), **options).any()
    assert varied_blinks(0, generator=seeded()).shape == (0, 2)


def test_blinks_gather_where_they_are_invited():
    pace = torch.ones(6000)
    pace[:3000] = 3.0
    first, second = (len(varied_in(half)) for half in varied_blinks(6000, generator=seeded(), pace=pace).split(3000))
    assert first > 1.8 * second and (first + second) / 4 == pytest.approx(18, rel=0.2)
    assert not varied_in(varied_blinks(500, generator=seeded(), pace=torch.zeros(500)))
