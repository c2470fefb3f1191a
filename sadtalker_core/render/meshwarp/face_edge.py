"""The edge of a face that has come over its surroundings in a turn: drawn from both sides, so that it is smooth.

In: the displacement of the stage, which is torn at that edge, and where the face is. Out: what each side shows a little
across the edge, and the frames with the edge drawn.

Where a face leaves its surroundings they are drawn out, and nothing is torn: across an edge that is, places of the
portrait are skipped on the way out of the face.

Letters: `B` frames, `S` side of the crop, `h` side of the stage. Stage as in placement.py.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .layers import Layers
from .warp import largest_around, mean_around, sample, sum_around

#: pixels of the stage: so much may be skipped at the face's edge; it is drawn anew where twice as much is. Each side is
#: carried on across it by half of _ACROSS
_TORN, _ACROSS = 0.5, 7
_NONE = 1e-3  #: the share of a square below which there is nothing of a side in it
#: the power of the soft face by which a pixel counts for its side: right at the edge the network's flow mixes both
_CLEAN = 4
_CRISP = 4.0  #: how much sharper than the soft face its edge is drawn


class BothSides(NamedTuple):
    """within, beyond (B, 2, h, h)   what the displacement of the face, and of what is around it, would be a little
                                     across the edge
    face (B, 1, h, h)                the face, soft at its edge
    skipped (B, 1, h, h)             pixels of the stage that are skipped from within to beyond, on the way out
    """

    within: Tensor
    beyond: Tensor
    face: Tensor
    skipped: Tensor


def both_sides_of_edge(displacement: Tensor, on_face: Tensor, face: Tensor) -> BothSides:
    """displacement (B, 2, h, h); on_face and face (B, 1, h, h), where it is the face's, and the same made soft."""
    sides = BothSides(displacement.clone(), displacement.clone(), face, torch.zeros_like(face))
    if not face.any():
        return sides
    rows, columns = (_reach(face.amax(dim=dims)) for dims in ((0, 1, 3), (0, 1, 2)))
    moved, here, soft = (part[:, :, rows, columns] for part in (displacement, on_face.to(displacement), face))
    nearest = []
    for side, known, clean in ((0, here, soft**_CLEAN), (1, 1 - here, (1 - soft) ** _CLEAN)):
        clean = known * clean
        both = sum_around(torch.cat([moved * known, known, moved * clean, clean], dim=1), _ACROSS) / _ACROSS**2
        mean, some, cleaner, much = both.split((2, 1, 2, 1), dim=1)
        nearest.append(torch.where((known > 0) | (some < _NONE), moved, mean / some.clamp_min(_NONE)))
        carried = torch.lerp(cleaner / much.clamp_min(_NONE), moved, clean)
        sides[side][:, :, rows, columns] = torch.where(much < _NONE, moved, carried)
    down, across = torch.gradient(-mean_around(soft, 3), dim=(2, 3))
    length = (down.square() + across.square()).sqrt().clamp_min(_NONE)
    skip = nearest[1] - nearest[0]
    sides.skipped[:, :, rows, columns] = largest_around((skip[:, :1] * across + skip[:, 1:] * down) / length, 3)
    return sides


def _reach(face: Tensor) -> slice:
    """(h,) -> where it is not 0, and a little more to both sides."""
    places = torch.nonzero(face)[:, 0].tolist()
    return slice(max(places[0] - _ACROSS, 0), places[-1] + 1 + _ACROSS)


def draw_edge(
    warped: Tensor,
    still: Tensor,
    image: Tensor | Layers,
    on_stage: Tensor,
    covered: tuple[slice, slice],
    sides: BothSides,
    zoom: Tensor,
) -> None:
    """Draw the edge of a face that lies over its surroundings anew, in place, from either side: the displacement is
    torn there, and what is between its two values would show places of the portrait that do not belong there.

    warped (B, C, S, S);  image (1, C, S, S), or the layers of it;  on_stage (1, S, S, 2) where the pixels of the crop
    are on the stage, -1..1, which are of the stage in the rows and columns `covered`;  still (B, 1, S, S) bool, where
    nothing moves: never at a torn edge, though between its two sides some pixel seems not to;  zoom (): halves of the
    crop's side in a pixel of the stage
    """
    side, high = warped.shape[-1], sides.face.shape[-1]
    torn = (sides.skipped > _TORN).float()
    near = largest_around(torn, 3)[:, 0] > 0
    rows, columns = covered
    nearest = (
        ((line + 1) * (high / 2) - 0.5).round().long().clamp(0, high - 1)
        for line in (on_stage[0, rows, columns.start, 1], on_stage[0, rows.start, columns, 0])
    )
    down, along = nearest
    on_both = torch.cat(sides, dim=1)
    for frame, where in enumerate(near):
        if not where.any():
            continue
        at_rows, at_columns = (torch.nonzero(where.any(axis)[line])[:, 0] for axis, line in ((1, down), (0, along)))
        y, x = torch.nonzero(where[down[at_rows]][:, along[at_columns]], as_tuple=True)
        y, x = at_rows[y] + rows.start, at_columns[x] + columns.start
        pixels = y * side + x
        places = on_stage.view(-1, 2).index_select(0, pixels)
        within, beyond, face, skipped = sample(on_both[[frame]], places[None, None])[0, :, 0].split((2, 2, 1, 1))
        much = (skipped[0] / _TORN - 1).clamp(0, 1)
        share = ((face - 0.5) * _CRISP + 0.5).clamp(0, 1)
        here = torch.stack([x, y], dim=-1).add(0.5) * (2 / side) - 1
        behind, before = (_shown(image, here + shift.T * zoom, pixels) for shift in (beyond, within))
        edge = torch.lerp(behind, before, share)
        flat = warped[frame].view(warped.shape[1], -1)
        flat[:, pixels] = torch.lerp(flat[:, pixels], edge, much)
        own = still[frame].view(-1)
        own[pixels] &= much == 0


def _shown(image: Tensor | Layers, places: Tensor, pixels: Tensor) -> Tensor:
    """places (n, 2) in the image, of pixels (n,) of the frame by their number -> (C, n)"""
    if isinstance(image, Tensor):
        return sample(image, places[None, None])[0, :, 0]
    front, matte = sample(image.with_matte, places[None, None])[0, :, 0].split((len(image.front[0]), 1))
    return front + (1 - matte) * image.behind[0].flatten(1)[:, pixels]
