"""The edge of a face that has come over its surroundings in a turn: drawn from both sides, so that it is smooth.

In: the displacement of the stage, which is torn at that edge, and where the face is. Out: what each side shows a little
across the edge, and the frames with the edge drawn.

Letters: `B` frames, `S` side of the crop, `h` side of the stage. Stage as in placement.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .layers import Layers
from .warp import largest_around, sample, sum_around

#: pixels of the stage: the two sides of the face's edge may differ by so much; its edge is drawn anew where they differ
#: by twice as much. Each side is carried on across it by half of _ACROSS
_TORN, _ACROSS = 0.8, 7
_NONE = 1e-3  #: the share of a square below which there is nothing of a side in it
_CRISP = 4.0  #: how much sharper than the soft face its edge is drawn


def both_sides_of_edge(displacement: Tensor, face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """displacement (B, 2, h, h), face (B, 1, h, h) soft -> what the displacement within the face, and beyond it, would
    be a little across the edge (B, 2, h, h) each, and the face.
    """
    within, beyond = displacement.clone(), displacement.clone()
    if not face.any():
        return within, beyond, face
    rows, columns = (_reach(face.amax(dim=dims)) for dims in ((0, 1, 3), (0, 1, 2)))
    moved, here = displacement[:, :, rows, columns], (face[:, :, rows, columns] > 0.5).to(displacement)
    near = sum_around(torch.cat([moved, torch.ones_like(here)], dim=1), _ACROSS) / _ACROSS**2
    near_inside = sum_around(torch.cat([moved * here, here], dim=1), _ACROSS) / _ACROSS**2
    for carried, known, part in ((within, here, near_inside), (beyond, 1 - here, near - near_inside)):
        mean = part[:, :2] / part[:, 2:].clamp_min(_NONE)
        carried[:, :, rows, columns] = torch.where((known > 0) | (part[:, 2:] < _NONE), moved, mean)
    return within, beyond, face


def _reach(face: Tensor) -> slice:
    """(h,) -> where it is not 0, and a little more to both sides."""
    places = torch.nonzero(face)[:, 0].tolist()
    return slice(max(places[0] - _ACROSS, 0), places[-1] + 1 + _ACROSS)


def draw_edge(
    warped: Tensor,
    image: Tensor | Layers,
    on_stage: Tensor,
    covered: tuple[slice, slice],
    sides: tuple[Tensor, Tensor, Tensor],
    zoom: Tensor,
) -> None:
    """Draw the edge of a face that lies over its surroundings anew, in place, from either side: the displacement is
    torn there, and what is between its two values would show places of the portrait that do not belong there.

    warped (B, C, S, S);  image (1, C, S, S), or the layers of it;  on_stage (1, S, S, 2) where the pixels of the crop
    are on the stage, -1..1, which are of the stage in the rows and columns `covered`;  sides: of `both_sides_of_edge`;
    zoom (): halves of the crop's side in a pixel of the stage
    """
    side, high = warped.shape[-1], sides[0].shape[-1]
    torn = ((sides[0] - sides[1]).square().sum(1, keepdim=True) > _TORN**2).float()
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
        within, beyond, face = sample(on_both[[frame]], places[None, None])[0, :, 0].split((2, 2, 1))
        much = ((within - beyond).square().sum(0).sqrt() / _TORN - 1).clamp(0, 1)
        share = ((face - 0.5) * _CRISP + 0.5).clamp(0, 1)
        here = torch.stack([x, y], dim=-1).add(0.5) * (2 / side) - 1
        behind, before = (_shown(image, here + shift.T * zoom, pixels) for shift in (beyond, within))
        edge = torch.lerp(behind, before, share)
        flat = warped[frame].view(warped.shape[1], -1)
        flat[:, pixels] = torch.lerp(flat[:, pixels], edge, much)


def _shown(image: Tensor | Layers, places: Tensor, pixels: Tensor) -> Tensor:
    """places (n, 2) in the image, of pixels (n,) of the frame by their number -> (C, n)"""
    if isinstance(image, Tensor):
        return sample(image, places[None, None])[0, :, 0]
    front, matte = sample(image.with_matte, places[None, None])[0, :, 0].split((len(image.front[0]), 1))
    return front + (1 - matte) * image.behind[0].flatten(1)[:, pixels]
