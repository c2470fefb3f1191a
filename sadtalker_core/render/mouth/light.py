"""The light in a portrait's mouth: what a white thing in this face looks like.

In: a portrait's crop and where its mesh is. Out: a colour.
Letters: `S` side of the crop.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...canonical_face import EYES
from ..meshwarp.posed_rig import PosedRig
from ..meshwarp.warp import sample

_CHEEKS = (50, 280)  #: points of the mesh

# Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet"): teeth in its columns
# of vowels are neither grey nor brighter than the face.
_BY_EYES, _BY_CHEEKS = 1.35, 1.45  #: white, by the whites of the eyes, which lie in shade, and by the cheeks
_LEAST, _MOST = 0.2, 1.0  #: how bright it may be
_TINT = 0.4  #: share of the eyes' colour in its own
_LEAST_TINT, _MOST_TINT = 0.8, 1.2


def light_of(image: Tensor, head: PosedRig) -> Tensor:
    """image (1, 3, S, S) in 0..1 -> (3,) what a white thing in this face looks like: the whites of the eyes, never
    darker than the cheeks."""
    face, side = head.rig.face, image.shape[-1]

    def seen(places: Tensor) -> Tensor:
        return sample(image, (head.on_crop(places) * (2 / side) - 1)[None, None])[0, :, 0]

    triangles = face.canonical.triangles[face.canonical.kind == EYES]
    share = torch.tensor([[1, 1, 1], [2, 1, 1], [1, 2, 1], [1, 1, 2]]).to(image)
    share = share / share.sum(1, keepdim=True)
    eyes = seen(torch.einsum("sk,nkc->nsc", share, face.points[triangles]).flatten(0, 1))
    bright = eyes.mean(0).argsort(descending=True)
    white = eyes[:, bright[len(bright) // 12 : len(bright) // 4]].mean(1)
    reach = torch.linspace(-4, 4, 5, device=image.device)
    around = torch.stack(torch.meshgrid(reach, reach, indexing="ij"), dim=-1).flatten(0, 1)
    cheeks = torch.cat([seen(face.points[k] + around) for k in _CHEEKS], dim=1).mean(1)
    level = torch.maximum(white.mean() * _BY_EYES, cheeks.mean() * _BY_CHEEKS).clamp(_LEAST, _MOST)
    tint = 1 - _TINT + _TINT * white / white.mean().clamp_min(0.05)
    return level * tint.clamp(_LEAST_TINT, _MOST_TINT)
