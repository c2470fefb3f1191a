"""What is behind the lips: teeth, tongue and the dark between them, drawn for a portrait that never showed its own.

In: a portrait's crop, its mesh, and where lips and jaws are in each frame (meshwarp/flow_maps.py). Out: the frames with
the mouth filled, its edge as sharp as the crop. Three flat drawings (dentition.py) hang in the head, on the points of
meshwarp/mouth_anchors.py: upper teeth that follow the skull, lower teeth and tongue that follow the jaw; each is bent
along the dental arch, so that it turns with the head. Their light is that of the whites of the portrait's eyes
(light.py); it falls in through the lips, so it is dark below the upper lip, behind the tongue and towards the corners.

Who shows teeth in the portrait keeps them (own_teeth.py): they lie over the drawn ones, whose edge and colour are then
theirs, so that no frame lacks teeth where the lips uncover more than the portrait did.

Letters: `B` frames, `h w` the rectangle of the crop that holds all mouths, `S` side of the crop. Drawings are in
decimetres: x to the right of the picture, y up, from the middle of the tooth edge.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...canonical_face import INNER_LIPS
from ..meshwarp.edge_curves import pixels_around
from ..meshwarp.flow_maps import MeshFlow
from ..meshwarp.mouth_anchors import LOWER_TEETH, TONGUE, UPPER_TEETH
from ..meshwarp.posed_rig import PosedRig
from ..meshwarp.warp import sample
from .dentition import ARCH, ENAMEL, HALF_HEIGHT, HALF_WIDTH, LOWER_CROWNS, SMILE, UPPER_CROWNS, teeth, tongue
from .light import light_of
from .opening import Opening, lips_apart, opening
from .own_teeth import OwnTeeth

_FINEST = 400  #: pixels per decimetre beyond which a drawing is only enlarged

# Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet"): light and edges on the
# open mouths, columns "A", "E" and "O", one's own teeth on those who smile in the portrait (astronaut, obama, obama2).
_CAVITY = (0.13, 0.045, 0.042)  #: its colour in white light
_EDGE = 0.010  #: decimetres over which the inside fades in behind the edge of the lips
#: decimetres by which lips must be further apart than in the portrait before all is drawn; or, where the portrait's own
#: are apart by more than the first of a pair, and surely by the second, by which they must have come nearer
_FADE_IN, _FADE_OUT, _OPEN = 0.015, 0.03, (0.02, 0.04)
_SOONER = 4.0  #: so much sooner where the portrait shows teeth
_WIDE_OPEN = 0.14  #: decimetres between the lips at which as much light as ever falls in
_SHADY = 0.20  #: how much darker it is before that
#: How dark it is right at the upper lip and at the lower lip, and how far that reaches, in decimetres.
_UPPER_SHADE, _UPPER_REACH = 0.32, 0.018
_LOWER_SHADE, _LOWER_REACH = 0.30, 0.015
_CORNER_SHADE, _CORNER = 0.5, 0.18  #: how dark it is in the corners of the mouth, over which part of its width
#: The upper teeth keep the light off what is behind and below them: how much at their edge, and over how many
#: decimetres below it.
_ROOF_SHADE, _ROOF = 0.75, 0.07


class Mouth:
    """The inside of one portrait's mouth: its crop (1, 3, S, S) in 0..1, and its head."""

    def __init__(self, image: Tensor, head: PosedRig):
        self.image, self.head, self.density = image, head, head.density
        white = light_of(image, head)
        self.own = OwnTeeth(image, head, white)
        enamel = white if self.own.colour is None else self.own.colour / white.new_tensor(ENAMEL)
        finer = min(self.density, _FINEST)
        # in the order of UPPER_TEETH, LOWER_TEETH, TONGUE
        drawings = (teeth(finer, UPPER_CROWNS, rise=SMILE), teeth(finer, LOWER_CROWNS).flip(1), tongue(finer))
        self.layers = [
            torch.cat([drawing[:3] * light[:, None, None], drawing[3:]])
            for drawing, light in zip((d.to(image) for d in drawings), (enamel, enamel, white), strict=True)
        ]
        self.dark = white * image.new_tensor(_CAVITY)
        across = torch.linspace(0.1, 0.9, 17, device=image.device)[None, None]
        self.across, self.was = across, self._apart(head.on_crop(head.rig.source[list(INNER_LIPS)])[None], across)

    def fill(self, frames: Tensor, flow: MeshFlow) -> Tensor:
        """frames (B, 3, S, S) as the warp has them -> the same, mouths filled in place; closed mouths as they were."""
        lips = self.head.on_crop(flow.mesh[:, list(INNER_LIPS)])
        edge = max(1.0, _EDGE * self.density)
        rows, columns, places = pixels_around(lips, edge, frames.shape[-1])
        if not places.numel():
            return frames
        gap = opening(lips, places[None])
        window = frames[:, :, rows, columns]
        change = self._changed(lips)
        added = change * (self._drawn(places, flow, gap) - window)
        if self.own.row is not None:
            own, shown = self.own.seen(places, flow)
            added = torch.lerp(added, own - window, shown)
        frames[:, :, rows, columns] = window + gap.cover(edge) * added
        return frames

    def _changed(self, lips: Tensor) -> Tensor:
        """lips (B, 20, 2) in pixels of the crop -> (B, 1, 1, 1) in 0..1: how far the portrait does not say what is
        between them, because they are further apart now, or because they were apart and come nearer.
        """
        parted = (self._apart(lips, self.across) - self.was.clamp_min(0)).flatten(1)
        was_open = ((self.was.amax() - _OPEN[0]) / (_OPEN[1] - _OPEN[0])).clamp(0, 1)
        changed = torch.maximum(parted.amax(1) / _FADE_IN, -parted.amin(1) / _FADE_OUT * was_open)
        if self.own.row is not None:  # beside teeth that stay, others that are stretched are seen at once
            changed = changed * _SOONER
        return changed.clamp(0, 1)[:, None, None, None]

    def _apart(self, lips: Tensor, across: Tensor) -> Tensor:
        """(B, 1, n) in decimetres."""
        return lips_apart(lips, across) / self.density

    def _drawn(self, places: Tensor, flow: MeshFlow, gap: Opening) -> Tensor:
        """(B, 3, h, w) the cavity with tongue and teeth in it, in the light that falls in between the lips."""
        anchors, n = flow.mouth_anchors, len(flow.mesh)
        picture = self.dark[:, None, None].expand(n, -1, *places.shape[:2])
        axes = anchors.axes * self.head.zoom
        back = torch.linalg.inv(axes[:, :, :2])
        flats = []
        for layer in (UPPER_TEETH, LOWER_TEETH, TONGUE):
            middle = self.head.on_crop(anchors.anchors[:, layer]) + self._lift(layer) * axes[:, :, 1]
            flat = torch.einsum("bij,bhwj->bhwi", back, places - middle[:, None, None])
            behind = ARCH * flat[..., :1].clamp(-HALF_WIDTH, HALF_WIDTH).square()
            flats.append(flat + torch.einsum("bij,bj->bi", back, axes[:, :, 2])[:, None, None] * behind)
        x, y = flats[UPPER_TEETH].unbind(-1)
        front, deep = self._light(gap, (SMILE * x.square() - y)[:, None])
        for layer in (TONGUE, LOWER_TEETH, UPPER_TEETH):  # from the back to the front
            grid = flats[layer] * x.new_tensor([1 / HALF_WIDTH, -1 / HALF_HEIGHT])
            sampled = sample(self.layers[layer].expand(n, -1, -1, -1), grid)
            light = front if layer == UPPER_TEETH else deep
            picture = picture + sampled[:, 3:] * (sampled[:, :3] * light - picture)
        return picture

    def _lift(self, layer: int) -> Tensor:
        """() decimetres, up in the head: rows of teeth follow the portrait's own; and where its upper row reaches
        further down, what bites on it does, too.
        """
        if layer == self.own.row:
            return self.own.lift
        return self.own.lift.clamp_max(0) if self.own.row == UPPER_TEETH else torch.zeros_like(self.own.lift)

    def _light(self, gap: Opening, below_teeth: Tensor) -> tuple[Tensor, Tensor]:
        """below_teeth (B, 1, h, w): decimetres below the upper tooth edge -> (B, 1, h, w) twice: how much light reaches
        the upper teeth, and what lies behind and below them.
        """
        opened = (gap.height / (_WIDE_OPEN * self.density)).clamp(0, 1)
        falls_in = (1 - _SHADY + _SHADY * opened) * (1 - _CORNER_SHADE * (1 - gap.from_corner(_CORNER)))
        above, below = gap.above.clamp_min(0) / self.density, gap.below.clamp_min(0) / self.density
        front = falls_in * (1 - _UPPER_SHADE * torch.exp(-above / _UPPER_REACH))
        roofed = 1 - _ROOF_SHADE * (1 - (below_teeth / _ROOF).clamp(0, 1))
        return front, falls_in * roofed * (1 - _LOWER_SHADE * torch.exp(-below / _LOWER_REACH))
