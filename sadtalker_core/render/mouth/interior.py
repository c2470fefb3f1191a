"""What is behind the lips: teeth, tongue and the dark between them, drawn for a portrait that never showed its own.

In: a portrait's crop, its mesh, and where lips and jaws are in each frame (meshwarp/flow_maps.py). Out: the frames with
the mouth filled, its edge as sharp as the crop. Three flat drawings (dentition.py) hang in the head, on the points of
meshwarp/mouth_anchors.py: upper teeth that follow the skull, lower teeth and tongue that follow the jaw; each is bent
along the dental arch, so that it turns with the head. Their light is that of the whites of the portrait's eyes
(light.py); it falls in through the lips, so it is dark below the upper lip, behind the tongue and towards the corners.
The lips turn inwards at their edge (lip_rim.py).

Who shows teeth in the portrait keeps them (own_teeth.py): they lie over the drawn ones, whose edge and colour are then
theirs, so that no frame lacks teeth where the lips uncover more than the portrait did.

Letters: `B` frames, `h w` the rectangle of the crop that holds all mouths, `S` side of the crop. Drawings are in
decimetres: x to the right of the image, y up, from the middle of the tooth edge.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import INNER_LIPS, LOWER_INNER_LIP, OUTER_LIPS
from ...easing import smoothstep
from ..meshwarp.edge_curves import pixels_around
from ..meshwarp.flow_maps import MeshFlow
from ..meshwarp.mouth_anchors import LOWER_TEETH, TONGUE, UPPER_TEETH
from ..meshwarp.posed_rig import PosedRig
from ..meshwarp.warp import sample
from .dentition import (
    ARCH,
    FAR,
    FAR_OF_OWN,
    HALF_HEIGHT,
    HALF_WIDTH,
    LOWER_APART,
    LOWER_CROWNS,
    LOWER_SHADED,
    SMILE,
    UPPER_CROWNS,
    teeth,
    tongue,
)
from .light import light_of
from .lip_rim import LipRim
from .opening import Opening, lips_apart, opening
from .own_teeth import OwnTeeth

_LOWER_OUTER_LIP = OUTER_LIPS[11:]
_FINEST = 400  #: pixels per decimetre beyond which a drawing is only enlarged

# Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet"): light and edges on the
# open mouths, columns "A", "E" and "O", one's own teeth on those who smile in the portrait (astronaut, obama, obama2).
_CAVITY = (0.085, 0.028, 0.028)  #: its colour in white light
_EDGE = 0.010  #: decimetres over which the inside fades in behind the edge of the lips
_EDGE_OF_LIP = 0.6  #: of these, beyond that edge: into it the other lip shines, where the portrait's are closed
#: decimetres by which lips must be further apart than in the portrait before all is drawn; or, where the portrait's own
#: are apart by more than the first of a pair, and surely by the second, by which they must have come nearer
_FADE_IN, _FADE_OUT, _OPEN = 0.015, 0.03, (0.02, 0.04)
#: the same by how far a lip has gone from where the head alone would have it, before what is between them is another:
#: from the first, over so much further
_GONE, _GONE_OVER = 0.025, 0.025
_TOLERATED = 0.06  #: of how far the portrait's lips are apart, that may change before anything is drawn
_NOTHING = 0.01  #: of that change, below which a mouth is as the portrait has it
_SOONER = 4.0  #: so much sooner where the portrait shows teeth
_WIDE_OPEN = 0.14  #: decimetres between the lips at which as much light as ever falls in
_SHADY = 0.15  #: how much darker it is before that
#: How dark it is right at the upper lip and at the lower lip, and how far that reaches, in decimetres.
_UPPER_SHADE, _UPPER_REACH = 0.40, 0.018
_LOWER_SHADE, _LOWER_REACH = 0.30, 0.015
#: The inner side of the lower lip, that shows where it has left the teeth: how bright by white, how much of the lip's
#: own colour is in it; up to how far it reaches, in decimetres and by the opening, and how much of it is visible in a
#: mouth that is hardly open and in one that is wide open.
_MUCOSA, _LIKE_LIP = (0.50, 0.23, 0.21), 0.5
_MUCOSA_REACH, _MUCOSA_PART, _MUCOSA_VISIBLE = 0.018, 0.25, (0.6, 0.1)
_NEAR_DARK = 0.65  #: how bright what lies behind is beside it, in a mouth that is hardly open; the rest is dark
_NOTCHED = 0.35, 0.6  #: height of the mouth by its width from which on, and at which wholly, that is so
_OVER = 0.014  #: decimetres of the lower lip that upper teeth of one's own shine into, and that are drawn over
#: The cheeks close a mouth behind its corners: how bright they are by the inner side of the lip, and over which part of
#: the width of the mouth they go over into the dark.
_CHEEK, _CHEEK_PART = 0.90, 0.22
_CORNER_SHADE, _CORNER = 0.4, 0.18  #: how dark it is in the corners of the mouth, over which part of its width
#: The upper teeth keep the light off what is behind and below them: how much at their edge, off the lower teeth and
#: off the tongue, which lies deeper, and over how many decimetres below it.
_ROOF_SHADE, _ROOF = {LOWER_TEETH: 0.25, TONGUE: 0.5}, 0.045
_TOUCH, _TOUCH_REACH = 0.25, 0.008  #: the same of the upper teeth right at the lower lip, which they lie behind
_DEEPER = 0.68  #: how much of the light falls on the lower teeth, which lie deeper
#: the same of lower teeth of one's own, whose portrait had them in its best light: warmly, as lips shade them
_LIT = (0.88, 0.83, 0.79)
_DIMMED_OVER = 0.06  #: decimetres between the lips, more or less than in the portrait, over which that light fades
_REDDER = (0.0, 0.12, 0.15)  #: what is in shade is lit by the mouth around it
_WARMER = (0.0, 0.20, 0.32)  #: the same of teeth, by the lips
_WARMEST = (0.0, 0.36, 0.46)  #: and of the lower ones, which lie between lip and tongue
#: The jaw hinges this many decimetres behind the teeth: as it opens, its arch is seen from above.
_HINGE, _OVERLAP, _MOST_TILT = 0.9, 0.037, 0.5
#: Lower teeth stand higher before the lip, as it is drawn down, by the first, in decimetres, once the jaw has opened by
#: the second since teeth met.
_RISES, _RISEN = 0.013, 0.10


class Mouth:
    """The inside of one portrait's mouth: its crop (1, 3, S, S) in 0..1, and its head."""

    def __init__(self, image: Tensor, head: PosedRig):
        self.image, self.head, self.density = image, head, head.density
        white = light_of(image, head)
        self.own = OwnTeeth(image, head, white)
        upper, lower = self.own.enamel(white)
        self._draw(min(self.density, _FINEST), white, upper, inner_lip(image, head, white), lower)

    def _draw(
        self, density: float, white: Tensor, enamel: Tensor, lip: Tensor, lower_enamel: Tensor | None = None
    ) -> None:
        """What hangs in the head, in its light; density: pixels per decimetre of the drawings; lower_enamel: where
        that of the lower teeth differs.
        """
        self.layers = [
            torch.cat([drawing[:3] * light[:, None, None], drawing[3:]])
            for drawing, light in zip(
                (d.to(white) for d in _drawings(density, bool(self.own.rows))),
                (enamel, enamel if lower_enamel is None else lower_enamel, white),
                strict=True,
            )
        ]
        self.dark = (white * white.new_tensor(_CAVITY))[:, None, None]
        self.mucosa = lip[:, None, None]
        self.lit = white.new_tensor(_LIT)[:, None, None]
        image, head = self.image, self.head
        self.rim: LipRim | None = LipRim(image, head)
        across = torch.linspace(0.1, 0.9, 17, device=image.device)[None, None]
        self.across, self.was = across, self._apart(head.on_crop(head.rig.source[list(INNER_LIPS)])[None], across)

    def fill(self, frames: Tensor, flow: MeshFlow) -> tuple[tuple[Any, ...], Tensor]:
        """frames (B, 3, S, S) as the warp has them, whose mouths are filled in place; closed mouths stay as they were.
        -> the rectangle of (B, C, S, S) around them, and where in it (B, 1, h, w) nothing was drawn.
        """
        lips = self.head.on_crop(flow.mesh[:, list(INNER_LIPS)])
        edge = max(1.0, _EDGE * self.density)
        rows, columns, places = pixels_around(lips, edge + _OVER * self.density, frames.shape[-1])
        window = (..., rows, columns)
        if not places.numel():
            return window, torch.ones_like(frames[window][:, :1], dtype=torch.bool)
        gap = opening(without_notches(lips), places[None])
        if UPPER_TEETH in self.own.rows:
            gap = gap.over_lower_lip(_OVER * self.density)
        found = frames[window]
        change, closing = self._changed(lips, flow), self._closing(lips)
        drawn, lights, upper = self._drawn(places, flow, gap, closing)
        added = change * (drawn - found)
        for row in sorted(self.own.rows, reverse=True):
            own, mask = self.own.sampled(row, places, flow)
            if row == LOWER_TEETH:  # the upper ones bite over them
                mask = mask * (1 - upper * change)
            added = torch.lerp(added, own * lights[row] - found, mask)
        cover = around = gap.cover(edge)
        if self.rim:
            rim, shown = self.rim(frames, places, lips, gap)
            added = torch.lerp(added, rim - found, shown * change)
            around = torch.lerp(cover, gap.cover(edge, _EDGE_OF_LIP), gap.from_corner(_CORNER))
            found = found + (around - cover) * change * (rim - found)
        frames[window] = found + cover * added
        return window, (change < _NOTHING) | (around == 0)

    def _changed(self, lips: Tensor, flow: MeshFlow) -> Tensor:
        """lips (B, 20, 2) in pixels of the crop -> (B, 1, 1, 1) in 0..1: how far the portrait does not show what is
        between them, because they are further apart now, or because they were apart and come nearer, or lie elsewhere
        before the teeth; all beside lips that the head alone has carried, so that a turn changes nothing.
        """
        at_rest = self.head.on_crop(flow.at_rest[:, list(INNER_LIPS)])
        parted = (self._apart(lips, self.across) - self._apart(at_rest, self.across).clamp_min(0)).flatten(1)
        slack = _TOLERATED * self.was.amax().clamp_min(0)
        parted = parted - parted.clamp(-slack, slack)
        was_open = ((self.was.amax() - _OPEN[0]) / (_OPEN[1] - _OPEN[0])).clamp(0, 1)
        changed = torch.maximum(parted.amax(1) / _FADE_IN, -parted.amin(1) / _FADE_OUT * was_open)
        moved = flow.mesh[:, list(INNER_LIPS)] - flow.at_rest[:, list(INNER_LIPS)]
        gone = moved.norm(dim=-1).amax(1) * self.head.zoom / self.density
        changed = torch.maximum(changed, (gone - _GONE) / _GONE_OVER * was_open)
        if self.own.rows:  # beside teeth that stay, stretched ones are conspicuous
            changed = changed * _SOONER
        return changed.clamp(0, 1)[:, None, None, None]

    def _closing(self, lips: Tensor) -> Tensor:
        """lips (B, 20, 2) in pixels of the crop -> (B, 1, 1, 1) how far they have come together since the portrait."""
        apart = self._apart(lips, self.across).flatten(1).amax(1)
        return (1 - apart / self.was.amax().clamp_min(1e-3)).clamp(0, 1)[:, None, None, None]

    def _lit(self, flow: MeshFlow) -> Tensor:
        """(B, 3, 1, 1) the light on lower teeth of one's own: the portrait's where the lips are as far apart as in the
        portrait, so that nothing flashes when a jaw passes there.
        """
        lips = self.head.on_crop(flow.mesh[:, list(INNER_LIPS)])
        other = (self._apart(lips, self.across) - self.was).abs().flatten(1).amax(1) / _DIMMED_OVER
        return 1 + smoothstep(other)[:, None, None, None] * (self.lit - 1)

    def _apart(self, lips: Tensor, across: Tensor) -> Tensor:
        """(B, 1, n) in decimetres."""
        return lips_apart(lips, across) / self.density

    def _drawn(
        self, places: Tensor, flow: MeshFlow, gap: Opening, closing: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """(B, 3, h, w) the cavity with tongue and teeth in it, in the light that falls in between the lips; the lights
        of `_lights`; and (B, 1, h, w) where the upper teeth are.
        """
        anchors, n = flow.mouth_anchors, len(flow.mesh)
        axes = anchors.axes * self.head.zoom
        back = torch.linalg.inv(axes[:, :, :2])
        middles = [
            self.head.on_crop(anchors.anchors[:, layer]) + self._lift(layer) * axes[:, :, 1]
            for layer in (UPPER_TEETH, LOWER_TEETH, TONGUE)
        ]
        apart = torch.einsum("bij,bj->bi", back, middles[UPPER_TEETH] - middles[LOWER_TEETH])[:, 1]
        tilt = ((apart + _OVERLAP) / _HINGE).clamp(0, _MOST_TILT)
        view = torch.einsum("bij,bj->bi", back, axes[:, :, 2])[:, None, None]
        flats = []
        for layer, middle in enumerate(middles):
            flat = torch.einsum("bij,bhwj->bhwi", back, places - middle[:, None, None])
            behind = ARCH * flat[..., :1].clamp(-HALF_WIDTH, HALF_WIDTH).square()
            from_here = view
            if layer == LOWER_TEETH:  # the sides of the lower arch appear above its middle
                from_here = view - F.pad(tilt[:, None, None, None], (1, 0))
            flats.append(flat + from_here * behind)
        risen = _RISES * ((apart + _OVERLAP) / _RISEN).clamp(0, 1)
        flats[LOWER_TEETH] = flats[LOWER_TEETH] - F.pad(risen[:, None, None, None], (1, 0))
        flats[TONGUE] = flats[TONGUE] / F.pad(1 + tilt[:, None, None, None], (1, 0), value=1.0)
        x, y = flats[UPPER_TEETH].unbind(-1)
        lights, opened = self._lights(gap, (SMILE * x.square() - y)[:, None])
        for row in self.own.rows:  # the portrait's own have their light with them
            lights[row] = (self._lit(flow) if row == LOWER_TEETH else 1) * (1 + closing * (lights[row] - 1))
        near = self.mucosa * _NEAR_DARK * (1 - _CORNER_SHADE * (1 - gap.from_corner(_CORNER)))
        dark = self.dark + (1 - gap.from_corner(_CHEEK_PART)) * (self.mucosa * _CHEEK - self.dark)
        image = near + opened.amax((2, 3), keepdim=True).square() * (dark - near)
        for layer in (TONGUE, LOWER_TEETH, UPPER_TEETH):  # from the back to the front
            grid = flats[layer] * x.new_tensor([1 / HALF_WIDTH, -1 / HALF_HEIGHT])
            sampled = sample(self.layers[layer].expand(n, -1, -1, -1), grid)
            image = image + sampled[:, 3:] * (sampled[:, :3] * lights[layer] - image)
        return image + self._lip_side(gap, opened) * (self.mucosa - image), lights, sampled[:, 3:]

    def _lift(self, layer: int) -> Tensor:
        """() decimetres, up in the head: rows of teeth follow the portrait's own; and where its upper row reaches
        further down, what bites on it does, too.
        """
        own = self.own.rows.get(layer)
        if own is not None:
            return own.lift
        upper = self.own.rows.get(UPPER_TEETH)
        return self.image.new_zeros(()) if upper is None else upper.lift.clamp_max(0)

    def _lights(self, gap: Opening, below_teeth: Tensor) -> tuple[list[Tensor], Tensor]:
        """below_teeth (B, 1, h, w): decimetres below the upper tooth edge -> how much light reaches each of the
        drawings, (B, 1 or 3, h, w) each; and how far the mouth is open (B, 1, h, w), 1 as far as counts.
        """
        opened = (gap.height / (_WIDE_OPEN * self.density)).clamp(0, 1)
        falls_in = (1 - _SHADY + _SHADY * opened) * (1 - _CORNER_SHADE * (1 - gap.from_corner(_CORNER)))
        above, below = gap.above.clamp_min(0) / self.density, gap.below.clamp_min(0) / self.density
        light = falls_in * (1 - _UPPER_SHADE * torch.exp(-above / _UPPER_REACH))
        light = light * (1 - _TOUCH * torch.exp(-below / _TOUCH_REACH))
        lights = [light * (1 - light.new_tensor(_WARMER)[:, None, None] * (1 - light))]
        roof = 1 - (below_teeth / _ROOF).clamp(0, 1)
        falls_in = falls_in * (1 - _LOWER_SHADE * torch.exp(-below / _LOWER_REACH))
        for layer, redder, seen in ((LOWER_TEETH, _WARMEST, _DEEPER), (TONGUE, _REDDER, 1.0)):
            light = seen * falls_in * (1 - _ROOF_SHADE[layer] * roof)
            lights.append(light * (1 - light.new_tensor(redder)[:, None, None] * (1 - light)))
        return lights, opened

    def _lip_side(self, gap: Opening, opened: Tensor) -> Tensor:
        """(B, 1, h, w) in 0..1: how far the inner side of the lower lip is visible."""
        reach = (_MUCOSA_PART * gap.height).clamp(1.0, max(1.0, _MUCOSA_REACH * self.density))
        little, much = _MUCOSA_VISIBLE
        return (
            gap.from_corner(_CORNER)
            * (little + (much - little) * opened)
            * torch.exp(-((gap.below.clamp_min(0) / reach) ** 2))
        )


def inner_lip(image: Tensor, head: PosedRig, white: Tensor) -> Tensor:
    """(3,) the inner side of the lower lip: as red as any, and a little like the lip itself."""
    places = head.on_crop((head.rig.source[list(LOWER_INNER_LIP)] + head.rig.source[list(_LOWER_OUTER_LIP)]) / 2)
    lip = sample(image, (places * (2 / image.shape[-1]) - 1)[None, None])[0, :, 0].median(1).values
    red = white * white.new_tensor(_MUCOSA)
    lip = lip * (red.mean() / lip.mean().clamp_min(0.02))
    return red + _LIKE_LIP * (lip - red)


@functools.lru_cache(maxsize=4)
@torch.inference_mode(False)
def _drawings(density: float, beside_own: bool) -> tuple[Tensor, Tensor, Tensor]:
    """In the order of UPPER_TEETH, LOWER_TEETH, TONGUE. beside_own: some teeth are the portrait's own."""
    far = FAR_OF_OWN if beside_own else FAR
    lower = teeth(density, LOWER_CROWNS, apart=LOWER_APART, far=far, shaded=LOWER_SHADED)
    return teeth(density, UPPER_CROWNS, rise=SMILE, far=far), lower.flip(1), tongue(density)


def without_notches(lips: Tensor) -> Tensor:
    """lips (B, 20, 2) -> the same, the lower one drawn straight beside the corners of a wide mouth, where it would
    reach into the opening.
    """
    changed = lips.clone()
    middle = lips.mean(1)
    wide = (lips[:, 15] - lips[:, 5]).norm(dim=-1) / (lips[:, 10] - lips[:, 0]).norm(dim=-1).clamp_min(1e-3)
    wide = ((wide - _NOTCHED[0]) / (_NOTCHED[1] - _NOTCHED[0])).clamp(0, 1)
    for corner, beside, next_one in ((10, 11, 13), (10, 12, 13), (0, 19, 17), (0, 18, 17)):
        start, along = lips[:, corner], lips[:, next_one] - lips[:, corner]
        across = torch.stack([-along[:, 1], along[:, 0]], dim=-1)
        across = across / across.norm(dim=-1, keepdim=True).clamp_min(1e-3)
        inwards = across * torch.sign(((middle - start) * across).sum(-1, keepdim=True))
        notch = ((lips[:, beside] - start) * inwards).sum(-1).clamp_min(0) * wide
        changed[:, beside] = lips[:, beside] - notch[:, None] * inwards
    return changed
