"""Frames, or heads that are put back into their image, and audio become a video file in the format of its ending.

Letters: `T` frames, `B` of them in a batch, `h w` a head, `H W` a frame of the video.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..claims import Claim
from ..datatypes import FrameStream, OnProgress
from ..threads import few_threads
from ..timeline import FRAMES_PER_SECOND
from .cutout import Backdrop, clean_edges
from .ffmpeg import Ffmpeg, as_argument, never_stop
from .formats import format_of
from .frame_input import check_masks, masks_at, n_at_once, require_clip
from .paste import PasteBack
from .video import VideoWriter, WriterOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: frames written at once, and the most pixels they may have together
WRITTEN_AT_ONCE = 16
PIXELS_WRITTEN_AT_ONCE = 16_000_000


@few_threads()
def write_video(
    path: Path | Claim,
    frames: Tensor,
    *,
    fps: float = FRAMES_PER_SECOND,
    audio: tuple[Tensor, float] | None = None,
    mask: Tensor | None = None,
    background: Tensor | None = None,
    on_progress: OnProgress | None = None,
    **writing: Unpack[WriterOptions],
) -> Path:
    """Video Combine: frames (T, H, W, 3) in 0..1 at `fps`, and (waveform, sample rate) -> a video at that path, or
    under a claimed name, in the format of its ending. Returns its path.

    mask: (T, h, w) or one for all, 1 where the frames are opaque; without it a fourth channel of the frames is used
    background: what is under them, a colour (3,) or (T', H', W', 3), which holds its last image; without it a webm or
                a mov is transparent, and an mp4 shows the frames as they are
    writing: see `VideoWriter`
    """
    require_clip("frames", frames)
    height, width = frames.shape[1:3]
    masks = None if mask is None else check_masks("mask", mask)
    if masks is None and frames.shape[3] == 4:
        masks = frames[..., 3]
    finish = _Finish(path, (width, height), masks is not None, background)
    if mask is not None and not finish.needs_alpha:
        logging.warning("SadTalker: the mask has no effect in an mp4; choose the format webm or mov, or a background.")
    writer = VideoWriter(path, (width, height), fps, audio=audio, alpha=finish.alpha, **writing)
    with writer as video:
        at_once = n_at_once(width * height, PIXELS_WRITTEN_AT_ONCE, WRITTEN_AT_ONCE)
        for start in range(0, len(frames), at_once):
            part = frames[start : start + at_once, ..., :3]
            if finish.needs_alpha and masks is not None:
                shown = masks_at(masks, torch.arange(start, start + len(part)), (height, width))
                part = finish(part.permute(0, 3, 1, 2), shown)
            video.write(part)
            if on_progress is not None:
                on_progress(start + len(part), len(frames))
    return writer.path


def render_video(
    path: Path | Claim,
    heads: FrameStream,
    paste_back: PasteBack | None = None,
    *,
    audio: tuple[Tensor, float] | None = None,
    background: Tensor | None = None,
    on_head: Callable[[Tensor], None] | None = None,
    on_alpha: Callable[[Tensor], None] | None = None,
    on_progress: OnProgress | None = None,
    **writing: Unpack[WriterOptions],
) -> Path:
    """Render Video: heads are rendered, put into the whole image and encoded, one batch after the other, to path or
    under a claimed name, in the format of its ending. Returns its path.

    heads: from `render`, with their alpha where the video is to be transparent or to have another background
    paste_back: from `make_paste_back`, or None for the heads alone
    background: see `write_video`
    on_head: called with the last head (3, h, w) of every batch, before `on_progress` is called
    on_alpha: called with the alpha (B, 1, H, W) of the frames that are written, in order, where the heads have one
    writing: see `VideoWriter`; its check_stop is called before every whole image, too
    """
    size_wh = (heads.width, heads.height) if paste_back is None else paste_back.size_wh
    finish = _Finish(path, size_wh, heads.has_alpha, background)
    check_stop = writing.get("check_stop")
    writer = VideoWriter(path, size_wh, FRAMES_PER_SECOND, audio=audio, alpha=finish.alpha, **writing)
    with writer as video:
        for batch in heads.batches():
            with few_threads():
                for frames, alpha in _put_back(batch, paste_back, check_stop):
                    if alpha is not None and on_alpha is not None:
                        on_alpha(alpha)
                    video.write(finish(frames, alpha))
            if on_head is not None:
                on_head(batch[-1, :3])
            if on_progress is not None:
                on_progress(video.n_frames, heads.n_frames)
    return writer.path


def _put_back(
    batch: Tensor, paste_back: PasteBack | None, check_stop: Callable[[], None] | None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Heads (B, 3 or 4, h, w) -> for `_Finish`, in pieces: frames, and their alpha where the heads have one.

    Whole images come one by one: a large one may need more room than the heads did.
    """
    has_alpha = batch.shape[1] == 4
    if paste_back is None:
        yield batch[:, :3], batch[:, 3:] if has_alpha else None
        return
    for head in batch.split(1):
        if check_stop is not None:
            check_stop()
        yield paste_back.as_bytes(head[:, :3]), paste_back.alpha(head[:, 3:]) if has_alpha else None


class _Finish:
    """Prepares frames and their alpha for the writer: composited on a background, or as four channels.

    needs_alpha: whether it does anything with the alpha;  alpha: whether the file is transparent
    """

    def __init__(
        self, path: Path | Claim, size_wh: tuple[int, int], has_alpha: bool, background: Tensor | None
    ) -> None:
        kind = format_of(path.path if isinstance(path, Claim) else path)
        self.backdrop = Backdrop(background, size_wh) if background is not None and has_alpha else None
        self.alpha = has_alpha and kind.alpha and self.backdrop is None
        self.needs_alpha = self.alpha or self.backdrop is not None
        if background is not None and not has_alpha:
            logging.warning("SadTalker: the background has no effect: the frames have no transparent parts.")

    def __call__(self, frames: Tensor, alpha: Tensor | None) -> Tensor:
        """frames (B, 3, H, W) in 0..1, or bytes (B, H, W, 3), and alpha (B, 1, H, W) -> (B, H, W, 3), or 4 for a
        transparent file.
        """
        if frames.dtype == torch.uint8:
            if not self.needs_alpha:
                return frames
            frames = frames.permute(0, 3, 1, 2) / 255
        if self.needs_alpha and alpha is not None:
            alpha = alpha.to(frames)
            frames = clean_edges(frames, alpha)
            if self.backdrop is not None:
                frames = self.backdrop.under(frames, alpha)
            else:
                frames = torch.cat([frames, alpha], dim=1)
        return frames.permute(0, 2, 3, 1)


def write_playable_copy(video: Path, copy: Path, *, check_stop: Callable[[], None] | None = None) -> None:
    """Writes an mp4 of a finished video that a browser plays, on grey where it is transparent; what was there is
    replaced. Raises VideoError or DoesNotFit.
    """
    # Grey is laid under the frames by the alpha of the frames themselves: two copies of them, one painted over.
    on_grey = (
        "format=yuva444p,split[frames][grey];[grey]lutyuv=y=126:u=128:v=128:a=255[grey];"
        "[grey][frames]overlay=format=yuv444,format=yuv420p"
    )
    encoder = Ffmpeg(
        *("-i", as_argument(video), "-filter_complex", on_grey),
        *("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-c:a", "aac", "-movflags", "+faststart"),
        *("-f", "mp4", as_argument(copy)),
        folder=copy.parent,
        check_stop=check_stop or never_stop,
    )
    try:
        encoder.finish()
    except BaseException:
        encoder.stop()
        copy.unlink(missing_ok=True)
        raise
