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
    """
    reach = max(_LEAST_REACH, round(min(frames.shape[-2:]) * _REACH)) // 2
    alpha = alpha.to(frames)
    weight = alpha.square().square()
    sums = _around(torch.cat([frames * weight, weight], dim=1), reach)
    weights = sums[:, 3:]
    near = torch.where(weights > _NOTHING, sums[:, :3] / weights.clamp_min(_NOTHING), frames)
    own = ((alpha - _OWN) / (1 - _OWN)).clamp_(0, 1)
    return torch.where(own == 1, frames, torch.lerp(near, frames, own))


def _around(values: Tensor, reach: int) -> Tensor:
    """(B, C, H, W): the mean over squares of about 2 reach + 1 pixels, zeros outside the frame; for a large reach
    computed at a reduced size, where the difference is not visible.
    """
    size, coarser = values.shape[-2:], max(1, reach // _FEWEST)
    if coarser > 1:
        values = F.avg_pool2d(values, coarser, ceil_mode=True)
    reach //= coarser
    padded = F.pad(values, (reach,) * 4)
    high, wide = values.shape[-2:]
    # summing shifted copies is several times as fast as pooling
    across = functools.reduce(torch.add, (padded[..., k : k + wide] for k in range(2 * reach + 1)))
    mean = functools.reduce(torch.add, (across[..., k : k + high, :] for k in range(2 * reach + 1)))
    mean /= (2 * reach + 1) ** 2
    return mean if coarser == 1 else F.interpolate(mean, size, mode="bilinear", align_corners=False)


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
        self.n_shown = 0
        self._last: tuple[int, Tensor] | None = None

    def under(self, frames: Tensor, alpha: Tensor) -> Tensor:
        """The next frames (B, 3, H, W) and their alpha (B, 1, H, W) -> (B, 3, H, W) with the background under them."""
        places = range(self.n_shown, self.n_shown + len(frames))
        self.n_shown += len(frames)
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
