"""The teeth that a portrait shows: where they are, what they look like, and where a frame shows them again.

In: a portrait's crop and its mesh. Out, for each frame: the portrait's own teeth where they have gone with the skull,
or with the jaw, if it shows the lower row, or both; and, for the drawn ones beside them (interior.py), their colour and
edge. Where a lip uncovers more of a row than it does in the portrait, its teeth go on as they end there.

A tooth is bright beside the white of this face (light.py) and grey. It is looked for at the size of the crop.
Letters: `B` frames, `h w` pixels, `S` side of the crop.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import INNER_LIPS
from ..meshwarp.edge_curves import pixels_around
from ..meshwarp.flow_maps import MeshFlow
from ..meshwarp.mouth_anchors import LOWER_TEETH, UPPER_TEETH, inside_points, middle_of
from ..meshwarp.posed_rig import PosedRig
from ..meshwarp.warp import sample
from .dentition import ENAMEL
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
#: Two rows show where something else lies between them in more than this part of the columns that show teeth, and
#: they lie this near to their lips, by how far those are apart.
_PARTED_COLUMNS, _BY_THE_LIP = 0.6, 0.25
#: Beside lower teeth alone: the part of the mouth below the upper lip where upper ones would be, and how bright they
#: are by the lower ones at least, and at most (obama2, in the sun: upper teeth half as bright).
_NEAR_UPPER_LIP, _IN_SHADE = 0.4, (0.58, 0.9)
_RED = (0.35, 0.15)  #: there, by lower teeth, the least colour by the largest: a lip or gum, whose hue no tooth has
_BEHIND_LIPS, _WHOLE = 0.05, 0.9  #: decimetres by which a row is carried on, from where its mask has this
_LOW = 0.6  #: teeth that lie lower than this between the lips, on average, are the lower row
_MIDDLE = (0.4, 0.6)  #: of the width of the mouth: where the edge of a row is looked for
_FURTHEST = 0.08  #: decimetres by which the edge may be off the anatomical place


class OwnRow(NamedTuple):
    """A row of teeth that a portrait shows.

    mask    (1, 1, S, S) in 0..1, where its crop shows it
    colour  (3,) in the light that falls on it
    lift    () decimetres, up in the head, from where the anchors have the edge of that row to where it appears
    """

    mask: Tensor
    colour: Tensor
    lift: Tensor


class OwnTeeth:
    """image (1, 3, S, S) in 0..1, its head, and what is white in this face (3,).

    rows    by UPPER_TEETH and LOWER_TEETH in this order, those that the portrait shows
    """

    def __init__(self, image: Tensor, head: PosedRig, white: Tensor, *, find: bool = True):
        """find: whether to search for teeth; without, the portrait counts as showing none"""
        self.image, self.head = image, head
        self.rows: dict[int, OwnRow] = {}
        self.in_shade = white.new_ones(3)  #: how bright upper teeth are by lower ones that the portrait shows alone
        self.both: dict[int, Tensor] = {}  #: by row, colours and mask, with what the lips hide of it
        if not find:
            return
        lips = head.on_crop(head.rig.source[list(INNER_LIPS)])[None]
        rows, columns, places = pixels_around(lips, 2.0, image.shape[-1])
        if not places.numel():
            return
        gap, edge = opening(lips, places[None]), max(1.0, _EDGE * head.density)
        middle = torch.linspace(*_MIDDLE, 5, device=image.device)[None, None]
        if lips_apart(lips, middle).mean() <= _PARTED * head.density:
            return
        window = image[:, :, rows, columns]
        mask = gap.cover(edge) * _whiteness(F.avg_pool2d(window, 3, 1, 1, count_include_pad=False), white)
        for row, part in self._parted(mask, window.mean(1, keepdim=True), gap).items():
            part = _without_spurs(part, round(_SPUR * head.density))
            if part.sum() < _FEWEST * head.density**2:
                continue
            part = (part + F.avg_pool2d(part, 3, 1, 1)) / 2  # no steps along the edge of the row
            bright = part * window.mean(1, keepdim=True)
            whole = image.new_zeros(1, 1, *image.shape[-2:])
            whole[:, :, rows, columns] = part
            colour = (window * bright).sum((0, 2, 3)) / bright.sum()
            self.rows[row] = OwnRow(whole, colour, self._lift(row, part[0, 0], gap, places))
            if row == LOWER_TEETH:
                near = gap.cover(edge)[0, 0] * (gap.above < _NEAR_UPPER_LIP * gap.height)[0, 0] > 0.5
                self.in_shade = _shade_above(window[0][:, near], colour)
            self.both[row] = _carried_on(image, whole, -1 if row == UPPER_TEETH else 1, _BEHIND_LIPS * head.density)

    def _parted(self, mask: Tensor, light: Tensor, gap: Opening) -> dict[int, Tensor]:
        """mask and light (1, 1, h, w) of what could be teeth -> the masks of the rows. Where upper and lower ones are
        seen, each is as bright as its own light makes it; else what is much darker than the rest is the tongue.
        """
        down = (gap.above / gap.height.clamp_min(1.0)).clamp(0, 1)
        each = sum((_as_bright(mask * half, light) for half in (down < 0.5, down >= 0.5)), torch.zeros_like(mask))
        first, last = _first_row(each), _first_row(each.flip(2)).flip(2)
        shown = (first > 0.5).any(2)
        two = shown & (last > 0.5).any(2) & ~(first * last > _GAP).any(2)
        upper, lower = first * (down < 0.5), last * (down >= 0.5)
        near = (upper * gap.above).sum() + (lower * gap.below).sum() < _BY_THE_LIP * (each * gap.height).sum()
        if near and two.sum() > _PARTED_COLUMNS * shown.sum():
            return {UPPER_TEETH: upper, LOWER_TEETH: lower}
        mask = _as_bright(mask, light)
        total = mask.sum()
        if total < _FEWEST * self.head.density**2:
            return {}
        if (mask * down).sum() / total > _LOW:
            return {LOWER_TEETH: _first_row(mask.flip(2)).flip(2)}
        return {UPPER_TEETH: _first_row(mask)}

    def _lift(self, row: int, mask: Tensor, gap: Opening, places: Tensor) -> Tensor:
        face, first = self.head.rig.face, self.image.new_zeros(1)
        turn = torch.eye(3, device=first.device)[None]
        anchor = inside_points(face, face.weights[None], turn, torch.zeros(1, 2, device=first.device))
        anchor = self.head.on_crop(anchor[0, middle_of(face, row)])
        down = face.down_on_stage * self.head.zoom  # a decimetre down the head, in pixels of the crop
        across = gap.across[0, 0]
        edge = (mask > 0.5) & (across > _MIDDLE[0]) & (across < _MIDDLE[1])
        if not edge.any():
            return first[0]
        depth = ((places - anchor) @ down / down.square().sum())[edge]
        depth = depth.cpu().quantile(0.95 if row == UPPER_TEETH else 0.05)
        return -depth.clamp(-_FURTHEST, _FURTHEST).to(places.device)

    def enamel(self, white: Tensor) -> tuple[Tensor, Tensor]:
        """white (3,) -> (3,) twice: what white enamel looks like in the upper and in the lower row."""
        if not self.rows:
            return white, white
        upper, lower = (self.rows.get(row) for row in (UPPER_TEETH, LOWER_TEETH))
        seen = [own.colour / white.new_tensor(ENAMEL) for own in (upper, lower) if own is not None]
        return (seen[0] if upper else seen[0] * self.in_shade), seen[-1]

    def sampled(self, row: int, places: Tensor, flow: MeshFlow) -> tuple[Tensor, Tensor]:
        """row: one that the portrait shows; places (h, w, 2) of the crop -> the portrait at the spots of skull or jaw
        that are there in each frame (B, 3, h, w), and a mask of that row among them (B, 1, h, w).
        """
        n, side = len(flow.rigid_affine), self.image.shape[-1]
        on_stage = self.head.on_stage(places).expand(n, -1, -1, -1)
        if row == LOWER_TEETH:
            on_stage = on_stage - flow.mouth_anchors.jaw[:, None, None]
        source = F.pad(on_stage, (0, 1), value=1.0) @ flow.rigid_affine[:, None]
        grid = self.head.on_crop(source) * (2 / side) - 1
        found = sample(self.both[row].expand(n, -1, -1, -1), grid)
        return found[:, :3], found[:, 3:]


def _shade_above(seen: Tensor, lower: Tensor) -> Tensor:
    """seen (3, n) in the upper part of the mouth, lower (3,) the lower teeth -> (3,) how bright upper teeth are by
    them: as bright as the brightest there, and of its hue, but never as what is no tooth; in no colour above the
    most of _IN_SHADE.
    """
    least, most = _IN_SHADE
    if seen.shape[1] == 0:
        return torch.full_like(lower, least)
    order = seen.mean(0).argsort(descending=True)
    shade = seen[:, order[: max(1, len(order) // 4)]].mean(1) / lower.clamp_min(0.05)
    level = shade.mean().clamp(least, most)
    hue = shade / shade.mean().clamp_min(0.05)
    red_to, red_over = _RED
    toothlike = ((shade.amin() / shade.amax().clamp_min(0.05) - red_to) / red_over).clamp(0, 1)
    return (level * torch.lerp(torch.ones_like(hue), hue, toothlike)).clamp(max=most)


def _as_bright(mask: Tensor, light: Tensor) -> Tensor:
    """mask and light (1, 1, h, w) -> the mask without what is much darker than the brightest in it."""
    if not (mask > 0.5).any():
        return mask
    dim_from, dim_over = _DIM
    brightest = light[mask > 0.5].cpu().quantile(0.9).item()
    return mask * ((light / brightest - dim_from) / dim_over).clamp(0, 1)


def _carried_on(image: Tensor, mask: Tensor, down: int, reach: float) -> Tensor:
    """image (1, 3, S, S), mask (1, 1, S, S) of a row -> (1, 4, S, S) both, its teeth carried on behind the lip that
    hides them, which is above (down = -1) or below (1), by so many pixels.
    """
    colours, known = image, mask > _WHOLE
    for _ in range(round(reach)):
        hidden = known.roll(down, 2) & ~known
        colours, known = torch.where(hidden, colours.roll(down, 2), colours), known | hidden
    known = known * F.avg_pool2d(known.to(mask), 3, 1, 1)  # it goes over into the drawn ones
    return torch.cat([colours, torch.maximum(mask, known)], dim=1)


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
