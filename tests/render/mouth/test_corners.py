"""The corners of an open mouth: where the dark in the portrait ends, not where the mesh has them."""

import torch

from sadtalker_core.canonical_face import INNER_LIPS
from sadtalker_core.render.mouth.corners import with_measured_corners
from tests.render.heads import DENSITY, SIDE, head_points, row

LEFT, RIGHT = INNER_LIPS[0], INNER_LIPS[10]
WIDE = row({"jawOpen": 0.8, "mouthLowerDown": 0.4})


def portrait(face, further=0.0):
    """A grey face whose mouth is dark up to `further` decimetres beyond the corners of its mesh."""
    points = head_points(face)
    lips = points[list(INNER_LIPS), :2]
    left, right = lips[:, 0].min() - further * DENSITY, lips[:, 0].max() + further * DENSITY
    top, bottom = points[13, 1], points[14, 1]
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    dark = (x > left) & (x < right) & (y > top) & (y < bottom)
    return points, torch.where(dark, 0.02, 0.5).expand(1, 3, -1, -1)


def test_corners_go_out_to_where_the_dark_ends():
    points, image = portrait(WIDE, further=0.05)
    out = (with_measured_corners(points, image) - points)[:, 0] / DENSITY
    assert -0.07 < out[LEFT] < -0.03 and 0.03 < out[RIGHT] < 0.07


def test_a_corner_lies_in_the_dark_and_not_in_a_lip_that_is_in_shade():
    points, image = portrait(WIDE, further=0.05)
    ends = with_measured_corners(points, image)[[LEFT, RIGHT], 1]
    y = (torch.arange(SIDE) + 0.5)[:, None].expand(SIDE, SIDE)
    shade = torch.where((image[0, 0] < 0.1) & (y < ends.mean()), 0.2, image[0, 0]).expand(1, 3, -1, -1)
    lower = with_measured_corners(points, shade)[[LEFT, RIGHT], 1]
    assert ((lower - ends) / DENSITY > 0.002).all()  # along a slanting line, over a pixel or two


def test_corners_that_are_right_stay():
    points, image = portrait(WIDE, further=-0.02)
    assert torch.equal(with_measured_corners(points, image), points)


def test_closed_lips_stay_whatever_is_dark_beside_them():
    points, image = portrait(None)
    assert torch.equal(with_measured_corners(points, image * 0.02), points)
