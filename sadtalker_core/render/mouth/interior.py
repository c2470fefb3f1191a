"""What is behind the lips: teeth, tongue and the dark between them, drawn for a portrait that never showed its own.

In: a portrait's crop, its mesh (mesh_flow.py) and where lips and jaws are in each frame. Out: the frames with the mouth
filled, its edge as sharp as the crop. Three flat drawings hang in the head: upper teeth that follow the skull, lower
teeth and tongue that follow the jaw; each is bent along the dental arch, so that it turns with the head. Their light is
that of the whites of the portrait's eyes. Who shows teeth in the portrait keeps them.

Letters: `B` frames, `h w` the rectangle of the crop that holds all mouths, `S` side of the crop. Drawings are in
decimetres: x to the right of the picture, y up, from the middle of the tooth edge.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import EYES, INNER_LIPS
from ..meshwarp.edge_curves import below_edge, beside_line, edge_curve, pixels_around
from ..meshwarp.mesh_flow import STAGE, MeshFlow, MouthAnchors
from ..meshwarp.posed_rig import PosedRig
from .lip_edges import lip_edges

#: the teeth of one side from the middle outwards, in decimetres, about as books of anatomy have them: the width along
#: the arch, the height of the crown, and how far its edge stands back from the line of the others
_UPPER = ((0.085, 0.104, 0.0), (0.065, 0.090, 0.007), (0.075, 0.100, 0.001), (0.070, 0.085, 0.007),
          (0.068, 0.078, 0.010), (0.100, 0.070, 0.013))  # fmt: skip
_LOWER = ((0.053, 0.088, 0.0), (0.058, 0.092, 0.001), (0.068, 0.100, -0.003), (0.070, 0.085, 0.006),
          (0.072, 0.078, 0.010), (0.110, 0.070, 0.013))  # fmt: skip
_ARCH = 2.6  #: the arch of teeth falls back by this times x squared
_SMILE = 0.7  #: and the edges of the upper teeth rise by this times x squared
_HALF_WIDTH, _HALF_HEIGHT = 0.36, 0.20  #: of a drawing
_ENAMEL, _GUM, _TONGUE = (0.96, 0.94, 0.90), (0.66, 0.36, 0.35), (0.70, 0.37, 0.36)
_CAVITY = (0.19, 0.06, 0.06)
_GUM_SHADE = 0.72  #: of the gum that a rising lip uncovers
_FINEST = 400  #: pixels per decimetre beyond which a drawing is only enlarged

_EDGE = 0.010  #: decimetres over which the inside fades in behind the edge of the lips
#: The network knows the light in a mouth and no detail: the drawing, averaged over so many decimetres, is brought that
#: near to the net's paint. Less in a mouth that shows teeth, which the network paints grey.
_BLUR, _FOLLOW, _FOLLOW_OWN = 0.06, 0.7, 0.15
_RIM = 0.045  #: decimetres below the portrait's own upper lip that its blurred edge may reach into its teeth
_FADE_IN = 0.015  #: decimetres that lips must part further than in the portrait before anything is drawn
_LIP_SHADE, _LIP_SHADE_REACH = 0.25, 0.025  #: how dark it is right below the upper lip, and how far down that goes
_WIDE_OPEN = 0.14  #: decimetres between the lips at which as much light as ever falls in
_CHEEKS = (50, 280)  #: points of the mesh


class Mouth:
    """The inside of one portrait's mouth: its crop (1, 3, S, S) in 0..1, and its head."""

    def __init__(self, image: Tensor, head: PosedRig):
        self.image, self.head, self.density = image, head, head.density
        white = light_of(image, head)
        finer = min(self.density, _FINEST)
        drawings = (teeth(finer, _UPPER, rise=_SMILE), teeth(finer, _LOWER).flip(1), tongue(finer))
        self.layers = [
            torch.cat([drawing[:3] * white[:, None, None], drawing[3:]])
            for drawing in (drawing.to(image) for drawing in drawings)
        ]
        self.dark = white * image.new_tensor(_CAVITY)
        self.gum = white * image.new_tensor(_GUM) * _GUM_SHADE
        self.own_teeth = head.rig.own_teeth() * self._whiteness(white)
        self.shows_teeth = bool(self.own_teeth.amax() > 0.5)
        self.follow = _FOLLOW_OWN if self.shows_teeth else _FOLLOW
        self.source_lips = head.on_crop(head.rig.source[list(INNER_LIPS)])[None]

    def _whiteness(self, white: Tensor) -> Tensor:
        """(1, 1, 160, 160) in 0..1: how far the portrait could show teeth there, by its colour."""
        y, x = torch.meshgrid(*[torch.arange(STAGE, device=white.device) + 0.5] * 2, indexing="ij")
        grid = self.head.on_crop(torch.stack([x, y], dim=-1)) * (2 / self.image.shape[-1]) - 1
        seen = F.avg_pool2d(_sample(self.image, grid[None]), 3, 1, 1, count_include_pad=False)
        bright = seen.mean(1, keepdim=True) / white.mean()
        grey = seen.amin(1, keepdim=True) / seen.amax(1, keepdim=True).clamp_min(0.05)
        return ((bright - 0.45) / 0.2).clamp(0, 1) * ((grey - 0.5) / 0.15).clamp(0, 1)

    def fill(self, frames: Tensor, flow: MeshFlow) -> Tensor:
        """frames (B, 3, S, S), the insides of their mouths painted roughly -> the same, filled; closed mouths as they
        were."""
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
        portrait."""
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
        for layer, anchor in ((2, 2), (1, 1), (0, 0)):
            if layer == 0 and self.shows_teeth:
                continue
            offset = places - self.head.on_crop(mouth_anchors.anchors[:, anchor])[:, None, None]
            flat = torch.einsum("bij,bhwj->bhwi", back, offset)
            behind = _ARCH * flat[..., :1].clamp(-_HALF_WIDTH, _HALF_WIDTH).square()
            flat = flat + torch.einsum("bij,bj->bi", back, axes[:, :, 2])[:, None, None] * behind
            grid = flat * flat.new_tensor([1 / _HALF_WIDTH, -1 / _HALF_HEIGHT])
            sampled = F.grid_sample(
                self.layers[layer].expand(n, -1, -1, -1), grid, mode="bilinear", padding_mode="border",
                align_corners=False,
            )  # fmt: skip
            picture = picture + sampled[:, 3:] * (sampled[:, :3] - picture)
        return picture

    def _lit(self, picture: Tensor, above: Tensor, gap: Tensor) -> Tensor:
        """Darker under the upper lip, and in a mouth that is hardly open."""
        shade = 1 - _LIP_SHADE * torch.exp(-above.clamp_min(0) / (_LIP_SHADE_REACH * self.density))
        opened = (gap / (_WIDE_OPEN * self.density)).clamp(0, 1)
        return picture * shade * (0.85 + 0.15 * opened)

    def _own(self, places: Tensor, rigid_affine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the portrait's own mouth shows at that place of the skull (B, 3, h, w), where it shows teeth, and where
        it shows the upper lip, which has risen since (B, 1, h, w)."""
        n, side = len(rigid_affine), self.image.shape[-1]
        on_stage = F.pad(self.head.on_stage(places), (0, 1), value=1.0)
        source = torch.einsum("hwk,bkc->bhwc", on_stage, rigid_affine)
        shown = _sample(self.own_teeth.expand(n, -1, -1, -1), source * (2 / STAGE) - 1)
        own = _sample(self.image.expand(n, -1, -1, -1), self.head.on_crop(source) * (2 / side) - 1)
        above, _, _ = self._between(self.source_lips, self.head.on_crop(source))
        lifted = ((_RIM * self.density - above) / (_EDGE * self.density)).clamp(0, 1)
        return own, shown, lifted


def _sample(picture: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _blurred(picture: Tensor, where: Tensor, wide: int) -> Tensor:
    """picture (B, 3, h, w), averaged twice over squares of `wide` pixels, as far as they lie in where (B, 1, h, w)."""
    both = torch.cat([picture * where, where], dim=1)
    for _ in range(2):
        both = F.avg_pool2d(both, wide, 1, wide // 2)
    return both[:, :3] / both[:, 3:].clamp_min(1e-3)


# ---- light -----------------------------------------------------------------------------------------------------


def light_of(image: Tensor, head: PosedRig) -> Tensor:
    """(3,) what a white thing in this face looks like: the whites of the eyes, never darker than the cheeks."""
    rig, side = head.rig, image.shape[-1]

    def seen(places: Tensor) -> Tensor:
        return _sample(image, (head.on_crop(places) * (2 / side) - 1)[None, None])[0, :, 0]

    triangles = rig.canonical.triangles[rig.canonical.kind == EYES]
    share = torch.tensor([[1, 1, 1], [2, 1, 1], [1, 2, 1], [1, 1, 2]]).to(image)
    share = share / share.sum(1, keepdim=True)
    eyes = seen(torch.einsum("sk,nkc->nsc", share, rig.source[triangles]).flatten(0, 1))
    bright = eyes.mean(0).argsort(descending=True)
    white = eyes[:, bright[len(bright) // 12 : len(bright) // 4]].mean(1)
    reach = torch.linspace(-4, 4, 5, device=image.device)
    around = torch.stack(torch.meshgrid(reach, reach, indexing="ij"), dim=-1).flatten(0, 1)
    cheeks = torch.cat([seen(rig.source[k] + around) for k in _CHEEKS], dim=1).mean(1)
    level = torch.maximum(white.mean() * 1.35, cheeks.mean() * 1.45).clamp(0.2, 1.0)
    return level * (0.6 + 0.4 * white / white.mean().clamp_min(0.05)).clamp(0.8, 1.2)


# ---- drawings --------------------------------------------------------------------------------------------------

_FINER = 3  #: drawn so much finer, and averaged


def _paper(density: float) -> tuple[Tensor, Tensor]:
    """x and y (H, W) of a drawing, `_FINER` times finer than `density` pixels per decimetre."""
    columns, rows = (_FINER * max(8, round(2 * half * density)) for half in (_HALF_WIDTH, _HALF_HEIGHT))
    x = ((torch.arange(columns) + 0.5) / columns * 2 - 1) * _HALF_WIDTH
    y = (1 - (torch.arange(rows) + 0.5) / rows * 2) * _HALF_HEIGHT
    y, x = torch.meshgrid(y, x, indexing="ij")
    return x, y


def _finished(colour: Tensor, cover: Tensor) -> Tensor:
    """colour (H, W, 3), cover (H, W) -> (4, H / 3, W / 3)."""
    drawn = torch.cat([colour.permute(2, 0, 1), cover[None]])
    weighted = F.avg_pool2d(torch.cat([drawn[:3] * cover, drawn[3:]])[None], _FINER)[0]
    return torch.cat([weighted[:3] / weighted[3:].clamp_min(1e-3), weighted[3:]])


def teeth(density: float, side_teeth: tuple[tuple[float, float, float], ...], rise: float = 0.0) -> Tensor:
    """(4, H, W) colour and cover of a row of upper teeth, their edges at y = 0, gums above."""
    widths, heights, setbacks = torch.tensor(side_teeth).T
    x, y = _paper(density)
    side = x.abs()
    edges = _arch_places(F.pad(widths.cumsum(0), (1, 0)))
    which = torch.searchsorted(edges, side.contiguous()).clamp(1, len(widths)) - 1
    left, right = edges[which], edges[which + 1]
    across = ((side - left) / (right - left) * 2 - 1).clamp(-1, 1)
    height = heights[which]
    up = y - rise * x.square() - setbacks[which] - 0.010 * across.abs() ** 3
    gum = ((up - height + 0.018 * across.square()) / 0.006 + 0.5).clamp(0, 1)
    between = torch.exp(-(((1 - across.abs()) * (right - left) / 2 / 0.0035) ** 2))
    round_off = 1 - 0.10 * across**2
    length = (up / height).clamp(0, 1)
    yellower = torch.tensor([0.93, 0.95, 0.97]) + length[..., None] * torch.tensor([0.07, 0.03, -0.04])
    colour = torch.tensor(_ENAMEL) * yellower * (round_off * (1 - 0.32 * between))[..., None]
    colour = colour + gum[..., None] * (torch.tensor(_GUM) - colour)
    colour = colour * (1 / (1 + (side / 0.24) ** 4))[..., None]
    cover = ((up > 0) & (side < edges[-1])).float()
    return _finished(colour, cover)


def _arch_places(lengths: Tensor) -> Tensor:
    """Lengths along the arch z = -_ARCH x^2 -> x."""
    x = torch.linspace(0, _HALF_WIDTH, 400)
    step = (1 + (2 * _ARCH * x) ** 2).sqrt()
    along = torch.cat([torch.zeros(1), ((step[1:] + step[:-1]) / 2 * x.diff()).cumsum(0)])
    return x[torch.searchsorted(along, lengths).clamp_max(len(x) - 1)]


def tongue(density: float) -> Tensor:
    """(4, H, W) a tongue at rest, its tip at y = 0: a soft hill with a groove, darker to the back and the sides."""
    x, y = _paper(density)
    side = x.abs() / 0.235
    top = 0.19 - 0.12 * side**2
    cover = ((top - y) / 0.04 + 0.5).clamp(0, 1) * ((1.05 - side) / 0.15).clamp(0, 1)
    back = ((y - 0.01) / 0.18).clamp(0, 1)
    groove = 0.16 * torch.exp(-((x / 0.014) ** 2)) * back
    shade = (1 - 0.35 * back) * (1 - 0.35 * side.clamp(0, 1) ** 2) * (1 - groove)
    return _finished(torch.tensor(_TONGUE) * 0.95 * shade[..., None], cover)
