"""Points drawn on an image."""

import pytest
import torch

from sadtalker_core.datatypes import Box
from sadtalker_core.face.draw import BOX_COLOUR, POINT_COLOUR, draw_landmarks
from tests.face.drawn_face import face_68


def is_colour(image, colour):
    return (image * 255).round().eq(torch.tensor(colour)).all(dim=-1)


@pytest.mark.parametrize("points", [face_68(100, 100, 90), torch.rand(468, 3) * 150 + 20])
def test_every_point_is_drawn_at_its_place_and_the_image_stays_clean(points):
    image = torch.zeros(200, 220, 3)
    drawn = draw_landmarks(image, points)
    assert drawn.shape == image.shape and image.abs().max() == 0
    for x, y in points[:, :2].tolist():
        assert is_colour(drawn[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2], POINT_COLOUR).any()


def test_the_box_is_framed_inside_its_own_pixels():
    drawn = draw_landmarks(torch.zeros(200, 200, 3), face_68(100, 100, 60), Box(40, 50, 120, 100))
    rows, columns = is_colour(drawn, BOX_COLOUR).nonzero(as_tuple=True)
    assert (columns.min(), columns.max() + 1) == (40, 160) and (rows.min(), rows.max() + 1) == (50, 150)


def test_points_off_the_image_do_no_harm():
    image = torch.rand(64, 64, 3)
    drawn = draw_landmarks(image, face_68(5000, -5000, 60))
    assert torch.equal(drawn, (image * 255).round() / 255)
