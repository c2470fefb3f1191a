"""An image and the mesh of its face come in; what covers the mouth goes out, if anything does.

The colours around the mouth are compared with this face's own skin, on the forehead and below the eyes. Cloth: from the
nose to the chin, lips included, everything has one colour, which is not the skin's. Hair: under the nose, on the upper
lip, or on the chin, it is far darker than skin and lips. Strands: a narrow dark line leads from above the mouth across
both lips. A hand: in all places of the mouth, or in those of its left or right half,
lips have the colour of the skin above and below them, and no dark line between them. A finger or two over a mouth
leave too much of it to be distinguished from a line that fades. Cloth and hands are not looked for in tiny faces.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..canonical_face import INNER_LIPS, OUTER_LIPS

CLOTH, HAIR, HAND, STRANDS = "cloth", "hair", "hand", "strands"
STILL = (CLOTH, HAND)  #: what does not move with the lips

# Points of the mesh.
_SKIN = (151, 9, 8, 228, 448, 35, 265, 143, 372)  # what a mask leaves free
_UNDER_NOSE = (164, 167, 393, 165, 391)
_CHIN = (200, 199, 201, 421, 208, 428)
_BESIDE = (212, 432, 202, 422, 210, 430)
_EYE_CORNERS = (33, 263)
_PATCH = 0.03  #: half the side of the patch around a point, in distances of the outer corners of the eyes
_FINE = 0.02  #: the same where a line is looked for
_LIGHT = 0.3  #: how much a factor e of brightness counts beside the shares of the colours

# Beside each value: what was measured on 13 portraits and 40 generated people with bare faces, and from three of
# the portraits with masks of three colours and moustaches painted on them.
_TINT = 0.06  #: how far the shares of the colours are off the skin's; bare, where lips are alike, .03; masks from .09
_BLACK = 0.35  #: of the brightness of the skin; bare from .58; black masks .2
_LIKE = 0.035  #: median distance of the lips from what is around them; most bare ones more than .04; masks 0
_EVEN = 0.05  #: median distance of the places from each other
_FOLD = 0.15  #: how much darker than the rest a place between the lips is; folds of cloth to .1, posterised lips .21
#: pixels between the outer corners of the eyes: on smaller faces no cloth or hand is looked for. Shrunk bare
#: portraits were taken for a hand up to 13.9, for cloth up to 11.7.
_SMALLEST = 15.0
# Hands: measured on the same portraits and people, on each portrait in ten lights and sizes, and with 182 hands drawn.
_COLOURED = 0.03  #: shares of the colours of skin; less in a black and white image, where lips are as grey as skin
_OWN_COLOUR, _OWN_LINE = 0.18, 0.08  #: of lips, by the skin's colour; how dark a line is: either alone is 1 of a mouth
_NO_MOUTH = 0.85  #: of the whole mouth; bare from 1.1
_NO_COLOUR = 0.05  #: with a line that no fold is darker than, which lies between fingers; bare from .08
_NO_HALF, _A_HALF = 0.5, 1.0  #: of one half of a mouth, and of the other; bare ones from .7
# Moustaches of single hairs, down to the middle of the upper lip or over all of it, and strands, on the same portraits.
_MOUSTACHE, _BESIDE_LOWER_LIP = 0.55, 0.8  #: of the brightness of skin, and of the lower lip; bare from .67 and .85
_OVER_LIP = 0.4  #: of both, where it hangs over the upper lip; bare from .44 of the lower lip
_STRAND = 0.06  #: how much darker than both sides, as a logarithm, all along a line across the mouth; bare up to .02
_PLACES, _SIDES, _SLANT = 73, (3, 4, 5, 6), 4  #: across the mouth; where the sides are; how far a line leads sideways
_HAIR_WIDTH = 0.01  #: half the side of the patch, in distances of the outer corners of the eyes
_DARK = 0.45  #: of the brightness of skin; bare from .5, on a chin in shade; moustaches to .35
_DARKER = 0.7  #: of the brightness of the lips; bare from .72; moustaches to .37


def cover_of(image: Tensor, points: Tensor, *, enlarged: float = 1.0) -> str | None:
    """image (3, H, W) in 0..1, points (468, 2 or 3) in its pixels -> CLOTH, HAIR, HAND, STRANDS, or None (bare).

    enlarged: how many times larger the image is than it was recorded
    """
    patches = colours(image, points)
    lower = torch.cat([_tone(patches[name]) for name in ("under nose", "chin", "beside")])
    skin, around, lips = _tone(patches["skin"]).median(0).values, lower.median(0).values, _tone(patches["lips"])
    off = (around - skin)[:2].norm() > _TINT or around[2] - skin[2] < _LIGHT * math.log(_BLACK)
    like, even = (lips.median(0).values - around).norm(), (lips - around).norm(dim=-1).median()
    line = (around - _tone(patches["between lips"]))[:, 2].max()
    cloth = off and like < _LIKE and even < _EVEN and line < _FOLD
    large = float(_down(points)[1]) >= _SMALLEST * enlarged
    if large and cloth and (lower - around).norm(dim=-1).median() < _EVEN:
        return CLOTH
    mouth = _across(image, points)
    bright = {name: float(colour.mean(-1).median()) for name, colour in patches.items()}
    if _under_a_moustache(*mouth, bright["skin"]):
        return HAIR
    if large and _under_a_hand(*mouth, float(skin[:2].norm())):
        return HAND
    hair = min(bright["under nose"], bright["chin"])
    if hair < _DARK * bright["skin"] and hair < _DARKER * bright["lips"]:
        return HAIR
    return STRANDS if _darkest_line(image, points) > _STRAND else None


def _under_a_moustache(lips: Tensor, between: Tensor, around: Tensor, skin: float) -> bool:
    """lips, between, around: of `_across`; skin: its brightness"""
    upper, lower, above = (float(part.mean(-1).median()) for part in (lips[:, :2], lips[:, 2:], around[:, :3]))
    below_nose = above < _MOUSTACHE * skin and above < _BESIDE_LOWER_LIP * lower
    return below_nose or upper < _OVER_LIP * min(skin, lower)


def _darkest_line(image: Tensor, points: Tensor) -> float:
    """How much darker than both its sides a line is that leads across the mouth, where it is least so: a logarithm.

    The line goes down through 14 rows of places, from above the upper lip to below the lower one, and between the lips
    from one to the other; from row to row it leads _SLANT places sideways at most.
    """
    down, eyes = _down(points)
    edges = [
        F.interpolate(points[list(line), :2].float().T[None], _PLACES, mode="linear", align_corners=True)[0].T
        for line in (OUTER_LIPS[1:10], INNER_LIPS[1:10], INNER_LIPS[:10:-1], OUTER_LIPS[:10:-1])
    ]
    upper, upper_inner, lower_inner, lower = edges
    rows = [upper - far * down for far in (0.12, 0.09, 0.06, 0.03)]
    rows += [torch.lerp(upper, upper_inner, share) for share in (0.15, 0.4, 0.65)]
    rows += [torch.lerp(lower, lower_inner, share) for share in (0.65, 0.4, 0.15)]
    rows += [lower + far * down for far in (0.03, 0.06, 0.09, 0.12)]
    colours = _colour_at(image, torch.cat(rows), eyes * _HAIR_WIDTH / _PATCH)
    bright = colours.mean(-1).clamp_min(0.03).log().view(len(rows), _PLACES)
    wide = F.pad(bright[None], (_SIDES[-1], _SIDES[-1]), mode="replicate")[0]
    left, right = (
        torch.stack([wide[:, _SIDES[-1] + side * far :][:, :_PLACES] for far in _SIDES]).amax(0) for side in (-1, 1)
    )
    darker = torch.minimum(left, right) - bright
    best = darker[:1]
    for row in darker[1:]:
        best = torch.minimum(row, F.max_pool1d(best, 2 * _SLANT + 1, 1, _SLANT))
    return float(best.max())


def _down(points: Tensor) -> tuple[Tensor, Tensor]:
    """(2,) the way down the face, as long as the outer corners of the eyes are apart; and () this length."""
    right = points[_EYE_CORNERS[1], :2].float() - points[_EYE_CORNERS[0], :2].float()
    return torch.stack([-right[1], right[0]]), right.norm()


def _under_a_hand(lips: Tensor, between: Tensor, around: Tensor, saturation: float) -> bool:
    """lips, between, around: of `_across`; saturation: of the skin, by the shares of its colours"""
    if saturation < _COLOURED:
        return False
    lips, between, around = (_tone(part.flatten(0, 1)).unflatten(0, part.shape[:2]) for part in (lips, between, around))
    own_colour = (lips.mean(1) - around.mean(1))[:, :2].norm(dim=-1) / saturation
    bright, line = torch.cat([lips, around], dim=1)[..., 2], between[..., 2].amin(1)
    own_line = bright.median(1).values - line
    colour, folds = own_colour.median(), (bright.amin(1) - line).median()
    if colour / _OWN_COLOUR + own_line.median().clamp_min(0) / _OWN_LINE < _NO_MOUTH:
        return True
    if colour < _NO_COLOUR and folds < 0:
        return True
    mouth = own_colour / _OWN_COLOUR + own_line.clamp_min(0) / _OWN_LINE
    halves = [_middle(mouth[:4]), _middle(mouth[-4:])]
    return min(halves) < _NO_HALF and max(halves) > _A_HALF


def _middle(values: Tensor) -> float:
    """Between the two of the middle; torch.median takes the lower one."""
    return float(values.quantile(0.5))


def _across(image: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Colours at nine places along the mouth, (9, n, 3) each: on the lips, between them, above and below them."""
    points, (down, eyes) = points[:, :2].float(), _down(points)
    upper, upper_inner = points[list(OUTER_LIPS[1:10])], points[list(INNER_LIPS[1:10])]
    lower, lower_inner = points[list(OUTER_LIPS[:10:-1])], points[list(INNER_LIPS[:10:-1])]
    lips = [
        torch.lerp(edge, inner, share)
        for edge, inner in ((upper, upper_inner), (lower, lower_inner))
        for share in (0.35, 0.65)
    ]
    between = [torch.lerp(upper_inner, lower_inner, share) for share in (0.0, 0.5, 1.0)]
    around = [upper - far * down for far in (0.06, 0.09, 0.12)] + [lower + far * down for far in (0.07, 0.11, 0.15)]
    fine = eyes * _FINE / _PATCH
    return tuple(
        _colour_at(image, torch.stack(places, 1).flatten(0, 1), fine).unflatten(0, (9, -1))
        for places in (lips, between, around)
    )


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
