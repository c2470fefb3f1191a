"""Teeth, gums and tongue: their measures, where they lie in the head, and the drawings that show them.

In: how many pixels a decimetre has. Out: drawings of a row of teeth and of a tongue, colour and cover. interior.py
hangs them on the anchors of meshwarp/mouth_anchors.py, with the middle of a tooth edge, or the tip of the tongue, at
(0, 0) of its drawing.

Where the tooth edges lie is written in the table of the canonical face (`CanonicalFace.teeth`, made by
training/heads/landmarks.py; how far from the lips, and why, stands at the top of training/heads/person.py). In
millimetres (a decimetre of the head is 100), at rest, in the middle, from point 13 of the mesh, which lies within the
upper lip:

    edge of the lower lip (14)    1.7 below,  2.2 behind      where closed lips meet
    upper tooth edge              4.8 below,  4.9 behind      as soon as the lips part, more as the upper lip rises
    lower tooth edge              1.1 below, 10.0 behind      behind the upper teeth until the jaw opens
    tip of the tongue             3.8 below, 21.2 behind

So, from where the lips meet, the upper row ends 3.1 below, the lower one 0.6 above. A portrait's mouth keeps these
distances from its own lips at rest (meshwarp/mouth_anchors.py). The upper edge follows the skull; jawOpen takes lower
teeth and tongue along.

Drawings are in decimetres: x to the right of the image, y up. Letters: `H W` their pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Shapes, about as books of anatomy have them.
#: the teeth of one side from the middle outwards, in decimetres: the width along the arch, the height of the crown, and
#: how far its edge stands back from the line of the others
UPPER_CROWNS = (
    (0.085, 0.104, 0.0),
    (0.065, 0.090, 0.007),
    (0.075, 0.100, 0.001),
    (0.070, 0.085, 0.007),
    (0.068, 0.078, 0.010),
    (0.100, 0.070, 0.013),
)
LOWER_CROWNS = (
    (0.053, 0.088, 0.0),
    (0.058, 0.092, 0.001),
    (0.068, 0.100, -0.003),
    (0.070, 0.085, 0.006),
    (0.072, 0.078, 0.010),
    (0.110, 0.070, 0.013),
)
ARCH = 2.6  #: 1 / decimetre: the arch of teeth falls back by this times x squared
FAR, FAR_OF_OWN = 0.205, 0.26  #: decimetres from the middle, where half the light falls; beside a portrait's own teeth
SMILE = 0.35  #: 1 / decimetre: the edges of the upper teeth rise by this times x squared
UPPER_APART, LOWER_APART = 0.45, 0.8  #: how clearly teeth are set off from their neighbours, 0..1
_GAP, _LOWER_GAP = 0.0035, 0.0050  #: decimetres: half the width of the shade between them
LOWER_SHADED = (
    0.35  #: how much darker lower teeth are at the gum than at their edge, for the lip that stands before them
)
_WET, _WET_REACH = 0.10, 0.010  #: how much brighter a wet edge is, and over how many decimetres
HALF_WIDTH, HALF_HEIGHT = 0.36, 0.20  #: decimetres: of a drawing

# Colours, of a face in white light: tuned by eye on the open mouths of the sheet that `make eval-mini` draws
# (docs/MINI.md, "The sheet"), columns "A", "E" and "O".
ENAMEL, GUM, TONGUE_RED = (0.96, 0.94, 0.90), (0.66, 0.36, 0.35), (0.78, 0.43, 0.42)
_FINER = 3  #: drawn so much finer, and averaged


def teeth(
    density: float,
    crowns: tuple[tuple[float, float, float], ...],
    rise: float = 0.0,
    apart: float = UPPER_APART,
    far: float = FAR,
    shaded: float = 0.0,
) -> Tensor:
    """(4, H, W) colour and cover of a row of upper teeth, their edges at y = 0, gums above; density in pixels per
    decimetre, crowns as UPPER_CROWNS, their edges rising by `rise` x^2; apart: how clearly one tooth is set off from
    the next, 0..1; far: how far from the middle half the light falls, in decimetres; shaded: how much darker they are
    at the gum than at their edge; where it is not 0, as in lower teeth, that edge is wet and the gaps between teeth are
    as wide as _LOWER_GAP instead of _GAP. For lower teeth: turn it upside down.
    """
    widths, heights, setbacks = torch.tensor(crowns).T
    x, y = _paper(density)
    side = x.abs()
    edges = _arch_places(F.pad(widths.cumsum(0), (1, 0)))
    which = torch.searchsorted(edges, side.contiguous()).clamp(1, len(widths)) - 1
    left, right = edges[which], edges[which + 1]
    across = ((side - left) / (right - left) * 2 - 1).clamp(-1, 1)
    height = heights[which]
    up = y - rise * x.square() - setbacks[which] - 0.013 * apart * across.abs() ** 3
    gum = ((up - height + 0.018 * across.square()) / 0.006 + 0.5).clamp(0, 1)
    between = torch.exp(-(((1 - across.abs()) * (right - left) / 2 / (_LOWER_GAP if shaded else _GAP)) ** 2))
    round_off = 1 - 0.12 * apart * across**2
    length = (up / height).clamp(0, 1)
    yellower = torch.tensor([0.93, 0.95, 0.97]) + length[..., None] * torch.tensor([0.07, 0.03, -0.04])
    colour = torch.tensor(ENAMEL) * yellower * (round_off * (1 - 0.32 * apart * between))[..., None]
    colour = colour + gum[..., None] * (torch.tensor(GUM) - colour)
    into_shade = 1 / (1 + (side / far) ** 4) * (1 - shaded * length**1.5)
    colour = colour * into_shade[..., None] ** torch.tensor([1.0, 1.5, 1.8])
    if shaded:
        colour = colour * (1 + _WET * torch.exp(-((up / _WET_REACH) ** 2)))[..., None]
    cover = ((up > 0) & (side < edges[-1])).float()
    return _finished(colour, cover)


def tongue(density: float) -> Tensor:
    """(4, H, W) a tongue at rest, its tip at y = 0: a low hill with a groove, that goes back into the dark."""
    x, y = _paper(density)
    side = x.abs() / 0.20
    top = 0.10 - 0.07 * side**2
    cover = ((top - y) / 0.035 + 0.5).clamp(0, 1) * ((1.1 - side) / 0.3).clamp(0, 1)
    back = ((y + 0.02) / 0.13).clamp(0, 1)
    groove = 0.11 * torch.exp(-((x / 0.016) ** 2)) * (1 - (back - 0.5).abs()).clamp(0, 1)
    shade = (1 - 0.62 * back**1.5) * (1 - 0.55 * side.clamp(0, 1) ** 2) * (1 - groove)
    wet = 0.16 * torch.exp(-(((y - 0.012) / 0.016) ** 2) - ((x.abs() - 0.055) / 0.035) ** 2)
    return _finished(torch.tensor(TONGUE_RED) * shade[..., None] + wet[..., None], cover)


def _arch_places(lengths: Tensor) -> Tensor:
    """Lengths along the arch z = -ARCH x^2 -> x."""
    x = torch.linspace(0, HALF_WIDTH, 400)
    step = (1 + (2 * ARCH * x) ** 2).sqrt()
    along = torch.cat([torch.zeros(1), ((step[1:] + step[:-1]) / 2 * x.diff()).cumsum(0)])
    return x[torch.searchsorted(along, lengths).clamp_max(len(x) - 1)]


def _paper(density: float) -> tuple[Tensor, Tensor]:
    """x and y (H, W) of a drawing, `_FINER` times finer than `density` pixels per decimetre."""
    columns, rows = (_FINER * max(8, round(2 * half * density)) for half in (HALF_WIDTH, HALF_HEIGHT))
    x = ((torch.arange(columns) + 0.5) / columns * 2 - 1) * HALF_WIDTH
    y = (1 - (torch.arange(rows) + 0.5) / rows * 2) * HALF_HEIGHT
    y, x = torch.meshgrid(y, x, indexing="ij")
    return x, y


def _finished(colour: Tensor, cover: Tensor) -> Tensor:
    """colour (H, W, 3), cover (H, W) -> (4, H / 3, W / 3)."""
    drawn = torch.cat([colour.permute(2, 0, 1), cover[None]])
    weighted = F.avg_pool2d(torch.cat([drawn[:3] * cover, drawn[3:]])[None], _FINER)[0]
    return torch.cat([weighted[:3] / weighted[3:].clamp_min(1e-3), weighted[3:]])
