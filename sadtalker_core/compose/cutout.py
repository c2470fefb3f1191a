"""Frames with alpha come in; the same frames with clean edges go out, or composited on a colour or an image.

A renderer moves the colours under transparent parts along, often black, and mixes them into the outermost pixels of
hair and shoulders, which is a dark fringe on another background. So a pixel that is not quite opaque takes its colour
from the opaque ones around it and keeps its alpha.

Letters: `B` frames of a batch, `H W` their size.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import OptionError, VideoError, shorten

#: side of the square around a pixel from which colours are taken: as a part of the frame's shorter side, and its
#: minimum
_REACH, _LEAST_REACH = 1 / 64, 7
_FEWEST = 3  #: pixels of the radius at the reduced size at which it is computed
#: from this alpha on a pixel begins to keep its own colour; at 1 it is unchanged to the bit
_OWN = 0.8
_NOTHING = 1e-5  #: with less weight than this around it, a pixel keeps its colour


def clean_edges(frames: Tensor, alpha: Tensor) -> Tensor:
    """frames (B, 3, H, W) and alpha (B, 1, H, W) in 0..1 -> (B, 3, H, W); opaque pixels are unchanged to the bit.

    Weighted by the fourth power of alpha, opaque pixels outweigh all others, yet a single hair keeps its colour.
    Colours continue a little beyond the edge, for encoders that subsample chroma.
    What is opaque, and what lies far from everything that is visible, costs next to nothing.
    """
    reach = max(_LEAST_REACH, round(min(frames.shape[-2:]) * _REACH)) // 2
    cleaned, alpha = frames.clone(), alpha.to(frames)
    for frame, cover in zip(cleaned, alpha, strict=True):
        place = _rectangle_of_edges(cover[0], reach)
        if place is not None:
            frame[place] = _clean(frame[place].contiguous(), cover[place].contiguous(), reach)
    return cleaned


def _rectangle_of_edges(alpha: Tensor, reach: int) -> tuple[slice, slice, slice] | None:
    """alpha (H, W) -> the part of (C, H, W) that holds all of it that is visible, and so far beyond as that colours it;
    None where nothing is to be done.
    """
    if bool((alpha >= 1).all()):
        return None
    sides, coarser = [], max(1, reach // _FEWEST)
    for axis, n in ((1, alpha.shape[0]), (0, alpha.shape[1])):
        visible = torch.nonzero(alpha.amax(axis) > 0)[:, 0].tolist()
        if not visible:
            return None
        margin = reach + 2 * coarser
        first = max(0, visible[0] - margin)
        sides.append(slice(first - first % coarser, min(n, visible[-1] + 1 + margin)))
    return slice(None), sides[0], sides[1]


def _clean(frame: Tensor, alpha: Tensor, reach: int) -> Tensor:
    """frame (3, h, w), which is written on, by its alpha (1, h, w)."""
    weight = alpha.square().square()
    mean, coarser = _around(torch.cat([frame * weight, weight])[None], reach)
    places = torch.nonzero(alpha.flatten() < 1)[:, 0]  # one number each: many times as fast as rows and columns
    if coarser == 1:
        sums = mean[0].flatten(1).index_select(1, places)
    else:
        # where each of them is in the reduced image; several times as fast as making all of it larger
        (high, wide), n_columns = mean.shape[-2:], alpha.shape[-1]
        rows = torch.div(places, n_columns, rounding_mode="floor")
        x = (places - rows * n_columns + 0.5) * (2 / (coarser * wide)) - 1
        y = (rows + 0.5) * (2 / (coarser * high)) - 1
        line = torch.stack([x, y], dim=-1).to(mean)[None, None]
        sums = F.grid_sample(mean, line, padding_mode="border", align_corners=False)[0, :, 0]
    weights, own = sums[3:], ((alpha.flatten(1).index_select(1, places) - _OWN) / (1 - _OWN)).clamp_(0, 1)
    colours = frame.flatten(1).index_select(1, places)
    near = torch.where(weights > _NOTHING, sums[:3] / weights.clamp_min(_NOTHING), colours)
    frame.view(3, -1).index_copy_(1, places, torch.lerp(near, colours, own))
    return frame


def _around(values: Tensor, reach: int) -> tuple[Tensor, int]:
    """(B, C, H, W): the mean over squares of about 2 reach + 1 pixels, zeros outside the frame; for a large reach
    computed at a reduced size, where the difference is not visible. And how many times smaller that is.
    """
    coarser = max(1, reach // _FEWEST)
    if coarser > 1:
        values = F.avg_pool2d(values, coarser, ceil_mode=True)
    reach //= coarser
    padded = F.pad(values, (reach,) * 4)
    high, wide = values.shape[-2:]
    # summing shifted copies is several times as fast as pooling
    across = functools.reduce(torch.add, (padded[..., k : k + wide] for k in range(2 * reach + 1)))
    mean = functools.reduce(torch.add, (across[..., k : k + high, :] for k in range(2 * reach + 1)))
    return mean / (2 * reach + 1) ** 2, coarser


class Backdrop:
    """The background of frames with alpha, in their order: a colour, an image, or a clip that holds its last image."""

    def __init__(self, images: Tensor, size_wh: tuple[int, int]):
        """images: (3,) a colour, or (T, H, W, C) in 0..1 of any size: each is scaled to fill size_wh, the excess
        cropped evenly on both sides. Raises VideoError for what is neither.
        """
        if images.dim() == 1:
            images = images[None, None, None]
        if images.dim() != 4 or images.shape[-1] < 3 or 0 in images.shape:
            raise VideoError(f"expected a background (batch, height, width, 3), got {tuple(images.shape)}.")
        if not torch.isfinite(torch.stack(images.aminmax())).all():  # a mask of a long clip would be a gigabyte
            raise VideoError("the background contains NaN or infinite values; check the node that made it.")
        self.images, self.size_wh = images, size_wh
        self.n_composed = 0
        self._last: tuple[int, Tensor] | None = None

    def under(self, frames: Tensor, alpha: Tensor) -> Tensor:
        """The next frames (B, 3, H, W) and their alpha (B, 1, H, W) -> (B, 3, H, W) with the background under them."""
        places = range(self.n_composed, self.n_composed + len(frames))
        self.n_composed += len(frames)
        behind = torch.cat([self._fitted(min(place, len(self.images) - 1)) for place in places]).to(frames)
        return torch.lerp(behind, frames, alpha.to(frames))

    def _fitted(self, place: int) -> Tensor:
        """(1, 3, H, W); a still image is scaled once."""
        if self._last is None or self._last[0] != place:
            width, height = self.size_wh
            image = self.images[place, ..., :3].permute(2, 0, 1)[None].float().cpu().clamp(0, 1)
            self._last = place, _filling(image, height, width)
        return self._last[1]


def _filling(image: Tensor, height: int, width: int) -> Tensor:
    """(1, 3, h, w) -> (1, 3, height, width): scaled to fill that in its own aspect ratio, centred."""
    high, wide = image.shape[-2:]
    scale = max(height / high, width / wide)
    # cropped first: an image of 1 x 16000 pixels would otherwise become 4 million pixels high
    kept = min(max(round(height / scale), 1), high), min(max(round(width / scale), 1), wide)
    top, left = (high - kept[0]) // 2, (wide - kept[1]) // 2
    image = image[..., top : top + kept[0], left : left + kept[1]]
    if kept == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


def colour_of(text: str) -> Tensor | None:
    """A CSS colour (#00ff00, #0f0, white, cornflowerblue) -> (3,) in 0..1; None for other text, and for one that is not
    opaque.
    """
    from PIL import ImageColor

    try:
        levels = ImageColor.getrgb(text.strip())
    except ValueError:
        return None
    return torch.tensor(levels) / 255 if len(levels) == 3 else None


def require_colour(name: str, text: str) -> Tensor:
    """The same. Raises OptionError for what names no colour.  name: of the option"""
    colour = colour_of(text)
    if colour is None:
        raise OptionError(f"{name}: expected a colour such as #00ff00 or white, got {shorten(repr(text))}.")
    return colour


__all__ = ["Backdrop", "clean_edges", "colour_of", "require_colour"]
