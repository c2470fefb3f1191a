r"""A portrait in two layers, the person and the background, so that hair stays sharp in a turn and the background does
not bend.

In: the image and where it shows the person (face/person.py). Out: `front`, which is warped, and `behind`, which stays:

    image = front + (1 - matte) * behind        frame = warped(front) + (1 - warped(matte)) * behind

so that a head at rest gives the image back up to rounding, whatever the matte is. Strands and blurred edges of hair
that the matte misses are in `front` as their difference from the background, and move with the hair.

Behind the person the background is continued as the mean of what is around.

Letters: `C` channels of the image, three colours and perhaps alpha; `S` side of the crop; `h w` a smaller grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .warp import largest_around

#: part of the crop's side: nothing so near to the person counts as background, because it may be hair
_AROUND = 0.02
_SURE = 0.1  #: a pixel that shows the person by more does not count as background
_LEAST = 1e-3  #: the share of a pixel of a smaller image that has to be known


@dataclass(frozen=True, eq=False)
class Layers:
    """with_matte (1, C + 1, S, S): the front, and the matte in 0..1;  behind (1, C, S, S)."""

    with_matte: Tensor
    behind: Tensor

    @property
    def front(self) -> Tensor:
        return self.with_matte[:, :-1]

    @property
    def matte(self) -> Tensor:
        return self.with_matte[:, -1:]

    @classmethod
    def of(cls, image: Tensor, person: Tensor) -> Layers:
        """image (1, C, S, S), person (1, 1, S, S) in 0..1."""
        reach = max(1, round(_AROUND * image.shape[-1]))
        around = largest_around((person > _SURE).to(image), 2 * reach + 1)
        background = _carried_on(image, 1 - around)
        behind = torch.lerp(image, background, around)
        return cls(torch.cat([image - (1 - person) * behind, person], dim=1), behind)

    def put_together(self, found: Tensor, band: tuple[Any, ...]) -> Tensor:
        """found (B, C + 1, h, w), the warped front and its matte -> (B, C, h, w) with what is behind in that band of
        (B, C, S, S), where the person is not.
        """
        behind = self.behind[band]
        return (found[:, :-1] + behind).addcmul_(behind, found[:, -1:], value=-1)


def _carried_on(image: Tensor, known: Tensor) -> Tensor:
    """image (1, C, h, w), known (1, 1, h, w) 1 or 0 -> the image where it is known, and elsewhere the mean of what is
    known around, from ever smaller images.
    """
    high, wide = image.shape[-2:]
    if min(high, wide) < 2:
        return image
    smaller = ((high + 1) // 2, (wide + 1) // 2)
    share = F.adaptive_avg_pool2d(known, smaller)
    mean = F.adaptive_avg_pool2d(image * known, smaller) / share.clamp_min(_LEAST)
    filled = _carried_on(mean, (share > _LEAST).to(image))
    coarse = F.interpolate(filled, (high, wide), mode="bilinear", align_corners=False)
    return torch.lerp(coarse, image, known)
