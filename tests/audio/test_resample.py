"""Pieces of a wave at any rate become pieces at 16 kHz, by librosa, soxr or torch: the same sound."""

import math
import sys

import librosa
import numpy as np
import pytest
import torch

from sadtalker_core.audio.resample import by_sinc, resampled

RATES = [8000, 11025, 22050, 44099.5, 44100, 48000, 96000]


def noise(n_samples):
    return 0.1 * torch.randn(n_samples, generator=torch.Generator().manual_seed(n_samples))


def speech_like(n_samples, rate_hz):
    """Some tones up to 6.5 kHz, as far as the rate carries them."""
    time = torch.arange(n_samples, dtype=torch.float64) / rate_hz
    return sum(0.1 * torch.sin(2 * torch.pi * hz * time + hz) for hz in (110, 700, 2500, 6500) if hz < 0.42 * rate_hz)


def whole(pieces):
    return torch.cat(list(pieces))


@pytest.mark.parametrize("rate_hz", RATES)
def test_one_piece_is_librosas_and_many_pieces_are_the_same_to_the_bit(rate_hz):
    wave = noise(20_001)
    expected = librosa.resample(wave.numpy(), orig_sr=rate_hz, target_sr=16000, res_type="soxr_hq")
    np.testing.assert_array_equal(whole(resampled([wave], rate_hz)).numpy(), expected)
    pieces = whole(resampled(wave.split(3000), rate_hz)).numpy()
    np.testing.assert_array_equal(pieces[: len(expected)], expected[: len(pieces)])
    assert abs(len(pieces) - len(expected)) <= 1


def test_a_wave_at_16_khz_goes_through_as_it_is():
    wave = noise(1000)
    assert [piece is wave for piece in resampled([wave], 16000.0)] == [True]


def test_a_long_wave_needs_no_librosa(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "librosa", None)
    assert len(whole(resampled(noise(9000).split(3000), 48_000))) == 3000
    assert caplog.messages == []


def test_without_librosa_soxr_gives_the_same_and_the_log_reports_it(monkeypatch, caplog):
    wave = noise(9000)
    expected = whole(resampled([wave], 44_100))
    monkeypatch.setitem(sys.modules, "librosa", None)
    made = whole(resampled([wave], 44_100))
    assert torch.equal(made, expected[: len(made)]) and len(made) >= len(expected) - 1
    assert caplog.messages == [
        "SadTalker: librosa fails (ModuleNotFoundError: import of librosa halted; None in "
        "sys.modules), so soxr resamples the audio."
    ]


@pytest.mark.parametrize("rate_hz", [1000, *RATES, 1_000_000])
def test_without_soxr_torch_gives_the_same_speech_and_the_log_reports_it(rate_hz, monkeypatch, caplog):
    wave = speech_like(int(rate_hz / 2), rate_hz).float()
    expected = whole(resampled([wave], rate_hz))
    for package in ("librosa", "soxr"):
        monkeypatch.setitem(sys.modules, package, None)
    made = whole(resampled(wave.split(3000), rate_hz))[: len(expected)]
    assert len(made) == len(expected) == math.ceil(len(wave) * 16000 / rate_hz)
    torch.testing.assert_close(made[400:-400], expected[400:-400], rtol=0, atol=2e-3)
    assert caplog.messages[-1].startswith("SadTalker: soxr fails (")
    assert caplog.messages[-1].endswith("), so torch resamples the audio.")


def test_by_torch_too_pieces_make_the_same_wave_as_the_whole():
    wave = noise(7001)
    expected = whole(by_sinc([wave], 44_100))
    for size in (97, 700):
        torch.testing.assert_close(whole(by_sinc(wave.split(size), 44_100)), expected, rtol=0, atol=1e-6)


def test_by_torch_what_16_khz_cannot_hold_is_not_audible():
    time = torch.arange(24_000, dtype=torch.float64) / 48_000
    assert whole(by_sinc([torch.sin(2 * torch.pi * 9000 * time).float()], 48_000))[200:-200].abs().max() < 2e-3
