"""The face as the 3-D face network sees it."""

import numpy as np
import pytest
import torch

from sadtalker_core.errors import FaceNotFound
from sadtalker_core.face.align import (
    ALIGNED_SCALE,
    TEMPLATE,
    AlignedFace,
    align_face,
    fit_template,
    five_points,
    flip_points,
)
from tests.face.drawn_face import face_68

SQUARE = torch.rand(3, 256, 256, generator=torch.Generator().manual_seed(1))


def test_the_aligned_face_is_224_and_reports_scale_and_place():
    face = align_face(SQUARE, face_68(128, 128, 80))
    assert isinstance(face, AlignedFace)
    assert face.image.shape == (3, 224, 224) and face.crop.shape == (3,)
    assert face.image.min() >= 0 and face.image.max() <= 1


def test_a_template_drawn_flat_is_fitted_where_it_was_drawn():
    points = TEMPLATE[:, :2] * 77.0 + (120.0, 90.0)
    origin, scale = fit_template(points)
    assert origin == pytest.approx((120, 90), abs=1e-4) and scale == pytest.approx(77, abs=1e-4)


def test_a_face_twice_as_large_is_scaled_half_as_much():
    small, large = (align_face(SQUARE, face_68(128, 128, size)).crop for size in (50, 100))
    assert small[0] == pytest.approx(2 * float(large[0]), rel=1e-5)


def test_tilting_the_head_hardly_changes_the_scale():
    straight, tilted = (align_face(SQUARE, face_68(128, 128, 80, roll)).crop[0] for roll in (0, 30))
    assert straight == pytest.approx(float(tilted), rel=0.02)


def test_moving_the_points_down_moves_the_place_down_in_an_axis_that_counts_up():
    high, low = (align_face(SQUARE, face_68(128, y, 80)).crop for y in (110, 140))
    assert high[2] - low[2] == pytest.approx(30, abs=1e-3)


def test_the_nose_lands_at_the_same_pixel_wherever_the_face_was():
    def marked(x, y, size):
        points = face_68(x, y, size)
        column, row = (int(v) for v in points[30])
        square = torch.zeros(3, 256, 256)
        square[:, row - 3 : row + 4, column - 3 : column + 4] = 1
        rows, columns = (align_face(square, points).image[0] > 0.4).nonzero(as_tuple=True)
        return rows.double().mean(), columns.double().mean()

    here, there = marked(110, 120, 70), marked(150, 140, 90)
    assert here[0] == pytest.approx(float(there[0]), abs=2) and here[1] == pytest.approx(float(there[1]), abs=2)


def test_outside_the_square_there_is_black():
    face = align_face(torch.ones(3, 256, 256), face_68(10, 128, 80))
    assert face.image[:, 112, 0].max() == 0 and face.image[:, 112, 200].min() == 1


def test_eyes_are_the_middle_of_their_corners_alone():
    points = np.arange(136, dtype=float).reshape(68, 2)
    points[37] += 1000
    assert (five_points(points)[0] == (points[36] + points[39]) / 2).all()


def test_y_counts_up_from_the_last_row():
    points = face_68(100, 100, 50)
    assert flip_points(points, 256)[8, 1] == pytest.approx(255 - float(points[8, 1]))


def test_points_that_came_in_are_not_written_on():
    points = face_68(128, 128, 80)
    before = points.clone()
    align_face(SQUARE, points)
    assert torch.equal(points, before)


def test_without_points_a_face_of_the_templates_size_is_assumed_in_the_middle():
    face = align_face(SQUARE, None)
    assert face.crop.tolist() == pytest.approx([ALIGNED_SCALE / 128, 128, 128], abs=1e-4)


@pytest.mark.parametrize(
    "points",
    [torch.zeros(68, 2), torch.full((68, 2), 7.0), torch.full((68, 2), float("nan")), torch.zeros(5, 2),
     face_68(128, 128, 2), face_68(0, 0, 60_000)],
)  # fmt: skip
def test_points_that_make_no_readable_face_get_a_sentence(points):
    with pytest.raises(FaceNotFound):
        align_face(SQUARE, points)
