"""The log says when there is hardly a voice in the audio; it says nothing about voices."""

import logging
import math

import numpy as np
import pytest
import torch

from sadtalker_core.audio.speech import encode_speech
from sadtalker_core.media import read_audio
from tests.tools.comfyui.media import VOICE

RATE_HZ, SECONDS = 16_000, 4


def hello():
    wave, rate_hz = read_audio(VOICE)
    assert rate_hz == RATE_HZ
    return wave[0]


def noise():
    return 0.1 * torch.randn(RATE_HZ * SECONDS, generator=torch.Generator().manual_seed(0))


def brown_noise():
    spectrum = torch.fft.rfft(noise().double())
    wave = torch.fft.irfft(spectrum / torch.arange(len(spectrum)).clamp(min=1))
    return (0.1 * wave / wave.std()).float()


def held_notes(decay=0.0):
    """Chords of an organ, or with a decay those of a piano, two a second."""
    t, rng, chords = torch.arange(RATE_HZ // 2) / RATE_HZ, np.random.default_rng(0), []
    for root in rng.integers(-5, 8, 2 * SECONDS):
        tones = [220 * 2 ** ((root + step) / 12) for step in (0, 4, 7)]
        chord = sum(torch.sin(2 * math.pi * hz * k * t) / k for hz in tones for k in range(1, 12))
        chords.append(0.05 * chord * torch.exp(-decay * t))
    return torch.cat(chords)


def over_the_voice(other, decibels):
    """hello.flac with something else so much below it."""
    voice = hello()
    there = other.repeat(2)[: len(voice)]
    return voice + there * (voice.square().mean() / there.square().mean() / 10 ** (decibels / 10)).sqrt()


def warnings(caplog, wave):
    with caplog.at_level(logging.WARNING):
        encode_speech(wave, RATE_HZ)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    "sound",
    [noise, brown_noise, held_notes, lambda: held_notes(12.0), lambda: over_the_voice(noise(), -5.0)],
    ids=["noise", "brown noise", "organ", "piano", "noise over a voice"],
)
def test_music_and_noise_are_reported_in_one_line(caplog, sound):
    (message,) = warnings(caplog, sound())
    assert "mostly music or noise" in message


@pytest.mark.parametrize(
    "sound",
    [
        hello,
        lambda: 0.01 * hello(),
        lambda: over_the_voice(noise(), 20.0),
        lambda: over_the_voice(held_notes(), 10.0),
        lambda: torch.zeros(RATE_HZ),
        lambda: noise()[:6_400],
    ],
    ids=["voice", "quiet voice", "voice in a room", "voice over music", "silence", "too short to tell"],
)
def test_nothing_is_reported_of_a_voice(caplog, sound):
    assert warnings(caplog, sound()) == []
