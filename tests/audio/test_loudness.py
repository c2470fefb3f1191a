"""Loudness by ITU-R BS.1770: the standard's own numbers, and that whispers and shouts reach the networks alike."""

import math

import pytest
import torch

from sadtalker_core.audio.loudness import gain_to_target, k_weighting, measure, pieces_of
from sadtalker_core.audio.speech import encode_speech
from sadtalker_core.errors import AudioError, OptionError

#: tables 1 and 2 of BS.1770, for 48 kHz
SHELF = ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585))
HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))


def a_sine(decibels, seconds=3.0, pitch_hz=997.0, rate_hz=48_000):
    return 10 ** (decibels / 20) * torch.sin(2 * math.pi * pitch_hz * torch.arange(int(seconds * rate_hz)) / rate_hz)


def a_voice(seconds):
    """A buzz of 120 Hz that opens and closes four times a second, at 16 kHz."""
    t = torch.arange(int(16_000 * seconds)) / 16_000
    buzz = sum(torch.sin(2 * math.pi * 120 * k * t) / k for k in range(1, 30))
    return 0.2 * buzz * torch.sin(math.pi * 4 * t).square()


def test_the_filters_at_48_khz_are_the_standards():
    for made, (b, a) in zip(k_weighting(48_000), (SHELF, HIGH_PASS), strict=True):
        assert made.b == pytest.approx(b, abs=1e-8)
        assert made.a == pytest.approx(a, abs=1e-8)


def test_a_sine_of_997_hz_at_full_scale_in_one_channel_has_the_loudness_that_the_standard_gives():
    assert measure(a_sine(0.0), 48_000)[0] == pytest.approx(-3.01, abs=0.01)
    assert measure(a_sine(-20.0), 48_000)[0] == pytest.approx(-23.01, abs=0.01)


def test_the_filter_is_that_of_a_slow_loop_over_the_samples():
    wave = torch.randn(4800, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    filtered = wave.tolist()
    for biquad in k_weighting(48_000):
        x, filtered = filtered, []
        for i, now in enumerate(x):
            out = biquad.b[0] * now
            for k in (1, 2):
                if i >= k:
                    out += biquad.b[k] * x[i - k] - biquad.a[k] * filtered[i - k]
            filtered.append(out)
    power = sum(sample**2 for sample in filtered) / len(filtered)  # shorter than a block: one block
    assert measure(wave, 48_000)[0] == pytest.approx(-0.691 + 10 * math.log10(power), abs=1e-6)


@pytest.mark.slow
def test_pauses_do_not_count():
    """Signals 3 to 5 of EBU Tech 3341 in one channel: quieter parts around a tone leave its loudness as it is."""
    tone = a_sine(-20.0, 30.0, rate_hz=16_000)
    for quiet in (-36.0, -72.0):
        parts = torch.cat([a_sine(quiet, 2.0, rate_hz=16_000), tone, a_sine(quiet, 2.0, rate_hz=16_000)])
        assert measure(parts, 16_000)[0] == pytest.approx(measure(tone, 16_000)[0], abs=0.1)


def test_a_peak_between_the_samples_is_found():
    """A quarter of the sample rate, sampled 45 degrees off its peaks: 3 dB lie between."""
    wave = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(4_000) * math.sqrt(0.5)
    smooth = wave * torch.hann_window(16_000)
    assert 20 * math.log10(smooth.abs().max()) < -3.0
    assert measure(smooth, 16_000)[1] == pytest.approx(0.0, abs=0.1)


def test_pieces_measure_what_the_whole_measures(monkeypatch):
    voice, calls = a_voice(9), []
    whole = measure(voice, 16_000)
    monkeypatch.setattr("sadtalker_core.audio.loudness._STEPS_AT_ONCE", 20)
    assert measure(voice, 16_000, lambda: calls.append(1)) == pytest.approx(whole, abs=1e-3)
    assert len(calls) == pieces_of(len(voice), 16_000) == 5


@pytest.mark.parametrize("decibels", [-30.0, -12.0, 6.0])
def test_a_whisper_and_a_shout_reach_the_networks_alike(decibels):
    voice = 0.3 * a_voice(3)
    loud = encode_speech(voice * 10 ** (decibels / 20), 16_000, loudness="auto")
    plain = encode_speech(voice, 16_000, loudness="auto")
    torch.testing.assert_close(loud.mel, plain.mel, rtol=0, atol=1e-3)
    assert measure(plain.wave, 16_000)[0] == pytest.approx(-23.0, abs=0.01)


def test_off_leaves_the_loudness_alone_and_is_what_an_absent_value_means():
    voice = 0.3 * a_voice(1)
    off, absent = encode_speech(voice, 16_000, loudness="off"), encode_speech(voice, 16_000)
    assert torch.equal(off.mel, absent.mel) and torch.equal(off.wave, voice)


def test_nothing_is_made_louder_than_its_peaks_allow():
    clicks = torch.zeros(16_000 * 3)
    clicks[4_000::8_000] = 0.5
    assert measure(clicks, 16_000)[0] < -30
    made = encode_speech(clicks, 16_000, loudness="auto").wave
    assert measure(made, 16_000)[1] == pytest.approx(-1.0, abs=0.01)
    assert gain_to_target(-40.0, -11.0) == pytest.approx(10 ** (10 / 20))


def test_silence_stays_silence():
    assert encode_speech(torch.zeros(16_000), 16_000, loudness="auto").wave.abs().max() == 0
    assert measure(torch.zeros(100), 16_000) == (-math.inf, -math.inf)
    assert gain_to_target(-math.inf, -math.inf) == 1.0


def test_another_word_is_refused():
    with pytest.raises(OptionError, match="loudness"):
        encode_speech(torch.zeros(16_000), 16_000, loudness="loud")


@pytest.mark.parametrize("wave", [None, [0.0] * 100, torch.zeros(2, 100), torch.zeros(100, dtype=torch.int16)])
def test_what_is_no_wave_has_no_loudness(wave):
    with pytest.raises(AudioError, match="expected"):
        measure(wave, 16_000)


@pytest.mark.parametrize("rate_hz", [0, -1, "16000", None, math.nan])
def test_what_is_no_sample_rate_is_refused(rate_hz):
    with pytest.raises(OptionError, match="rate_hz"):
        measure(torch.zeros(100), rate_hz)
