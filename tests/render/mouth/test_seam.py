"""Closed lips: the mesh meets where the portrait's own lips do, not where it was found."""

import pytest
import torch

from sadtalker_core.canonical_face import INNER_LIPS, LOWER_INNER_LIP, UPPER_INNER_LIP
from sadtalker_core.render.mouth.seam import with_measured_seam, without_specks
from tests.render.heads import DENSITY, SIDE, head_points, row

UPPER, LOWER = list(UPPER_INNER_LIP), list(LOWER_INNER_LIP[::-1])
SHADED, LIT = (0.45, 0.25, 0.22), (0.75, 0.45, 0.40)


def portrait(moved, weights, lower=LIT):
    """A mouth that meets `moved` decimetres below the seam of its mesh; above and below it the colours of its lips."""
    points = head_points(row(weights))
    seam = (points[UPPER, 1] + points[LOWER, 1]).mean() / 2 + moved * DENSITY
    y = torch.arange(SIDE) + 0.5
    rows = torch.where(y < seam, torch.tensor(SHADED)[:, None], torch.tensor(lower)[:, None])
    return points, rows[None, :, :, None].expand(1, 3, SIDE, SIDE).contiguous(), seam


@pytest.mark.parametrize("moved", [0.025, 0.04, -0.03])
def test_lips_go_to_where_they_meet(moved):
    points, image, seam = portrait(moved, {})
    found = with_measured_seam(points, image)
    middle = slice(3, 6)
    assert abs(found[LOWER, 1][middle].mean() - seam) < 0.006 * DENSITY
    assert (found[UPPER, 1] <= found[LOWER, 1]).all()  # nothing of the lower lip hangs on the upper one
    corner = INNER_LIPS[0]
    assert (found - points)[corner, 1] / DENSITY / moved > 0.3
    assert (found - points)[[33, 263, 10]].abs().amax() < 1e-2 * DENSITY


def test_a_mesh_that_is_about_right_stays():
    points, image, _ = portrait(0.0, {})
    assert torch.equal(with_measured_seam(points, image), points)


def test_a_seam_that_is_not_clearly_visible_stays():
    points, image, _ = portrait(0.03, {}, lower=(0.50, 0.28, 0.25))
    assert torch.equal(with_measured_seam(points, image), points)


def test_open_mouths_stay():
    points, image, _ = portrait(0.03, {"jawOpen": 0.4})
    assert torch.equal(with_measured_seam(points, image), points)


def test_a_tooth_that_shines_through_closed_lips_is_gone_and_the_lips_stay():
    points, image, seam = portrait(0.03, {})
    x, y = int(points[13, 0]), int(seam)
    image[..., y - 1, x - 3 : x + 3] = 0.9
    moved = with_measured_seam(points, image)
    dimmed = without_specks(image, moved)
    assert dimmed[..., y - 1, x - 3 : x + 3].amax() < LIT[0]
    far = round(0.08 * DENSITY)  # the seam of the mesh is a curve
    assert torch.equal(dimmed[..., : y - far, :], image[..., : y - far, :])
    assert torch.equal(dimmed[..., y + far :, :], image[..., y + far :, :])
