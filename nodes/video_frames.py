"""A reference clip, from a picture batch or a VIDEO wire, as frames that come one at a time, never all in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from ..sadtalker_core.errors import VideoError
from ..sadtalker_core.face.picture import upright

#: seconds; a video that is shorter than its file by less counts as the whole file
SHORTEST_CUT_S = 0.02


@dataclass(frozen=True, eq=False)
class Clip:
    """frames: (H, W, 3) in 0..1, one after the other;  fps: frames a second;  n_frames: how many, as announced."""

    frames: Iterator[Tensor]
    fps: float
    n_frames: int


def open_clip(frames: Tensor | None, video, fps: float) -> Clip:
    """frames: an IMAGE batch at `fps`, or video: a VIDEO, which brings its own rate; exactly one of them."""
    if (frames is None) == (video is None):
        raise VideoError("3DMM from Video takes frames or a video, exactly one of them; connect one and cut the other.")
    if frames is not None:
        return Clip(iter(frames[..., :3]), fps, len(frames))
    if not hasattr(video, "get_stream_source") or _is_a_part(video):
        parts = video.get_components()
        return Clip(iter(parts.images[..., :3]), float(parts.frame_rate), len(parts.images))
    return _open_stream(video)


def _is_a_part(video) -> bool:
    """Whether the VIDEO is shorter than its file: newer ComfyUIs cut one without writing it anew."""
    import av

    with _open(video) as container:
        whole = container.duration
    return whole is not None and video.get_duration() < whole / av.time_base - SHORTEST_CUT_S


def _open(video):
    import av

    try:
        return av.open(video.get_stream_source())
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"The reference video cannot be read: {error}. Is the file whole?") from error


def _open_stream(video) -> Clip:
    import av

    container = _open(video)
    if not container.streams.video:
        container.close()
        raise VideoError("The reference video has no picture track.")
    stream = container.streams.video[0]
    fps = float(stream.average_rate or stream.guessed_rate or 25)
    n_frames = stream.frames or int(float(container.duration or 0) / av.time_base * fps)
    return Clip(_decode(container), fps, max(n_frames, 1))


def _decode(container) -> Iterator[Tensor]:
    with container:
        for frame in container.decode(video=0):
            yield upright(frame)
