"""Whether somebody wears glasses, whose rims brows and cheeks would pull along.

In: a portrait and its head. Out: yes, if something narrow lies across the bridge of the nose, where skin has no edges.
Of 7 generated heads with rims it finds the 4 with dark or coloured ones, and of 18 faces without glasses none.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...coefficients import BLENDSHAPE_INDEX
from ..meshwarp.posed_rig import PosedRig

_FROM, _TO = 8, 197  #: points of the mesh: between the brows, and where the bone of the nose ends
_ALONG, _ACROSS = 72, 11  #: places that are looked at
_BEYOND, _HALF_WIDTH = 0.1, 0.07  #: of the way from point to point, at both ends; decimetres
_NARROW = 31  #: of the places along: what lasts shorter than half of it is narrow
_ENDS = slice(10, 58)  #: of those places, where both sides of what is narrow are visible
_CLEAR = 0.1  #: of the brightness of the skin; without glasses up to .06 (wrinkles, freckles)

#: what pulls at rims, and how much of it is kept
RIM_UNITS = [
    k for name, k in BLENDSHAPE_INDEX.items() if name.startswith(("brow", "cheekSquint", "eyeSquint", "eyeWide"))
]
KEPT = 0.25


def wears_glasses(image: Tensor, head: PosedRig) -> bool:
    """image (1, 3, S, S) in 0..1"""
    top, end = head.on_crop(head.rig.source[[_FROM, _TO]])
    down = end - top
    length = float(down.norm())
    if length < 4:
        return False
    y = down / length
    x = torch.stack([y[1], -y[0]])
    along = torch.linspace(-_BEYOND, 1 + _BEYOND, _ALONG, device=image.device)
    across = torch.linspace(-_HALF_WIDTH, _HALF_WIDTH, _ACROSS, device=image.device) * head.density
    places = top + along[:, None, None] * down + across[None, :, None] * x
    seen = F.grid_sample(image, places[None] * (2 / image.shape[-1]) - 1, align_corners=False)[0]
    profile = seen.median(dim=2).values  # (3, 72)
    skin = F.pad(profile[None], (_NARROW // 2,) * 2, mode="replicate")[0].unfold(1, _NARROW, 1).median(-1).values
    stands_out = (profile - skin).abs().mean(0) / skin.mean().clamp_min(1e-3)
    return bool(stands_out[_ENDS].max() > _CLEAR)
