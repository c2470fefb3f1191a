"""Savitzky-Golay, held against parabolas that are fitted one window at a time."""

import numpy as np
import pytest
import torch

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.motion.smoothing import smooth, steadied


def random_walk(n_frames, n_tracks=6):
    return torch.randn(n_frames, n_tracks, generator=torch.Generator().manual_seed(n_frames)).cumsum(dim=0)


def smoothed_plainly(track, window):
    """(T,): each frame read off the parabola through the window around it, or through the first or last window."""
    first = [min(max(t - window // 2, 0), len(track) - window) for t in range(len(track))]
    fits = [np.polyfit(np.arange(window), track[start : start + window], 2) for start in first]
    return [np.polyval(fit, t - start) for t, (start, fit) in enumerate(zip(first, fits, strict=True))]


@pytest.mark.parametrize("n_frames", [3, 4, 5, 6, 12, 13, 14, 27, 200])
def test_each_frame_lies_on_the_parabola_of_its_window(n_frames):
    track = random_walk(n_frames)
    window = 13 if n_frames >= 13 else (n_frames - 1) // 2 * 2 + 1
    expected = torch.tensor([smoothed_plainly(column, window) for column in track.double().T.numpy()]).T
    torch.testing.assert_close(smooth(track).double(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_smoothing_computes_in_float64_whatever_comes_in(dtype):
    """A head far from the origin: in float32 the fit itself would tremble."""
    track = (random_walk(40) / 1024).to(dtype) + 8192
    expected = smooth(track.double())
    smoothed = smooth(track)
    assert smoothed.dtype == dtype
    assert torch.equal(smoothed, expected.to(dtype))


@pytest.mark.parametrize("n_frames", [1, 2])
def test_a_clip_too_short_for_a_parabola_stays_as_it_is(n_frames):
    track = random_walk(n_frames)
    smoothed = smooth(track)
    assert torch.equal(smoothed, track)
    smoothed.zero_()
    assert not torch.equal(smoothed, track)


def test_a_parabola_stays_a_parabola_to_its_ends():
    time = torch.arange(40.0)[:, None]
    parabola = 0.01 * time**2 - 0.3 * time + 2
    torch.testing.assert_close(smooth(parabola), parabola)


def test_smoothing_calms():
    track = random_walk(200)
    assert smooth(track).diff(dim=0).abs().mean() < 0.6 * track.diff(dim=0).abs().mean()


def test_tracks_do_not_touch_each_other():
    track = random_walk(30)
    torch.testing.assert_close(smooth(track)[:, 2:3], smooth(track[:, 2:3]))


def test_a_jaw_takes_several_frames_to_open_and_lips_shut_at_once():
    track = torch.zeros(9, 64)
    for name in ("jawOpen", "mouthSmileLeft", "mouthPressLeft", "mouthRollLower", "eyeBlinkLeft"):
        track[4:, BLENDSHAPE_INDEX[name]] = 1.0
    steady = steadied(track)
    for name in ("jawOpen", "mouthSmileLeft"):
        assert steady[:, BLENDSHAPE_INDEX[name]].tolist() == [0, 0, 0, 0.25, 0.75, 1, 1, 1, 1]
    for name in ("mouthPressLeft", "mouthRollLower", "eyeBlinkLeft"):
        column = BLENDSHAPE_INDEX[name]
        assert torch.equal(steady[:, column], track[:, column])


@pytest.mark.parametrize("n_frames", [1, 2])
def test_a_mouth_that_does_not_move_is_not_moved(n_frames):
    held = torch.rand(1, 64, generator=torch.Generator().manual_seed(0)).expand(n_frames, -1)
    torch.testing.assert_close(steadied(held), held)
