r"""A portrait in two layers, the person and the background, so that hair stays sharp in a turn and the background does
not bend.

In: the image and where it shows the person (face/person.py). Out: `front`, which is warped, and `behind`, which stays:

    image = front + (1 - matte) * behind        frame = warped(front) + (1 - warped(matte)) * behind

so that a head at rest gives the image back up to rounding, whatever the matte is. Strands and blurred edges of hair
that the matte misses are in `front` as their difference from the background, and move with the hair; what is
close to the head and clearly no part of it stays with the background.

Behind the person the background is continued as the mean of what is around.

Letters: `C` channels of the image, three colours and perhaps alpha; `S` side of the crop; `h w` a smaller grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...easing import smoothstep
from .warp import largest_around

#: part of the crop's side: nothing so near to the person that looks like them counts as background: it may be hair
_AROUND = 0.02
#: a pixel that shows the person by more does not count as background, and shows nothing else
_SURE, _SURELY = 0.1, 0.9
# Tuned by eye on turns of 10 degrees of nine portraits: no ear stands still, and no strand.
#: the distance of a colour from the background's, by the sum of those from background and person: up to where it is of
#: the background, and from where on of the person
_LIKE = (0.25, 0.5)
#: the distance of a colour from the background's up to which its movement is invisible, and from where on it has to
#: stay
_FAINT = (0.15, 0.3)
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
        known = (person > _SURE).to(image)
        around = largest_around(known, 2 * reach + 1)
        own = _may_be_theirs(image, _carried_on(image, 1 - around), person, 2 * reach)
        around = torch.maximum(around * largest_around(own, 3), largest_around(known, 3))
        background = _carried_on(image, 1 - around)
        behind = torch.lerp(image, background, around)
        return cls(torch.cat([image - (1 - person) * behind, person], dim=1), behind)

    def put_together(self, found: Tensor, band: tuple[Any, ...]) -> Tensor:
        """found (B, C + 1, h, w), the warped front and its matte -> (B, C, h, w) with what is behind in that band of
        (B, C, S, S), where the person is not.
        """
        behind = self.behind[band]
        return (found[:, :-1] + behind).addcmul_(behind, found[:, -1:], value=-1)


def _may_be_theirs(image: Tensor, background: Tensor, person: Tensor, reach: int) -> Tensor:
    """image and background, as it is carried on, (1, C, S, S), person (1, 1, S, S) -> (1, 1, S, S) in 0..1, 0 where a
    pixel looks like the background, and unlike the edge of the person within `reach` pixels.
    """
    colours, (high, wide) = image[:, :3], image.shape[-2:]
    edge = F.pad(_carried_on(colours, (person > _SURELY).to(image)), (reach,) * 4, mode="replicate")
    shifts = product((0, reach, 2 * reach), repeat=2)
    from_edge = torch.cat([_far(colours, edge[..., y : y + high, x : x + wide]) for y, x in shifts]).amin(0)[None]
    from_background = _far(colours, background[:, :3])
    share = from_background / (from_background + from_edge).clamp_min(_LEAST)
    unlike = 1 - smoothstep((share - _LIKE[0]) / (_LIKE[1] - _LIKE[0]))
    return 1 - unlike * smoothstep((from_background - _FAINT[0]) / (_FAINT[1] - _FAINT[0]))


def _far(colours: Tensor, others: Tensor) -> Tensor:
    """(1, 3, S, S) both -> (1, 1, S, S) how far apart they are."""
    return (colours - others).square().sum(1, keepdim=True).sqrt()


def _carried_on(image: Tensor, known: Tensor) -> Tensor:
    """image (1, C, h, w), known (1, 1, h, w) in 0..1 -> the image where it is known, and elsewhere the mean of what is
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
