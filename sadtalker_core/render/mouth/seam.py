"""Where closed lips of a portrait really meet: the mesh found in it is moved to the visible seam.

The mesh network has the seam up to a third of a lip too high where the upper lip lies in shade, or under a beard: the
mouth would open within the upper lip. In: the mesh and the crop. Out: the mesh, its lips moved up or down. Open mouths
stay (measured_lips.py), and those whose mesh lies about right or whose seam is not clearly visible.

The lower lip begins where it becomes brighter on the way down: light falls from above. That is looked for along lines
across the lips, and found for all of them at once, so that it has no steps.

Where that moves it, nothing between the lips stays brighter than they are: teeth that shine through would blink.

Letters: `S` side of the crop, `n` 9 lines, `k` places along them, `m` beside each other.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import INNER_LIPS, LOWER_INNER_LIP, OUTER_LIPS, UPPER_INNER_LIP
from ..meshwarp.edge_curves import pixels_around
from ..meshwarp.lip_contact import spread_of_lips
from ..meshwarp.placement import fit_head
from ..meshwarp.warp import sample
from .measured_lips import smoothest
from .opening import opening

_UPPER, _LOWER = list(UPPER_INNER_LIP), list(LOWER_INNER_LIP[::-1])
_UPPER_OUTER, _LOWER_OUTER = list(OUTER_LIPS[1:10]), list(OUTER_LIPS[:10:-1])

# In decimetres. Tuned by eye on the closed mouths of the sheet that `make eval-mini` draws (docs/MINI.md, "The sheet"):
# head0 to head3 move to their seams, biden and the line art stay.
_CLOSED = 0.06  #: by which lips are apart, up to which they are looked at
_FURTHEST, _STEP = 0.045, 0.004  #: how far a seam is moved; how finely is looked
_OVER = 4  #: steps above and below a place, whose light is compared
_LINE_SPACING = 0.008  #: lines on both sides of one, that are averaged
_RISES, _STAYS = 4.0, 8.0  #: pulls to where it becomes brighter, and, a decimetre, to where the mesh has it
_LINE = 0.012  #: how far the upper lip ends above the lower one at least: what is between them is no lip
_EDGE, _SHADED = 0.010, 0.6  #: over which what is between them blends with them; the most of their light it has
_CLEAR = 0.3  #: by how much brighter, beside all around, it becomes at a clearly visible seam
_ELSEWHERE = 0.4  #: of that, at most, where the mesh has the seam, if that is wrong


def with_measured_seam(points: Tensor, image: Tensor) -> Tensor:
    """points (468, 3) in pixels of the crop image (1, 3, S, S) in 0..1 -> the same; those of lips may be moved."""
    density = float(fit_head(points).scale)
    corners = points[[INNER_LIPS[0], INNER_LIPS[10]], :2]
    across = (corners[1] - corners[0]) / (corners[1] - corners[0]).norm().clamp_min(1e-6)
    down = torch.stack([-across[1], across[0]])
    upper, lower = points[_UPPER, :2], points[_LOWER, :2]
    apart = (lower - upper) @ down / density
    if apart.mean() > _CLOSED:
        return points
    reach = round(_FURTHEST / _STEP) + _OVER
    steps = (torch.arange(-reach, reach) + 0.5).to(points) * _STEP
    beside = torch.tensor([-_LINE_SPACING, 0.0, _LINE_SPACING]).to(points)
    middle = (upper + lower) / 2
    places = middle[:, None, None] + (steps[:, None, None] * down + beside[:, None] * across) * density
    samples = sample(image, places.flatten(1, 2)[None] * (2 / image.shape[-1]) - 1)[0].mean(0)
    light = samples.unflatten(-1, (len(steps), len(beside))).mean(-1)
    around = F.avg_pool1d(light[:, None], _OVER, 1)[:, 0]
    rise = (around[:, _OVER:] - around[:, :-_OVER]) / light.mean().clamp_min(1e-3)  # (n, k)
    where = (torch.arange(rise.shape[1]) - rise.shape[1] // 2).to(points) * _STEP
    taken = smoothest((_STAYS * where.abs() - _RISES * rise).cpu()).to(points.device)
    found, of_mesh = rise.gather(1, taken[:, None]).mean(), rise[:, rise.shape[1] // 2].mean()
    if found < _CLEAR or of_mesh > _ELSEWHERE * found:
        return points
    lower_moves = where[taken] - apart / 2
    upper_moves = lower_moves + apart - apart.clamp_min(_LINE)
    changed = points.clone()
    changed[:, :2] += spread_of_lips(points.device) @ torch.cat([upper_moves, lower_moves])[:, None] * down * density
    return changed


def without_specks(image: Tensor, points: Tensor) -> Tensor:
    """image (1, 3, S, S), points (468, 3) whose closed lips were moved to their seam -> the same, nothing between the
    lips brighter than they are: a tooth of which a pixel shines through would blink as the lips move.
    """
    density = float(fit_head(points).scale)
    lips = points[list(INNER_LIPS), :2][None]
    rows, columns, places = pixels_around(lips, 2.0, image.shape[-1])
    if not places.numel():
        return image
    beside = (points[_UPPER + _LOWER, :2] + points[_UPPER_OUTER + _LOWER_OUTER, :2]) / 2
    lip = sample(image, beside[None, None] * (2 / image.shape[-1]) - 1)[0, :, 0].median(-1).values
    gap, edge = opening(lips, places[None]), max(1.0, _EDGE * density)
    within = (torch.minimum(gap.above, gap.below) / edge + 1).clamp(0, 1)
    changed, window = image.clone(), image[:, :, rows, columns]
    dimmed = torch.minimum(window, (_SHADED * lip)[:, None, None])
    changed[:, :, rows, columns] = window + within * (dimmed - window)
    return changed
