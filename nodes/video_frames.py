"""A reference clip, from a picture batch or a VIDEO wire, as frames that come one at a time, never all in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from comfy_api.latest import InputImpl
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
    return _open_file(video) if _is_a_file(video) else _open_parts(video)


def _is_a_file(video) -> bool:
    """Whether the VIDEO is a whole file. It may be made of pictures, and would be encoded to be streamed; newer
    ComfyUIs cut one without writing it anew, and stream the whole.
    """
    import av

    if not (isinstance(video, InputImpl.VideoFromFile) and hasattr(video, "get_stream_source")):
        return False
    with _opened(video) as container:
        whole = container.duration
    try:
        return whole is None or video.get_duration() >= whole / av.time_base - SHORTEST_CUT_S
    except UnicodeDecodeError:  # ComfyUI cannot open a file whose title is in another encoding, and so not cut it
        return True


def _open_parts(video) -> Clip:
    with _readable():
        parts = video.get_components()
    return Clip(iter(parts.images[..., :3]), float(parts.frame_rate), len(parts.images))


def _open_file(video) -> Clip:
    import av

    with _opened(video) as container:
        if not container.streams.video:
            raise VideoError("The reference video has no picture track.")
        stream = container.streams.video[0]
        fps = float(stream.average_rate or stream.guessed_rate or 25)
        n_frames = stream.frames or int(float(container.duration or 0) / av.time_base * fps)
    return Clip(_decode(video), fps, max(n_frames, 1))


def _decode(video) -> Iterator[Tensor]:
    with _opened(video) as container:
        for frame in container.decode(video=0):
            yield upright(frame)


@contextmanager
def _opened(video):
    """The container of the file; what FFmpeg objects to, here or while it is read, is a VideoError."""
    import av

    with _readable(), av.open(video.get_stream_source(), metadata_errors="replace") as container:
        yield container


@contextmanager
def _readable():
    import av

    try:
        yield
    except (av.FFmpegError, OSError, UnicodeDecodeError) as error:
        raise VideoError(f"The reference video cannot be read: {error}. Is the file whole?") from error
