"""An image and the mesh of its face come in; what covers the mouth goes out, if anything does.

The colours around the mouth are compared with this face's own skin, on the forehead and below the eyes. Cloth: from the
nose to the chin, lips included, everything has one colour, which is not the skin's. Hair: under the nose, or on the
chin, it is far darker than skin and lips. A hand: the lips have the colour of the skin around them, without the dark
line between them that drawings have whose lips have no colour of their own.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..canonical_face import INNER_LIPS, OUTER_LIPS

CLOTH, HAIR, HAND = "cloth", "hair", "hand"

# Points of the mesh.
_SKIN = (151, 9, 8, 228, 448, 35, 265, 143, 372)  # what a mask leaves free
_UNDER_NOSE = (164, 167, 393, 165, 391)
_CHIN = (200, 199, 201, 421, 208, 428)
_BESIDE = (212, 432, 202, 422, 210, 430)
_EYE_CORNERS = (33, 263)
_PATCH = 0.03  #: half the side of the patch around a point, in distances of the outer corners of the eyes
_LIGHT = 0.3  #: how much a factor e of brightness counts beside the shares of the colours

# Beside each value: what was measured on 13 portraits and 40 generated people with bare faces, and from three of
# the portraits with masks of three colours and moustaches painted on them.
_TINT = 0.06  #: how far the shares of the colours are off the skin's; bare, where lips are alike, .03; masks from .09
_BLACK = 0.35  #: of the brightness of the skin; bare from .58; black masks .2
_LIKE = 0.035  #: median distance of the lips from what is around them; most bare ones more than .04; masks 0
_EVEN = 0.05  #: median distance of the places from each other
_FOLD = 0.15  #: how much darker than the rest a place between the lips is; folds of cloth to .1, posterised lips .21
_SAME, _SMOOTH = 0.02, 0.03  #: what _LIKE and _EVEN are for a hand; bare from .02 and .04; drawn hands to .016 and .032
_SEAM = 0.08  #: what _FOLD is for a hand; bare from .1; drawn hands to .05
_COLOURED = 0.03  #: shares of the colours of skin; less in a black and white image, where lips are as grey as skin
_DARK = 0.45  #: of the brightness of skin; bare from .5, on a chin in shade; moustaches to .35
_DARKER = 0.7  #: of the brightness of the lips; bare from .72; moustaches to .37


def cover_of(image: Tensor, points: Tensor) -> str | None:
    """image (3, H, W) in 0..1, points (468, 2 or 3) in its pixels -> CLOTH, HAIR, HAND, or None for a bare mouth."""
    patches = colours(image, points)
    lower = torch.cat([_tone(patches[name]) for name in ("under nose", "chin", "beside")])
    skin, around, lips = _tone(patches["skin"]).median(0).values, lower.median(0).values, _tone(patches["lips"])
    off = (around - skin)[:2].norm() > _TINT or around[2] - skin[2] < _LIGHT * math.log(_BLACK)
    like, even = (lips.median(0).values - around).norm(), (lips - around).norm(dim=-1).median()
    line = (around - _tone(patches["between lips"]))[:, 2].max()
    cloth = off and like < _LIKE and even < _EVEN and line < _FOLD
    if cloth and (lower - around).norm(dim=-1).median() < _EVEN:
        return CLOTH
    if like < _SAME and even < _SMOOTH and line < _SEAM and skin[:2].norm() > _COLOURED:
        return HAND
    bright = {name: float(colour.mean(-1).median()) for name, colour in patches.items()}
    hair = min(bright["under nose"], bright["chin"])
    return HAIR if hair < _DARK * bright["skin"] and hair < _DARKER * bright["lips"] else None


def _tone(colours: Tensor) -> Tensor:
    """(n, 3) colours -> (n, 3) two differences of their shares, and the logarithm of the brightness, weighed"""
    total = colours.sum(-1, keepdim=True).clamp_min(0.05)
    red, green, blue = (colours / total).unbind(-1)
    return torch.stack([red - green, green - blue, _LIGHT * (total[:, 0] / 3).log()], dim=-1)


def colours(image: Tensor, points: Tensor) -> dict[str, Tensor]:
    """image (3, H, W) in 0..1, points (468, 2 or 3) in its pixels -> (n, 3) each, by part of the face"""
    points = points[:, :2].float()
    lips = (points[list(INNER_LIPS)] + points[list(OUTER_LIPS)]) / 2
    eyes = (points[_EYE_CORNERS[1]] - points[_EYE_CORNERS[0]]).norm()
    return {
        "skin": _colour_at(image, points[list(_SKIN)], eyes),
        "under nose": _colour_at(image, points[list(_UNDER_NOSE)], eyes),
        "chin": _colour_at(image, points[list(_CHIN)], eyes),
        "beside": _colour_at(image, points[list(_BESIDE)], eyes),
        "lips": _colour_at(image, lips, eyes / 2),
        "between lips": _colour_at(image, points[list(INNER_LIPS)], eyes / 4),
    }


def _colour_at(image: Tensor, places: Tensor, eyes: Tensor) -> Tensor:
    """places (n, 2) -> (n, 3) the mean of a patch around each"""
    height, width = image.shape[-2:]
    reach = torch.linspace(-1, 1, 5) * float(eyes) * _PATCH
    around = torch.stack(torch.meshgrid(reach, reach, indexing="ij"), dim=-1).flatten(0, 1)
    grid = (places[:, None] + around) * (2 / torch.tensor([width, height])) - 1
    return F.grid_sample(image[None].float(), grid[None], padding_mode="border", align_corners=False)[0].mean(-1).T
