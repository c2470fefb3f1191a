"""A wave in pieces at any sample rate comes in, pieces at 16 kHz go out, the same as of the whole wave at once.

librosa resamples what comes in one piece, and soxr, which librosa calls for that, what comes in several: its streams
keep an hour of sound out of memory and give the same samples, to the bit. Where librosa cannot be imported (an old
numpy, a broken numba), soxr does both; where soxr cannot either, torch does, with a line in the log.
Letters: `n` samples.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from ..errors import IMPORT_ERRORS, import_failure
from ..timeline import SAMPLE_RATE_HZ

#: zero crossings of the sinc on each side, and the share of the band that it keeps: as good as soxr's "HQ" for speech
ZERO_CROSSINGS = 32
PASS_BAND = 0.95
#: products that torch has in memory at once: 16 MB
PRODUCTS_PER_BLOCK = 1 << 21


def resampled(pieces: Iterable[Tensor], sample_rate_hz: float) -> Iterator[Tensor]:
    """Pieces (n,) float32 of a wave, finite -> pieces at 16 kHz; in all n * 16000 / sample_rate_hz samples, give or
    take a few at the end.
    """
    if sample_rate_hz == SAMPLE_RATE_HZ:
        yield from pieces
        return
    pieces = iter(pieces)
    first, second = next(pieces, None), next(pieces, None)
    if first is None:
        return
    if second is None:
        try:
            yield _by_librosa(first, sample_rate_hz)
            return
        except IMPORT_ERRORS as error:
            _warn("librosa", error, "soxr")
        pieces = iter((first,))
    else:
        pieces = chain((first, second), pieces)
    yield from _streamed(pieces, sample_rate_hz)


def _by_librosa(wave: Tensor, sample_rate_hz: float) -> Tensor:
    import librosa

    whole = librosa.resample(wave.numpy(), orig_sr=sample_rate_hz, target_sr=SAMPLE_RATE_HZ, res_type="soxr_hq")
    return torch.from_numpy(whole)


def _streamed(pieces: Iterable[Tensor], sample_rate_hz: float) -> Iterator[Tensor]:
    try:
        import soxr

        stream = soxr.ResampleStream(sample_rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
    except IMPORT_ERRORS as error:
        _warn("soxr", error, "torch")
        yield from by_sinc(pieces, sample_rate_hz)
        return
    for piece in pieces:
        yield torch.from_numpy(stream.resample_chunk(piece.numpy()))
    yield torch.from_numpy(stream.resample_chunk(np.empty(0, np.float32), last=True))


def _warn(package: str, error: Exception, instead: str) -> None:
    logging.warning("SadTalker: %s fails (%s), so %s resamples the audio.", package, import_failure(error), instead)


def by_sinc(pieces: Iterable[Tensor], sample_rate_hz: float) -> Iterator[Tensor]:
    """The same by torch alone: each sample is a sum over the wave around it, weighted by a sinc under a Hann window.

    Own code, because torchaudio takes no rates that are not whole numbers and no waves in pieces.
    """
    step = sample_rate_hz / SAMPLE_RATE_HZ  # samples that come in for each that goes out
    band = PASS_BAND * min(1.0, 1 / step)
    reach = math.ceil(ZERO_CROSSINGS / band)
    taps = torch.arange(-reach, reach + 1)
    at_once = max(PRODUCTS_PER_BLOCK // len(taps), 1)
    held, first_held, n_made = torch.zeros(reach), -reach, 0
    for piece in chain(pieces, (torch.zeros(2 * reach),)):
        held = torch.cat([held, piece])
        n_makeable = max(math.floor((first_held + len(held) - reach - 1) / step), n_made)
        for start in range(n_made, n_makeable, at_once):
            places = torch.arange(start, min(start + at_once, n_makeable), dtype=torch.float64) * step
            nearest = places.floor().long()
            distance = (taps - (places - nearest)[:, None]).float() * band
            weights = torch.sinc(distance) * torch.cos(distance * (math.pi / 2 / ZERO_CROSSINGS)).square() * band
            weights = weights.masked_fill(distance.abs() >= ZERO_CROSSINGS, 0)
            around = held.unfold(0, len(taps), 1)[nearest - reach - first_held]
            yield (around * weights).sum(dim=1)
        n_made = n_makeable
        unneeded = math.floor(n_made * step) - reach - first_held
        held, first_held = held[unneeded:], first_held + unneeded


__all__ = ["by_sinc", "resampled"]
