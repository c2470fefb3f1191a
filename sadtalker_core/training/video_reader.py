"""A video file comes in; its images at 25 a second, and the sound that belongs to them, go out, a little at a time.

Frame 0 is the first image of the file, and sample 0 sounds when it appears. A file may have any frame rate, a
changing one too: frame k is the image that a player shows k / 25 s after the first. Letters: `H W` an image in
pixels, `C` channels of the sound, `n` samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import AudioError, VideoError
from ..face.image import timed_frames, upright
from ..playback import resample_frames_to_25
from ..timeline import FRAMES_PER_SECOND


def announced_seconds(path: Path) -> float:
    """The duration of the images by the file's header; 0 without one.

    Raises VideoError for what is no video, AudioError for a video without sound.
    """
    import av

    with _opened(path) as container:
        if not container.streams.audio:
            raise AudioError("it has no audio")
        stream = container.streams.video[0]
        if stream.duration:
            return float(stream.duration * stream.time_base)
        return (container.duration or 0) / av.time_base


def frames_at_25(path: Path) -> Iterator[Tensor]:
    """The images (H, W, 3) in 0..1, upright, 25 a second.

    Raises VideoError where the file breaks off: in the middle of a packet, or before the end that it announces.
    """
    announced = announced_seconds(path)

    def refuse(seconds: float) -> None:
        raise VideoError(f"it breaks off after {seconds:.1f} of {announced:.1f} s")

    with _opened(path) as container:
        rate = float(container.streams.video[0].average_rate or FRAMES_PER_SECOND)
        yield from resample_frames_to_25(timed_frames(container), rate, upright, announced=announced, broken_off=refuse)


class Sound:
    """The sound of a file, cut from front to back; use it as `with Sound(path) as sound: sound.cut(0, 100)`."""

    def __init__(self, path: Path):
        self.path = path
        self._open = ExitStack()

    def __enter__(self) -> Sound:
        with _opened(self.path) as container:
            first = next(container.decode(video=0), None)
            self._origin_s = (first.time if first else None) or 0.0
        self._container = self._open.enter_context(_opened(self.path))
        self.rate_hz = self._container.streams.audio[0].rate
        self._coming = self._pieces()
        self._held: list[np.ndarray] = []
        self._first = self._end = 0  # samples: where what is held begins and ends
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def cut(self, start: int, stop: int) -> Tensor:
        """(C, n): the sound of the frames start..stop, floats in -1..1; shorter, perhaps empty, where the sound ends.

        Each start must be at or behind the start before it.
        """
        first, end = (round(frame * self.rate_hz / FRAMES_PER_SECOND) for frame in (start, stop))
        while self._held and self._first + self._held[0].shape[1] <= first:
            self._first += self._held.pop(0).shape[1]
        while self._end < end and (piece := next(self._coming, None)) is not None:
            self._end += piece.shape[1]
            if self._end <= first:
                self._first = self._end
            else:
                self._held.append(piece)
        if not self._held:
            return torch.zeros(1, 0)
        held = np.concatenate(self._held, axis=1)
        return torch.from_numpy(held[:, first - self._first : end - self._first].copy())

    def _pieces(self) -> Iterator[np.ndarray]:
        """(C, m) float32, one behind the other from sample 0 on; gaps of a frame or more become silence."""
        import av

        to_float = av.AudioResampler(format="flt")  # of eight planes PyAV reads a ninth, and the process dies
        n_so_far = 0
        for frame in self._container.decode(audio=0):
            at = n_so_far if frame.time is None else round((frame.time - self._origin_s) * self.rate_hz)
            gap = at - n_so_far
            for part in to_float.resample(frame):
                samples: np.ndarray = part.to_ndarray().reshape(part.samples, -1).T
                if n_so_far == 0 or abs(gap) > self.rate_hz / FRAMES_PER_SECOND:
                    samples = np.pad(samples[:, max(-gap, 0) :], [(0, 0), (max(gap, 0), 0)])
                n_so_far += samples.shape[1]
                yield samples


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A container with an image track; whatever FFmpeg objects to, here or while it is read, is a VideoError."""
    import av

    try:
        with av.open(str(path), metadata_errors="replace") as container:  # titles come in any encoding
            if not container.streams.video:
                raise VideoError("it has no video track")
            yield container
    except av.FFmpegError as error:
        empty = path.is_file() and path.stat().st_size == 0
        raise VideoError("it is empty" if empty else f"it is no video, or damaged ({error.strerror})") from error
