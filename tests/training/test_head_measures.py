"""What is said of how a head moves, of movements whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from sadtalker_core.training import head_measures


def swing(hertz: float, degrees: float, seconds: float = 16) -> np.ndarray:
    """(T, 3) the same sine on every axis."""
    t = np.arange(round(seconds * 25)) / 25
    return np.repeat(degrees * np.sin(2 * np.pi * hertz * t)[:, None], 3, axis=1)


def test_a_sine_has_the_range_the_speed_and_the_frequency_of_a_sine():
    track = swing(0.5, 4)
    np.testing.assert_allclose(head_measures.head_range(track), 8, atol=0.05)
    np.testing.assert_allclose(head_measures.head_speed(track), 4 * 2 * np.pi * 0.5 / np.sqrt(2), rtol=0.02)
    assert head_measures.centroid_hz(track) == pytest.approx(0.5, abs=0.01)


def test_ranges_are_those_of_eight_seconds_and_a_short_clip_is_one_piece():
    climb = np.repeat(np.arange(400.0)[:, None], 3, axis=1)
    np.testing.assert_allclose(head_measures.head_range(climb), 199)
    np.testing.assert_allclose(head_measures.head_range(climb[:50]), 49)


def test_a_head_that_moves_half_of_the_time_rests_the_other_half():
    track = np.concatenate([np.zeros((100, 3)), swing(1, 4, seconds=4)])
    assert head_measures.rests(track) == pytest.approx(0.5, abs=0.06)


def test_a_head_that_returns_at_every_seam_is_caught():
    t = np.arange(641) / 32
    returning = np.repeat(np.abs(np.sin(np.pi * t))[:, None], 3, axis=1)
    assert head_measures.at_seams(returning) == pytest.approx(0, abs=1e-6)
    assert head_measures.at_seams(np.abs(swing(0.2, 3, 60)) + 1) == pytest.approx(1, abs=0.25)


def test_a_nod_with_each_loud_syllable_goes_along_with_the_loudness():
    loud = -20 + 20 * np.sin(np.arange(200) * 0.7)
    nods = np.stack([np.clip(loud, -35, 0), np.zeros(200), np.zeros(200)], axis=1)
    assert head_measures.nods_with_loudness(nods, loud) > 0.9
    assert head_measures.nods_with_loudness(nods, np.zeros(200)) == 0
