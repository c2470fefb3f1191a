"""A voice in a room comes in, the same voice with less of the room goes out; a dry one stays as it is, to the bit.

Weighted prediction error (Nakatani, Yoshioka, Kinoshita, Miyoshi and Juang, "Speech Dereverberation Based on
Variance-Normalized Delayed Linear Prediction", IEEE Transactions on Audio, Speech and Language Processing 18(7), 2010),
with one microphone. What a room adds late to a band of the spectrum can be predicted from the band's past, speech
itself cannot: the prediction is fitted where the voice is soft, where the room is strongest, and subtracted. How
soft it is then is the mean of 50 ms; by single steps, as in the paper, a quarter of what is gained was lost.

Letters: `n` samples, `N` steps of the short-time Fourier transform (100 a second), `F` bands, `K` steps of the past.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..datatypes import SpeechWindows
from ..timeline import MEL_STEPS_PER_SECOND, SAMPLE_RATE_HZ
from .likeness import could_be_speech
from .mel import mel_spectrogram

N_FFT, HOP = 512, 160
STEPS_PER_SECOND = SAMPLE_RATE_HZ // HOP
#: steps from a moment to the nearest one that predicts it, 30 ms (what comes sooner helps to understand the sound and
#: may be the voice itself), and how many predict it, 360 ms
DELAY, TAPS = 3, 36
ROUNDS = 3
#: steps before and after one that tell how soft the voice is then
_AROUND = 2
#: steps of a piece, which has a prediction of its own, and that two pieces share: 16 s and 4 s
PIECE, SHARED = 16 * STEPS_PER_SECOND, 4 * STEPS_PER_SECOND
#: steps that a prediction needs, 2 s; in fewer it would fit the voice as well
FEWEST = 2 * STEPS_PER_SECOND
#: decibels by which the prediction lowers half of the bands: below DRY_DB nothing is done, from ROOM_DB on all. Dry
#: voices, spoken, whispered, shouted, coded and with music, have up to 0.19, among other talkers below 0.3; in six
#: rooms, with noise and without, 0.46 to 1.45. Held notes, 15 dB, are as predictable as no room makes a voice.
DRY_DB, ROOM_DB, HELD_DB = 0.3, 0.45, 4.0
#: bands by which that is measured, 300 to 3,500 Hz, which all telephones pass, and how many are predicted together
_MEASURED, _TOGETHER = slice(10, 113, 4), 32
#: powers below these parts of a band's mean, and of full scale, count as these
_SOFTEST, _NOTHING = 1e-6, 1e-12


def without_reverberation(speech: SpeechWindows, on_piece: Callable[[], None] | None = None) -> SpeechWindows:
    """The same record where the voice is dry, or is no voice; else one whose mel and wave have less of the room.

    A moment depends on nothing that is more than 16 s away.

    on_piece: called after each piece of the work, some seconds of sound; may raise to stop
    """
    if speech.wave is None:
        return speech
    late = late_reverberation(speech.wave, speech.mel, on_piece)
    if late is None:
        return speech
    wave = speech.wave - late
    return replace(speech, mel=mel_spectrogram(wave, on_piece), wave=wave)


def late_reverberation(wave: Tensor, mel: Tensor, on_piece: Callable[[], None] | None = None) -> Tensor | None:
    """wave (n,) and its mel (n_mel, 80) -> (n,) what comes late of it, or None where no piece is in a room."""
    late, window = None, torch.hann_window(N_FFT)
    n_steps = 1 + len(wave) // HOP
    for first in range(0, max(n_steps - SHARED, 1), PIECE - SHARED):
        last = min(first + PIECE, n_steps)
        before = min(first, DELAY + TAPS)  # steps of the past that the first ones are predicted from
        span = _padded(wave, (first - before) * HOP - N_FFT // 2, (last - 1) * HOP + N_FFT // 2)
        spectrum = torch.stft(span, N_FFT, HOP, window=window, center=False, return_complex=True)
        share = _share_of_room(spectrum, before, mel[_mel_step(first) : _mel_step(last)])
        if share > 0:
            late = torch.zeros_like(wave) if late is None else late
            _add(late, _predicted(spectrum, before) * (share * _fade(first, last, n_steps)), first)
        if on_piece is not None:
            on_piece()
    return late


def _share_of_room(spectrum: Tensor, before: int, mel: Tensor) -> float:
    """0 for a dry piece (F, before + N), for one that is no voice, and for a short one; 1 for one in a room."""
    if spectrum.shape[1] - before < FEWEST or not could_be_speech(mel):
        return 0.0
    found_db = reverberation_db(spectrum[_MEASURED], before)
    return 0.0 if found_db > HELD_DB else min(max((found_db - DRY_DB) / (ROOM_DB - DRY_DB), 0.0), 1.0)


def reverberation_db(bands: Tensor, before: int = 0) -> float:
    """bands (F, before + N) -> by how many decibels the prediction from their past lowers half of them."""
    observed, late = bands[:, before:], _late(bands, before)
    left, whole = (observed - late).abs().square().sum(dim=1), observed.abs().square().sum(dim=1)
    return float((10 * ((whole + _NOTHING) / (left + _NOTHING)).log10()).median())


def _predicted(spectrum: Tensor, before: int) -> Tensor:
    """(F, before + N) complex -> (F, N) what the past predicts of the last N steps."""
    return torch.cat([_late(bands, before) for bands in spectrum.split(_TOGETHER)])


def _late(bands: Tensor, before: int) -> Tensor:
    n_steps = bands.shape[1] - before
    padded = torch.nn.functional.pad(bands, (DELAY + TAPS, 0))
    starts = range(before + TAPS, before, -1)
    past = torch.stack([padded[:, start : start + n_steps] for start in starts], dim=1)  # (F, K, N)
    observed = bands[:, before:]
    late, ridge = torch.zeros_like(observed), torch.eye(TAPS)
    softest = _SOFTEST * observed.abs().square().mean(dim=1, keepdim=True) + _NOTHING
    for _ in range(ROUNDS):
        weight = 1 / _around((observed - late).abs().square()).maximum(softest)
        weighted = (past * weight[:, None]).conj()
        within = (past @ weighted.transpose(1, 2)).to(torch.complex128)
        with_now = (weighted @ observed[..., None]).to(torch.complex128)
        size = within.diagonal(dim1=1, dim2=2).real.mean(dim=1)
        within = within + (_SOFTEST * size + _NOTHING)[:, None, None] * ridge
        taps = torch.linalg.solve(within.transpose(1, 2), with_now).to(bands.dtype)
        late = (taps.transpose(1, 2) @ past)[:, 0]
    return late


def _around(power: Tensor) -> Tensor:
    """(F, N) -> (F, N) each the mean of the steps around it: that of a single step happens to be near nothing, and then
    that step alone would decide the fit.
    """
    width = 2 * _AROUND + 1
    return torch.nn.functional.avg_pool1d(power[:, None], width, 1, _AROUND, count_include_pad=False)[:, 0]


def _fade(first: int, last: int, n_steps: int) -> Tensor:
    """(N,) the part that a piece has in each of its steps: where two share steps, both parts make 1."""
    part, ramp = torch.ones(last - first), (torch.arange(SHARED) + 0.5) / SHARED
    if first > 0:
        part[:SHARED] = ramp
    if last < n_steps:
        part[-SHARED:] = 1 - ramp
    return part


def _padded(wave: Tensor, first: int, last: int) -> Tensor:
    """Samples first <= i < last, zeros beyond the wave."""
    inside = wave[max(first, 0) : min(last, len(wave))]
    return torch.nn.functional.pad(inside, (max(-first, 0), max(last - len(wave), 0)))


def _add(whole: Tensor, spectrum: Tensor, first: int) -> None:
    """The steps (F, N), the first of which is centred on sample HOP * first, are added to the wave (n,)."""
    window = torch.hann_window(N_FFT)
    scale = torch.nn.functional.pad(window.square(), (0, -N_FFT % HOP)).view(-1, HOP).sum(dim=0)
    pieces = torch.fft.irfft(spectrum, N_FFT, dim=0) * (window / scale.repeat(N_FFT // HOP + 1)[:N_FFT])[:, None]
    n = (spectrum.shape[1] - 1) * HOP + N_FFT
    added = torch.nn.functional.fold(pieces[None], (1, n), (1, N_FFT), stride=(1, HOP))[0, 0, 0]
    begin = first * HOP - N_FFT // 2
    start, stop = max(begin, 0), min(begin + n, len(whole))
    whole[start:stop] += added[start - begin : stop - begin]


def _mel_step(step: int) -> int:
    return step * MEL_STEPS_PER_SECOND // STEPS_PER_SECOND


__all__ = ["late_reverberation", "reverberation_db", "without_reverberation"]
