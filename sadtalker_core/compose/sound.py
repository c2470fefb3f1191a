"""A waveform comes in; what a video file takes as its audio goes out, piece by piece.

Letters: `C` channels, `n` samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..errors import AudioError

SAMPLES_PER_CHUNK = 1 << 18

#: 5.1 to stereo: front left, front right, centre, low frequencies, back left, back right
_DOWNMIX_5_1 = torch.tensor([[1, 0, 0.7071, 0, 0.7071, 0], [0, 1, 0.7071, 0, 0, 0.7071]]) / 2.4142


class Sound:
    """A waveform that is made fit for a video piece by piece: one or two channels, cut or filled with silence."""

    def __init__(self, waveform: Tensor, sample_rate_hz: float):
        """waveform (n,), (C, n) or (1, C, n) floats in -1..1. Raises AudioError."""
        wave = waveform.detach()
        if wave.dim() == 3 and wave.shape[0] == 1:
            wave = wave[0]
        if wave.dim() == 1:
            wave = wave.unsqueeze(0)
        if wave.dim() != 2 or 0 in wave.shape:
            raise AudioError(f"expected one waveform (channels, samples), got the shape {tuple(waveform.shape)}.")
        if not wave.is_floating_point():
            raise AudioError(f"expected samples as floats in -1..1, got {wave.dtype}.")
        if not torch.isfinite(torch.stack(wave.aminmax())).all():  # a copy of an hour would be over a gigabyte
            raise AudioError("the audio contains NaN or infinite values.")
        if not (math.isfinite(sample_rate_hz) and sample_rate_hz >= 1):
            raise AudioError(f"expected a sample rate above 0 Hz, got {sample_rate_hz:g}.")
        self.wave = wave
        self.rate_hz = round(sample_rate_hz)
        self.n_channels = min(wave.shape[0], 2)

    def chunks(self, n_samples: int) -> Iterator[np.ndarray]:
        """Yields (m, channels) float32 until n_samples have come; behind the end of the waveform there is silence."""
        for start in range(0, n_samples, SAMPLES_PER_CHUNK):
            n_wanted = min(SAMPLES_PER_CHUNK, n_samples - start)
            piece = to_stereo(self.wave[:, start : start + n_wanted].float().cpu())
            piece = torch.nn.functional.pad(piece, (0, n_wanted - piece.shape[1]))
            yield np.ascontiguousarray(piece.clamp(-1, 1).T.numpy())


def to_stereo(wave: Tensor) -> Tensor:
    """(C, n) -> (1 or 2, n): 5.1 is mixed down as usual, any other number of channels is averaged on both sides."""
    n_channels = wave.shape[0]
    if n_channels <= 2:
        return wave
    if n_channels == 6:
        return _DOWNMIX_5_1 @ wave
    return wave.mean(dim=0).expand(2, -1)
