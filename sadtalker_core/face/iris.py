r"""An image and the mesh of its face come in; where the irises are goes out, or None if they are not visible.

An iris is the darkest round thing between the lids, with the bright of the eye on one side of it at least. It is looked
for on a patch of each eye, which is laid along the line from corner to corner:

    corner ------ x -0.5..0.5 -----> other corner        x, y in widths of the eye, y down
             ____
           /  ()  \       lids, from the mesh
           `------'

What is not clear (closed or covered eyes, dark glasses, many drawings) is not guessed at.
Letters: `h w` pixels of a patch, `n` candidates for the radius.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..canonical_face import LEFT_EYE, RIGHT_EYE

#: pixels of a patch in a width of the eye, and how far it reaches from the middle, in widths
_FINE, _REACH_X, _REACH_Y = 48, 0.66, 0.4
#: radius of an iris in widths of the (wider) eye: a third less and a fifth more than people's .2
_RADII = tuple(0.15 + 0.01 * k for k in range(10))
_USUAL_RADIUS, _RADIUS_SPREAD = 0.2, 0.04
#: where centres are looked for, in widths of the eye
_FURTHEST_X, _FURTHEST_Y = 0.28, 0.12
_SMALLEST_EYE, _FEWEST_PIXELS = 6, 20  #: pixels of its width; pixels of its patch between the lids
_HEIGHT_SPREAD, _USUAL = 0.08, 0.06  #: widths of the eye; how much what is usual weighs
_LEAST_OPENING = 0.13  #: of the eye's width; below it an eye is as good as closed
_LEAST_CONTRAST = 0.07  #: of full brightness, between the iris and the bright of the eye
_LEAST_CLEAR = 0.32  #: the same, of the range of brightness between the lids
_LEAST_VISIBLE = 0.35  #: share of the disc that lies between the lids
_LARGEST_SQUINT = 0.16  #: widths by which the two eyes may look apart


class Eye(NamedTuple):
    """The edges of one eye's lids as the mesh has them, in pixels: (9, 2) from its left to its right corner, those
    included.
    """

    upper: Tensor
    lower: Tensor

    @classmethod
    def of(cls, points: Tensor, ring: tuple[int, ...]) -> Eye:
        """points (468, 2 or 3) in pixels; ring: LEFT_EYE or RIGHT_EYE."""
        upper, lower = [*ring[:9]], [ring[0], *ring[:8:-1], ring[8]]
        if ring is LEFT_EYE:  # both from the left to the right of an upright face
            upper, lower = upper[::-1], lower[::-1]
        return cls(points[upper, :2].float(), points[lower, :2].float())

    @property
    def middle(self) -> Tensor:
        return (self.upper[0] + self.upper[-1]) / 2

    @property
    def along(self) -> Tensor:
        """(2,) from the left to the right corner."""
        return self.upper[-1] - self.upper[0]

    @property
    def axes(self) -> Tensor:
        """(2, 2) x and y of the patch, in pixels: rows; y points down the face."""
        x, y = self.along.tolist()
        return torch.tensor([[x, y], [-y, x]])

    @property
    def opening(self) -> float:
        """Of its width: how far the lids are apart in the middle."""
        return float((self.lower[3:6] - self.upper[3:6]).mean(0) @ self.axes[1] / self.along.square().sum())


def find_irises(image: Tensor, points: Tensor) -> Tensor | None:
    """image (3, H, W) in 0..1, points (468, 2 or 3) its mesh, pixels of the image -> (2, 3): x, y and radius of the
    left and of the right iris in pixels of it, or None where they are not clearly visible.
    """
    points = points.to("cpu")
    if not bool(torch.isfinite(points[[*LEFT_EYE, *RIGHT_EYE]]).all()):
        return None
    eyes = [Eye.of(points, ring) for ring in (LEFT_EYE, RIGHT_EYE)]
    widths = [float(eye.along.norm()) for eye in eyes]
    widest = max(widths)
    if min(widths) < _SMALLEST_EYE:
        return None
    scores = []
    for eye, width in zip(eyes, widths, strict=True):
        if eye.opening < _LEAST_OPENING * widest / width:
            return None
        scores.append(_scores(*_patch(image, eye), widest / width))
    # Both irises have one radius, and look up or down together; of each alone that is hard to see.
    along_rows = scores[0].amax(2) + scores[1].amax(2)
    if not bool(torch.isfinite(along_rows).any()):
        return None
    best = int(along_rows.flatten().argmax())
    n, row = best // along_rows.shape[1], best % along_rows.shape[1]
    y = (row + 0.5 - along_rows.shape[1] / 2) / _FINE
    found, looks = [], []
    for eye, width, score in zip(eyes, widths, scores, strict=True):
        column = int(score[n, row].argmax())
        x = (column + 0.5 + _between(score[n, row], column) - score.shape[2] / 2) / _FINE
        place = eye.middle + torch.tensor([x, y]) @ eye.axes
        found.append(torch.tensor([*place.tolist(), _RADII[n] * widest]))
        looks.append(x * width / widest)
    return None if abs(looks[0] - looks[1]) > _LARGEST_SQUINT else torch.stack(found)


def _patch(image: Tensor, eye: Eye) -> tuple[Tensor, Tensor]:
    """-> brightness (h, w), and which of its pixels lie between the lids (h, w) bool."""
    size = torch.tensor([image.shape[-1], image.shape[-2]])
    several = max(1, math.ceil(float(eye.along.norm()) / _FINE))
    columns, rows = round(2 * _REACH_X * _FINE), round(2 * _REACH_Y * _FINE)
    y, x = torch.meshgrid(
        (torch.arange(rows * several) + 0.5) / (_FINE * several) - _REACH_Y,
        (torch.arange(columns * several) + 0.5) / (_FINE * several) - _REACH_X,
        indexing="ij",
    )
    places = torch.stack([x, y], dim=-1)
    grid = (eye.middle + places @ eye.axes) / size * 2 - 1
    seen = F.grid_sample(image[None].float().cpu(), grid[None], padding_mode="border", align_corners=False)
    bright = F.avg_pool2d(seen.mean(1, keepdim=True), several)[0, 0]
    places = places[several // 2 :: several, several // 2 :: several]
    above, below = (_edge(eye, edge, places[0, :, 0].contiguous()) for edge in (eye.upper, eye.lower))
    return bright, (places[..., 1] > above) & (places[..., 1] < below)


def _edge(eye: Eye, edge: Tensor, x: Tensor) -> Tensor:
    """y of the edge of a lid at the places x (w,) of the patch; outside of the corners 0."""
    knots = (edge - eye.middle) @ torch.linalg.inv(eye.axes)
    at, heights = knots[:, 0].contiguous().cummax(0).values, knots[:, 1]
    after = torch.searchsorted(at, x).clamp(1, len(at) - 1)
    share = ((x - at[after - 1]) / (at[after] - at[after - 1]).clamp_min(1e-6)).clamp(0, 1)
    inside = (x >= at[0]) & (x <= at[-1])
    return torch.lerp(heights[after - 1], heights[after], share) * inside


def _scores(bright: Tensor, open_: Tensor, wider: float) -> Tensor:
    """The patch -> (n, h, w) how much each of its pixels looks like the middle of an iris; -inf where it does not at
    all.  wider: how much wider the other eye is, at least 1
    """
    rows, columns = bright.shape
    radii = torch.tensor(_RADII) * wider * _FINE
    lit = bright[open_]
    if len(lit) < _FEWEST_PIXELS:
        return torch.full((len(radii), rows, columns), -torch.inf)
    low, high = lit.quantile(torch.tensor([0.05, 0.95])).tolist()
    reach = math.ceil(float(radii[-1]) * 1.6)
    y, x = torch.meshgrid(*(torch.arange(-reach, reach + 1.0),) * 2, indexing="ij")
    away, r = (x.square() + y.square()).sqrt()[None], radii[:, None, None]
    disc = (away < 0.92 * r).float()
    # beside the iris, not above and below it: there are lids and their shadow
    beside = (y.abs() <= 0.8 * x.abs() + 1)[None].float()
    bands = [beside * ((away >= a * r) & (away < b * r)) for a, b in ((0.72, 0.97), (1.03, 1.3), (1.05, 1.55))]
    inside, inner, outer, around = (_mean_over(bright, open_, kernel) for kernel in (disc, *bands))
    contrast, edge = around[0] - inside[0], outer[0] - inner[0]
    middle_y, middle_x = torch.arange(rows) + 0.5 - rows / 2, torch.arange(columns) + 0.5 - columns / 2
    between_lids = (middle_y[:, None] * open_).sum(0) / open_.sum(0).clamp_min(1)
    unusual = ((radii / _FINE / wider - _USUAL_RADIUS) / _RADIUS_SPREAD).square()[:, None, None]
    unusual = unusual + ((middle_y[:, None] - between_lids) / (_HEIGHT_SPREAD * _FINE)).square()
    score = edge + 0.5 * contrast - _USUAL * (high - low) * unusual
    allowed = (middle_x.abs() < _FURTHEST_X * _FINE) & (middle_y.abs() < _FURTHEST_Y * _FINE)[:, None]
    allowed = allowed & (inside[1] > _LEAST_VISIBLE) & (around[1] > 0.1) & (edge > 0)
    allowed = allowed & (contrast > max(_LEAST_CONTRAST, _LEAST_CLEAR * (high - low)))
    return score.masked_fill(~allowed, -torch.inf)


def _mean_over(bright: Tensor, open_: Tensor, kernels: Tensor) -> tuple[Tensor, Tensor]:
    """(n, h, w) twice: the mean brightness between the lids under kernels (n, k, k), and the share of each that lies
    there.
    """
    inside = open_[None, None].float()
    reach = kernels.shape[-1] // 2
    total = F.conv2d(inside * bright, kernels[:, None], padding=reach)[0]
    count = F.conv2d(inside, kernels[:, None], padding=reach)[0]
    return total / count.clamp_min(1), count / kernels.sum((1, 2))[:, None, None]


def _between(score: Tensor, best: int) -> float:
    """score (w,) -> by how much the top of a parabola through the best and its neighbours lies beside it."""
    if not 0 < best < len(score) - 1:
        return 0.0
    a, b, c = score[best - 1 : best + 2].tolist()
    bend = a - 2 * b + c
    return 0.5 * (a - c) / bend if math.isfinite(bend) and bend < 0 else 0.0


__all__ = ["Eye", "find_irises"]
