"""A voice of any kind comes in (any sample rate, any number of channels), `SpeechWindows` go out; or none, for idling.

Letters: `B` batch, `C` channels, `n` samples, `T` video frames.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..choices import one_of
from ..datatypes import OnProgress, SpeechWindows
from ..errors import AudioError, OptionError, shorten
from ..timeline import (
    FRAMES_PER_SECOND,
    SAMPLE_RATE_HZ,
    SAMPLES_PER_FRAME,
    frames_in_samples,
    frames_in_seconds,
    mel_steps_in_samples,
    samples_in_frames,
)
from .likeness import could_be_speech
from .loudness import AUTO, LOUDNESS, OFF, gain_to_target, measure, pieces_of
from .mel import N_BANDS, STEPS_PER_CHUNK, mel_spectrogram
from .resample import resampled

EMPTY = "the audio is empty (does the video have an audio track?)."
#: a float wave beyond this is not a loud voice but unscaled integers
LOUDEST_BELIEVABLE = 100.0
#: ten hours
LONGEST_IDLE_S = 36_000
#: samples that are averaged and resampled at once: an hour of stereo is over a gigabyte and shall not be copied
SAMPLES_PER_CHUNK = 1 << 20
#: sample rates outside these are no recordings, and resampling them would take forever
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000.0, 1_000_000.0
#: channels whose average is quieter than the loudest of them by this factor in power (20 dB) cancel each other out
CANCELLED = 0.01


def encode_speech(
    waveform: Tensor, sample_rate_hz: float, *, loudness: str = OFF, on_progress: OnProgress | None = None
) -> SpeechWindows:
    """waveform (n,), (C, n) or (1, C, n): floats in -1..1 or integer PCM -> what the networks read, at 25 fps.

    The channels are averaged, the result is resampled to 16 kHz and cut to whole frames (PARITY.md P1 and P2). Where
    the channels cancel each other out (one is the other upside down), the loudest is taken instead, with a line
    in the log. What is mostly music or noise is accepted, with a line in the log as well.

    loudness: "off" leaves it as it is; "auto" brings it to -23 LUFS (ITU-R BS.1770), with true peaks up to -1 dBTP
    sample_rate_hz: 1,000 to 1,000,000
    on_progress: called with (done, total) pieces of a second or less of work; may raise to stop
    Raises AudioError for no sound, a batch, fewer samples than one frame (1/25 s), samples that are NaN or infinite,
    and a sample rate that is no number in that range.
    """
    loudness = one_of("loudness", loudness, LOUDNESS)
    channels, rate_hz = _checked(waveform), checked_rate(sample_rate_hz)
    step = _steps(channels, rate_hz, loudness == AUTO, on_progress)
    wave = _at_16_khz(channels, rate_hz, step)
    n_frames = frames_in_samples(wave.shape[0])
    if n_frames < 1:
        milliseconds = 1000 * wave.shape[0] / SAMPLE_RATE_HZ
        raise AudioError(
            f"expected at least one video frame of audio ({1000 * SAMPLES_PER_FRAME // SAMPLE_RATE_HZ} ms), "
            f"got {milliseconds:.1f} ms; use longer audio."
        )
    wave = wave[: samples_in_frames(n_frames)]
    if loudness == AUTO:
        wave *= gain_to_target(*measure(wave, SAMPLE_RATE_HZ, step))
    mel = mel_spectrogram(wave, step)
    if not could_be_speech(mel):
        logging.warning(
            "SadTalker: the audio is mostly music or noise; the mouth may not follow it. Connect the voice alone if "
            "you have it."
        )
    return SpeechWindows(mel=mel, n_frames=n_frames, wave=wave)


def idle_speech(seconds: float) -> SpeechWindows:
    """Nobody speaks for a while: windows of zeros, which the released networks take for a calm face (PARITY.md P8).

    Raises OptionError unless at least one frame fits into the time, and for more than LONGEST_IDLE_S.
    """
    if not (0 <= seconds <= LONGEST_IDLE_S and frames_in_seconds(seconds) >= 1):
        raise OptionError(
            f"expected idle_seconds from {1 / FRAMES_PER_SECOND:g} to {LONGEST_IDLE_S}, got {seconds:g}; or use "
            "audio instead."
        )
    n_frames = frames_in_seconds(seconds)
    mel = torch.zeros(mel_steps_in_samples(samples_in_frames(n_frames)), N_BANDS)
    return SpeechWindows(mel=mel, n_frames=n_frames, wave=None)


def checked_rate(sample_rate_hz: object) -> float:
    """Hz. A number of any library will do, the text of one will not."""
    words = f"expected a sample rate from {LOWEST_RATE_HZ:g} to {HIGHEST_RATE_HZ:g} Hz as a number"
    if isinstance(sample_rate_hz, (str, bytes)):
        raise AudioError(f"{words}, got the text {shorten(repr(sample_rate_hz))}.")
    try:
        rate_hz = float(sample_rate_hz)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise AudioError(f"{words}, got {shorten(sample_rate_hz)}.") from error
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise AudioError(f"{words}, got {rate_hz:g}.")
    return rate_hz


def _checked(waveform: Tensor) -> Tensor:
    """-> (C, n), on the CPU, C and n at least 1."""
    if waveform is None:
        raise AudioError(EMPTY)
    if not isinstance(waveform, Tensor):
        raise AudioError(f"expected the waveform as a tensor (channels, samples), got {type(waveform).__name__}.")
    wave = waveform.detach().cpu()
    if wave.dim() == 3:
        if wave.shape[0] > 1:
            raise AudioError(
                f"expected one audio clip, got a batch of {wave.shape[0]}; pick one, or run them one by one."
            )
        wave = wave[0] if wave.shape[0] else wave.reshape(1, 0)
    if wave.dim() == 1:
        wave = wave.unsqueeze(0)
    if wave.dim() != 2:
        raise AudioError(f"expected a waveform (channels, samples), got the shape {tuple(waveform.shape)}.")
    if wave.numel() == 0:
        raise AudioError(EMPTY)
    if wave.is_complex():
        raise AudioError("expected real samples, got complex numbers; connect a waveform, not its spectrum.")
    if wave.dtype == torch.bool:
        raise AudioError("expected samples, got booleans.")
    return wave


def _steps(channels: Tensor, rate_hz: float, measured: bool, on_progress: OnProgress | None) -> Callable[[], None]:
    """What is called after each piece of the work. There are as many: two passes over the samples, one over the mel,
    and one that measures the loudness.
    """
    n_samples = channels.shape[1]
    passes = 1 + (len(channels) > 1)
    n_at_16_khz = math.ceil(n_samples * SAMPLE_RATE_HZ / rate_hz)
    n_mel = mel_steps_in_samples(n_at_16_khz)
    total = passes * math.ceil(n_samples / SAMPLES_PER_CHUNK) + math.ceil(n_mel / STEPS_PER_CHUNK)
    total += pieces_of(samples_in_frames(frames_in_samples(n_at_16_khz)), SAMPLE_RATE_HZ) if measured else 0
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(min(done, total), total)

    return step


def _at_16_khz(channels: Tensor, sample_rate_hz: float, step: Callable[[], None]) -> Tensor:
    """(C, n) of any number type -> (m,) float32 in -1..1, as many samples as librosa.resample makes of them."""
    if len(channels) > 1:
        channels = _without_cancelled(channels, step)
    wave = torch.zeros(math.ceil(channels.shape[1] * SAMPLE_RATE_HZ / sample_rate_hz))
    filled = 0
    for piece in resampled(_mono_pieces(channels, step), sample_rate_hz):
        place = wave[filled : filled + len(piece)]
        place.copy_(piece[: len(place)])
        filled += len(place)
    return wave


def _without_cancelled(channels: Tensor, step: Callable[[], None]) -> Tensor:
    """(C, n) -> the same, or (1, n) the loudest channel where their average is 20 dB below it or more.

    A recording whose plugs were swapped holds the voice in one channel and the same upside down in the other: together
    they are silence.
    """
    powers, of_mean = torch.zeros(len(channels), dtype=torch.float64), 0.0
    for piece in channels.split(SAMPLES_PER_CHUNK, dim=1):
        samples = piece.double() - _silence(piece.dtype)
        powers += samples.square().sum(dim=1)
        of_mean += samples.mean(dim=0).square().sum().item()
        step()
    loudest = int(powers.argmax())
    if not of_mean <= CANCELLED * powers[loudest].item() or not powers[loudest].item() > 0:
        return channels
    logging.warning(
        "SadTalker: the %d channels of the audio cancel each other out; channel %d alone is used.",
        len(channels),
        loudest + 1,
    )
    return channels[loudest : loudest + 1]


def _mono_pieces(channels: Tensor, step: Callable[[], None]) -> Iterator[Tensor]:
    for piece in channels.split(SAMPLES_PER_CHUNK, dim=1):
        yield _mono(piece)
        step()  # when the piece has been resampled


def _silence(dtype: torch.dtype) -> int:
    """The sample value of silence: 8-bit PCM, and any other without a sign, has it in the middle of its range."""
    if dtype.is_floating_point or torch.iinfo(dtype).min < 0:
        return 0
    return (torch.iinfo(dtype).max + 1) // 2


def _mono(wave: Tensor) -> Tensor:
    """(C, n) of any number type -> (n,) float32 in -1..1."""
    if not wave.is_floating_point():
        middle = _silence(wave.dtype)
        full_scale = middle or torch.iinfo(wave.dtype).max + 1
        return ((wave.double().mean(dim=0) - middle) / full_scale).float()
    mono = wave.float().mean(dim=0)
    lowest, highest = (extreme.item() for extreme in mono.aminmax())  # a copy of an hour would be 230 MB
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise AudioError("the audio contains NaN or infinite values; export it again.")
    loudest = max(highest, -lowest)
    if loudest > LOUDEST_BELIEVABLE:
        raise AudioError(
            f"expected samples in -1..1, the loudest is {loudest:g}; these look like integers: divide by 32768 first."
        )
    return mono


__all__ = ["EMPTY", "checked_rate", "encode_speech", "idle_speech"]
