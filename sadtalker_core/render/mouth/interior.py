"""What is behind the lips: teeth, tongue and the dark between them, drawn for a portrait that never showed its own.

In: a portrait's crop, its mesh, and where lips and jaws are in each frame (meshwarp/flow_maps.py). Out: the frames with
the mouth filled, its edge as sharp as the crop. Three flat drawings (dentition.py) hang in the head, on the points of
meshwarp/mouth_anchors.py: upper teeth that follow the skull, lower teeth and tongue that follow the jaw; each is bent
along the dental arch, so that it turns with the head. Their light is that of the whites of the portrait's eyes
(light.py). Who shows teeth in the portrait keeps them.

Letters: `B` frames, `h w` the rectangle of the crop that holds all mouths, `S` side of the crop. Drawings are in
decimetres: x to the right of the picture, y up, from the middle of the tooth edge.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import INNER_LIPS
from ..meshwarp.edge_curves import below_edge, beside_line, edge_curve, pixels_around
from ..meshwarp.flow_maps import MeshFlow
from ..meshwarp.mouth_anchors import LOWER_TEETH, TONGUE, UPPER_TEETH, MouthAnchors, own_mouth
from ..meshwarp.placement import STAGE
from ..meshwarp.posed_rig import PosedRig
from ..meshwarp.warp import sample
from .dentition import ARCH, GUM, HALF_HEIGHT, HALF_WIDTH, LOWER_CROWNS, SMILE, UPPER_CROWNS, teeth, tongue
from .light import light_of
from .lip_edges import lip_edges

_FINEST = 400  #: pixels per decimetre beyond which a drawing is only enlarged

# Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet"): light and edges on the
# open mouths, columns "A", "E" and "O", one's own teeth on those who smile in the portrait (astronaut, obama, obama2).
_CAVITY = (0.19, 0.06, 0.06)  #: its colour in white light
_GUM_SHADE = 0.72  #: of the gum that a rising lip uncovers
_EDGE = 0.010  #: decimetres over which the inside fades in behind the edge of the lips
#: The network knows the light in a mouth and no detail: the drawing, averaged over so many decimetres, is brought that
#: near to the net's paint. Less in a mouth that shows teeth, which the network paints grey.
_BLUR, _FOLLOW, _FOLLOW_OWN = 0.06, 0.7, 0.15
_RIM = 0.045  #: decimetres below the portrait's own upper lip that its blurred edge may reach into its teeth
_FADE_IN = 0.015  #: decimetres that lips must part further than in the portrait before anything is drawn
_LIP_SHADE, _LIP_SHADE_REACH = 0.25, 0.025  #: how dark it is right below the upper lip, and how far down that goes
_WIDE_OPEN = 0.14  #: decimetres between the lips at which as much light as ever falls in
_SHADY = 0.15  #: how much darker it is before that
#: A tooth of the portrait's own: so bright beside the whites of the eyes, and so grey (the least of its colours by the
#: largest); from the first, where it could be one, over so much further, where it surely is.
_TOOTH_BRIGHT, _TOOTH_GREY = (0.45, 0.2), (0.5, 0.15)


class Mouth:
    """The inside of one portrait's mouth: its crop (1, 3, S, S) in 0..1, and its head."""

    def __init__(self, image: Tensor, head: PosedRig):
        self.image, self.head, self.density = image, head, head.density
        white = light_of(image, head)
        finer = min(self.density, _FINEST)
        # in the order of UPPER_TEETH, LOWER_TEETH, TONGUE
        drawings = (teeth(finer, UPPER_CROWNS, rise=SMILE), teeth(finer, LOWER_CROWNS).flip(1), tongue(finer))
        self.layers = [
            torch.cat([drawing[:3] * white[:, None, None], drawing[3:]])
            for drawing in (drawing.to(image) for drawing in drawings)
        ]
        self.dark = white * image.new_tensor(_CAVITY)
        self.gum = white * image.new_tensor(GUM) * _GUM_SHADE
        self.own_teeth = own_mouth(head.rig.face) * self._whiteness(white)
        self.shows_teeth = bool(self.own_teeth.amax() > 0.5)
        self.follow = _FOLLOW_OWN if self.shows_teeth else _FOLLOW
        self.source_lips = head.on_crop(head.rig.source[list(INNER_LIPS)])[None]

    def _whiteness(self, white: Tensor) -> Tensor:
        """(1, 1, 160, 160) in 0..1: how far the portrait could show teeth there, by its colour."""
        y, x = torch.meshgrid(*[torch.arange(STAGE, device=white.device) + 0.5] * 2, indexing="ij")
        grid = self.head.on_crop(torch.stack([x, y], dim=-1)) * (2 / self.image.shape[-1]) - 1
        seen = F.avg_pool2d(sample(self.image, grid[None]), 3, 1, 1, count_include_pad=False)
        bright = seen.mean(1, keepdim=True) / white.mean()
        grey = seen.amin(1, keepdim=True) / seen.amax(1, keepdim=True).clamp_min(0.05)
        (bright_from, bright_over), (grey_from, grey_over) = _TOOTH_BRIGHT, _TOOTH_GREY
        return ((bright - bright_from) / bright_over).clamp(0, 1) * ((grey - grey_from) / grey_over).clamp(0, 1)

    def fill(self, frames: Tensor, flow: MeshFlow) -> Tensor:
        """frames (B, 3, S, S), the insides of their mouths painted roughly -> the same, filled; closed mouths as they
        were.
        """
        lips = self.head.on_crop(flow.mesh[:, list(INNER_LIPS)])
        edge, wide = max(1.0, _EDGE * self.density), max(3, round(_BLUR * self.density) // 2 * 2 + 1)
        rows, columns, places = pixels_around(lips, edge + wide // 2, frames.shape[-1])
        if not places.numel():
            return frames
        above, below, parted = self._between(lips, places[None])
        cover = (torch.minimum(above, below) / edge + 0.5).clamp(0, 1) * ((above + below) / edge).clamp(0, 1)
        fade = (parted / (_FADE_IN * self.density)).clamp(0, 1)
        inside = self._lit(self._drawn(places, flow.mouth_anchors), above, above + below)
        filled = frames.clone()
        window = frames[:, :, rows, columns]
        inside = inside + self.follow * (_blurred(window, cover, wide) - _blurred(inside, cover, wide))
        if self.shows_teeth:
            own, shown, lifted = self._own(places, flow.rigid_affine)
            inside = inside + lifted * (self.gum[:, None, None] - inside)
            change = fade * (1 - shown) * (inside - window) + shown * (own - window)
        else:
            change = fade * (inside - window)
        filled[:, :, rows, columns] = window + cover * change
        return filled

    def _between(self, lips: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """places (B or 1, h, w, 2) -> (B, 1, h, w) three times, in pixels: how far below the upper lip, how far above
        the lower one (both negative beside the mouth), and how much further the lips are apart there than in the
        portrait.
        """
        upper, lower = lip_edges(lips)
        u, v = beside_line(places, upper)
        top, bottom = (below_edge(edge_curve(edge), u) for edge in (upper, lower))
        was_top, was_bottom = (below_edge(edge_curve(edge), u) for edge in lip_edges(self.source_lips))
        beside = (u.clamp(0, 1) - u).abs() * (upper[:, -1] - upper[:, 0]).norm(dim=-1)[:, None, None]
        parted = bottom - top - (was_bottom - was_top).clamp_min(0)
        return (v - top - beside)[:, None], (bottom - v - beside)[:, None], parted[:, None]

    def _drawn(self, places: Tensor, mouth_anchors: MouthAnchors) -> Tensor:
        """(B, 3, h, w) the cavity with tongue and teeth in it, before the lips throw their shade."""
        n = len(mouth_anchors.axes)
        picture = self.dark[:, None, None].expand(n, -1, *places.shape[:2])
        axes = mouth_anchors.axes * self.head.zoom
        back = torch.linalg.inv(axes[:, :, :2])
        for layer in (TONGUE, LOWER_TEETH, UPPER_TEETH):  # from the back to the front
            if layer == UPPER_TEETH and self.shows_teeth:
                continue
            offset = places - self.head.on_crop(mouth_anchors.anchors[:, layer])[:, None, None]
            flat = torch.einsum("bij,bhwj->bhwi", back, offset)
            behind = ARCH * flat[..., :1].clamp(-HALF_WIDTH, HALF_WIDTH).square()
            flat = flat + torch.einsum("bij,bj->bi", back, axes[:, :, 2])[:, None, None] * behind
            grid = flat * flat.new_tensor([1 / HALF_WIDTH, -1 / HALF_HEIGHT])
            sampled = sample(self.layers[layer].expand(n, -1, -1, -1), grid)
            picture = picture + sampled[:, 3:] * (sampled[:, :3] - picture)
        return picture

    def _lit(self, picture: Tensor, above: Tensor, gap: Tensor) -> Tensor:
        """Darker under the upper lip, and in a mouth that is hardly open."""
        shade = 1 - _LIP_SHADE * torch.exp(-above.clamp_min(0) / (_LIP_SHADE_REACH * self.density))
        opened = (gap / (_WIDE_OPEN * self.density)).clamp(0, 1)
        return picture * shade * (1 - _SHADY + _SHADY * opened)

    def _own(self, places: Tensor, rigid_affine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the portrait's own mouth shows at that place of the skull (B, 3, h, w), where it shows teeth, and where
        it shows the upper lip, which has risen since (B, 1, h, w).
        """
        n, side = len(rigid_affine), self.image.shape[-1]
        on_stage = F.pad(self.head.on_stage(places), (0, 1), value=1.0)
        source = torch.einsum("hwk,bkc->bhwc", on_stage, rigid_affine)
        shown = sample(self.own_teeth.expand(n, -1, -1, -1), source * (2 / STAGE) - 1)
        own = sample(self.image.expand(n, -1, -1, -1), self.head.on_crop(source) * (2 / side) - 1)
        above, _, _ = self._between(self.source_lips, self.head.on_crop(source))
        lifted = ((_RIM * self.density - above) / (_EDGE * self.density)).clamp(0, 1)
        return own, shown, lifted


def _blurred(picture: Tensor, where: Tensor, wide: int) -> Tensor:
    """picture (B, 3, h, w), averaged twice over squares of `wide` pixels, as far as they lie in where (B, 1, h, w)."""
    both = torch.cat([picture * where, where], dim=1)
    for _ in range(2):
        both = F.avg_pool2d(both, (wide, 1), 1, (wide // 2, 0))
        both = F.avg_pool2d(both, (1, wide), 1, (0, wide // 2))
    return both[:, :3] / both[:, 3:].clamp_min(1e-3)
