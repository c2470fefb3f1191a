"""One clean synthetic wave -> the same words through other throats, rooms, telephones and microphones.

Waves are (n,) float64 or float32 mono at 16 kHz. Only `other_throat` changes time; it returns by how much. All
randomness comes from the numpy Generator that is passed in. `noise` also makes the sounds that are no speech: to them
the mouth stays closed.
"""

from __future__ import annotations

import numpy as np

from ...timeline import SAMPLE_RATE_HZ
from .held_chords import held_chords

NOISES = ("white", "pink", "hum", "wind", "music", "crackle")
NOT_SPEECH = NOISES + ("breath", "silence", "chords", "vocoder")


def other_throat(wave: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Played slower or faster: pitch, formants and tempo change together. -> the wave, and its new length over
    the old.
    """
    from scipy.signal import resample_poly

    if rng.random() < 0.3:
        return wave, 1.0
    slower = int(round(100 * rng.uniform(0.84, 1.18)))
    changed = resample_poly(wave, slower, 100)
    return changed, len(changed) / len(wave)


def colour(wave: np.ndarray, rng: np.random.Generator, spread_db: float = 5.0) -> np.ndarray:
    """Another microphone: a smooth random equaliser with ten handles between 0 and 8 kHz."""
    spectrum = np.fft.rfft(wave)
    handles = np.linspace(0, 1, 10) ** 1.6
    gain_db = np.interp(np.linspace(0, 1, len(spectrum)), handles, rng.normal(0, spread_db, len(handles)))
    return np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(wave))


def narrow_band(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A telephone, an old codec, a small loudspeaker: what is below and above is gone."""
    from scipy.signal import butter, sosfilt

    low, high = rng.uniform(40, 320), rng.uniform(2800, 7400)
    return sosfilt(butter(4, [low, high], "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), wave)


def room(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reverberation: the wave and a tail of decaying noise."""
    from scipy.signal import fftconvolve

    n = int(SAMPLE_RATE_HZ * rng.uniform(0.05, 0.4))
    tail = rng.normal(0, 1, n) * np.exp(-np.arange(n) * 6.9 / n)
    tail[: int(0.002 * SAMPLE_RATE_HZ)] = 0
    tail *= 10 ** (-rng.uniform(3, 18) / 20) / np.sqrt(np.square(tail).sum())
    return wave + fftconvolve(wave, tail)[: len(wave)]


def crushed(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Too loud for the converter, or squeezed into eight logarithmic bits."""
    peak = np.abs(wave).max() + 1e-9
    if rng.random() < 0.5:
        return np.clip(wave, -peak * rng.uniform(0.3, 0.8), peak * rng.uniform(0.3, 0.8))
    squeezed = np.sign(wave) * np.log1p(255 * np.abs(wave) / peak) / np.log(256)
    return np.sign(squeezed) * np.expm1(np.abs(np.round(squeezed * 127) / 127) * np.log(256)) / 255 * peak


def noise(n: int, kind: str, rng: np.random.Generator) -> np.ndarray:
    """(n,) of something that is not speech, with a loudness (root mean square) of 1, or zeros for "silence"."""
    t = np.arange(n) / SAMPLE_RATE_HZ
    if kind == "silence":
        return np.zeros(n)
    if kind == "white":
        sound = rng.normal(0, 1, n)
    elif kind == "pink":
        sound = _shaped(n, rng, rng.uniform(0.6, 1.6))
    elif kind == "hum":
        base = rng.choice([50.0, 60.0, 100.0, 120.0, rng.uniform(60, 400)])
        sound = sum(rng.uniform(0, 1) / k * np.sin(2 * np.pi * base * k * t + rng.uniform(0, 6.3)) for k in range(1, 9))
        sound = sound + 0.05 * rng.normal(0, 1, n)
    elif kind == "wind":
        sound = _shaped(n, rng, 2.0) * (0.3 + _slow(n, rng, 1.5))
    elif kind == "crackle":
        sound = 0.02 * rng.normal(0, 1, n)
        per_second = 2 * 200 ** rng.random()
        at = rng.integers(0, max(n, 1), max(1, int(per_second * n / SAMPLE_RATE_HZ)))
        sound[at] += rng.normal(0, 8, len(at))
    elif kind == "breath":
        sound = _shaped(n, rng, rng.uniform(0.2, 0.8)) * _slow(n, rng, 1.2) ** 3
    elif kind == "music":
        sound = _music(n, rng)
    elif kind == "chords":
        sound = held_chords(n, rng)
    elif kind == "vocoder":
        sound = _vocoder(n, rng)
    else:
        raise ValueError(f"expected one of {NOT_SPEECH}, got {kind!r}")
    return sound / (np.sqrt(np.mean(np.square(sound))) + 1e-9)


def recorded(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A whole recording chain, each link at random: band, colour, room, crushing, noise, level. Time stays."""
    wave = colour(wave, rng) if rng.random() < 0.8 else wave
    wave = narrow_band(wave, rng) if rng.random() < 0.25 else wave
    wave = room(wave, rng) if rng.random() < 0.45 else wave
    wave = crushed(wave, rng) if rng.random() < 0.08 else wave
    loudness = np.sqrt(np.mean(np.square(wave))) + 1e-9
    if rng.random() < 0.75:
        kind = rng.choice(NOISES, p=[0.3, 0.3, 0.1, 0.1, 0.15, 0.05])
        wave = wave + noise(len(wave), str(kind), rng) * loudness * 10 ** (-rng.uniform(8, 50) / 20)
    level = 10 ** (-rng.uniform(0, 26) / 20)
    return (wave / (np.abs(wave).max() + 1e-9) * level).astype(np.float32)


def _shaped(n: int, rng: np.random.Generator, steepness: float) -> np.ndarray:
    """Noise whose power falls with frequency ** steepness."""
    spectrum = np.fft.rfft(rng.normal(0, 1, n))
    frequency = np.maximum(np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ), 40.0)
    return np.fft.irfft(spectrum * frequency ** (-steepness / 2), n)


def _slow(n: int, rng: np.random.Generator, per_second: float) -> np.ndarray:
    """A curve in 0..1 that changes its mind a few times a second."""
    points = rng.uniform(0, 1, max(2, int(n / SAMPLE_RATE_HZ * per_second) + 2))
    return np.interp(np.linspace(0, len(points) - 1, n), np.arange(len(points)), points)


def _vocoder(n: int, rng: np.random.Generator) -> np.ndarray:
    """What a mobile makes of a room without a voice: every 20 ms another filter, driven by few pulses."""
    from scipy.linalg import solve_toeplitz
    from scipy.signal import lfilter, resample_poly

    frame, order, steepness = 160, 10, rng.uniform(0.2, 2.5)
    frames = n // (2 * frame) + 2
    rooms = _shaped(frames * frame, rng, steepness).reshape(frames, frame)
    again, pulses = rng.uniform(0, 0.8), int(rng.integers(4, 17))
    driven, state, sound = np.zeros(frame), np.zeros(order), []
    for room in rooms * np.hanning(frame):
        power = np.correlate(room, room, "full")[frame - 1 : frame + order]
        power[0] = power[0] * 1.001 + 1e-12
        filtered = np.concatenate([[1.0], -solve_toeplitz(power[:-1], power[1:])])
        driven = again * np.roll(driven, int(rng.integers(20, 143)))
        driven[rng.integers(0, frame, pulses)] += rng.choice([-1.0, 1.0], pulses)
        left = power[0] + np.dot(filtered[1:], power[1:])
        part, state = lfilter([1.0], filtered, driven * np.sqrt(max(float(left), 1e-12)), zi=state)
        sound.append(part)
    return resample_poly(np.concatenate(sound), 2, 1)[:n]


def _music(n: int, rng: np.random.Generator) -> np.ndarray:
    """Plucked, held or bowed chords over a beat, now and then with a bass, a tune and drums."""
    sound = np.zeros(n)
    beat = int(SAMPLE_RATE_HZ * rng.uniform(0.15, 0.7))
    held = rng.random() < 0.4
    decay = rng.uniform(0, 0.5) if held else rng.uniform(1, 8)
    root = 110 * 2 ** (rng.integers(0, 24) / 12)
    bright, tremble = rng.uniform(0.8, 2.0), rng.uniform(0, 0.01)
    drums, bass, tune = rng.random(3) < (0.5, 0.4, 0.5)
    for start in range(0, n, beat * (3 if held else 1)):
        t = np.arange(min(n - start, beat * (4 if held else 2))) / SAMPLE_RATE_HZ
        swell = np.minimum(1, t / (0.08 if held else 0.004)) * np.minimum(1, (t[-1] - t) / 0.03 + 1e-3)
        wobble = tremble * np.sin(2 * np.pi * 5.5 * t) / 5.5
        for step in rng.choice([0, 3, 4, 5, 7, 9, 12, 16], 3, replace=False):
            pitch = root * 2 ** (step / 12)
            for k in range(1, 9):
                if pitch * k < SAMPLE_RATE_HZ / 2:
                    tone = np.sin(2 * np.pi * pitch * k * (t + wobble) + rng.uniform(0, 6.3))
                    sound[start : start + len(t)] += tone * swell * np.exp(-decay * t) / k**bright
        if bass:
            sound[start : start + len(t)] += 1.5 * np.sin(np.pi * root / 2 * t) * np.exp(-2 * t)
    for start in range(0, n, beat):
        t = np.arange(min(n - start, beat)) / SAMPLE_RATE_HZ
        if tune and rng.random() < 0.8:
            pitch = root * 2 ** (rng.choice([12, 14, 16, 17, 19, 21, 24]) / 12)
            voice = sum(np.sin(2 * np.pi * pitch * k * t) / k**bright for k in range(1, 5) if pitch * k < 8000)
            sound[start : start + len(t)] += voice * np.exp(-2 * t)
        if drums:
            hit = rng.normal(0, 1, len(t)) * np.exp(-rng.uniform(20, 80) * t)
            kick = np.sin(2 * np.pi * 60 * t) * np.exp(-15 * t)
            sound[start : start + len(t)] += 2 * hit * (rng.random() < 0.7) + 2 * kick * (rng.random() < 0.5)
    return sound
