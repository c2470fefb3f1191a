"""A voice as it reaches users: every damage does what it is named after, and no moment of the voice moves."""

from __future__ import annotations

import numpy as np
import pytest

from sadtalker_core.training.voices import damage
from sadtalker_core.training.voices.damage import Codec

N, BEGIN, END = 16000, 6000, 10000


@pytest.fixture
def wave() -> np.ndarray:
    """A vowel of 120 Hz and its overtones between two silences."""
    t = np.arange(END - BEGIN) / 16000
    vowel = sum(np.sin(2 * np.pi * 120 * k * t + k * k) / k for k in range(1, 40))
    return np.pad(0.1 * vowel, (BEGIN, N - END))


def power(wave: np.ndarray, first: int, last: int) -> float:
    return float(np.square(wave[first:last]).mean())


def share_above(wave: np.ndarray, hertz: float) -> float:
    spectrum = np.square(np.abs(np.fft.rfft(wave)))
    return float(spectrum[np.fft.rfftfreq(len(wave), 1 / 16000) > hertz].sum() / spectrum.sum())


@pytest.mark.parametrize("kind", damage.KINDS)
def test_a_damaged_voice_keeps_its_length_and_moments_and_repeats_with_the_seed(wave, kind):
    for seed in range(2 if kind == "codec" else 4):
        one, again = (damage.damaged(wave, kind, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(one, again)
        assert one.shape == wave.shape and np.isfinite(one).all()
        assert power(one, BEGIN, END) > 1.5 * power(one, 0, BEGIN - 800)
        assert np.abs(one - wave).max() > 1e-3


@pytest.mark.parametrize("codec", [*damage.CODECS[::3], Codec("aac", "m4a", 16000, 24)], ids=str)
def test_a_codec_does_not_shift_the_voice(codec):
    clicks = np.zeros(N)
    clicks[[3000, 8000, 12000]] = 0.5
    voice = damage.band(np.random.default_rng(0).normal(0, 0.1, N) * (np.arange(N) // 2000 % 2) + clicks, 300, 3000, 2)
    degraded = damage.coded(voice, codec)
    blocks = np.square(degraded).reshape(-1, 500).mean(1), np.square(voice).reshape(-1, 500).mean(1)
    by_lag = [np.corrcoef(np.roll(blocks[0], lag), blocks[1])[0, 1] for lag in (-2, -1, 0, 1, 2)]
    assert int(np.argmax(by_lag)) == 2 and by_lag[2] > 0.9


def test_a_codec_that_does_not_exist_is_named(wave):
    with pytest.raises(OSError, match="no_such_codec"):
        damage.coded(wave, Codec("no_such_codec", "wav"))


@pytest.mark.parametrize("delay", [-700, 0, 1105])
def test_what_comes_late_is_laid_back_on_the_voice(wave, delay):
    late = np.pad(wave, (delay, 0)) if delay >= 0 else wave[-delay:]
    np.testing.assert_array_equal(damage.aligned(late, wave), wave)


def test_a_telephone_has_no_high_tones(wave):
    assert share_above(damage.telephone(wave), 4000) < 0.1 * share_above(wave, 4000)


def test_automatic_gain_brings_the_soft_part_up():
    soft_and_loud = np.sin(np.arange(N) * 0.3) * np.where(np.arange(N) < N // 2, 0.02, 0.5)
    even = damage.compressed(soft_and_loud, 8.0, 30.0)
    before, after = (power(x, N // 2 + 4000, N) / power(x, 2000, N // 2) for x in (soft_and_loud, even))
    assert after < before / 30


def test_a_clipped_voice_has_a_flat_top(wave):
    hard = damage.clipped(wave, 15.0)
    assert np.mean(np.abs(hard[BEGIN:END]) == 1.0) > 0.1
    assert np.abs(damage.clipped(wave, 15.0, soft=True)).max() < 1.0


def test_a_room_keeps_the_direct_sound_in_its_place_and_rings_on(wave):
    response = damage.room_response(np.random.default_rng(1), 0.6, -5.0)
    assert response[0] == 1.0 and np.abs(response[1:]).max() < 1.0
    degraded = damage.in_room(wave, np.concatenate([np.zeros(300), response]))
    np.testing.assert_allclose(degraded[:BEGIN], 0, atol=1e-9)
    assert power(degraded, END + 500, END + 2000) > 1e-3 * power(degraded, BEGIN, END)


def test_a_whisper_has_no_pitch_and_the_same_outline(wave):
    whisper = damage.whispered(wave, np.random.default_rng(0), tilt_db=0.0)

    def pitch(sound: np.ndarray) -> float:
        part = sound[BEGIN + 500 : END - 500]
        lag = 16000 // 120
        return float(np.corrcoef(part[:-lag], part[lag:])[0, 1])

    assert pitch(wave) > 0.9 and abs(pitch(whisper)) < 0.3
    one, other = (
        np.log([power(damage.band(x, low, low + 400, 3), BEGIN, END) for low in range(200, 4200, 400)])
        for x in (wave, whisper)
    )
    assert np.corrcoef(one, other)[0, 1] > 0.9


def test_a_shout_is_bright(wave):
    assert share_above(damage.shouted(wave, 0.0, 10.0), 1500) > 1.5 * share_above(wave, 1500)


def test_a_whole_way_to_the_user_repeats_with_the_seed(wave):
    received = [damage.as_received(wave, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(received[0], received[1])
    assert not np.array_equal(received[0], received[2])
    assert received[0].dtype == np.float32 and np.abs(received[0]).max() <= 1.0


def test_others_talk_softly_beside_a_voice(wave):
    others = [np.sin(np.arange(n) * 0.3) for n in (N // 2, 2 * N)]
    for seed in range(4):
        one, again = (damage.talked_over(wave, others, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(one, again)
        softer = 10 * np.log10(np.square(wave).mean() / np.square(one - wave).mean())
        assert 4 - 1e-6 <= softer <= 20 + 1e-6


def test_an_unknown_damage_is_refused_by_name(wave):
    with pytest.raises(ValueError, match="thunder"):
        damage.damaged(wave, "thunder", np.random.default_rng(0))
