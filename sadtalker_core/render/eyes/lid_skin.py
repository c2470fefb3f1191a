"""The skin of a lid that comes down: lashes and make-up of the open eye stay at its edge.

The warp (meshwarp/lid_contact.py) draws the skin between brow and eye down over the eye. What is dark there in the
portrait, the lashes, a line of make-up, the shadow under a low brow, would be drawn out to a dark patch. So it is known
what skin looks like there, and what comes out darker is lightened to that. Lashes that point up over the lid, dark
lines narrower than about 3 mm of the head, are closed over from both sides. What is fine in a narrow strip below a low
brow, pores and hairs, would be drawn out to streaks: it becomes calm. Where the mesh has the lower lid too high, a shut
eye would show a rim of itself below the line where lids meet: that becomes skin, too.

In: the portrait, once; then frames, and where in the portrait each of their pixels lies. Out: the frames.
Letters: `B` frames, `S` side of the crop, `h w` the rectangle around an eye, `n` places along a lid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...canonical_face import LEFT_EYE, RIGHT_EYE
from ...easing import smoothstep
from ..meshwarp.edge_curves import below_edge, edge_curve, line_coordinates, pixels_around
from ..meshwarp.flow_maps import MeshFlow
from ..meshwarp.posed_rig import PosedRig
from ..meshwarp.warp import largest_around, mean_around

#: left eye, then right: the edges of the upper and of the lower lid from the left to the right of the image
_LIDS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    (tuple(LEFT_EYE[8::-1]), (*LEFT_EYE[8:], LEFT_EYE[0])),
    (tuple(RIGHT_EYE[:9]), (RIGHT_EYE[0], *RIGHT_EYE[:7:-1])),
)

# Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet"), column "blink".
_PLACES, _DEEP = 13, 8  #: along a lid, and away from it, where skin is looked at
_ABOVE, _BELOW = (0.035, 0.1), (0.04, 0.11)  #: decimetres from the edge of the lid: between lashes and brow; the cheek
_BRIGHTEST = 0.6  #: share of the samples there that is taken for skin: neither lash nor brow nor crease
#: of the brightness below the eye: skin above it that is darker is a brow or its shadow; and how bright the lid is then
_LOW_BROW, _SHADED = 0.8, 0.68
_TOP = 0.13  #: decimetres above the edge where lightening has ended, in the middle of the eye
_LASHES, _BROW, _LEAST_TOP = (
    0.05,
    0.6,
    0.06,
)  #: decimetres of lashes; of the skin's brightness: what is darker is a brow
_WHOLLY = 0.3  #: share of that height up to which it is done wholly
_ENDS = 0.75  #: of the height of an arch over the eye: where it is lower, less is done
_DARKER, _MUCH_DARKER = 0.05, 0.25  #: of the skin's brightness: left as it is, and cleaned
_MOST, _GRAIN, _KEPT_GRAIN = 0.9, 0.03, 0.4  #: decimetres of what counts as narrow; how much of it stays
_DRAWN_OUT, _FAR_OUT = 1.5, 3.0  #: times its height in the portrait: from there on streaks go, and are gone
_STREAKS = 0.85  #: of a streak that goes
#: decimetres above the lid's edge up to which lashes reach in the portrait: wholly, and at most; as _ENDS
_LASH_ROOTS, _LASH_TIPS, _LASH_ENDS = 0.05, 0.1, 0.3
HARDLY = 0.01  #: of a blink: eyes that close less are left alone; what would change is less than half a step of 255
_FROM_CLOSURE = 0.3  #: of a blink: from there on it is done wholly
_SHUT_FROM, _RIM, _RIM_ENDS = 0.85, 0.05, 0.3  #: of a blink; decimetres below the line where lids meet; as _ENDS
_EDGE = 0.012  #: decimetres above the edge of the lid that stay as dark as they are: lashes grow there


class LidSkin:
    """A portrait's crop (1, 3, S, S) in 0..1, and its head."""

    def __init__(self, image: Tensor, head: PosedRig):
        self.head, self.density = head, head.density
        self.grain = 2 * max(1, round(_GRAIN * self.density / 2)) + 1
        self.edges = [head.on_crop(head.rig.source[list(upper)])[None] for upper, _ in _LIDS]
        soft = mean_around(image, 3)
        # (3, 3, n): on top of the lid, at its edge, below the eye
        self.colours = [self._skin(soft, *lids) for lids in _LIDS]
        self.tops = [self._below_brow(soft, eye) for eye in range(len(_LIDS))]

    def _skin(self, soft: Tensor, upper: tuple[int, ...], lower: tuple[int, ...]) -> Tensor:
        above = _brightest(self._samples_along(soft, upper, -1.0, _ABOVE))
        below = _brightest(self._samples_along(soft, lower, 1.0, _BELOW))
        lit, lit_below = above.mean(0), below.mean(0).clamp_min(1e-3)
        shade = (1 - lit / (_LOW_BROW * lit_below)).clamp(0, 1) * 2
        top = torch.lerp(above, below * _SHADED, shade.clamp(max=1)[None])
        return torch.stack([_calm(top), _calm(torch.lerp(top, below, 0.3)), _calm(below)])

    def _below_brow(self, soft: Tensor, eye: int) -> float:
        """Decimetres above the edge of a lid up to where there is skin, up to _TOP."""
        samples = self._samples_along(soft, _LIDS[eye][0], -1.0, (_LASHES, _TOP)).mean(0)
        bright = samples[_PLACES // 4 : -(_PLACES // 4)].median(0).values
        highest = int(bright.argmax())
        skin = max(float(bright[highest]), _SHADED * float(self.colours[eye][:, 2].mean()))
        dark = torch.nonzero(bright[highest:] < _BROW * skin)
        if not len(dark):
            return _TOP
        return max(_LASHES + (_TOP - _LASHES) * (highest + int(dark[0])) / (_DEEP - 1), _LEAST_TOP)

    def _samples_along(self, soft: Tensor, lid: tuple[int, ...], down: float, away: tuple[float, float]) -> Tensor:
        """(3, n, d) the colours at n places along a lid, at d distances from it."""
        points = self.head.on_crop(self.head.rig.source[list(lid)])
        along = points[-1] - points[0]
        x = along / along.norm().clamp_min(1e-3)
        y = torch.stack([-x[1], x[0]]) * down
        u = torch.linspace(0.02, 0.98, _PLACES, device=points.device)
        v = below_edge(edge_curve(points[None]), u[None, None])[0, 0]
        away_px = torch.linspace(*away, _DEEP, device=points.device) * self.density
        line = points[0] + u[:, None] * along + v[:, None] * torch.stack([-x[1], x[0]])
        places = line[:, None] + away_px[:, None] * y
        grid = places[None] * (2 / soft.shape[-1]) - 1
        return F.grid_sample(soft, grid, padding_mode="border", align_corners=False)[0]

    def draw(self, frames: Tensor, moved: Tensor, flow: MeshFlow) -> Tensor:
        """frames (B, 3, S, S) and moved (B, 2, S, S), where in the portrait each pixel lies, minus where it is, in
        halves of the crop's side -> the frames, whose lids are cleaned in place. Eyes that do not close are left as
        they are.
        """
        to_pixels = frames.shape[-1] / 2
        for eye, (upper, _) in enumerate(_LIDS):
            closing = torch.nonzero(flow.eye_closure[:, eye] > HARDLY)[:, 0]
            if not len(closing):
                continue
            points = self.head.on_crop(flow.mesh[closing][:, list(upper)])
            closure = flow.eye_closure[closing, eye, None, None]
            rows, columns, places = pixels_around(points, 2 * _TOP * self.density, frames.shape[-1])
            u, v = line_coordinates(places[None], points)
            over = (below_edge(edge_curve(points), u) - v) / self.density  # decimetres above the edge in the frame
            samples = moved[closing, :, rows, columns].permute(0, 2, 3, 1) * to_pixels + places
            u_source, v_source = line_coordinates(samples, self.edges[eye].expand(len(samples), -1, -1))
            high = (
                below_edge(edge_curve(self.edges[eye]), u_source) - v_source
            ) / self.density  # the same in the portrait
            arch = (torch.pi * u.clamp(0, 1)).sin()
            share = (high / (_TOP * (0.4 + 0.6 * arch))).clamp(0, 1)
            below_brow = (high / (self.tops[eye] * (0.4 + 0.6 * arch))).clamp(0, 1)
            shut = smoothstep((closure - _SHUT_FROM) / (1 - _SHUT_FROM))
            above_edge = smoothstep(over / _EDGE - 1 + shut) * smoothstep(arch / _ENDS)
            on_lid, up_to_brow = (
                above_edge * (1 - smoothstep((up - _WHOLLY) / (1 - _WHOLLY))) for up in (share, below_brow)
            )
            lashes = smoothstep(over / _EDGE - 1 + shut) * smoothstep(arch / _LASH_ENDS)
            lashes = lashes * (1 - smoothstep((high - _LASH_ROOTS) / (_LASH_TIPS - _LASH_ROOTS)))
            lashes = lashes * (below_brow < 1) * smoothstep(closure / _FROM_CLOSURE)
            top, edge, below = self._along(eye, u_source)
            skin = torch.lerp(edge, top, share[:, None])
            window = frames[closing, :, rows, columns]
            window = torch.lerp(window, _without_narrow_lines(window, self.grain), _MOST * lashes[:, None])
            calm = mean_around(mean_around(window, self.grain), self.grain)
            darker = 1 - calm.mean(1) / skin.mean(1).clamp_min(1e-3)
            amount = up_to_brow * smoothstep((darker - _DARKER) / (_MUCH_DARKER - _DARKER))
            amount = (amount * smoothstep(closure / _FROM_CLOSURE))[:, None]
            # what is wide and dark goes, and most of what is narrow
            cleaned = skin + _KEPT_GRAIN * (window - calm)
            window = torch.lerp(window, cleaned, _MOST * amount)
            # not at the edge, where the eye itself is near
            streaks = (
                _drawn_out(v_source) * on_lid * smoothstep(over / _GRAIN - 1) * smoothstep(closure / _FROM_CLOSURE)
            )
            window = torch.lerp(
                window, mean_around(mean_around(window, self.grain), self.grain), _STREAKS * streaks[:, None]
            )
            rim = (
                smoothstep((over + _RIM) / _RIM) * (1 - smoothstep(over / _EDGE)) * smoothstep(arch / _RIM_ENDS) * shut
            )
            frames[closing, :, rows, columns] = torch.lerp(window, below, _MOST * rim[:, None])
        return frames

    def _along(self, eye: int, u: Tensor) -> Tensor:
        """The skin's colours at u (B, h, w) -> (3, B, 3, h, w)."""
        at = (u.clamp(0, 1) * (_PLACES - 1)).clamp(0, _PLACES - 1 - 1e-4)
        low = at.floor().long()
        share = at - low
        return torch.lerp(self.colours[eye][:, :, low], self.colours[eye][:, :, low + 1], share).transpose(1, 2)


def _drawn_out(v: Tensor) -> Tensor:
    """v (B, h, w) how deep in the portrait each pixel lies -> 0..1, how much higher than there it appears."""
    steps = F.pad(v.diff(dim=1), (0, 0, 0, 1), mode="replicate") if v.shape[1] > 1 else torch.ones_like(v)
    return smoothstep((1 / steps.clamp_min(1e-3) - _DRAWN_OUT) / (_FAR_OUT - _DRAWN_OUT))


def _without_narrow_lines(image: Tensor, side: int) -> Tensor:
    """image (B, 3, h, w) -> the same where what is dark and narrower than `side` pixels has the colour beside it."""
    return -largest_around(-largest_around(image, side), side)


def _brightest(samples: Tensor) -> Tensor:
    """(3, n, d) -> (3, n) the mean of the brightest of each n."""
    few = max(1, round(_BRIGHTEST * samples.shape[2]))
    order = samples.mean(0).topk(few, dim=1).indices
    return samples.gather(2, order.expand(3, -1, -1)).mean(2)


def _calm(colours: Tensor) -> Tensor:
    """(3, n) without leaps along the lid."""
    padded = F.pad(colours[None], (2, 2), mode="replicate")[0]
    middle = padded.unfold(1, 5, 1).median(-1).values
    return F.avg_pool1d(F.pad(middle[None], (2, 2), mode="replicate"), 5, 1)[0]
