"""A voice in a room loses what the room adds late; whatever is dry, or no voice, keeps every bit."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch

from sadtalker_core import pipeline
from sadtalker_core.audio import dereverberation
from sadtalker_core.audio.dereverberation import late_reverberation, reverberation_db, without_reverberation
from sadtalker_core.audio.mel import mel_spectrogram
from sadtalker_core.audio.speech import encode_speech, idle_speech
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, CropMode, FaceCoefficients, SpeechWindows
from sadtalker_core.families.networks import EXPNET
from sadtalker_core.media import read_audio
from sadtalker_core.model import assemble_mini
from sadtalker_core.motion.expression import run_expnet
from sadtalker_core.motion.smoothing import steadied
from tests.tools.comfyui.media import VOICE

RATE_HZ = 16_000
EARLY = RATE_HZ * 30 // 1000


@functools.lru_cache(maxsize=1)
def hello():
    return read_audio(VOICE)[0][0]


def tail(seconds=0.6, seed=0):
    """(m,) the direct sound, and noise that falls by 60 dB in so many seconds and is as strong."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(seed).normal(0, 1, len(t)) * 10 ** (-3 * t / seconds)
    noise[0] = 0
    return np.concatenate([[1.0], noise[1:] / np.sqrt(np.square(noise).sum())])


def in_room(wave, response):
    heard = np.convolve(wave.numpy().astype(np.float64), response)[: len(wave)]
    return torch.from_numpy(heard).float()


def encoded(wave):
    return SpeechWindows(mel_spectrogram(wave), len(wave) // 640, wave)


def noise(seconds):
    return 0.1 * torch.randn(RATE_HZ * seconds, generator=torch.Generator().manual_seed(0))


def organ():
    t, chords = torch.arange(RATE_HZ) / RATE_HZ, []
    for root in (0, 5, 7, 0):
        tones = [220 * 2 ** ((root + step) / 12) for step in (0, 4, 7)]
        chords.append(sum(torch.sin(2 * math.pi * hz * k * t) / k for hz in tones for k in range(1, 8)))
    return 0.05 * torch.cat(chords)


@pytest.mark.parametrize(
    "sound",
    [hello, lambda: 0.01 * hello(), lambda: noise(4), organ, lambda: torch.zeros(RATE_HZ * 4)],
    ids=["voice", "soft voice", "noise", "organ", "silence"],
)
def test_what_is_dry_or_no_voice_stays_the_very_same(sound):
    speech = encode_speech(sound(), RATE_HZ)
    assert without_reverberation(speech) is speech


def test_an_idle_clip_and_a_short_one_stay_the_very_same():
    idle = idle_speech(4)
    assert without_reverberation(idle) is idle
    short = encoded(in_room(hello(), tail())[: 2 * RATE_HZ - 640])
    assert without_reverberation(short) is short


def test_held_notes_are_no_room_even_where_they_pass_for_a_voice(monkeypatch):
    monkeypatch.setattr(dereverberation, "could_be_speech", lambda mel: True)
    speech = encoded(organ())
    assert without_reverberation(speech) is speech


def test_noise_in_a_room_is_no_voice_in_a_room():
    speech = encoded(in_room(noise(4), tail()))
    assert without_reverberation(speech) is speech


@pytest.mark.parametrize("level", [1.0, 0.01])
@pytest.mark.parametrize("seconds", [0.4, 0.9])
def test_a_voice_in_a_room_comes_nearer_to_the_voice_with_its_early_echoes(seconds, level):
    response = tail(seconds)
    heard, early = in_room(level * hello(), response), mel_spectrogram(in_room(level * hello(), response[:EARLY]))
    speech = encoded(heard)
    dry = without_reverberation(speech)
    assert (dry.mel - early).abs().mean() < 0.8 * (speech.mel - early).abs().mean()
    assert dry.n_frames == speech.n_frames and dry.mel.shape == speech.mel.shape
    assert torch.equal(dry.mel, mel_spectrogram(dry.wave))


def test_louder_by_a_factor_stays_louder_by_that_factor():
    heard = in_room(hello(), tail())
    mel = mel_spectrogram(heard)
    once, loud = late_reverberation(heard, mel), late_reverberation(16 * heard, mel)
    torch.testing.assert_close(loud, 16 * once, rtol=0, atol=16e-5 * float(heard.abs().max()))


def an_echo(n_steps, by, delay):
    """(2, n_steps) complex noise, to which `by` of itself comes back after `delay` steps, again and again."""
    sound = torch.randn(2, n_steps, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    for step in range(delay, n_steps):
        sound[:, step] += by * sound[:, step - delay]
    return sound


@pytest.mark.parametrize("delay", [dereverberation.DELAY, dereverberation.DELAY + dereverberation.TAPS - 1])
def test_the_echo_that_was_added_is_predicted(delay):
    sound = an_echo(6000, 0.6, delay)
    wanted = 0.6 * torch.nn.functional.pad(sound, (delay, 0))[:, :6000]
    late = dereverberation._late(sound, 0)
    off = (late - wanted).abs().square().mean() / wanted.abs().square().mean()
    assert off < 0.02  # of 36 numbers that are fitted to 6,000 steps
    assert reverberation_db(sound) == pytest.approx(-10 * math.log10(1 - 0.6**2), abs=0.15)


@pytest.mark.parametrize("delay", [dereverberation.DELAY - 1, dereverberation.DELAY + dereverberation.TAPS])
def test_what_comes_sooner_or_later_than_the_past_that_counts_is_left(delay):
    assert reverberation_db(an_echo(6000, 0.3, delay)) == pytest.approx(0, abs=0.1)


def test_the_past_before_a_piece_is_the_past_of_its_first_steps():
    sound, before = an_echo(3000, 0.6, 20), dereverberation.DELAY + dereverberation.TAPS
    late = dereverberation._late(sound, before)
    wanted = 0.6 * sound[:, before - 20 : 3000 - 20]
    assert (late[:, :20] - wanted[:, :20]).abs().mean() < 0.3 * wanted[:, :20].abs().mean()


def pieces(n_steps):
    step = dereverberation.PIECE - dereverberation.SHARED
    firsts = range(0, max(n_steps - dereverberation.SHARED, 1), step)
    return [(first, min(first + dereverberation.PIECE, n_steps)) for first in firsts]


@pytest.mark.parametrize("n_steps", [1, 1600, 1601, 2800, 2801, 9999])
def test_where_pieces_share_steps_their_parts_make_one(n_steps):
    parts = torch.zeros(n_steps)
    for first, last in pieces(n_steps):
        parts[first:last] += dereverberation._fade(first, last, n_steps)
    torch.testing.assert_close(parts, torch.ones(n_steps))


def test_a_spectrum_becomes_its_wave_again():
    wave, n_fft, hop = noise(1), dereverberation.N_FFT, dereverberation.HOP
    window, n_steps = torch.hann_window(n_fft), 1 + RATE_HZ // hop
    span = dereverberation._padded(wave, -n_fft // 2, (n_steps - 1) * hop + n_fft // 2)
    spectrum = torch.stft(span, n_fft, hop, window=window, center=False, return_complex=True)
    again = torch.zeros_like(wave)
    dereverberation._add(again, spectrum, 0)
    inside = slice(n_fft, -n_fft)
    torch.testing.assert_close(again[inside], wave[inside], rtol=0, atol=1e-6)


def long_voice(seconds):
    return hello().repeat(1 + seconds * RATE_HZ // len(hello()))[: seconds * RATE_HZ]


def test_a_moment_depends_on_nothing_more_than_sixteen_seconds_away():
    heard = in_room(long_voice(30), tail())
    whole = late_reverberation(heard, mel_spectrogram(heard))
    cut = heard[: 16 * RATE_HZ - 1]
    alone = late_reverberation(cut, mel_spectrogram(cut))
    same = 11 * RATE_HZ
    assert (whole[:same] - alone[:same]).abs().max() < 1e-3 * heard.abs().max()  # the last step differs


def test_a_dry_half_keeps_its_bits():
    voice = long_voice(40)
    voice[20 * RATE_HZ :] = in_room(voice[20 * RATE_HZ :], tail())
    late = late_reverberation(voice, mel_spectrogram(voice))
    assert not late[: 11 * RATE_HZ].any() and late[-5 * RATE_HZ :].any()


def test_it_can_be_stopped_after_each_piece():
    calls = []

    def stop():
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    speech = encoded(long_voice(60))
    with pytest.raises(KeyboardInterrupt):
        without_reverberation(speech, stop)
    calls.append(1)
    without_reverberation(speech, lambda: calls.append(1))
    assert len(calls) == 3 + len(pieces(6001))


def test_mini_speaks_by_the_voice_with_less_of_the_room():
    model, calls = assemble_mini(), []
    speech = encoded(in_room(hello(), tail()))
    face = FaceCoefficients.from_crop_rows(torch.zeros(1, 73), family=MINI, crop_mode=CropMode.CROP, pic_size=256)
    (net,) = model.use(EXPNET)
    with torch.inference_mode():
        found = pipeline.predict_expression(
            model, speech, face, blink="off", on_progress=lambda *done: calls.append(done)
        ).coefficients
        jaws = [
            steadied(run_expnet(net, one, face, torch.zeros(one.n_frames)).coefficients)[:, BLENDSHAPE_INDEX["jawOpen"]]
            for one in (without_reverberation(speech), speech)
        ]
    torch.testing.assert_close(found[:, BLENDSHAPE_INDEX["jawOpen"]], jaws[0])
    assert (jaws[0] - jaws[1]).abs().max() > 0.05
    assert calls[0] == (0, speech.n_frames) and calls[-1] == (speech.n_frames, speech.n_frames)
