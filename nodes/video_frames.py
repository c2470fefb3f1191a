"""A reference clip, from an image batch or a VIDEO wire, as frames that come one at a time, never all in memory."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from comfy_api.latest import InputImpl
from torch import Tensor

from ..sadtalker_core.dub.source_video import FrameSequence, SourceVideo, VideoFile
from ..sadtalker_core.errors import VideoError
from ..sadtalker_core.face.image import timed_frames, upright
from ..sadtalker_core.playback import resample_frames_to_25
from ..sadtalker_core.timeline import FRAMES_PER_SECOND, frames_in_seconds

#: seconds; a video that is shorter than its file by less than this counts as the whole file
SHORTEST_CUT_S = 0.02


@dataclass(frozen=True, eq=False)
class ReferenceClip:
    """frames: (H, W, 3) in 0..1, one after the other;  fps: frames per second, 25 out of a file;  n_frames: how many,
    as announced.
    """

    frames: Iterator[Tensor]
    fps: float
    n_frames: int


def open_clip(frames: Tensor | None, video: Any, fps: float) -> ReferenceClip:
    """frames: an IMAGE batch at `fps`, or video: a VIDEO, which brings its own rate; exactly one of them."""
    if (frames is None) == (video is None):
        raise VideoError("expected frames or a video, exactly one of them; connect one.")
    if frames is not None:
        if frames.ndim != 4 or frames.shape[-1] < 3:
            raise VideoError(f"expected frames (T, H, W, 3), got {tuple(frames.shape)}; connect an IMAGE.")
        return ReferenceClip(iter(frames[..., :3]), fps, len(frames))
    return _open_file(video) if _is_a_file(video) else _open_parts(video)


def open_video(frames: Tensor | None, video: Any, fps: float) -> SourceVideo:
    """The same to be dubbed: at its own fps, with its audio, readable from the beginning any number of times."""
    if (frames is None) == (video is None):
        raise VideoError("expected frames or a video, exactly one of them; connect one.")
    if frames is not None:
        return FrameSequence(frames, fps)
    if _is_a_file(video):
        return VideoFile(video.get_stream_source, "the video")
    with _readable():
        parts = video.get_components()
    sound = parts.audio and (parts.audio["waveform"], parts.audio["sample_rate"])
    return FrameSequence(parts.images, float(parts.frame_rate), sound or None)


def with_size(clip: ReferenceClip) -> tuple[ReferenceClip, tuple[int, int]]:
    """The same clip, and the width and height of its first frame; 0 x 0 for a clip without frames."""
    first = next(clip.frames, None)
    if first is None:
        return clip, (0, 0)
    return replace(clip, frames=itertools.chain([first], clip.frames)), (first.shape[1], first.shape[0])


def _is_a_file(video: Any) -> bool:
    """Whether the VIDEO is a whole file. It may be made of images, and would be encoded to be streamed; newer
    ComfyUIs cut one without writing it anew, and stream the whole.
    """
    import av

    if not (isinstance(video, InputImpl.VideoFromFile) and hasattr(video, "get_stream_source")):
        return False
    with _opened(video) as container:
        whole = container.duration
    try:
        return whole is None or video.get_duration() >= whole / av.time_base - SHORTEST_CUT_S
    except UnicodeDecodeError:  # core reads titles as UTF-8; it could not have cut this file
        return True


def _open_parts(video: Any) -> ReferenceClip:
    with _readable():
        parts = video.get_components()
    return ReferenceClip(iter(parts.images[..., :3]), float(parts.frame_rate), len(parts.images))


def _open_file(video: Any) -> ReferenceClip:
    """The images that a player would show at 25 fps, by their time stamps."""
    import av

    with _opened(video) as container:
        if not container.streams.video:
            raise VideoError("the reference video has no video track.")
        stream = container.streams.video[0]
        rate = float(stream.average_rate or stream.guessed_rate or FRAMES_PER_SECOND)
        begin = None if container.start_time is None else container.start_time / av.time_base
        if stream.duration and stream.time_base:
            announced = float(stream.duration * stream.time_base)
        else:
            announced = (container.duration or 0) / av.time_base
    return ReferenceClip(_play(video, rate, begin, announced), FRAMES_PER_SECOND, max(frames_in_seconds(announced), 1))


def _play(video: Any, rate: float, begin: float | None, announced: float) -> Iterator[Tensor]:
    def warn(seconds: float) -> None:
        logging.warning("SadTalker: the reference video ends early, after %.1f of %.1f s.", seconds, announced)

    with _opened(video) as container:
        frames = timed_frames(container)
        yield from resample_frames_to_25(frames, rate, upright, begin=begin, announced=announced, broken_off=warn)


@contextmanager
def _opened(video: Any) -> Iterator[Any]:
    """The opened container; an FFmpeg error, here or while it is read, becomes a VideoError."""
    import av

    with _readable(), av.open(video.get_stream_source(), metadata_errors="replace") as container:
        yield container


@contextmanager
def _readable() -> Iterator[None]:
    import av

    try:
        yield
    except (av.FFmpegError, OSError, UnicodeDecodeError) as error:
        raise VideoError(f"the reference video cannot be read: {error}. Is the file complete?") from error
