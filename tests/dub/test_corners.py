"""The corners of a mouth are where the dark line between closed lips leads, however high the mesh has them."""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.canonical_face import INNER_LIPS, OUTER_LIPS
from sadtalker_core.dub.corners import corners_below, with_corners
from tests.dub.test_lips import SIDE, face

LEFT, RIGHT = INNER_LIPS[0], INNER_LIPS[10]


def frames(points: torch.Tensor, left: float, right: float, contrast: float = 0.5) -> torch.Tensor:
    """(5, 3, S, S): a straight dark line, so many widths of the mouth below its corners, that ends beyond them; and a
    frame that shows none.
    """
    (x0, y0), (x1, y1) = points[LEFT, :2].tolist(), points[RIGHT, :2].tolist()
    width = x1 - x0
    centres = torch.arange(SIDE) + 0.5
    along = (centres - x0) / width
    height = y0 + left * width + along * (y1 - y0 + (right - left) * width)
    dark = torch.exp(-(((centres[:, None] - height) / (0.02 * width)) ** 2)) * ((along > -0.06) & (along < 1.06))
    line = torch.tensor([0.7, 0.5, 0.4])[:, None, None] * (1 - contrast * dark)
    return torch.stack([line, line, line, line, torch.full_like(line, 0.5)])


@pytest.mark.parametrize(("left", "right"), [(0.0, 0.0), (0.1, 0.1), (0.04, 0.09), (-0.06, -0.06)])
def test_the_line_leads_to_the_corners(left, right):
    points = face()
    below = corners_below(frames(points, left, right), points.expand(5, -1, -1))
    assert below.tolist() == pytest.approx([left, right], abs=0.02)


def test_where_no_line_is_seen_the_corners_stay():
    points = face()
    below = corners_below(frames(points, 0.1, 0.1, contrast=0.03), points.expand(5, -1, -1))
    assert below.tolist() == [0, 0]


def test_each_corner_is_moved_with_what_is_around_it():
    points = face()
    width = (points[RIGHT, :2] - points[LEFT, :2]).norm()
    moved = (with_corners(points, torch.tensor([0.1, 0.0])) - points)[:, :2] / width
    assert moved[LEFT].tolist() == pytest.approx([0, 0.1], abs=0.01)
    assert moved[OUTER_LIPS[0], 1] > 0.05, "the outer corner goes along"
    assert moved[[RIGHT, 13, 14, 1, 152]].abs().max() < 0.005, "the other one, the middle, nose and chin stay"
