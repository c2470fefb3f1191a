"""The inside of a mouth in a drawing: flat colours and a line of ink, where a photograph has light and shade.

In: a portrait's crop and its head. Out: whether the portrait is drawn in flat colours, and a `Mouth` for it: white
teeth in one row, a red tongue before the dark, each of one colour, and around them the line that the portrait's own
mouth is drawn with.
Letters: `B` frames, `h w` the rectangle of the crop that holds all mouths.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...canonical_face import INNER_LIPS
from ...easing import smoothstep
from ..meshwarp.flow_maps import MeshFlow
from ..meshwarp.mouth_anchors import LOWER_TEETH, TONGUE, UPPER_TEETH
from ..meshwarp.posed_rig import PosedRig
from ..meshwarp.warp import sample
from .interior import Mouth
from .light import light_of
from .opening import Opening

_PLACES = (151, 9, 50, 280, 205, 425, 199, 36, 266)  #: points of the mesh on the forehead, the cheeks and the chin
_PATCH = 0.08  #: decimetres, half the side of what is looked at around each
_LEVEL = 1 / 255
#: Share of the pixels that equal others as far away as a patch reaches, to a level and a half: in a cartoon .92, by
#: JPEG of quality 40 .8; in photographs, paintings and generated heads up to .1, in a dark head by JPEG of quality 10
#: .27.
_ALL_FLAT = 0.5
#: Share of those that equal their neighbours to half a level, in inked drawings, and by how much a quarter of all
#: differ at least: line art of four photographs .22 to .47 and 17 to 28 levels; photographs, also by JPEG of quality
#: 10, paintings and generated heads less of the one or of the other (8 levels).
_FLAT, _INKED = 0.2, 12 * _LEVEL
_BRIGHT = 0.15  #: nothing is detected in a darker face, where all levels are near each other
#: White in all colours is what an overexposed photograph equals itself in, so it does not count, unless it is paper:
#: where no more than this share is neither white nor ink; a photograph at 2.5 times its light .1.
_WHITE, _INK_LIGHT, _SHADES = 254.5 / 255, 0.5, 0.06
_FEWEST = 16  #: of pixels a patch apart; at 256 pixels that photograph has 35, a painting at 1.8 times 24

# By white; tuned by eye on a cartoon and on line art of four photographs.
_TEETH, _TONGUE, _DARK = (0.97, 0.95, 0.92), (0.68, 0.36, 0.35), (0.26, 0.08, 0.09)
_INK, _SOFT = 0.014, 0.4  #: decimetres, the line around the opening; of this, over how much it ends
_DARKER = 0.6  #: of white: the mouth's line is ink where it is darker


def is_flat(image: Tensor, head: PosedRig) -> bool:
    """image (1, 3, S, S) in 0..1, and its head -> whether it is a drawing in flat colours."""
    reach = max(3, round(_PATCH * float(head.density)))
    patches = []
    for x, y in head.on_crop(head.rig.source[list(_PLACES)]).round().int().tolist():
        patch = image[0, :, max(y - reach, 0) : max(y + reach, 0), max(x - reach, 0) : max(x + reach, 0)]
        if min(patch.shape[1:]) > reach:
            patches.append(patch)
    if not patches or float(torch.stack([patch.mean() for patch in patches]).median()) < _BRIGHT:
        return False
    light = torch.cat([patch.mean(0).flatten() for patch in patches])
    white = _WHITE if float(((light > _INK_LIGHT) & (light < _WHITE)).float().mean()) > _SHADES else math.inf
    near, far = (torch.cat([_steps(patch, step, white) for patch in patches]) for step in (1, reach))
    if len(far) < _FEWEST:
        return False
    if float((far < 1.5 * _LEVEL).float().mean()) > _ALL_FLAT:
        return True
    return float((near < _LEVEL / 2).float().mean()) > _FLAT and float(near.quantile(0.75)) > _INKED


def _steps(patch: Tensor, far: int, white: float) -> Tensor:
    """patch (3, h, w) -> (n,) how much its pixels differ from those so far below and beside them, in any colour, where
    none of them is as bright as `white` in all its colours.
    """
    here, below, beside = patch[:, :-far, :-far], patch[:, far:, :-far], patch[:, :-far, far:]
    seen = torch.stack([part.amin(0) for part in (here, below, beside)]).amax(0) < white
    return torch.maximum((below - here).abs(), (beside - here).abs()).amax(0)[seen]


class FlatMouth(Mouth):
    """The inside of one drawn portrait's mouth: its crop (1, 3, S, S) in 0..1, and its head."""

    def __init__(self, image: Tensor, head: PosedRig):
        super().__init__(image, head)
        white = light_of(image, head)
        colours = {UPPER_TEETH: _TEETH, LOWER_TEETH: _DARK, TONGUE: _TONGUE}
        self.layers = [
            torch.cat(
                [
                    (white * white.new_tensor(colours[layer]))[:, None, None].expand(-1, *drawing.shape[1:]),
                    smoothstep(drawing[3:] * 3 - 1) * (layer != LOWER_TEETH),
                ]
            )
            for layer, drawing in enumerate(self.layers)
        ]
        self.rim = None  # the line of ink takes its place
        self.dark = (white * white.new_tensor(_DARK))[:, None, None]
        self.mucosa = self.dark
        places = head.on_crop(head.rig.source[list(INNER_LIPS)])
        near = torch.linspace(-0.02, 0.02, 5, device=image.device) * head.density
        line = places[:, None] + torch.stack([torch.zeros_like(near), near], -1)
        found = sample(image, line[None] * (2 / image.shape[-1]) - 1)[0]
        darkest = found.mean(0).argmin(1)
        ink = found.gather(2, darkest[None, :, None].expand(3, -1, -1))[..., 0].median(1).values
        self.ink = ink[:, None, None] if float(ink.mean()) < _DARKER * float(white.mean()) else None

    def _lights(self, gap: Opening, below_teeth: Tensor) -> tuple[list[Tensor], Tensor]:
        lit = torch.ones_like(gap.height)
        return [lit, lit, lit], lit

    def _lip_side(self, gap: Opening, opened: Tensor) -> Tensor:
        return torch.zeros_like(opened)

    def _drawn(
        self, places: Tensor, flow: MeshFlow, gap: Opening, closing: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        image, lights, upper = super()._drawn(places, flow, gap, closing)
        if self.ink is None:
            return image, lights, upper
        wide = max(1.5, _INK * float(self.density))
        line = 1 - smoothstep((torch.minimum(gap.above, gap.below).clamp_min(0) / wide - 1 + _SOFT) / _SOFT)
        return image + line * (self.ink - image), lights, upper * (1 - line)
