"""The edge of a face that has come over its surroundings in a turn: drawn from both sides, so that it is smooth.

In: the displacement of the stage, which is torn at that edge, and where the face is. Out: what each side shows a little
across the edge, and the frames with the edge drawn.

Letters: `B` frames, `S` side of the crop, `h` side of the stage. Stage as in placement.py.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .warp import sample

#: pixels of the stage: the two sides of the face's edge may differ by so much; its edge is drawn anew where they differ
#: by twice as much. Each side is carried on across it by half of _ACROSS
TORN, _ACROSS = 0.8, 7
_CRISP = 4.0  #: how much sharper than the soft face its edge is drawn


def beside_the_edge(displacement: Tensor, face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """displacement (B, 2, h, h), face (B, 1, h, h) soft -> what the displacement within the face, and beyond it, would
    be a little across the edge (B, 2, h, h) each, and the face.
    """
    within = (face > 0.5).to(displacement)
    return _carried_on(displacement, within), _carried_on(displacement, 1 - within), face


def _carried_on(values: Tensor, known: Tensor) -> Tensor:
    """The values where they are known, and the mean of those that are nearby elsewhere; as they are further away."""
    near = F.avg_pool2d(known, _ACROSS, 1, _ACROSS // 2)
    mean = F.avg_pool2d(values * known, _ACROSS, 1, _ACROSS // 2) / near.clamp_min(1e-4)
    return torch.where((known > 0) | (near < 1e-4), values, mean)


def draw_edge(
    warped: Tensor, image: Tensor, identity: Tensor, within: Tensor, beyond: Tensor, face: Tensor, torn: Tensor
) -> None:
    """Draw the edge of a face that lies over its surroundings anew, in place, from either side: the displacement is
    torn there, and what is between its two values would show places of the portrait that have no business there.

    warped (B, 3, S, S);  image (1, 3, S, S);  identity (1, S, S, 2);  within, beyond (B, 2, S, S) of
    `beside_the_edge`, in halves of the side;  face (B, 1, S, S) soft;  torn () by how much the two
    differ where nothing need be done
    """
    much = ((within - beyond).square().sum(1, keepdim=True).sqrt() / torn - 1).clamp(0, 1)
    share = ((face - 0.5) * _CRISP + 0.5).clamp(0, 1)
    for frame, where in enumerate(much[:, 0] > 0):
        if not where.any():
            continue
        places = identity[0, where]
        behind, before = (
            sample(image, (places + side[frame][:, where].T)[None, None])[0, :, 0] for side in (beyond, within)
        )
        edge = torch.lerp(behind, before, share[frame][:, where])
        warped[frame][:, where] = torch.lerp(warped[frame][:, where], edge, much[frame][:, where])
