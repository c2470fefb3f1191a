"""Mono samples at 16 kHz come in, a mel spectrogram goes out, as the released networks were trained on it.

Letters: `n` samples, `n_mel` steps (one every 200 samples, 80 a second), 80 mel bands.
The recipe is Wav2Lip's: pre-emphasis, magnitude (not power) of a centred Fourier transform, Slaney's mel bands,
decibels, and a straight line that brings -100..0 dB to -4..4. Everything is computed in float64 and rounded once at
the end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..timeline import MEL_HOP, mel_steps_in_samples

MEL_BANDS_FILE = Path(__file__).resolve().parent.parent / "assets" / "mel_bands.safetensors"

N_FFT = 800
N_BANDS = 80
LOWEST_HZ = 55.0
HIGHEST_HZ = 7600.0
PRE_EMPHASIS = 0.97
REFERENCE_DB = 20.0
QUIETEST_DB = -100.0
LARGEST = 4.0

#: steps that are transformed at once: 800 float64 samples each, 26 MB, however long the voice is
STEPS_PER_CHUNK = 4096


def mel_spectrogram(wave: Tensor, on_chunk: Callable[[], None] | None = None) -> Tensor:
    """wave (n,) in -1..1, n >= 1 -> (n_mel, 80) float32 in -4..4, with n_mel = 1 + n // 200. Silence is -4.

    on_chunk: called after every STEPS_PER_CHUNK steps; may raise to stop
    """
    n_mel = mel_steps_in_samples(wave.shape[0])
    window = torch.hann_window(N_FFT, periodic=True, dtype=torch.float64)
    bands = slaney_mel_bands().double().T
    margin = N_FFT // 2  # step i is centred on sample 200 i; what lies outside the wave is zero
    mel = torch.empty(n_mel, N_BANDS)
    for start in range(0, n_mel, STEPS_PER_CHUNK):
        stop = min(start + STEPS_PER_CHUNK, n_mel)
        span = _emphasised(wave, start * MEL_HOP - margin, (stop - 1) * MEL_HOP + margin)
        magnitude = torch.fft.rfft(span.unfold(0, N_FFT, MEL_HOP) * window).abs()
        mel[start:stop] = _decibels_to_range(magnitude @ bands)
        if on_chunk is not None:
            on_chunk()
    return mel


def _emphasised(wave: Tensor, first: int, last: int) -> Tensor:
    """y[i] = x[i] - 0.97 x[i - 1] for first <= i < last in float64; zero outside 0..n, without a tail at n."""
    n = wave.shape[0]
    inside = wave[max(first - 1, 0) : min(last, n)].double()
    if first <= 0:
        inside = F.pad(inside, (1, 0))
    emphasised = inside[1:] - PRE_EMPHASIS * inside[:-1]
    return F.pad(emphasised, (max(-first, 0), max(last - n, 0)))


def _decibels_to_range(magnitude: Tensor) -> Tensor:
    decibels = 20 * torch.log10(magnitude.clamp(min=10 ** (QUIETEST_DB / 20))) - REFERENCE_DB
    return (2 * LARGEST * (decibels - QUIETEST_DB) / -QUIETEST_DB - LARGEST).clamp(-LARGEST, LARGEST)


def slaney_mel_bands() -> Tensor:
    """(80, 401) float32: triangles on Slaney's mel scale from 55 to 7600 Hz, each of unit area.

    What `librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)` makes, to the bit;
    training/mel_bands.py wrote it into a file.
    """
    return _slaney_mel_bands().clone()


@functools.lru_cache(maxsize=1)
@torch.inference_mode(False)
def _slaney_mel_bands() -> Tensor:
    from safetensors.torch import load_file

    return load_file(MEL_BANDS_FILE)["bands"].clone()  # a copy: what is only mapped changes with the file
