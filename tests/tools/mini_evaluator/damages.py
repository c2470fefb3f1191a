"""Ten and more ways in which a voice reaches users, with kinds and numbers that training does not have: other codecs,
talkers and machines as noise, another musician, rooms built from mirrored walls.

A damage takes a wave (n,) at 16 kHz and gives it back as long; the same wave gives the same. `music_alone` and `noises`
are sounds without a voice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sadtalker_core.timeline import SAMPLE_RATE_HZ
from sadtalker_core.training.voices import damage
from sadtalker_core.training.voices.damage import Codec

Place = tuple[float, float, float]
Damage = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def mirrored_room(size_m: Place, source: Place, ear: Place, bounce: float) -> np.ndarray:
    """The response of a box by its mirror images (Allen and Berkley 1979). bounce: of the pressure at each wall."""
    longest = 0.7
    response = np.zeros(int(longest * SAMPLE_RATE_HZ))
    reach = [int(np.ceil(longest * 343 / (2 * side))) for side in size_m]
    spots = []
    for axis in range(3):
        k = np.arange(-reach[axis], reach[axis] + 1)
        plain = 2 * k * size_m[axis] + source[axis] - ear[axis]
        turned = 2 * k * size_m[axis] - source[axis] - ear[axis]
        spots.append((np.concatenate([plain, turned]), np.concatenate([np.abs(2 * k), np.abs(2 * k - 1)])))
    away = np.sqrt(
        spots[0][0][:, None, None] ** 2 + spots[1][0][None, :, None] ** 2 + spots[2][0][None, None, :] ** 2
    ).ravel()
    bounces = (spots[0][1][:, None, None] + spots[1][1][None, :, None] + spots[2][1][None, None, :]).ravel()
    at = np.round(away / 343 * SAMPLE_RATE_HZ).astype(int)
    inside = at < len(response)
    np.add.at(response, at[inside], (bounce ** bounces[inside] / np.maximum(away[inside], 0.1)))
    first = int(np.flatnonzero(response)[0])
    response = response / response[first]
    response[:first] = 0.0
    response[first + 1 :] = np.clip(response[first + 1 :], -0.99, 0.99)
    return response


def plucked(n: int, rng: np.random.Generator, beat_s: float = 0.27) -> np.ndarray:
    """(n,) strings (Karplus and Strong 1983), bells of modulated frequency, and a drum on every other beat."""
    from scipy.signal import lfilter

    sound, beat = np.zeros(n), int(beat_s * SAMPLE_RATE_HZ)
    scale = 220 * 2 ** (np.array([0, 2, 3, 5, 7, 8, 10, 12, 15]) / 12)
    for number, start in enumerate(range(0, n, beat)):
        length = min(n - start, 4 * beat)
        t = np.arange(length) / SAMPLE_RATE_HZ
        period = int(SAMPLE_RATE_HZ / rng.choice(scale))
        burst = np.zeros(length)
        burst[: min(period, length)] = rng.uniform(-1, 1, min(period, length))
        feedback = np.zeros(period + 2)
        feedback[0], feedback[period], feedback[period + 1] = 1.0, -0.497, -0.497
        sound[start : start + length] += lfilter([1.0], feedback, burst)
        if number % 3 == 0:
            hertz = rng.choice(scale) * 2
            bell = np.sin(2 * np.pi * hertz * t + 2.5 * np.exp(-3 * t) * np.sin(2 * np.pi * 1.41 * hertz * t))
            sound[start : start + length] += 0.4 * bell * np.exp(-4 * t)
        if number % 2 == 0:
            drum = np.sin(2 * np.pi * (50 * t + 6 * (1 - np.exp(-25 * t)))) * np.exp(-14 * t)
            sound[start : start + length] += 1.2 * drum
        else:
            sound[start : start + length] += 0.25 * rng.normal(0, 1, length) * np.exp(-60 * t)
    return sound


def organ(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) held chords with a tremolo, without a beat: what is most like vowels."""
    t = np.arange(n) / SAMPLE_RATE_HZ
    sound, change = np.zeros(n), int(1.1 * SAMPLE_RATE_HZ)
    for start in range(0, n, change):
        length = min(n - start, change + 1600)
        fade = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / 1600)
        for step in rng.choice([-12, -5, 0, 4, 7, 12], 4, replace=False):
            hertz = 196 * 2 ** (step / 12)
            for k, share in ((1, 1.0), (2, 0.7), (3, 0.3), (4, 0.4), (6, 0.2), (8, 0.2)):
                tone = np.sin(2 * np.pi * hertz * k * t[start : start + length] + rng.uniform(0, 6.3))
                sound[start : start + length] += share * fade * tone
    return sound * (1 + 0.2 * np.sin(2 * np.pi * 5.5 * t))


def choir(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) nine people hum and sing one "ah": pulses with a vibrato of their own through the resonances of a throat."""
    from scipy.signal import iirpeak, lfilter

    t = np.arange(n) / SAMPLE_RATE_HZ
    pulses = np.zeros(n)
    for voice in range(9):
        note = np.repeat(rng.choice([0, 3, 5, 7], n // 27_000 + 1), 27_000)[:n] + (0, 4, 12)[voice % 3]
        shaken = 0.3 * np.sin(2 * np.pi * rng.uniform(4.8, 6.2) * t + rng.uniform(0, 6.3)) + rng.normal(0, 0.08)
        turns = np.cumsum(165 * 2 ** ((note + shaken) / 12)) / SAMPLE_RATE_HZ + rng.random()
        pulses += np.diff(np.floor(turns), prepend=0.0)
    smooth = lfilter([1.0], [1.0, -0.95], pulses - pulses.mean())
    vowel = ((690, 1.0), (1180, 0.6), (2550, 0.3))
    sung = sum(share * lfilter(*iirpeak(hertz, 9, SAMPLE_RATE_HZ), smooth) for hertz, share in vowel)
    return sung + 0.03 * damage.loudness(sung) * rng.normal(0, 1, n)


def traffic(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) a low rumble that swells, engines, and now and then a horn."""
    t = np.arange(n) / SAMPLE_RATE_HZ
    rumble = damage.band(rng.normal(0, 1, n), 30, 500, 2) * (1 + 0.6 * np.sin(2 * np.pi * 0.31 * t + rng.uniform(0, 6)))
    engine = np.sign(np.sin(2 * np.pi * (70 + 12 * np.sin(2 * np.pi * 0.2 * t)) * t)) * 0.3
    horn = 0.2 * (np.sin(2 * np.pi * 440 * t) + np.sin(2 * np.pi * 554 * t)) * (np.sin(2 * np.pi * 0.23 * t) > 0.9)
    return rumble + damage.band(engine, 50, 2500, 2) + horn


def talkers(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) a room full of people: the voice itself, six times, backwards and from other moments."""
    n = len(wave)
    return sum(np.roll(wave[::-1], int(rng.integers(n))) * rng.uniform(0.6, 1) for _ in range(6))


def _radio(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return damage.radio(wave, rng, 4500.0, 8.0, 24.0)


def _agc(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return damage.compressed(damage.mixed(wave, rng.normal(0, 1, len(wave)), 35), 20.0, 36.0, 0.01, 0.35)


def _in_a_room(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return damage.in_room(wave, mirrored_room((6.1, 4.7, 2.9), (2.0, 1.5, 1.5), (3.4, 2.6, 1.3), 0.86))


def _far(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    far = damage.in_room(wave, mirrored_room((7.3, 5.2, 3.1), (1.0, 1.2, 1.6), (5.9, 4.1, 1.1), 0.84))
    return 0.05 * damage.mixed(damage.band(far, 120, 5500, 2), traffic(len(wave), rng), 15)


def _whisper(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return damage.whispered(wave, rng, 6.0)


#: the target of `make eval-mini` holds for each
DAMAGES: dict[str, Damage] = {
    "telephone": lambda wave, rng: damage.telephone(wave, 300.0, 3400.0),
    "compressed radio": _radio,
    "mp3, 16 kbit/s": lambda wave, rng: damage.coded(wave, Codec("libmp3lame", "mp3", 16000, 16)),
    "opus, 6 kbit/s": lambda wave, rng: damage.coded(wave, Codec("libopus", "ogg", 16000, 6)),
    "AMR of a mobile, 4.75 kbit/s": lambda wave, rng: damage.coded(wave, Codec("libopencore_amrnb", "amr", 8000, 4)),
    "automatic gain": _agc,
    "clipped by 15 dB": lambda wave, rng: damage.clipped(wave, 15.0),
    "traffic at 8 dB": lambda wave, rng: damage.mixed(wave, traffic(len(wave), rng), 8),
    "other talkers at 10 dB": lambda wave, rng: damage.mixed(wave, talkers(wave, rng), 10),
    "music at 6 dB": lambda wave, rng: damage.mixed(wave, plucked(len(wave), rng), 6),
    "a room": _in_a_room,
    "far microphone": _far,
    "whispered": _whisper,
    "shouted": lambda wave, rng: damage.shouted(wave, 10.0, 9.0),
}

#: the loudest moment of what is heard, of full scale
LEVEL = 0.6
LEVELS = {"far microphone": 0.05, "shouted": 1.0, "clipped by 15 dB": 1.0}


def silences(seconds: float) -> dict[str, np.ndarray]:
    """Nothing, and what microphones hear of nothing: (n,) float32."""
    n = int(seconds * SAMPLE_RATE_HZ)
    rng = np.random.default_rng(7)
    t = np.arange(n) / SAMPLE_RATE_HZ
    hum = np.sin(2 * np.pi * 50 * t) + 0.4 * np.sin(2 * np.pi * 150 * t) + 0.1 * rng.normal(0, 1, n)
    room = damage.band(rng.normal(0, 1, n), 40, 900, 2) + 0.05 * rng.normal(0, 1, n)
    return {
        "digital silence": np.zeros(n, np.float32),
        "hiss at -65 dB": _at(rng.normal(0, 1, n), -65),
        "a quiet room at -50 dB": _at(room, -50),
        "hum at -45 dB": _at(hum, -45),
        "a quiet room by AMR": _at(damage.coded(room, Codec("libopencore_amrnb", "amr", 8000, 4)), -50),
    }


def sounds_without_voice(seconds: float) -> dict[str, np.ndarray]:
    """Loud sounds without a voice: (n,) float32."""
    n = int(seconds * SAMPLE_RATE_HZ)
    rng = np.random.default_rng(11)
    strings = plucked(n, rng)
    return {
        "strings, bells and drums": _at(strings, -20),
        "organ": _at(organ(n, rng), -20),
        "traffic": _at(traffic(n, rng), -25),
        "strings by opus, 6 kbit/s": _at(damage.coded(strings, Codec("libopus", "ogg", 16000, 6)), -20),
        "applause": _at(rng.normal(0, 1, n) * (rng.random(n) < 0.02) + 0.05 * rng.normal(0, 1, n), -22),
        "choir": _at(choir(n, rng), -20),
    }


def _at(wave: np.ndarray, level_db: float) -> np.ndarray:
    return (wave / damage.loudness(wave) * 10 ** (level_db / 20)).clip(-1, 1).astype(np.float32)
