"""A voice of any kind comes in (any sample rate, any number of channels), `SpeechWindows` go out; or none, for idling.

Letters: `B` batch, `C` channels, `n` samples, `T` video frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..datatypes import SpeechWindows
from ..errors import AudioError, OptionError
from ..timeline import (
    SAMPLE_RATE_HZ,
    SAMPLES_PER_FRAME,
    frames_in_samples,
    frames_in_seconds,
    mel_steps_in_samples,
    samples_in_frames,
)
from .mel import N_BANDS, mel_spectrogram

#: a float wave beyond this is no loud voice but integers that somebody forgot to scale
LOUDEST_BELIEVABLE = 100.0
#: samples that are averaged and resampled at once: an hour of stereo is over a gigabyte and shall not be copied
SAMPLES_PER_CHUNK = 1 << 20


def encode_speech(waveform: Tensor, sample_rate_hz: float) -> SpeechWindows:
    """waveform (n,), (C, n) or (1, C, n): floats in -1..1 or integer PCM -> what the nets hear, at 25 frames a second.

    The channels are averaged, the result is resampled to 16 kHz and cut to whole frames (quirks 1 and 2). The
    loudness is left alone. Raises AudioError for no sound, a batch, fewer samples than one frame (1/25 s), and
    samples that are no numbers.
    """
    wave = _at_16_khz(_checked(waveform, sample_rate_hz), sample_rate_hz)
    n_frames = frames_in_samples(wave.shape[0])
    if n_frames < 1:
        milliseconds = 1000 * wave.shape[0] / SAMPLE_RATE_HZ
        raise AudioError(
            f"expected at least one video frame of sound ({1000 * SAMPLES_PER_FRAME // SAMPLE_RATE_HZ} ms), "
            f"got {milliseconds:.1f} ms; connect a longer voice."
        )
    wave = wave[: samples_in_frames(n_frames)]
    return SpeechWindows(mel=mel_spectrogram(wave), n_frames=n_frames, wave=wave)


def idle_speech(seconds: float) -> SpeechWindows:
    """Nobody speaks for a while: windows of zeros, which the released nets take for a calm face (quirk 9).

    Raises OptionError unless at least one frame fits into the time.
    """
    if not (math.isfinite(seconds) and frames_in_seconds(seconds) >= 1):
        raise OptionError(f"expected idle_seconds of at least {1 / 25:g}, got {seconds:g}; or connect a voice instead.")
    n_frames = frames_in_seconds(seconds)
    mel = torch.zeros(mel_steps_in_samples(samples_in_frames(n_frames)), N_BANDS)
    return SpeechWindows(mel=mel, n_frames=n_frames, wave=None)


def _checked(waveform: Tensor, sample_rate_hz: float) -> Tensor:
    """-> (C, n), on the CPU, C and n at least 1."""
    if waveform is None:
        raise AudioError("expected a voice, got no sound (a video without any?); connect one, or set idle_seconds.")
    if not isinstance(waveform, Tensor):
        raise AudioError(f"expected the waveform as a tensor (channels, samples), got {type(waveform).__name__}.")
    if not (math.isfinite(sample_rate_hz) and sample_rate_hz > 0):
        raise AudioError(f"expected a sample rate above 0 Hz, got {sample_rate_hz:g}.")
    wave = waveform.detach().cpu()
    if wave.dim() == 3:
        if wave.shape[0] > 1:
            raise AudioError(f"expected one voice, got a batch of {wave.shape[0]}; pick one, or run them one by one.")
        wave = wave[0] if wave.shape[0] else wave.reshape(1, 0)
    if wave.dim() == 1:
        wave = wave.unsqueeze(0)
    if wave.dim() != 2:
        raise AudioError(f"expected a waveform (channels, samples), got the shape {tuple(waveform.shape)}.")
    if wave.numel() == 0:
        raise AudioError(f"expected a voice, got an empty waveform of the shape {tuple(waveform.shape)}.")
    if wave.is_complex():
        raise AudioError("expected real samples, got complex numbers; connect a waveform, not its spectrum.")
    return wave


def _at_16_khz(channels: Tensor, sample_rate_hz: float) -> Tensor:
    """(C, n) of any number type -> (m,) float32 in -1..1, as many samples as librosa.resample makes of them."""
    wave = torch.zeros(math.ceil(channels.shape[1] * SAMPLE_RATE_HZ / sample_rate_hz))
    filled = 0
    for piece in _resampled(map(_mono, channels.split(SAMPLES_PER_CHUNK, dim=1)), sample_rate_hz):
        room = wave[filled : filled + len(piece)]
        room.copy_(piece[: len(room)])
        filled += len(room)
    return wave


def _mono(wave: Tensor) -> Tensor:
    """(C, n) of any number type -> (n,) float32 in -1..1."""
    if wave.dtype == torch.bool:
        raise AudioError("expected samples, got true and false.")
    if not wave.is_floating_point():
        info = torch.iinfo(wave.dtype)
        middle = 0 if info.min < 0 else (info.max + 1) // 2  # 8-bit PCM has no sign: 128 is silence
        full_scale = (info.max + 1) // (1 if info.min < 0 else 2)
        return ((wave.double().mean(dim=0) - middle) / full_scale).float()
    mono = wave.float().mean(dim=0)
    lowest, highest = (extreme.item() for extreme in mono.aminmax())  # a copy of an hour would be 230 MB
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise AudioError("expected samples that are numbers, got NaN or infinity; the audio is broken.")
    loudest = max(highest, -lowest)
    if loudest > LOUDEST_BELIEVABLE:
        raise AudioError(
            f"expected samples in -1..1, the loudest is {loudest:g}; these look like integers: divide by 32768 first."
        )
    return mono


def _resampled(pieces: Iterable[Tensor], sample_rate_hz: float) -> Iterator[Tensor]:
    """Pieces of a wave (n,) -> pieces at 16 kHz, the same as of the whole wave at once."""
    if sample_rate_hz == SAMPLE_RATE_HZ:
        yield from pieces
        return
    import soxr  # comes with librosa, whose resample is this for a whole wave

    stream = soxr.ResampleStream(sample_rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
    for piece in pieces:
        yield torch.from_numpy(stream.resample_chunk(piece.numpy()))
    yield torch.from_numpy(stream.resample_chunk(np.empty(0, np.float32), last=True))


__all__ = ["encode_speech", "idle_speech"]
