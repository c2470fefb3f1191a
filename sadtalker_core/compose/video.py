"""Frames come in one batch after the other, an mp4 (H.264, AAC) goes out; nothing is kept but what the encoder holds.

Letters: `B` frames of a batch, `H W` their size, `C` channels, `n` samples. The encoder is the ffmpeg that the package
imageio-ffmpeg brings along. It writes to `.part` files beside the target, which gets its name when all is well; on a
failure or an interruption nothing is left behind.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..choices import one_of
from ..errors import AudioError, OptionError, VideoError
from ..saving import full_disk
from .signature import Signature


@dataclass(frozen=True)
class Quality:
    """crf: x264's constant rate factor, 0 lossless to 51.  preset: how hard it searches."""

    crf: int
    preset: str


#: What the node offers; "high" looks like the frames. On a picture of 1920 x 1080 it is as near to them and as large as
#: crf 18 with the preset fast, in 40 % of the time (SSIM 0.9954 and 0.9955).
QUALITIES = {"draft": Quality(28, "veryfast"), "high": Quality(16, "veryfast"), "best": Quality(12, "medium")}

#: written into every file, so that people and machines can tell: the words, the code of the IPTC for such media, and
#: the field that China's GB 45438-2025 asks for (Label 1: made by AI; who offers a service adds its own codes)
AI_MARK = {
    "comment": "AI-generated: this person was animated by SadTalker Nodes.",
    "digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
    "AIGC": '{"Label": "1"}',
}

#: sample rates that every player takes; others are resampled to the first
AUDIO_RATES_HZ = (48_000, 44_100)
AUDIO_BITS_PER_SECOND = 192_000
SAMPLES_PER_CHUNK = 1 << 18
FASTEST_FPS = 1000.0
LARGEST_SIDE = 16_384

#: 5.1 to stereo: front left, front right, centre, low frequencies, back left, back right
_DOWNMIX_5_1 = torch.tensor([[1, 0, 0.7071, 0, 0.7071, 0], [0, 1, 0.7071, 0, 0, 0.7071]]) / 2.4142

#: how many of ffmpeg's words an error repeats
LAST_LINES = 12


class VideoWriter:
    """Use it as `with VideoWriter(...) as video: video.write(batch)`; the file is there when the block has ended
    well.
    """

    def __init__(self, path: Path | str, size_wh: tuple[int, int], fps: float, *, output_fps: float = 0.0,
                 audio: tuple[Tensor, float] | None = None, metadata: Mapping[str, str] | None = None,
                 quality: str | int = "high", signature: Signature | None = None):  # fmt: skip
        """path: ends in .mp4, in a folder that exists; an older file of that name is replaced.

        size_wh:  of the frames; an odd side is made even by doubling its last row or column
        fps:      of the frames, any rate above 0
        output_fps: of the file; each of its frames shows what is on at its time, so that frames are repeated or left
                  out and the clip lasts as long as before. 0 leaves the frames as they are
        audio:    waveform (n,), (C, n) or (1, C, n) and its sample rate; cut, or filled with silence, to the length
                  of the frames
        metadata: names and texts of any length and alphabet; ComfyUI's page looks for "prompt" and "workflow"
        quality:  a name in QUALITIES, or x264's crf
        signature: who signs the file, or nobody
        Raises OptionError, VideoError, AudioError or SigningError for what cannot be written.
        """
        self.path = Path(path).absolute()
        if not self.path.parent.is_dir():
            raise VideoError(f"expected an existing folder to write to, got {self.path.parent}.")
        self.width, self.height = size_wh
        if not (1 <= self.width <= LARGEST_SIDE and 1 <= self.height <= LARGEST_SIDE):
            raise VideoError(f"expected frames of 1 to {LARGEST_SIDE} pixels a side, got {self.width} x {self.height}.")
        self.fps = _rate("fps", fps)
        self.output_fps = _rate("output_fps", output_fps) if output_fps else self.fps
        self.quality = _quality(quality)
        self.sound = None if audio is None else Sound(*audio)
        self.metadata = {**AI_MARK, **(metadata or {})}
        self.signature = signature
        if signature is not None:
            signature.require_usable()
        self.n_frames = self.n_shown = 0  #: how many came, and how many the file shows
        self._silent_part = self._beside("silent.part")
        self._part = self._beside("part")
        self._signed_part = self._beside("signed.part")
        self._metadata_part = self._beside("metadata.part")
        self._encoder: Ffmpeg | None = None

    def __enter__(self) -> VideoWriter:
        with self._left_clean():
            self._metadata_part.write_bytes(ffmetadata(self.metadata).encode())
            target = self._part if self.sound is None else self._silent_part
            even = f"{self.width + self.width % 2}x{self.height + self.height % 2}"
            self._encoder = Ffmpeg(
                "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", even, "-r", str(self.output_fps), "-i", "pipe:0",
                *self._metadata_input(),
                "-map", "0:v", "-c:v", "libx264", "-crf", str(self.quality.crf), "-preset", self.quality.preset,
                "-vf", "scale=in_range=full:out_range=limited:out_color_matrix=bt709,format=yuv420p,"
                "setparams=range=limited:colorspace=bt709:color_primaries=bt709:color_trc=bt709",
                *self._metadata_output(), "-f", "mp4", _as_argument(target),
                folder=self.path.parent,
            )  # fmt: skip
        return self

    def write(self, frames: Tensor | np.ndarray) -> None:
        """frames (B, H, W, 3), bytes, or floats in 0..1. Raises VideoError or DoesNotFit."""
        if self._encoder is None:
            raise RuntimeError("write() belongs inside the with-block of its VideoWriter")
        pixels = _bytes(frames, self.width, self.height)
        first, self.n_frames = self.n_frames, self.n_frames + len(pixels)
        # Frame k of the file begins at k / output_fps, and shows the frame that is on then.
        begun = math.ceil(self.n_frames * self.output_fps / self.fps)
        places = [math.floor(k * self.fps / self.output_fps) - first for k in range(self.n_shown, begun)]
        self.n_shown = begun
        self._encoder.feed(pixels if places == list(range(len(pixels))) else pixels[places])

    def __exit__(self, kind, error, trace) -> None:
        encoder = self._encoder
        assert encoder is not None
        if kind is not None:
            encoder.stop()
            self._remove_parts()
            return
        with self._left_clean():
            encoder.finish()
            if not self.n_frames:
                raise VideoError("expected at least one frame to write, got none.")
            if self.sound is not None:
                self._add(self.sound)
            if self.signature is not None:
                self.signature.sign(self._part, self._signed_part)
                os.replace(self._signed_part, self._part)
            os.replace(self._part, self.path)
            self._remove_parts()
        self._encoder = None

    def _add(self, sound: Sound) -> None:
        """The silent video, copied, and the sound, cut to its length, become one file."""
        rate_hz = sound.rate_hz if sound.rate_hz in AUDIO_RATES_HZ else AUDIO_RATES_HZ[0]
        joiner = Ffmpeg(
            "-f", "f32le", "-ar", str(sound.rate_hz), "-ac", str(sound.n_channels), "-i", "pipe:0",
            *self._metadata_input(), "-i", _as_argument(self._silent_part),
            "-map", "2:v", "-c:v", "copy",
            "-map", "0:a", "-c:a", "aac", "-b:a", str(AUDIO_BITS_PER_SECOND), "-ar", str(rate_hz),
            *self._metadata_output(), "-f", "mp4", _as_argument(self._part),
            folder=self.path.parent,
        )  # fmt: skip
        try:
            for samples in sound.chunks(round(self.n_shown / self.output_fps * sound.rate_hz)):
                joiner.feed(samples)
            joiner.finish()
        except BaseException:
            joiner.stop()
            raise

    def _metadata_input(self) -> tuple[str, ...]:
        return "-f", "ffmetadata", "-i", _as_argument(self._metadata_part)

    def _metadata_output(self) -> tuple[str, ...]:
        """Names of our own survive only as QuickTime tags; the index comes first, so that a page can begin to play."""
        return "-map_metadata", "1", "-movflags", "+faststart+use_metadata_tags"

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{ending}")

    @contextlib.contextmanager
    def _left_clean(self):
        """Whatever goes wrong inside: no encoder runs on, no part stays."""
        try:
            yield
        except BaseException as error:
            if self._encoder is not None:
                self._encoder.stop()
            self._remove_parts()
            if isinstance(error, OSError):
                folder = self.path.parent
                sentence = f"The video cannot be written to {folder}: {error}."
                raise full_disk(error, folder) or VideoError(sentence) from error
            raise

    def _remove_parts(self) -> None:
        for part in (self._silent_part, self._part, self._signed_part, self._metadata_part):
            with contextlib.suppress(OSError):  # what went wrong is told, not that this does, too
                part.unlink(missing_ok=True)


class Ffmpeg:
    """One run of ffmpeg that is fed through its standard input."""

    def __init__(self, *arguments: str, folder: Path):
        self.folder = folder
        self.process = subprocess.Popen(
            [*ffmpeg_command(), "-y", "-nostdin", "-hide_banner", "-loglevel", "error", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        assert self.process.stdin is not None and self.process.stderr is not None
        self.input, self.words = self.process.stdin, self.process.stderr
        # Its words are read as they come: a full pipe would stop it.
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def feed(self, data: np.ndarray) -> None:
        try:
            self.input.write(data.data)
        except OSError:  # it closed its end: it has died and said why
            self._raise_its_words()

    def finish(self) -> None:
        with contextlib.suppress(OSError):  # it may have died before; its exit status says so
            self.input.close()
        if self.process.wait():
            self._raise_its_words()
        self.listener.join()
        self.words.close()

    def stop(self) -> None:
        """Ends it at once; harmless when it has ended."""
        self.process.kill()
        self.process.wait()
        self.listener.join()
        for pipe in (self.input, self.words):
            with contextlib.suppress(OSError):
                pipe.close()

    def _listen(self) -> None:
        for line in self.words:
            self.last_lines.append(line.decode(errors="replace").rstrip())

    def _raise_its_words(self) -> None:
        self.process.wait()
        self.listener.join()
        words = "\n".join(self.last_lines) or f"no words, exit status {self.process.returncode}"
        raise full_disk(words, self.folder) or VideoError(f"ffmpeg could not write the video. Its last words:\n{words}")


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
            raise AudioError("expected samples that are numbers, got NaN or infinity; the audio is broken.")
        if not (math.isfinite(sample_rate_hz) and sample_rate_hz >= 1):
            raise AudioError(f"expected a sample rate above 0 Hz, got {sample_rate_hz:g}.")
        self.wave = wave
        self.rate_hz = round(sample_rate_hz)
        self.n_channels = min(wave.shape[0], 2)

    def chunks(self, n_samples: int):
        """Yields (m, channels) float32 until n_samples have come; behind the end of the waveform there is silence."""
        for start in range(0, n_samples, SAMPLES_PER_CHUNK):
            n_wanted = min(SAMPLES_PER_CHUNK, n_samples - start)
            piece = to_stereo(self.wave[:, start : start + n_wanted].float().cpu())
            piece = torch.nn.functional.pad(piece, (0, n_wanted - piece.shape[1]))
            yield np.ascontiguousarray(piece.clamp(-1, 1).T.numpy())


def to_stereo(wave: Tensor) -> Tensor:
    """(C, n) -> (1 or 2, n): 5.1 is mixed as films are, any other crowd of channels is averaged on both sides."""
    n_channels = wave.shape[0]
    if n_channels <= 2:
        return wave
    if n_channels == 6:
        return _DOWNMIX_5_1 @ wave
    return wave.mean(dim=0).expand(2, -1)


def ffmetadata(metadata: Mapping[str, str]) -> str:
    """The text of a file that ffmpeg reads names and values from: its five special characters get a backslash.

    ffmpeg takes a backslash at the end of a line for an escaped line break even when it is escaped itself, so that a
    text which ends in one gets a space behind it.
    """
    special = str.maketrans({character: "\\" + character for character in "=;#\\\n"})

    def escaped(text: str) -> str:
        return f"{text} ".translate(special) if text.endswith("\\") else text.translate(special)

    lines = [f"{escaped(str(name))}={escaped(str(text))}" for name, text in metadata.items()]
    return "\n".join([";FFMETADATA1", *lines, ""])


def ffmpeg_command() -> list[str]:
    """How to call ffmpeg. Raises VideoError when there is none."""
    try:
        import imageio_ffmpeg

        return [imageio_ffmpeg.get_ffmpeg_exe()]
    except (ImportError, RuntimeError) as error:
        raise VideoError(
            "ffmpeg was not found, which writes the video: install the package imageio-ffmpeg into ComfyUI's Python, "
            "or name an ffmpeg in the environment variable IMAGEIO_FFMPEG_EXE."
        ) from error


def _bytes(frames: Tensor | np.ndarray, width: int, height: int) -> np.ndarray:
    """-> (B, H', W', 3) contiguous bytes with even H' and W'."""
    frames = torch.as_tensor(frames).detach()
    if frames.dim() != 4 or tuple(frames.shape[1:]) != (height, width, 3):
        raise VideoError(f"expected frames (batch, {height}, {width}, 3), got the shape {tuple(frames.shape)}.")
    if frames.is_floating_point():
        if not torch.isfinite(frames).all():
            raise VideoError("expected frames of numbers, got NaN or infinity; try the renderer in fp32.")
        frames = (frames.float().clamp(0, 1) * 255).round().to(torch.uint8)
    elif frames.dtype != torch.uint8:
        raise VideoError(f"expected frames as bytes or as floats in 0..1, got {frames.dtype}.")
    pixels = frames.cpu().numpy()
    return np.ascontiguousarray(np.pad(pixels, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], mode="edge"))


def _rate(name: str, fps: float) -> Fraction:
    if not 0 < fps <= FASTEST_FPS:
        raise OptionError(f"expected {name} above 0 and up to {FASTEST_FPS:g}, got {fps:g}.")
    return Fraction(fps).limit_denominator(10_000) or Fraction(1, 10_000)


def _quality(quality: str | int) -> Quality:
    if isinstance(quality, str):
        return QUALITIES[one_of("quality", quality, QUALITIES)]
    if not 0 <= quality <= 51:
        raise OptionError(f"expected a crf between 0 and 51, got {quality}.")
    return Quality(quality, QUALITIES["high"].preset)


def _as_argument(path: Path) -> str:
    """A path that ffmpeg takes for a file whatever its name looks like."""
    return f"file:{path}"


__all__ = ["AI_MARK", "QUALITIES", "Quality", "VideoWriter", "ffmpeg_command"]
