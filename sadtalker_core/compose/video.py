"""Frames come in one batch after the other, an mp4 (H.264, AAC) goes out, or a file of another format (formats.py), by
the extension of its name; nothing is kept but what the encoder holds.

Letters: `B` frames of a batch, `H W` their size, `C` channels, `n` samples. The encoder is the ffmpeg that the package
imageio-ffmpeg brings along. It writes to `.part` files beside the target (claims.py), which gets its name when all is
well; on a failure or an interruption nothing is left behind, and what a kill leaves the next writer in that folder
takes away. The frames go into a NUT or Matroska file first: unlike an mp4, it can be read when its end is missing.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from ..choices import one_of
from ..claims import Claim, claim_path
from ..claims import sweep as sweep_parts
from ..errors import DoesNotFit, OptionError, SadTalkerError, SigningError, VideoError, shorten
from ..saving import disk_full_error
from .ffmpeg import STOP_SECONDS, Ffmpeg, as_argument, name_of_command, never_stop
from .formats import LARGEST_CRF, MP4, QUALITIES, Quality, VideoFormat, format_of
from .metadata import AI_MARK, ffmetadata, marked
from .signature import Signature
from .sound import Sound

FASTEST_FPS = 1000.0
LARGEST_SIDE = 16_384

#: how long a stop waits for the parts of a file to go: a dead network disk holds them. All together, with FLUSH_SECONDS
#: and ffmpeg.STOP_SECONDS, may be two
CLEAR_SECONDS = 1.0
#: how long an encoder may take to finish a partial video; what it has not written then is lost
FLUSH_SECONDS = 1.0
#: the longest wait, without any sign of life, for what a partial video needs
PATIENCE_SECONDS = 30.0
#: ffmpeg's messages for an unreadable file, and for one without a whole frame
BROKEN = ("Invalid data found", "Output file is empty")


class WriterOptions(TypedDict, total=False):
    """What is passed on to a `VideoWriter`, which describes it and has the defaults."""

    output_fps: float
    metadata: Mapping[str, str] | None
    quality: str | int
    signature: Signature | None
    partial: Path | None
    check_stop: Callable[[], None] | None


class VideoWriter:
    """Use it as `with VideoWriter(...) as video: video.write(batch)`; the file is there when the block has ended
    well, as `video.path`.
    """

    def __init__(
        self,
        path: Path | str | Claim,
        size_wh: tuple[int, int],
        fps: float,
        *,
        output_fps: float = 0.0,
        audio: tuple[Tensor, float] | Sound | None = None,
        metadata: Mapping[str, str] | None = None,
        quality: str | int = "high",
        signature: Signature | None = None,
        partial: Path | None = None,
        check_stop: Callable[[], None] | None = None,
        alpha: bool = False,
    ):
        """path: ends in .mp4, .webm or .mov, in a folder that exists; an older file of that name is replaced. Or a
                  claim on a free name.

        size_wh:  of the frames; an odd side is made even by doubling its last row or column
        fps:      of the frames, any rate above 0
        output_fps: of the file; each of its frames shows what is on at its time, so that frames are repeated or left
                  out and the clip lasts as long as before. 0 leaves the frames as they are
        audio:    waveform (n,), (C, n) or (1, C, n) and its sample rate, or what makes it block by block; cut, or
                  filled with silence, to the length of the frames
        metadata: names and texts of any length and alphabet; ComfyUI's page looks for "prompt" and "workflow". They
                  cannot replace the mark "AI-generated"
        quality:  a name in QUALITIES, or x264's crf
        signature: who signs the file, or nobody
        partial:  where the frames that came stay, playable, when the block ends with an error; a claim knows it itself
        check_stop: called again and again while the encoder is waited for; may raise to stop
        alpha:    whether the frames have a fourth channel, 1 where they show something; not for an mp4
        Raises OptionError, VideoError, AudioError or SigningError for what cannot be written.
        """
        self._claim = path if isinstance(path, Claim) else None
        self.path = path.path if isinstance(path, Claim) else Path(path).absolute()
        if "\0" in str(self.path):
            raise VideoError(f"expected a file name without the character NUL, got {shorten(repr(str(self.path)))}.")
        if not self.path.parent.is_dir():
            raise VideoError(f"expected an existing folder to write to, got {shorten(self.path.parent)}.")
        self.format = format_of(self.path)
        self.alpha = alpha
        if alpha and not self.format.alpha:
            raise VideoError(f"{shorten(self.path.name)} is to be transparent, which only .webm and .mov can be.")
        self.width, self.height = size_wh
        if not (1 <= self.width <= LARGEST_SIDE and 1 <= self.height <= LARGEST_SIDE):
            raise VideoError(f"expected frames of 1 to {LARGEST_SIDE} pixels a side, got {self.width} x {self.height}.")
        self.fps = _rate("fps", fps)
        self.output_fps = _rate("output_fps", output_fps) if output_fps else self.fps
        self.quality = _quality(quality)
        self.sound = Sound(*audio) if isinstance(audio, tuple) else audio
        self.metadata = marked(metadata or {})
        self.signature = signature
        if signature is not None:
            _require_signable(signature, self.format)
        self.check_stop = check_stop or never_stop
        self._partial = partial
        self.n_frames = self.n_shown = 0  #: how many came, and how many the file shows
        self._encoder: Ffmpeg | None = None

    @property
    def claim(self) -> Claim:
        assert self._claim is not None
        return self._claim

    def __enter__(self) -> VideoWriter:
        with self._cleared_on_error():
            sweep(self.path.parent, self.signature, self.check_stop)
            if self._claim is None:
                self._claim = claim_path(self.path, partial=self._partial)
            self.claim.part("metadata").write_bytes(ffmetadata(self.metadata))
            even = f"{self.width + self.width % 2}x{self.height + self.height % 2}"
            encoder, pixels = self.format.video(self.quality, self.alpha)
            self._encoder = Ffmpeg(
                "-f",
                "rawvideo",
                "-pix_fmt",
                "rgba" if self.alpha else "rgb24",
                "-s",
                even,
                "-r",
                str(self.output_fps),
                "-i",
                "pipe:0",
                "-map",
                "0:v",
                *encoder,
                "-vf",
                f"scale=in_range=full:out_range=limited:out_color_matrix=bt709,format={pixels},"
                "setparams=range=limited:colorspace=bt709:color_primaries=bt709:color_trc=bt709",
                "-flush_packets",
                "1",
                "-f",
                self.format.draft,
                as_argument(self.claim.part("video")),
                folder=self.path.parent,
                check_stop=self.check_stop,
            )
        return self

    def write(self, frames: Tensor | np.ndarray) -> None:
        """frames (B, H, W, 3), or 4 with alpha; bytes, or floats in 0..1. Raises VideoError or DoesNotFit."""
        if self._encoder is None:
            raise RuntimeError("write() belongs inside the with-block of its VideoWriter")
        pixels = _bytes(frames, self.width, self.height, 4 if self.alpha else 3)
        first, self.n_frames = self.n_frames, self.n_frames + len(pixels)
        # Frame k of the file begins at k / output_fps, and shows the frame that is on then.
        begun = math.ceil(self.n_frames * self.output_fps / self.fps)
        places = [math.floor(k * self.fps / self.output_fps) - first for k in range(self.n_shown, begun)]
        self.n_shown = begun
        self._encoder.feed(pixels if places == list(range(len(pixels))) else pixels[places])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        encoder = self._encoder
        assert encoder is not None
        if kind is not None:
            if self.claim.partial is None or not self.n_shown:
                encoder.stop()
            else:
                self._keep_partial(encoder)
            self._clear()
            return
        with self._cleared_on_error():
            encoder.finish()
            if not self.n_frames:
                raise VideoError("expected at least one frame to write, got none.")
            self.path = self.claim.publish(self._pack())
            self.claim.release()
        self._encoder = None

    def _keep_partial(self, encoder: Ffmpeg) -> None:
        """Of what the encoder has written; what stopped the run goes on as the error, whether that works or not."""
        before = self._n_bytes_written()
        if not encoder.stop(after_seconds=FLUSH_SECONDS) and self._n_bytes_written() <= before:
            logging.warning(
                "SadTalker: the encoder hangs; the next run makes a partial video from the frames written so far."
            )
            self.claim.abandon()
            return
        try:
            self.claim.publish_partial(self._pack(patience_seconds=PATIENCE_SECONDS))
        except DoesNotFit as error:
            logging.warning("SadTalker: the next run makes the partial video: %s", error)
            self.claim.abandon()
        except (SadTalkerError, OSError) as error:
            logging.warning("SadTalker: no partial video can be kept: %s", error)
        except BaseException:  # stopped once more: it is left to the next run
            self.claim.abandon()
            raise

    def _n_bytes_written(self) -> int:
        """How many bytes of encoded frames are on the disk; 0 where it does not answer."""
        found: list[int] = []

        def measure() -> None:
            with contextlib.suppress(OSError):
                found.append(self.claim.part("video").stat().st_size)

        _in_time(measure, STOP_SECONDS)
        return found[0] if found else 0

    def _pack(self, patience_seconds: float = math.inf) -> Path:
        seconds = float(self.n_shown / self.output_fps)
        return _pack(self.claim, self.sound, seconds, self.signature, self.check_stop, patience_seconds)

    @contextlib.contextmanager
    def _cleared_on_error(self) -> Iterator[None]:
        """On any error inside, ends the encoder and removes the parts of the file."""
        try:
            yield
        except BaseException as error:
            if self._encoder is not None:
                self._encoder.stop()
            self._clear()
            if isinstance(error, OSError):
                folder = self.path.parent
                sentence = f"the video cannot be written to {shorten(folder)}: {shorten(error)}."
                raise disk_full_error(error, folder) or VideoError(sentence) from error
            raise

    def _clear(self) -> None:
        """Removes the parts, without waiting longer than CLEAR_SECONDS for a disk that does not answer."""
        if self._claim is not None:
            _in_time(self._claim.release, CLEAR_SECONDS)


def _in_time(work: Callable[[], None], seconds: float) -> None:
    """Runs work on files in a thread, which is abandoned after so many seconds: the disk may not answer."""
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(seconds)


def sweep(folder: Path, signature: Signature | None = None, check_stop: Callable[[], None] | None = None) -> None:
    """Removes what killed writers left in a folder; where a partial video was asked for, the frames that they had
    written become it, without sound.  signature: who signs that
    """

    def rescue(claim: Claim) -> bool:
        try:
            if not claim.part("video").stat().st_size:
                return True
            _require_frame(claim, check_stop or never_stop)
            packed = _pack(claim, None, None, signature, check_stop or never_stop, PATIENCE_SECONDS)
            made = claim.publish_partial(packed)
        except FileNotFoundError:  # it was killed before the first frame
            return True
        except (DoesNotFit, SigningError, OSError) as error:
            logging.warning("SadTalker: a partial video cannot be kept now: %s", shorten(error))
            return False
        except VideoError as error:
            logging.warning("SadTalker: no partial video of %s: %s", shorten(claim.part("video").name), error)
            return any(words in str(error) for words in BROKEN)  # otherwise the encoder may be at fault
        logging.warning("SadTalker: kept %s, the frames of a run that was killed.", shorten(made))
        return True

    sweep_parts(folder, rescue)


def _require_frame(claim: Claim, check_stop: Callable[[], None]) -> None:
    """Raises VideoError where not even the first encoded frame is whole; a copy of it would be an empty video."""
    reader = Ffmpeg(
        "-f",
        format_of(claim.path).draft,
        "-i",
        as_argument(claim.part("video")),
        "-frames:v",
        "1",
        "-abort_on",
        "empty_output",
        "-f",
        "null",
        "-",
        folder=claim.path.parent,
        check_stop=check_stop,
        patience_seconds=PATIENCE_SECONDS,
    )
    try:
        reader.finish()
    except BaseException:
        reader.stop()
        raise


def _pack(
    claim: Claim,
    sound: Sound | None,
    seconds: float | None,
    signature: Signature | None,
    check_stop: Callable[[], None],
    patience_seconds: float,
) -> Path:
    """The encoded frames, copied, the sound, cut to their length, and the metadata become one finished part."""
    kind: VideoFormat = format_of(claim.path)
    whole, metadata = claim.part("whole"), claim.part("metadata")
    inputs: list[str] = []
    tracks = ["-map", "1:v", "-c:v", "copy"]
    if sound is not None:
        inputs += ["-f", "f32le", "-ar", str(sound.rate_hz), "-ac", str(sound.n_channels), "-i", "pipe:0"]
        rate_hz = sound.rate_hz if sound.rate_hz in kind.audio_rates_hz else kind.audio_rates_hz[0]
        tracks += ["-map", "2:a", "-c:a", *kind.audio, "-ar", str(rate_hz)]
    whole.unlink(missing_ok=True)  # a killed run's encoder may still be writing to it
    if not metadata.is_file():  # the mark is in every file
        metadata.write_bytes(ffmetadata(AI_MARK))
    joiner = Ffmpeg(
        "-f",
        "ffmetadata",
        "-i",
        as_argument(metadata),
        "-f",
        kind.draft,
        "-i",
        as_argument(claim.part("video")),
        *inputs,
        *tracks,
        "-map_metadata",
        "0",
        "-f",
        *kind.muxer,
        as_argument(whole),
        folder=claim.path.parent,
        check_stop=check_stop,
        patience_seconds=patience_seconds,
    )
    try:
        if sound is not None and seconds is not None:
            for samples in sound.chunks(round(seconds * sound.rate_hz)):
                joiner.feed(samples)
        joiner.finish()
        if not (whole.is_file() and whole.stat().st_size):
            raise VideoError(
                f"{name_of_command(joiner.command)} exited without output and wrote no video; it is not an ffmpeg "
                f"that can encode {'H.264' if kind is MP4 else kind.name}."
            )
        if signature is None:
            return whole
        signed = claim.part("signed")
        signature.sign(whole, signed, kind.mime)
        return signed
    except BaseException:
        joiner.stop()
        raise


def _bytes(frames: Tensor | np.ndarray, width: int, height: int, channels: int) -> np.ndarray:
    """-> (B, H', W', channels) contiguous bytes with even H' and W'."""
    frames = torch.as_tensor(frames).detach()
    if frames.dim() != 4 or tuple(frames.shape[1:]) != (height, width, channels):
        raise VideoError(
            f"expected frames (batch, {height}, {width}, {channels}), got the shape {tuple(frames.shape)}."
        )
    if frames.is_floating_point():
        # a sum of finite numbers is finite unless they are huge, and many times as fast
        if not torch.isfinite(frames.sum(dtype=torch.float32)) and not torch.isfinite(frames).all():
            raise VideoError("expected finite frames, got NaN or infinity; try precision fp32.")
        frames = frames.float().clamp(0, 1).mul_(255).round_().to(torch.uint8)
    elif frames.dtype != torch.uint8:
        raise VideoError(f"expected frames as bytes or as floats in 0..1, got {frames.dtype}.")
    frames = frames.cpu()
    if frames.is_contiguous() and not height % 2 and not width % 2:
        return frames.numpy()
    pixels = np.empty((len(frames), height + height % 2, width + width % 2, channels), np.uint8)
    for k in range(channels):  # channel by channel several times as fast as all at once
        pixels[:, :height, :width, k] = frames[..., k]
    if height % 2:
        pixels[:, height] = pixels[:, height - 1]
    if width % 2:
        pixels[:, :, width] = pixels[:, :, width - 1]
    return pixels


def _rate(name: str, fps: float) -> Fraction:
    if not 0 < fps <= FASTEST_FPS:
        raise OptionError(f"expected {name} above 0 and up to {FASTEST_FPS:g}, got {fps:g}.")
    return Fraction(fps).limit_denominator(10_000) or Fraction(1, 10_000)


def _require_signable(signature: Signature, format: VideoFormat) -> None:
    if not format.mime:
        raise SigningError(
            f"a {format.name} file cannot be signed: C2PA knows no place for a signature in it. Choose mp4 or mov, or "
            "remove the signing settings."
        )
    signature.require_usable()


def _quality(quality: str | int) -> Quality:
    if isinstance(quality, str):
        return QUALITIES[one_of("quality", quality, QUALITIES)]
    if not 0 <= quality <= LARGEST_CRF:
        raise OptionError(f"expected a crf between 0 and {LARGEST_CRF}, got {quality}.")
    return Quality.of_crf(quality, QUALITIES["high"].preset)


__all__ = ["QUALITIES", "Quality", "VideoWriter", "WriterOptions", "sweep"]
