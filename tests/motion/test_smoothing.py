"""Savitzky-Golay, held against scipy."""

import pytest
import scipy.signal
import torch

from sadtalker_core.motion.smoothing import smooth


def a_walk(n_frames, n_tracks=6):
    return torch.randn(n_frames, n_tracks, generator=torch.Generator().manual_seed(n_frames)).cumsum(dim=0)


@pytest.mark.parametrize("n_frames", [3, 4, 5, 6, 12, 13, 14, 27, 200])
def test_smoothing_is_scipys(n_frames):
    track = a_walk(n_frames)
    window = 13 if n_frames >= 13 else (n_frames - 1) // 2 * 2 + 1
    expected = scipy.signal.savgol_filter(track.double().numpy(), window, 2, axis=0)
    torch.testing.assert_close(smooth(track).double(), torch.from_numpy(expected), rtol=0, atol=2e-6)


@pytest.mark.parametrize("n_frames", [1, 2])
def test_a_clip_too_short_for_a_parabola_stays_as_it_is(n_frames):
    track = a_walk(n_frames)
    smoothed = smooth(track)
    assert torch.equal(smoothed, track)
    smoothed.zero_()
    assert not torch.equal(smoothed, track)


def test_a_parabola_stays_a_parabola_to_its_ends():
    time = torch.arange(40.0)[:, None]
    parabola = 0.01 * time**2 - 0.3 * time + 2
    torch.testing.assert_close(smooth(parabola), parabola)


def test_smoothing_calms():
    track = a_walk(200)
    assert smooth(track).diff(dim=0).abs().mean() < 0.6 * track.diff(dim=0).abs().mean()


def test_tracks_do_not_touch_each_other():
    track = a_walk(30)
    torch.testing.assert_close(smooth(track)[:, 2:3], smooth(track[:, 2:3]))
