"""The teeth that a portrait shows: where they are, what they look like, and where a frame shows them again.

In: a portrait's crop and its mesh. Out, for each frame: the portrait's own teeth where they have gone with the skull,
or with the jaw, if it shows the lower row; and, for the drawn ones beside them (interior.py), their colour and edge.

A tooth is bright beside the white of this face (light.py) and grey. It is looked for at the size of the crop.
Letters: `B` frames, `h w` pixels, `S` side of the crop.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import INNER_LIPS
from ..meshwarp.edge_curves import pixels_around
from ..meshwarp.flow_maps import MeshFlow
from ..meshwarp.mouth_anchors import LOWER_TEETH, UPPER_TEETH, inside_points, middle_of
from ..meshwarp.posed_rig import PosedRig
from ..meshwarp.warp import sample
from .opening import Opening, lips_apart, opening

# Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet"), on those who smile in
# the portrait (astronaut, obama, obama2).
#: So bright beside the white of the face, and so grey (the least of its colours by the largest); from the first, where
#: it could be one, over so much further, where it surely is.
_BRIGHT, _GREY = (0.45, 0.2), (0.5, 0.15)
_DIM = (0.55, 0.15)  #: the same of the light of the portrait's teeth, below which it is something else
_EDGE = 0.010  #: decimetres over which lips and teeth blend in the portrait
_PARTED = 0.03  #: decimetres between the lips, below which they are closed
_GAP = 0.3  #: as little of a tooth ends a row
_SPUR = 0.010  #: decimetres: what sticks out of a row and is no wider than twice this is light on a lip
_FEWEST = 0.004  #: square decimetres of teeth, below which there are none to keep
_LOW = 0.6  #: teeth that lie lower than this between the lips, on average, are the lower row
_MIDDLE = (0.4, 0.6)  #: of the width of the mouth: where the edge of a row is looked for
_FURTHEST = 0.08  #: decimetres by which the edge may be off the anatomical place


class OwnTeeth:
    """image (1, 3, S, S) in 0..1, its head, and what is white in this face (3,).

    row     UPPER_TEETH or LOWER_TEETH; None where the portrait shows no teeth
    colour  (3,) of the teeth in the light that falls on them, or None
    lift    () decimetres, up in the head, from where the anchors have the edge of that row to where it appears
    """

    def __init__(self, image: Tensor, head: PosedRig, white: Tensor, *, find: bool = True):
        """find: whether to search for teeth; without, the portrait counts as showing none"""
        self.image, self.head = image, head
        self.mask = image.new_zeros(1, 1, *image.shape[-2:])
        self.both = torch.cat([image, self.mask], dim=1)
        self.row: int | None = None
        self.colour: Tensor | None = None
        self.lift = image.new_zeros(())
        if not find:
            return
        lips = head.on_crop(head.rig.source[list(INNER_LIPS)])[None]
        rows, columns, places = pixels_around(lips, 2.0, image.shape[-1])
        if not places.numel():
            return
        gap, edge = opening(lips, places[None]), max(1.0, _EDGE * head.density)
        window = image[:, :, rows, columns]
        mask = gap.cover(edge) * _whiteness(F.avg_pool2d(window, 3, 1, 1, count_include_pad=False), white)
        light = window.mean(1, keepdim=True)
        if (mask > 0.5).any():  # the tongue is grey, too, where it shines
            dim_from, dim_over = _DIM
            brightest = light[mask > 0.5].cpu().quantile(0.9).item()
            mask = mask * ((light / brightest - dim_from) / dim_over).clamp(0, 1)
        total = mask.sum()
        middle = torch.linspace(*_MIDDLE, 5, device=image.device)[None, None]
        parted = lips_apart(lips, middle).mean() > _PARTED * head.density
        if not parted or total < _FEWEST * head.density**2:
            return
        low = (mask * (gap.above / gap.height.clamp_min(1.0)).clamp(0, 1)).sum() / total
        row = LOWER_TEETH if low > _LOW else UPPER_TEETH
        mask = _first_row(mask) if row == UPPER_TEETH else _first_row(mask.flip(2)).flip(2)
        mask = _without_spurs(mask, round(_SPUR * head.density))
        if mask.sum() < _FEWEST * head.density**2:  # they were spurs alone
            return
        self.row = row
        mask = (mask + F.avg_pool2d(mask, 3, 1, 1)) / 2  # no steps along the edge of the row
        self.mask[:, :, rows, columns] = mask
        self.both = torch.cat([image, self.mask], dim=1)
        bright = mask * light
        self.colour = (window * bright).sum((0, 2, 3)) / bright.sum()
        self.lift = self._lift(mask[0, 0], gap, places)

    def _lift(self, mask: Tensor, gap: Opening, places: Tensor) -> Tensor:
        face, first = self.head.rig.face, self.image.new_zeros(1)
        turn = torch.eye(3, device=first.device)[None]
        anchor = inside_points(face, face.weights[None], turn, torch.zeros(1, 2, device=first.device))
        anchor = self.head.on_crop(anchor[0, middle_of(face, self.row or UPPER_TEETH)])
        down = face.down_on_stage * self.head.zoom  # a decimetre down the head, in pixels of the crop
        across = gap.across[0, 0]
        edge = (mask > 0.5) & (across > _MIDDLE[0]) & (across < _MIDDLE[1])
        if not edge.any():
            return first[0]
        depth = ((places - anchor) @ down / down.square().sum())[edge]
        depth = depth.cpu().quantile(0.95 if self.row == UPPER_TEETH else 0.05)
        return -depth.clamp(-_FURTHEST, _FURTHEST).to(places.device)

    def sampled(self, places: Tensor, flow: MeshFlow) -> tuple[Tensor, Tensor]:
        """places (h, w, 2) of the crop -> the portrait at the spots of skull or jaw that are there in each frame
        (B, 3, h, w), and a mask of its teeth among them (B, 1, h, w).
        """
        n, side = len(flow.rigid_affine), self.image.shape[-1]
        on_stage = self.head.on_stage(places).expand(n, -1, -1, -1)
        if self.row == LOWER_TEETH:
            on_stage = on_stage - flow.mouth_anchors.jaw[:, None, None]
        source = F.pad(on_stage, (0, 1), value=1.0) @ flow.rigid_affine[:, None]
        grid = self.head.on_crop(source) * (2 / side) - 1
        found = sample(self.both.expand(n, -1, -1, -1), grid)
        return found[:, :3], found[:, 3:]


def _first_row(mask: Tensor) -> Tensor:
    """mask (1, 1, h, w) -> the same without what comes after a gap, from the top: the tongue shines below the teeth."""
    ended = ((mask.cummax(2).values > 0.5) & (mask < _GAP)).to(mask).cummax(2).values
    return mask * (1 - F.max_pool2d(ended, (1, 5), 1, (0, 2)))


def _without_spurs(mask: Tensor, reach: int) -> Tensor:
    """mask (1, 1, h, w) -> the same without what is narrower than 2 reach + 1 pixels."""
    side = 2 * reach + 1
    return F.max_pool2d(-F.max_pool2d(-mask, side, 1, reach), side, 1, reach)


def _whiteness(image: Tensor, white: Tensor) -> Tensor:
    """image (B, 3, h, w) -> (B, 1, h, w) in 0..1: how far it could be teeth, by its colour."""
    bright = image.mean(1, keepdim=True) / white.mean()
    grey = image.amin(1, keepdim=True) / image.amax(1, keepdim=True).clamp_min(0.05)
    (bright_from, bright_over), (grey_from, grey_over) = _BRIGHT, _GREY
    return ((bright - bright_from) / bright_over).clamp(0, 1) * ((grey - grey_from) / grey_over).clamp(0, 1)
