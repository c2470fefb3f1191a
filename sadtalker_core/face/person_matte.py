"""The mask of a person (person.py), refined where a renderer that parts person and background would show its faults.

Other people are left out: what is not joined to the face. Long hair that the network loses beside the neck is brought
back: what hangs from the hair above the eyes, has its colours, and has colours that no background around the head has.

Letters: `S` side of a square image; `s` side of the grid on which connected parts are found.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..canonical_face import FACE_OUTLINE, LEFT_EYE, RIGHT_EYE

_CHIN = FACE_OUTLINE[18]
_GRID = 128  #: s, at most
_SOFT = 6  #: pixels of the grid around the person within which a soft mask stays as it is
_RIM = 2  #: pixels of the grid up to which gaps between the person and hair that was missed are closed
_SURE, _IS_PERSON, _IS_BACKGROUND = 0.9, 0.5, 0.1
#: below the eyes, 1 at the chin: the colours of hair, and of the background, are learned above these, and hair is
#: brought back between these
_HAIR_ENDS, _BACKGROUND_ENDS, _BETWEEN = -0.6, 0.4, (-0.3, 1.4)
_LEVELS = 12  #: of each colour, when colours are counted
_LIKELY = 0.9  #: the least share of hair, of hair and background, in a colour that hair alone has
_COMMON = 0.2  #: the least density of such a colour, by the mean of those that pixels of hair have
_SOLID = 5  #: pixels of the grid: what is nowhere so wide is no hair
_MOST = 0.35  #: of the person: what would be brought back and is larger is background


def refined_matte(mask: Tensor, image: Tensor, points: Tensor) -> Tensor:
    """mask (1, S, S) and image (3, S, S) in 0..1, points (468, 2) of the face in pixels -> the mask (1, S, S)."""
    whole, side = mask.shape[-2:], min(mask.shape[-1], _GRID)
    small = F.interpolate(torch.cat([mask, image.to(mask)])[None], (side, side), mode="area")
    points = points.to(mask) * (side / mask.shape[-1])
    x, y = points.long().clamp(0, side - 1).unbind(-1)
    face = torch.zeros_like(small[:, :1])
    face[..., y, x] = 1
    person = _joined(face, small[:, :1] > _IS_PERSON)
    hair = _missed_hair(small[:, :1], small[:, 1:], person, points)
    parts = torch.cat([_grown(person, _SOFT), hair], dim=1)
    near, missed = F.interpolate(parts, whole, mode="bilinear", align_corners=False)[0].split(1)
    return torch.maximum(mask * near, missed)


def _missed_hair(mask: Tensor, image: Tensor, person: Tensor, points: Tensor) -> Tensor:
    """mask and person (1, 1, s, s), image (1, 3, s, s), points (468, 2) -> (1, 1, s, s) 1 where hair was missed, up to
    the person.
    """
    down = _below_the_eyes(points, mask)
    background = (mask < _IS_BACKGROUND) & (down < _BACKGROUND_ENDS)
    hair = (mask > _SURE) & (person > 0) & (down < _HAIR_ENDS)
    if not (hair.any() and background.any()):
        return torch.zeros_like(mask)
    levels = (image[0] * _LEVELS).long().clamp(0, _LEVELS - 1)
    colours = (levels[0] * _LEVELS + levels[1]) * _LEVELS + levels[2]
    of_hair, of_background = (_density(colours[where[0, 0]]) for where in (hair, background))
    own = (of_hair > _LIKELY * (of_hair + of_background)) & (of_hair > _COMMON * of_hair.square().sum())
    hanging = _joined(hair.to(mask), own[colours] & (down < _BETWEEN[1]))
    missed = hanging * (mask < _SURE) * (down > _BETWEEN[0])
    missed = _grown(-_grown(-missed, _SOLID // 2), _SOLID // 2) * (1 - person)
    if missed.sum() > _MOST * person.sum():
        return torch.zeros_like(mask)
    closed = -_grown(-_grown(torch.maximum(missed, person), _RIM), _RIM)
    return closed * _grown(missed, 2 * _RIM)


def _below_the_eyes(points: Tensor, like: Tensor) -> Tensor:
    """points (468, 2) in pixels -> (1, 1, s, s) how far below the eyes each pixel is, 1 at the chin."""
    eyes, chin = points[[*LEFT_EYE, *RIGHT_EYE]].mean(0), points[_CHIN]
    way = chin - eyes
    line = torch.arange(like.shape[-1], device=like.device) + 0.5
    along = (line - eyes[0]) * way[0] + (line[:, None] - eyes[1]) * way[1]
    return (along / way.square().sum().clamp_min(1e-6))[None, None]


def _density(colours: Tensor) -> Tensor:
    """(n,) numbers of colours -> (levels ** 3,) the share that each of them has, spread over its neighbours."""
    counts = torch.bincount(colours, minlength=_LEVELS**3).float().view(1, 1, *(_LEVELS,) * 3)
    return F.avg_pool3d(counts / len(colours), 3, 1, 1).flatten()


def _grown(where: Tensor, by: int) -> Tensor:
    """(1, 1, s, s) -> of each pixel the largest of the square that reaches `by` pixels to all sides."""
    return F.max_pool2d(where, 2 * by + 1, 1, by)


def _joined(seed: Tensor, may: Tensor) -> Tensor:
    """seed (1, 1, s, s), 0 or 1, and may, bool -> 1 where may is, as far as it is joined to a part of the seed."""
    reached, before = seed * may, -1.0
    while (size := float(reached.sum())) > before:
        before = size
        for _ in range(8):
            reached = _grown(reached, 1) * may
    return reached
