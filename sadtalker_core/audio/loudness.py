"""How loud a voice is by ITU-R BS.1770-5, and the one factor that brings it to a common loudness.

A mono wave comes in; LUFS, dBTP and a factor go out. The wave is one channel of weight 1. It is filtered by its
spectrum, a minute at a time, so that hours need no more memory than minutes.

Letters: `n` samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..choices import number_in
from ..errors import AudioError

#: what Audio Encode does about loudness: nothing, or all voices alike
LOUDNESS = ("off", "auto")
OFF, AUTO = LOUDNESS
#: LUFS; the loudness of broadcasts by EBU R 128
TARGET_LUFS = -23.0
#: dBTP; no voice is made louder than to here, however quiet the rest of it is
HIGHEST_PEAK_DB = -1.0
#: LUFS; below this nothing counts, and a wave without anything above it is left as it is
ABSOLUTE_GATE = -70.0
#: LU; blocks this far below the loudness of all counted blocks are pauses
RELATIVE_GATE = -10.0
#: seconds between two blocks, and how many such steps a block of 0.4 s has
STEP_S, STEPS_PER_BLOCK = 0.1, 4
#: a sine of 1 kHz shall have the loudness of its power
_OFFSET_DB = -0.691
#: samples in a second; of fewer a step would have none
LOWEST_RATE_HZ = 10
#: times as many samples, between which a peak may hide
OVERSAMPLING = 4
#: samples around a block by which the filters settle: the high-pass falls by e in a 240th of a second
_SETTLING = 4096
#: steps that are filtered at once, a minute of sound
_STEPS_AT_ONCE = 600


@dataclass(frozen=True)
class Biquad:
    """(b0 + b1/z + b2/z^2) / (1 + a1/z + a2/z^2)."""

    b: tuple[float, float, float]
    a: tuple[float, float, float]

    def response(self, n_fft: int) -> Tensor:
        """(n_fft // 2 + 1,) complex, from 0 to half of the sample rate."""
        numerator = torch.fft.rfft(torch.tensor(self.b, dtype=torch.float64), n_fft)
        return numerator / torch.fft.rfft(torch.tensor(self.a, dtype=torch.float64), n_fft)


def k_weighting(rate_hz: float) -> tuple[Biquad, Biquad]:
    """The head's shelf and the high-pass of BS.1770 for any sample rate.

    The standard gives numbers for 48 kHz; these are the analogue filters that give them, by the bilinear transform.
    """
    gain, middle = 10 ** (3.999843853973347 / 20), 10 ** (3.999843853973347 / 20 * 0.4996667741545416)
    turn = math.tan(math.pi * 1681.974450955533 / rate_hz)
    damped = turn / 0.7071752369554196
    scale = 1 + damped + turn**2
    shelf = Biquad(
        (
            (gain + middle * damped + turn**2) / scale,
            2 * (turn**2 - gain) / scale,
            (gain - middle * damped + turn**2) / scale,
        ),
        (1.0, 2 * (turn**2 - 1) / scale, (1 - damped + turn**2) / scale),
    )
    turn = math.tan(math.pi * 38.13547087602444 / rate_hz)
    damped = turn / 0.5003270373238773
    scale = 1 + damped + turn**2
    return shelf, Biquad((1.0, -2.0, 1.0), (1.0, 2 * (turn**2 - 1) / scale, (1 - damped + turn**2) / scale))


def measure(wave: Tensor, rate_hz: float, on_piece: Callable[[], None] | None = None) -> tuple[float, float]:
    """wave (n,) in -1..1 -> integrated loudness in LUFS and true peak in dBTP; -inf for nothing above the gate.

    A wave shorter than a block of 0.4 s counts as one block.
    on_piece: called after each minute; may raise to stop
    Raises AudioError for anything else than such a wave, and OptionError for no sample rate.
    """
    if not isinstance(wave, Tensor):
        raise AudioError(f"expected the waveform as a tensor (samples,), got {type(wave).__name__}.")
    if wave.dim() != 1 or not wave.is_floating_point():
        raise AudioError(f"expected one channel of samples as floats, got {tuple(wave.shape)} of {wave.dtype}.")
    number_in("rate_hz", rate_hz, LOWEST_RATE_HZ, math.inf)
    step = round(STEP_S * rate_hz)
    powers, peak = [], 0.0
    for weighted, highest in _weighted(wave, rate_hz, step * _STEPS_AT_ONCE):
        peak = max(peak, highest)
        powers += [part.square().sum().item() for part in weighted.split(step)]
        if on_piece is not None:
            on_piece()
    whole = torch.tensor(powers[: wave.shape[0] // step], dtype=torch.float64)
    if len(whole) < STEPS_PER_BLOCK:
        blocks = torch.tensor([sum(powers) / max(wave.shape[0], 1)], dtype=torch.float64)
    else:
        blocks = whole.unfold(0, STEPS_PER_BLOCK, 1).sum(dim=1) / (STEPS_PER_BLOCK * step)
    return _gated(blocks), _db(peak**2)


def pieces_of(n_samples: int, rate_hz: float) -> int:
    """How often `measure` calls on_piece."""
    return math.ceil(n_samples / (round(STEP_S * rate_hz) * _STEPS_AT_ONCE))


def gain_to_target(loudness: float, peak: float) -> float:
    """The factor from a loudness (LUFS) and a true peak (dBTP) to TARGET_LUFS, or as far as HIGHEST_PEAK_DB allows."""
    if not math.isfinite(loudness):
        return 1.0
    return 10 ** (min(TARGET_LUFS - loudness, HIGHEST_PEAK_DB - peak) / 20)


def _gated(blocks: Tensor) -> float:
    """Mean squares of blocks -> LUFS of those that are no pauses."""
    counted = blocks[_loudness(blocks) > ABSOLUTE_GATE]
    if not len(counted):
        return -math.inf
    threshold = _OFFSET_DB + _db(counted.mean().item()) + RELATIVE_GATE
    return _OFFSET_DB + _db(counted[_loudness(counted) > threshold].mean().item())


def _loudness(power: Tensor) -> Tensor:
    return _OFFSET_DB + 10 * power.log10()


def _db(power: float) -> float:
    return 10 * math.log10(power) if power > 0 else -math.inf


def _weighted(wave: Tensor, rate_hz: float, n_at_once: int) -> Iterator[tuple[Tensor, float]]:
    """The K-weighted wave in pieces of so many samples (float64), and the true peak of each before the weighting."""
    n_fft = 1 << (min(n_at_once, wave.shape[0]) + 2 * _SETTLING - 1).bit_length()
    shelf, high_pass = k_weighting(rate_hz)
    response = shelf.response(n_fft) * high_pass.response(n_fft)
    for start in range(0, wave.shape[0], n_at_once):
        n = min(n_at_once, wave.shape[0] - start)
        first = max(start - _SETTLING, 0)
        around = wave[first : start + n + _SETTLING].double()
        spectrum = torch.fft.rfft(around, n_fft)
        weighted = torch.fft.irfft(spectrum * response, n_fft)[start - first :][:n]
        spectrum[-1] /= 2  # the highest frequency stands for two of the longer spectrum
        between = torch.fft.irfft(spectrum, OVERSAMPLING * n_fft) * OVERSAMPLING
        peak = between[OVERSAMPLING * (start - first) :][: OVERSAMPLING * n].abs().max().item()
        yield weighted, peak


__all__ = ["LOUDNESS", "gain_to_target", "k_weighting", "measure"]
