"""Images change their size as sharply as their pixels allow, by Lanczos' windowed sinc: several packages need that.

Letters: `H W` the image, `h w` the new size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: of the kernel on each side by default; more keep more of the finest detail, and ring further
LOBES = 3
_ROWS_AT_ONCE = 32


def resize_lanczos(image: Tensor, size_hw: tuple[int, int], *, lobes: int = LOBES) -> Tensor:
    """(..., H, W) in 0..1 -> (..., h, w) in 0..1, float32: what gets smaller is filtered, so nothing aliases.

    The first and the last pixel are carried on beyond the border. The same size comes back as it is.
    """
    height, width = size_hw
    turned = _along_rows(image.float(), height, lobes).mT.contiguous()
    return _along_rows(turned, width, lobes).mT.clamp(0, 1).contiguous()


def _along_rows(image: Tensor, height: int, lobes: int) -> Tensor:
    """(..., H, W) -> (..., h, W), a few rows at a time, each from the few that it is made of."""
    n = image.shape[-2]
    if n == height:
        return image
    parts = []
    for taps, weights in zip(*(table.split(_ROWS_AT_ONCE) for table in _taps(n, height, lobes)), strict=True):
        first = int(taps.min())
        mixing = torch.zeros(len(taps), int(taps.max()) + 1 - first).scatter_add_(1, taps - first, weights)
        parts.append(mixing.to(image) @ image[..., first : first + mixing.shape[1], :])
    return torch.cat(parts, dim=-2)


def _taps(n_in: int, n_out: int, lobes: int) -> tuple[Tensor, Tensor]:
    """(h, k) which pixels make each new one, and how much of each; the weights of a pixel add up to 1."""
    ratio = n_in / n_out
    widened = max(ratio, 1.0)
    reach = math.ceil(lobes * widened)
    centre = (torch.arange(n_out, dtype=torch.float64) + 0.5) * ratio - 0.5
    taps = centre.floor().long()[:, None] + torch.arange(1 - reach, reach + 1)
    away = (taps - centre[:, None]) / widened
    weights = torch.sinc(away) * torch.sinc(away / lobes) * (away.abs() < lobes)
    return taps.clamp(0, n_in - 1), (weights / weights.sum(1, keepdim=True)).float()


__all__ = ["LOBES", "resize_lanczos"]
