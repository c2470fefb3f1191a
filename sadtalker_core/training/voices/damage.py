"""A clean voice comes in, the same moments come out as they reach users: over the telephone, the radio, a codec, out of
a compressor, too loud, beside noise or music, in a room, from afar, whispered, shouted.

Waves are (n,) mono at 16 kHz, about -1..1, and keep their length and their moments (codecs are laid back on the voice).
Every function takes what is done to the voice as numbers; `damaged` draws these numbers for training, and whoever
evaluates takes others. All randomness comes from the numpy Generator that is passed in.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...timeline import SAMPLE_RATE_HZ
from . import augment

#: what `damaged` knows
KINDS = (
    "telephone", "radio", "codec", "compressed", "clipped", "noise", "music", "room", "far", "whisper", "shout",
)  # fmt: skip

#: how often each but the last two is drawn: rooms and music, which hurt most, twice as often as the others
_SHARES = np.array([2.0 if kind in ("room", "far", "music") else 1.0 for kind in KINDS[:-2]])
_SHARES /= _SHARES.sum()

#: those that happen to any sound on its way, spoken or not
CHANNELS = ("telephone", "radio", "codec", "compressed", "clipped", "room", "far")

_LOUD = 1e-9
_HIGHEST_HZ = 0.49 * SAMPLE_RATE_HZ


class Codec(NamedTuple):
    """encoder: ffmpeg's name; ending: of the file;  rate_hz: at which it samples;  kbit: a second, 0 for its own."""

    encoder: str
    ending: str
    rate_hz: int = SAMPLE_RATE_HZ
    kbit: int = 0


#: those of training
CODECS = (
    Codec("libmp3lame", "mp3", 16000, 16), Codec("libmp3lame", "mp3", 16000, 24), Codec("libmp3lame", "mp3", 22050, 32),
    Codec("libopus", "ogg", 16000, 6), Codec("libopus", "ogg", 16000, 9), Codec("libopus", "ogg", 16000, 16),
    Codec("aac", "m4a", 16000, 16), Codec("g726", "wav", 8000, 16), Codec("pcm_mulaw", "wav", 8000),
)  # fmt: skip


def loudness(wave: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) + _LOUD


def mixed(wave: np.ndarray, other: np.ndarray, ratio_db: float) -> np.ndarray:
    """The other sound under the voice, `ratio_db` softer."""
    return wave + other * (loudness(wave) / loudness(other) * 10 ** (-ratio_db / 20))


def band(wave: np.ndarray, low_hz: float, high_hz: float, order: int = 6) -> np.ndarray:
    """What is below and above is gone."""
    from scipy.signal import butter, sosfilt

    high_hz = min(high_hz, _HIGHEST_HZ)
    return sosfilt(butter(order, [low_hz, high_hz], "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), wave)


def telephone(wave: np.ndarray, low_hz: float = 300.0, high_hz: float = 3400.0) -> np.ndarray:
    """A narrow band in eight logarithmic bits."""
    return _eight_bits(band(wave, low_hz, high_hz))


def radio(wave: np.ndarray, rng: np.random.Generator, high_hz: float, ratio: float, hiss_db: float) -> np.ndarray:
    """Three bands, each compressed by itself, then limited: a loud and even voice; and hiss."""
    edges = (90.0, 500.0, 1800.0, high_hz)
    bands = [
        compressed(band(wave, low, high, 3), ratio, 30.0, 0.005, 0.12)
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    ]
    even = sum(one / loudness(one) * 10 ** (rng.uniform(-4, 4) / 20) for one in bands)
    even = np.tanh(1.5 * even / (np.percentile(np.abs(even), 99) + _LOUD))
    return band(mixed(even, rng.normal(0, 1, len(wave)), hiss_db), 80.0, high_hz)


def compressed(
    wave: np.ndarray, ratio: float, range_db: float, attack_s: float = 0.005, release_s: float = 0.2
) -> np.ndarray:
    """Automatic gain: what is softer than the loudest moments comes up, by at most `range_db` * (1 - 1 / ratio)."""
    step = SAMPLE_RATE_HZ // 200
    n = -(-len(wave) // step)
    power = np.square(np.pad(wave, (0, n * step - len(wave)))).reshape(n, step).mean(axis=1)
    level, now = np.empty(n), 0.0
    up, down = (float(np.exp(-step / SAMPLE_RATE_HZ / seconds)) for seconds in (attack_s, release_s))
    for i, value in enumerate(power.tolist()):
        keep = up if value > now else down
        now = keep * now + (1 - keep) * value
        level[i] = now
    below_db = 10 * np.log10((level + 1e-12) / (np.percentile(level, 95) + 1e-12))
    gain_db = -np.clip(below_db, -range_db, 6.0) * (1 - 1 / ratio)
    gain = np.interp(np.arange(len(wave)), (np.arange(n) + 0.5) * step, 10 ** (gain_db / 20))
    return wave * gain


def clipped(wave: np.ndarray, over_db: float, soft: bool = False) -> np.ndarray:
    """So much louder than the converter bears; soft: as a tube or tape does."""
    peak = np.percentile(np.abs(wave), 99.9) + _LOUD
    driven = wave / peak * 10 ** (over_db / 20)
    return np.tanh(driven) if soft else np.clip(driven, -1, 1)


def in_room(wave: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The wave through a room's response (m,), whose largest value is the direct sound and stays in its place."""
    from scipy.signal import fftconvolve

    direct = int(np.abs(response).argmax())
    return fftconvolve(wave, response)[direct : direct + len(wave)]


def room_response(rng: np.random.Generator, decay_s: float, direct_db: float, size_s: float = 0.012) -> np.ndarray:
    """A few early echoes and a tail of noise whose high tones die first, -60 dB after `decay_s`.

    direct_db: the direct sound beside all the others;  size_s: when the tail has grown
    """
    n = max(int(SAMPLE_RATE_HZ * decay_s), 64)
    t = np.arange(n) / SAMPLE_RATE_HZ
    noise = rng.normal(0, 1, n)
    slow = band(noise, 60.0, 2000.0, 2)
    tail = slow * np.exp(-6.9 * t / decay_s) + 0.7 * (noise - slow) * np.exp(-6.9 * t / (decay_s * 0.5))
    tail *= 1 - np.exp(-t / size_s)
    for at in rng.uniform(0.002, 4 * size_s, 6):
        place = int(at * SAMPLE_RATE_HZ)
        if 0 < place < n:
            tail[place] += rng.choice([-1, 1]) * rng.uniform(1, 4) * np.exp(-at / size_s / 4)
    tail[0] = 0.0
    tail *= 10 ** (-direct_db / 20) / (np.sqrt(np.square(tail).sum()) + _LOUD)
    # the direct sound must be found again by its size
    tail = np.clip(tail, -0.98, 0.98)
    return np.concatenate([[1.0], tail])


def whispered(wave: np.ndarray, rng: np.random.Generator, tilt_db: float = 6.0) -> np.ndarray:
    """The same mouth without a voice: the spectrum's outline of every moment is kept, its fine structure is noise."""
    from scipy.signal import istft, stft

    settings = {"fs": SAMPLE_RATE_HZ, "nperseg": 512, "noverlap": 384}
    _, _, spectrum = stft(wave, **settings)
    _, _, breath = stft(rng.normal(0, 1, len(wave)), **settings)
    outline = np.log(np.abs(spectrum) + 1e-7)
    cepstrum = np.fft.irfft(outline, axis=0)
    cepstrum[26:-25] = 0
    smooth = np.fft.rfft(cepstrum, axis=0).real
    # a glottis that does not close takes the low tones away
    lift = np.interp(np.linspace(0, 8000, len(smooth)), [0, 400, 1200, 8000], [-3 * tilt_db, -2 * tilt_db, 0, tilt_db])
    shaped = np.exp(smooth) * 10 ** (lift[:, None] / 20) * breath / (np.abs(breath).mean() + _LOUD)
    whisper = istft(shaped, **settings)[1][: len(wave)]
    whisper = np.pad(whisper, (0, len(wave) - len(whisper)))
    return whisper * loudness(wave) / loudness(whisper)


def shouted(wave: np.ndarray, over_db: float, tilt_db: float) -> np.ndarray:
    """Louder voices have brighter sounds (tilt_db at 2.5 kHz), even levels and an overdriven microphone."""
    spectrum = np.fft.rfft(wave)
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE_HZ)
    gain_db = np.interp(hertz, [0, 300, 1000, 2500, 4500, 8000], [-tilt_db, -tilt_db / 2, tilt_db / 2, tilt_db, 0, -3])
    bright = np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(wave))
    return clipped(compressed(bright, 3.0, 24.0, 0.003, 0.08), over_db, soft=True)


def talked_over(wave: np.ndarray, others: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """One to six of the others (n_i,) talk beside the voice, each at a level and from a moment of its own; together
    they are 4 to 20 dB softer.
    """
    sound = np.zeros(len(wave))
    for i in rng.integers(len(others), size=int(rng.integers(1, 7))):
        other = others[i] / loudness(others[i]) * rng.uniform(0.4, 1.0)
        sound += np.roll(np.resize(other, len(wave)), int(rng.integers(len(wave))))
    return mixed(wave, sound, rng.uniform(4, 20))


def coded(wave: np.ndarray, codec: Codec) -> np.ndarray:
    """Through an encoder of imageio-ffmpeg and back. Raises OSError when that program fails."""
    peak = np.abs(wave).max() + _LOUD
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"voice.{codec.ending}"
        rate = ["-b:a", f"{codec.kbit}k"] if codec.kbit else []
        samples = (wave / peak * 0.7 * 32767).astype("<i2").tobytes()
        raw = ["-f", "s16le", "-ar", str(SAMPLE_RATE_HZ), "-ac", "1"]
        wanted = ["-c:a", codec.encoder, "-ar", str(codec.rate_hz), "-ac", "1", *rate]
        ffmpeg([*raw, "-i", "-", *wanted, str(file)], samples)
        decoded = np.frombuffer(ffmpeg(["-i", str(file), *raw, "-"]), "<i2").astype(np.float64)
    return aligned(decoded / 32767 / 0.7 * peak, wave)


def ffmpeg(arguments: list[str], stdin: bytes = b"") -> bytes:
    """imageio-ffmpeg's program, with its input -> its output. Raises OSError with its last words."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True)
    if done.returncode:
        raise OSError(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return done.stdout


def aligned(late: np.ndarray, wave: np.ndarray, furthest_s: float = 0.2) -> np.ndarray:
    """What came late (or early) is laid on the wave, where they agree best; as long as the wave."""
    n = 2 ** int(np.ceil(np.log2(len(late) + len(wave) + 1)))
    agreement = np.fft.irfft(np.fft.rfft(late, n) * np.conj(np.fft.rfft(wave, n)), n)
    reach = int(furthest_s * SAMPLE_RATE_HZ)
    lags = np.arange(-reach, reach + 1)
    lag = int(lags[agreement[lags].argmax()])
    shifted = late[lag:] if lag >= 0 else np.pad(late, (-lag, 0))
    return np.pad(shifted[: len(wave)], (0, max(0, len(wave) - len(shifted))))


def damaged(wave: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """The wave with one of `KINDS`, of random strength."""
    n = len(wave)
    if kind == "telephone":
        return telephone(wave, rng.uniform(180, 420), rng.uniform(2700, 3800))
    if kind == "radio":
        return radio(wave, rng, rng.uniform(3000, 7500), rng.uniform(2, 6), rng.uniform(15, 45))
    if kind == "codec":
        return coded(wave, CODECS[int(rng.integers(len(CODECS)))])
    if kind == "compressed":
        floor = mixed(wave, augment.noise(n, "pink", rng), rng.uniform(25, 50))
        ratio, range_db = rng.uniform(2, 10), rng.uniform(15, 40)
        return compressed(floor, ratio, range_db, rng.uniform(0.002, 0.02), rng.uniform(0.05, 0.5))
    if kind == "clipped":
        return clipped(wave, rng.uniform(3, 20), bool(rng.random() < 0.4))
    if kind == "noise":
        return mixed(wave, augment.noise(n, str(rng.choice(augment.NOISES[:4])), rng), rng.uniform(2, 25))
    if kind == "music":
        return mixed(wave, augment.noise(n, str(rng.choice(["music", "chords"])), rng), rng.uniform(2, 20))
    if kind == "room":
        return in_room(wave, room_response(rng, rng.uniform(0.15, 1.0), rng.uniform(-9, 10), rng.uniform(0.005, 0.03)))
    if kind == "far":
        response = room_response(rng, rng.uniform(0.2, 0.9), rng.uniform(-18, 0), rng.uniform(0.01, 0.03))
        spoken = augment.colour(in_room(band(wave, 100, rng.uniform(3500, 7000), 2), response), rng, 4.0)
        return mixed(
            spoken, augment.noise(n, str(rng.choice(["pink", "pink", "hum", "wind"])), rng), rng.uniform(6, 25)
        )
    if kind == "whisper":
        return whispered(wave, rng, rng.uniform(2, 9))
    if kind == "shout":
        return shouted(wave, rng.uniform(0, 15), rng.uniform(3, 12))
    raise ValueError(f"expected one of {KINDS}, got {kind!r}")


def as_received(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) -> (n,) float32: a whole way to the user: how it is spoken, none to two damages, a recording, a level."""
    if rng.random() < 0.14:
        wave = damaged(wave, str(rng.choice(["whisper", "shout"])), rng)
    for kind in rng.choice(KINDS[:-2], rng.choice([0, 1, 2], p=[0.3, 0.45, 0.25]), replace=False, p=_SHARES):
        wave = damaged(wave, str(kind), rng)
    if rng.random() < 0.6:
        return augment.recorded(wave, rng)
    return (wave / (np.abs(wave).max() + _LOUD) * 10 ** (-rng.uniform(0, 26) / 20)).astype(np.float32)


def _eight_bits(wave: np.ndarray) -> np.ndarray:
    peak = np.abs(wave).max() + _LOUD
    squeezed = np.sign(wave) * np.log1p(255 * np.abs(wave) / peak) / np.log(256)
    return np.sign(squeezed) * np.expm1(np.abs(np.round(squeezed * 127) / 127) * np.log(256)) / 255 * peak
