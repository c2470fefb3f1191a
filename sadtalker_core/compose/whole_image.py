"""Heads and an image come in, frames of the whole image come out: Paste Back, of one person or of several.

Letters: `T` frames, `B` of them in a batch, `h w` a head, `H W` the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..datatypes import FrameStream, Portrait
from ..errors import OptionError
from ..threads import each_on_few_threads, few_threads
from .frame_input import check_masks, masks_at, n_at_once, require_clip
from .paste import Blend, PasteBack, SeamOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: whole images made at once, and the most pixels they may have together: a large one takes a second by itself
PASTED_AT_ONCE = 4
PIXELS_AT_ONCE = 4_000_000


@few_threads()
def make_paste_back(portrait: Portrait, **seam: Unpack[SeamOptions]) -> PasteBack:
    """What `render_video` needs to put the heads back into their image; see `paste`. With a mask, which limits the
    head, the blend is a feathered edge, so that no colours spread beyond it.
    """
    return PasteBack(portrait, blend=Blend.MULTIBAND if seam.get("mask") is None else Blend.FEATHER, **seam)


def paste(
    frames: Tensor,
    portrait: Portrait,
    *,
    background: Tensor | None = None,
    alpha: Tensor | None = None,
    **seam: Unpack[SeamOptions],
) -> tuple[FrameStream, Tensor]:
    """Paste Back: frames (T, h, w, 3) of any size -> the frames of the whole image, and the mask (H, W) of where.

    background: (T', H, W, 3) frames of that image in which somebody else talks already. The result is as long as the
    longer clip; the shorter one holds its last frame.
    alpha: (T, h', w') of the head, 1 where it shows; the stream then has the alpha of the whole image, which is the
    portrait's own where nothing is pasted. The colours are the same either way.
    seam: see `PasteBack`
    """
    for name, clip in (("frames", frames), ("background", background)):
        if clip is not None:
            require_clip(name, clip)
    back = make_paste_back(portrait, **seam)
    width, height = portrait.size_wh
    n_frames = max(len(frames), 0 if background is None else len(background))
    alphas = None if alpha is None else check_masks("alpha", alpha)

    def held(clip: Tensor, places: Tensor) -> Tensor:
        return clip[places.clamp(max=len(clip) - 1), ..., :3].permute(0, 3, 1, 2).float()

    def batches() -> Iterator[Tensor]:
        for places in torch.arange(n_frames).split(n_at_once(width * height, PIXELS_AT_ONCE, PASTED_AT_ONCE)):
            whole = back(held(frames, places), None if background is None else held(background, places))
            if alphas is not None:
                whole = torch.cat([whole, back.alpha(masks_at(alphas, places)).to(whole)], dim=1)
            yield whole

    stream = FrameStream(n_frames, height, width, lambda: each_on_few_threads(batches()), has_alpha=alphas is not None)
    return stream, back.mask


def paste_together(people: Sequence[tuple[FrameStream, PasteBack]]) -> FrameStream:
    """Several heads of one image, each with what pastes it back -> the frames of the whole image, one at a time.

    Later ones lie over earlier ones. The result is as long as the longest clip; a shorter one holds its last frame.
    Where all heads have alpha, the whole image has, too.
    Raises OptionError for an empty list, and for portraits of images of different sizes.
    """
    if not people:
        raise OptionError("expected at least one person, got none.")
    height, width = people[0][1].mask.shape
    for _, back in people[1:]:
        if back.mask.shape != (height, width):
            raise OptionError(
                f"the portraits are of images of different sizes, {width} x {height} and "
                f"{back.mask.shape[1]} x {back.mask.shape[0]}; select both faces in one image."
            )
    n_frames = max(heads.n_frames for heads, _ in people)
    has_alpha = all(heads.has_alpha for heads, _ in people)

    def one_by_one(heads: FrameStream) -> Iterator[Tensor]:
        head = None
        for batch in heads.batches():
            for head in batch.split(1):
                yield head
        while head is not None:
            yield head

    def frames() -> Iterator[Tensor]:
        streams = [one_by_one(heads) for heads, _ in people]
        for _ in range(n_frames):
            whole = alpha = None
            for stream, (_, back) in zip(streams, people, strict=True):
                head = next(stream)
                with few_threads():
                    whole = back(head[:, :3], whole)
                    if has_alpha:
                        alpha = back.alpha(head[:, 3:], alpha)
            if whole is not None:
                yield whole if alpha is None else torch.cat([whole, alpha.to(whole)], dim=1)

    def seconds_per_frame() -> float:
        return sum(heads.seconds_per_frame() for heads, _ in people if heads.seconds_per_frame is not None)

    return FrameStream(n_frames, height, width, frames, seconds_per_frame=seconds_per_frame, has_alpha=has_alpha)
