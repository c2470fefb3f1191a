"""The rim of the lips: how their own colour goes over into the dark of the mouth, instead of ending at a line.

A lip is round: at its edge it turns inwards, keeps its colour for a while and falls into shade. In the corners, where
both lips and the cheek behind them meet, that reaches further, so that an opening ends softly there.
In: a portrait; then frames with their lips drawn, and where pixels lie between them. Out: a colour, and how much of it
is visible.

Letters: `B` frames, `h w` the rectangle around the mouth, `S` side of the crop.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...canonical_face import INNER_LIPS, LOWER_INNER_LIP, OUTER_LIPS, UPPER_INNER_LIP
from ..meshwarp.posed_rig import PosedRig
from ..meshwarp.warp import sample
from .opening import Opening

#: of the upper and of the lower lip: points of the inner edge and of the outer one, in pairs, as the mesh has them
_LIPS = ((UPPER_INNER_LIP, OUTER_LIPS[1:10]), (LOWER_INNER_LIP, OUTER_LIPS[11:]))

# In decimetres. Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet").
_WITHIN = 0.016  #: how far within a lip its colour is taken
#: how bright that is by the lip, at least and at most: teeth shine into a lip, ink marks its edge
_LIKE_LIP = (0.7, 1.2)
#: how far the rim of the upper and of the lower lip reaches, at most and by how far they are apart; how bright it is
_REACH, _PART, _BRIGHT = (0.008, 0.011), 0.14, (0.54, 0.68)
_REDDER = (1.0, 0.90, 0.88)  #: its colour by that of the lip
_CORNER, _CORNER_REACH, _CORNER_BRIGHT = 0.18, 0.040, 0.64  #: part of the width of the mouth that is a corner; the same


class LipRim:
    """image (1, 3, S, S) in 0..1 of a portrait, and its head"""

    def __init__(self, image: Tensor, head: PosedRig):
        self.density = head.density
        source, to_grid = head.rig.source, 2 / image.shape[-1]
        middles = (head.on_crop((source[list(inner)] + source[list(outer)]) / 2) for inner, outer in _LIPS)
        self.lights = [
            float(sample(image, (middle * to_grid - 1)[None, None]).mean(1).median().clamp_min(0.02))
            for middle in middles
        ]

    def __call__(self, frames: Tensor, places: Tensor, lips: Tensor, gap: Opening) -> tuple[Tensor, Tensor]:
        """frames (B, 3, S, S), places (h, w, 2) of their pixels, lips (B, 20, 2) as INNER_LIPS names them, gap where
        the places lie between them -> the colour of the rim (B, 3, h, w), and how much of it is visible (B, 1, h, w).
        """
        across = lips[:, len(INNER_LIPS) // 2] - lips[:, 0]
        across = across / across.norm(dim=-1, keepdim=True).clamp_min(1e-3)
        down = torch.stack([-across[:, 1], across[:, 0]], dim=-1)[:, None, None]
        inner = gap.from_corner(_CORNER)
        colour, shown, clear = torch.zeros_like(gap.above), torch.zeros_like(gap.above), torch.ones_like(gap.above)
        sides = zip((gap.above, gap.below), (-1, 1), self.lights, _REACH, _BRIGHT, strict=True)
        for depth, outwards, light, most, bright in sides:
            depth = depth.clamp_min(0)
            way = outwards * (depth[:, 0] + _WITHIN * self.density)
            lip = sample(frames, (places + way[..., None] * down) * (2 / frames.shape[-1]) - 1)
            seen = lip.mean(1, keepdim=True)
            lip = lip * (seen.clamp(_LIKE_LIP[0] * light, _LIKE_LIP[1] * light) / seen.clamp_min(0.02))
            visible = torch.exp(-((depth / self._reach(gap, inner, most)) ** 2))
            colour = colour + visible * (_CORNER_BRIGHT + inner * (bright - _CORNER_BRIGHT)) * lip
            shown, clear = shown + visible, clear * (1 - visible)
        return colour / shown.clamp_min(1e-3) * colour.new_tensor(_REDDER)[:, None, None], 1 - clear

    def _reach(self, gap: Opening, inner: Tensor, most: float) -> Tensor:
        """(B, 1, h, w) in pixels: how far a rim reaches, `most` decimetres at most; inner: 0 in a corner, 1 beside."""
        reach = (_PART * gap.height).clamp(0.5, max(1.0, most * self.density))
        in_corner = max(1.0, _CORNER_REACH * self.density)
        return in_corner + inner * (reach - in_corner)
