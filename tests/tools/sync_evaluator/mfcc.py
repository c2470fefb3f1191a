"""A waveform comes in, mel-frequency cepstral coefficients go out: those that LR-ASD was trained on.

They are the defaults of python_speech_features 0.6: frames of 25 ms every 10 ms without a window, a pre-emphasis of
.97 over the whole signal, 26 triangular filters on the mel scale (whose corners are rounded down to bins of a 512-point
FFT), 13 coefficients of the orthonormal DCT-II, a lifter of 22, and the log energy in place of the first coefficient.
"""

from __future__ import annotations

import numpy as np

from sadtalker_core.timeline import SAMPLE_RATE_HZ

MFCC_PER_SECOND = 100
N_COEFFICIENTS = 13
HOP = SAMPLE_RATE_HZ // MFCC_PER_SECOND
FRAME = SAMPLE_RATE_HZ // 40
FFT = 512
N_FILTERS = 26
PREEMPHASIS = 0.97
LIFTER = 22
_EPS = np.finfo(np.float64).eps


def mfcc(samples: np.ndarray) -> np.ndarray:
    """(n,) int16 samples, or floats of that scale, at 16 kHz -> (N, 13); the last frame is padded with zeros."""
    from scipy.fft import dct

    samples = np.asarray(samples, np.float64)
    emphasised = np.append(samples[:1], samples[1:] - PREEMPHASIS * samples[:-1])
    n_frames = 1 + max(0, -(-(len(samples) - FRAME) // HOP))
    padded = np.pad(emphasised, (0, (n_frames - 1) * HOP + FRAME - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    power = np.abs(np.fft.rfft(frames, FFT)) ** 2 / FFT
    bands = power @ mel_filters().T
    energy = power.sum(1)
    bands, energy = np.where(bands == 0, _EPS, bands), np.where(energy == 0, _EPS, energy)
    cepstra = dct(np.log(bands), type=2, axis=1, norm="ortho")[:, :N_COEFFICIENTS]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(N_COEFFICIENTS) / LIFTER)
    cepstra[:, 0] = np.log(energy)
    return cepstra


def mel_filters() -> np.ndarray:
    """(26, 257) triangles over the bins of the FFT, from 0 Hz to half the sample rate."""
    top_mel = 2595 * np.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    corners_hz = 700 * (10 ** (np.linspace(0, top_mel, N_FILTERS + 2) / 2595) - 1)
    corners = np.floor((FFT + 1) * corners_hz / SAMPLE_RATE_HZ)
    bins = np.arange(FFT // 2 + 1)
    low, peak, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (bins >= low) & (bins < peak)
    falling = (bins >= peak) & (bins < high)
    return rising * (bins - low) / (peak - low) + falling * (high - bins) / (high - peak)
