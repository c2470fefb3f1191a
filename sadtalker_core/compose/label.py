"""Frames come in; the same frames with a few words in a corner go out: "AI-generated", where everybody can see it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..choices import one_of
from ..datatypes import OnProgress
from ..errors import ImageError, OptionError, shorten

CORNERS = ("bottom right", "bottom left", "top right", "top left")
DEFAULT_TEXT = "AI-generated"
FRAMES_AT_ONCE = 16  #: between two looks at the stop button
SMALLEST_LETTERS = 8  #: pixels; below that nobody can read them
#: files of typefaces with Chinese, Japanese and Korean letters that Windows, macOS and Linux bring along
EASTERN_TYPEFACES = (
    "msyh.ttc", "simhei.ttf", "simsun.ttc", "meiryo.ttc", "malgun.ttf",
    "PingFang.ttc", "Hiragino Sans GB.ttc", "STHeiti Medium.ttc", "AppleSDGothicNeo.ttc",
    "NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "NotoSansSC-Regular.ttf", "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf",
)  # fmt: skip
_NO_SUCH_LETTER = "\uffff"


def label_frames(
    frames: Tensor,
    text: str = DEFAULT_TEXT,
    *,
    corner: str = CORNERS[0],
    size: float = 0.05,
    opacity: float = 0.8,
    on_progress: OnProgress | None = None,
) -> Tensor:
    """frames (T, H, W, C) in 0..1 with three or more channels -> the same shape, a new tensor.

    White letters on a dark plate. size: height of the letters as a part of the image's shorter side, but never below
    SMALLEST_LETTERS; words that would not fit across the image are made smaller. opacity: 1 hides what is behind.
    Only the plate's pixels change; of a fourth channel nothing does.
    on_progress: (frames done, of how many); may raise to stop
    Raises OptionError for no words, and for letters that no typeface here has.
    """
    if frames.ndim != 4 or frames.shape[-1] < 3:
        raise ImageError(f"expected frames (T, H, W, 3), got {tuple(frames.shape)}.")
    label = Label(text, (frames.shape[2], frames.shape[1]), corner=corner, size=size, opacity=opacity)
    labelled = torch.empty_like(frames)
    done = 0
    for piece, out in zip(frames.split(FRAMES_AT_ONCE), labelled.split(FRAMES_AT_ONCE), strict=True):
        out.copy_(piece)
        label.draw(out)
        done += len(piece)
        if on_progress is not None:
            on_progress(done, len(frames))
    return labelled


class Label:
    """The words at their place in frames of one size; see `label_frames`, which raises the same."""

    def __init__(
        self,
        text: str,
        size_wh: tuple[int, int],
        *,
        corner: str = CORNERS[0],
        size: float = 0.05,
        opacity: float = 0.8,
    ):
        rows, columns, plate, ink = _placed_plate(text, size_wh[1], size_wh[0], corner, size)
        self.place = rows, columns
        self.cover, self.ink = (plate * opacity)[..., None], ink[..., None]

    def draw(self, frames: Tensor) -> None:
        """Writes it on frames (T, H, W, C), floats in 0..1, or bytes, in place."""
        patch = frames[:, self.place[0], self.place[1], :3]
        if frames.is_floating_point():
            patch += self.cover.to(frames) * (self.ink.to(frames) - patch)
            return
        was = patch.float()
        patch.copy_((was + self.cover * (self.ink * 255 - was)).round())


def label_alpha(
    alpha: Tensor, text: str = DEFAULT_TEXT, *, corner: str = CORNERS[0], size: float = 0.05, opacity: float = 0.8
) -> Tensor:
    """alpha (T, H, W) of frames that get this label -> the same, a new tensor in which the label is visible, too: over
    transparent parts it would be lost.
    """
    if alpha.ndim != 3:
        raise ImageError(f"expected the alpha as (T, H, W), got {tuple(alpha.shape)}.")
    rows, columns, plate, _ = _placed_plate(text, alpha.shape[1], alpha.shape[2], corner, size)
    labelled = alpha.clone()
    patch = labelled[:, rows, columns]
    patch += (plate * opacity).to(alpha) * (1 - patch)
    return labelled


def _placed_plate(text: str, height: int, width: int, corner: str, size: float) -> tuple[slice, slice, Tensor, Tensor]:
    """The rows and the columns of an image that the plate of a label covers, the plate and its greys."""
    corner = one_of("corner", corner, CORNERS)
    plate, ink = draw_plate(text, height, width, size)
    high, wide = plate.shape
    margin = min(high // 2, height - high, width - wide)
    top = margin if corner.startswith("top") else height - high - margin
    left = margin if corner.endswith("left") else width - wide - margin
    return slice(top, top + high), slice(left, left + wide), plate, ink


def draw_plate(text: str, height: int, width: int, size: float) -> tuple[Tensor, Tensor]:
    """-> the plate (h, w) in 0..1, 1 where it covers, with round corners; and its greys (h, w): the letters are 1.

    height, width: of the image it must fit into.
    """
    from PIL import Image, ImageDraw

    words = " ".join(text.split())
    if not words:
        raise OptionError("the label is empty; write for example AI-generated.")
    letters = max(round(size * min(height, width)), SMALLEST_LETTERS)
    face = typeface_for(words)
    font, box = _measured(face, words, letters)
    while box[2] + letters > width and letters > SMALLEST_LETTERS:
        letters = max(int(letters * 0.9), SMALLEST_LETTERS)
        font, box = _measured(face, words, letters)
    n_wide, n_high = round(box[2] + letters), round(letters * 1.7)
    if n_wide > width or n_high > height:
        raise OptionError(f"{shorten(words)!r} does not fit into frames of {width} x {height}; use a shorter text.")
    plate = Image.new("L", (n_wide * 4, n_high * 4), 0)
    ImageDraw.Draw(plate).rounded_rectangle([0, 0, n_wide * 4 - 1, n_high * 4 - 1], radius=letters * 1.4, fill=255)
    plate = plate.resize((n_wide, n_high), Image.Resampling.LANCZOS)
    ink = Image.new("L", (n_wide, n_high), 16)
    ImageDraw.Draw(ink).text((n_wide / 2, n_high / 2), words, fill=255, font=font, anchor="mm")
    whole, letters_alone = (torch.from_numpy(np.array(part)).float() / 255 for part in (plate, ink))
    return whole, letters_alone


def typeface_for(words: str) -> str | None:
    """The file of a typeface that has all of these letters; None is Pillow's own, which has the Latin ones.

    Raises OptionError when there is none.
    """
    missing = _missing_letters(None, words)
    if not missing:
        return None
    for file in EASTERN_TYPEFACES:
        try:
            if not _missing_letters(file, words):
                return file
        except OSError:  # not on this computer
            continue
    raise OptionError(
        f"no font on this computer has {' '.join(missing)}. For Chinese, Japanese or Korean labels install one, "
        "for example Noto Sans CJK (Debian and Ubuntu: fonts-noto-cjk), or write the label in Latin letters."
    )


def _missing_letters(face: str | None, words: str) -> list[str]:
    """The letters that a typeface shows as it shows what it does not have."""
    font = _font(face, 24)
    unknown = bytes(font.getmask(_NO_SUCH_LETTER))
    return sorted({letter for letter in words if letter != " " and bytes(font.getmask(letter)) == unknown})


def _font(face: str | None, letters: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(letters) if face is None else ImageFont.truetype(face, letters)


def _measured(face: str | None, words: str, letters: int) -> tuple[Any, tuple[float, float, float, float]]:
    """The typeface at that height and the box (left, top, right, bottom) of the words in it."""
    font = _font(face, letters)
    return font, font.getbbox(words)


__all__ = ["CORNERS", "DEFAULT_TEXT", "Label", "draw_plate", "label_alpha", "label_frames", "typeface_for"]
