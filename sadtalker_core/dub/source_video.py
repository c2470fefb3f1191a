"""A source video comes in, a file or a batch of images; its frames go out one by one, upright, progressive, uint8.

A file is read by its time stamps: what a player would show at each frame of its own fps. A constant frame rate gives
each image once; a variable one, as phones record, is resampled to its usual rate and keeps its duration.
No more than one frame is held. Letters: `H W` a frame, `C n` channels and samples of the audio.
"""

from __future__ import annotations

import io
import itertools
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..compose.video import FASTEST_FPS
from ..errors import PackageMissing, VideoError, shorten
from ..playback import LATE_S, resample_frames
from ..timeline import FRAMES_PER_SECOND

#: a video that drops some frames of its base rate is played at that rate, up to this many times its mean rate
_STEADY = 1.3
#: from this height on, a video without a colour space is taken for BT.709 (HD), below for BT.601
_HD_HEIGHT = 720
_BT709, _BT601, _UNSPECIFIED = 1, 5, 2  #: FFmpeg's numbers
#: bytes of frames held to be played backwards
_HELD_BYTES = 128 << 20
#: seconds before a frame from which on a file is read for it: deinterlacing looks back, and so do some encoders
_RUN_UP_S = 1.0

_Timed = tuple[float | None, float | None, Any]


class SourceVideo(Protocol):
    """size_wh: of its frames, in pixels;  fps: frames per second;  n_frames: how many, as the container states"""

    @property
    def size_wh(self) -> tuple[int, int]: ...

    @property
    def fps(self) -> float: ...

    @property
    def n_frames(self) -> int: ...

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        """Frames start..stop (H, W, 3), uint8; each call reads anew."""
        ...

    def audio(self, rate_hz: int) -> Iterator[np.ndarray]:
        """Blocks (2, n) float32 of its audio at that rate, from the first frame on; none without an audio track."""
        ...


def backwards(source: SourceVideo, n_frames: int) -> Iterator[Tensor]:
    """Frames n_frames - 1, n_frames - 2, ... 0; read in blocks, so that a few are held."""
    width, height = source.size_wh
    at_once = max(_HELD_BYTES // (3 * width * height), 1)
    for stop in range(n_frames, 0, -at_once):
        yield from reversed(list(source.frames(max(stop - at_once, 0), stop)))


@dataclass(frozen=True, eq=False)
class FrameSequence:
    """images (T, H, W, 3) in 0..1, as on an IMAGE wire;  waveform (C, n) and its rate, or None"""

    images: Tensor
    fps: float
    waveform: tuple[Tensor, int] | None = None

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[-1] < 3:
            raise VideoError(f"expected frames (T, H, W, 3), got {tuple(self.images.shape)}; connect an IMAGE.")
        if not len(self.images):
            raise VideoError("the video holds no frames; connect frames or a video that is not empty.")
        if not (math.isfinite(self.fps) and 0 < self.fps <= FASTEST_FPS):
            raise VideoError(f"expected a frame rate above 0 and up to {FASTEST_FPS:g} for the video, got {self.fps}.")

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.images.shape[2], self.images.shape[1]

    @property
    def n_frames(self) -> int:
        return len(self.images)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        for image in self.images[start:stop]:
            yield (image[..., :3].float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()

    def audio(self, rate_hz: int) -> Iterator[np.ndarray]:
        if self.waveform is None:
            return
        import soxr

        wave, own_hz = self.waveform
        both = wave.reshape(-1, wave.shape[-1]).float().cpu().numpy()
        both = both[:2] if len(both) > 1 else both.repeat(2, 0)
        yield soxr.resample(both.T, own_hz, rate_hz).T.astype(np.float32) if own_hz != rate_hz else both


class VideoFile:
    """A video file.  source(): its path, or a new file object of its bytes at each call. Raises VideoError,
    PackageMissing without PyAV.
    """

    def __init__(self, source: Callable[[], Any], name: str = "the video"):
        self._source, self.name = source, name
        with self._opened() as container:
            if not container.streams.video:
                raise VideoError(f"{name} has no video track.")
            stream = container.streams.video[0]
            self.fps = _rate_of(stream)
            self._begin = None if container.start_time is None else container.start_time / 1e6
            if stream.duration and stream.time_base:
                self._stated_seconds = float(stream.duration * stream.time_base)
            else:
                self._stated_seconds = (container.duration or 0) / 1e6
        self.n_frames = max(round(self._stated_seconds * self.fps), 1)
        self._zero: float | None = None  #: time stamp of frame 0
        self._sought = False  #: whether frames can be sought by time: known when the file was read to its end
        first = next(self.frames(0, 1), None)
        if first is None:
            raise VideoError(f"{name} holds no frames; use one that is not empty.")
        self.size_wh = (first.shape[1], first.shape[0])

    @classmethod
    def of(cls, file: Path | bytes, name: str = "the video") -> VideoFile:
        """The video at a path, or in the bytes of a file."""
        return cls(lambda: str(file) if isinstance(file, Path) else io.BytesIO(file), name)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        def broken_off(seconds: float) -> None:
            if stop is None:
                logging.warning(
                    "SadTalker: %s ends early, after %.1f of %.1f s.", self.name, seconds, self._stated_seconds
                )

        size: tuple[int, ...] | None = None
        with self._opened() as container:
            container.streams.video[0].thread_type = "AUTO"
            timed, begin = self._from(container, start)
            shown = resample_frames(
                self.fps, timed, self.fps, lambda frame: frame, begin=begin, announced=self._stated_seconds,
                broken_off=broken_off,
            )  # fmt: skip
            last: Any = None
            pixels: Tensor | None = None
            for frame in itertools.islice(shown, start, stop):
                if frame is not last or pixels is None:
                    pixels, last = _pixels_of(frame), frame
                if size is None:
                    size = tuple(pixels.shape)
                elif tuple(pixels.shape) != size:
                    raise VideoError(
                        f"{self.name} changes its size from {size[1]} x {size[0]} to {pixels.shape[1]} x "
                        f"{pixels.shape[0]} pixels; convert it to one size."
                    )
                yield pixels

    def _from(self, container: Any, start: int) -> tuple[Iterator[_Timed], float | None]:
        """The images that are needed from frame `start` on, and the time stamp of frame 0; `playback.resample_frames`
        then has the first of them for all frames before.
        """
        after = start / self.fps - _RUN_UP_S
        if not self._sought or self._zero is None or after <= 0:
            return self._noted(_timed(container)), self._begin
        stream, wanted = container.streams.video[0], self._zero + after
        container.seek(int(wanted / stream.time_base), stream=stream)
        timed = _timed(container)
        first = next(timed, None)
        if first is None or first[0] is None or first[0] > wanted:  # its index is wrong
            container.seek(0)
            return _timed(container), self._begin
        return itertools.chain([first], timed), self._zero

    def _noted(self, timed: Iterator[_Timed]) -> Iterator[_Timed]:
        """The images from the beginning; notes whether their time stamps rise."""
        last, rising = -math.inf, True
        for image in timed:
            stamp = image[0]
            if stamp is not None and last == -math.inf:
                late = self._begin is not None and stamp - self._begin >= LATE_S
                self._zero = self._begin if late else stamp
            rising = rising and stamp is not None and stamp > last
            last = math.inf if stamp is None else stamp
            yield image
        self._sought = rising

    def audio(self, rate_hz: int) -> Iterator[np.ndarray]:
        import av

        with self._opened() as container:
            if not container.streams.audio:
                return
            resampler = av.AudioResampler(format="flt", layout="stereo", rate=rate_hz)
            late: int | None = None
            for frame in itertools.chain(container.decode(audio=0), [None]):
                for part in resampler.resample(frame):
                    block = part.to_ndarray().reshape(-1, 2).T
                    if late is None:  # audio that begins later than the images, or earlier
                        begin = 0.0 if self._begin is None else self._begin
                        late = round(((frame.time if frame is not None and frame.time is not None else begin) - begin)
                                     * rate_hz)  # fmt: skip
                        if late > 0:
                            yield np.zeros((2, late), np.float32)
                    yield np.ascontiguousarray(block)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The opened container; an FFmpeg error, here or while it is read, becomes a VideoError."""
        try:
            import av
        except ImportError as error:
            raise PackageMissing("videos are read by the package av (PyAV), which is not installed.") from error
        try:
            with av.open(self._source(), metadata_errors="replace") as container:
                yield container
        except (av.FFmpegError, OSError, UnicodeDecodeError) as error:
            raise VideoError(f"{self.name} cannot be read: {shorten(error)}. Is the file complete?") from error


def _rate_of(stream: Any) -> float:
    mean = float(stream.average_rate or stream.guessed_rate or FRAMES_PER_SECOND)
    base = float(stream.base_rate or 0)
    rate = base if mean < base <= _STEADY * mean else mean
    return rate if 0 < rate <= FASTEST_FPS else float(FRAMES_PER_SECOND)


def _timed(container: Any) -> Iterator[_Timed]:
    """(time stamp s, duration s, image) of each image, as `playback.resample_frames` takes them."""
    for frame in _progressive(container):
        lasts = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else None
        yield frame.time, lasts, frame


def _progressive(container: Any) -> Iterator[Any]:
    """The images, deinterlaced (yadif) from the first interlaced one on."""
    graph: Any = None
    for frame in container.decode(video=0):
        if graph is None:
            if not frame.interlaced_frame:
                yield frame
                continue
            graph = _deinterlacer(frame)
        graph.push(frame)
        yield from _pulled(graph)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph)


def _deinterlacer(frame: Any) -> Any:
    import av

    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    yadif, sink = graph.add("yadif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    source.link_to(yadif)
    yadif.link_to(sink)
    graph.configure()
    return graph


def _pulled(graph: Any) -> Iterator[Any]:
    import av

    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return


def _pixels_of(frame: Any) -> Tensor:
    """A decoded frame -> (H, W, 3) uint8, in its colour space, rotated as the file states."""
    space = int(frame.colorspace)
    if space == _UNSPECIFIED:
        space = _BT709 if frame.height >= _HD_HEIGHT else _BT601
    rgb = frame.reformat(format="rgb24", src_colorspace=space)
    pixels = np.rot90(rgb.to_ndarray(), round(frame.rotation / 90))
    return torch.from_numpy(np.ascontiguousarray(pixels))


__all__ = ["SourceVideo", "VideoFile", "FrameSequence", "backwards"]
