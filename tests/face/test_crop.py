"""The box around a face, and the square cut from it."""

import math

import cv2
import numpy as np
import pytest
import torch

from sadtalker_core.datatypes import Box, CropMode
from sadtalker_core.errors import FaceNotFound, OptionError
from sadtalker_core.face.crop import (
    check_render_size,
    crop_filtered,
    crop_square,
    even_box,
    face_box,
    image_to_square,
    render_side,
    square_box,
    square_to_image,
)
from sadtalker_core.opencv_resize import resize_bilinear
from tests.face.drawn_face import face_68

PAIRS = [(CropMode.CROP, CropMode.FULL), (CropMode.EXTENDED_CROP, CropMode.EXTENDED_FULL)]
CROPS = [CropMode.CROP, CropMode.EXTENDED_CROP, CropMode.FULL, CropMode.EXTENDED_FULL]


def inside(box: Box, width: int, height: int) -> bool:
    return box.x >= 0 and box.y >= 0 and box.right <= width and box.bottom <= height


@pytest.mark.parametrize("mode", CROPS)
def test_the_box_of_a_frontal_face_is_square_and_holds_all_its_points(mode):
    points = face_68(500, 450, 150)
    box = face_box(points, (1000, 1000), mode)
    assert abs(box.width - box.height) <= 1
    assert (points > torch.tensor([box.x, box.y])).all() and (points < torch.tensor([box.right, box.bottom])).all()


def test_the_extended_box_is_a_tenth_larger_on_every_side():
    points = face_68(500, 500, 160)
    plain, wide = (face_box(points, (1000, 1000), mode) for mode in (CropMode.CROP, CropMode.EXTENDED_CROP))
    for grown in (plain.x - wide.x, plain.y - wide.y, wide.right - plain.right, wide.bottom - plain.bottom):
        assert grown == pytest.approx(0.1 * plain.width, abs=2)


@pytest.mark.parametrize("plain, full", PAIRS)
def test_full_modes_drive_the_same_box_as_crop_modes(plain, full):
    points = face_68(300, 300, 100, 12)
    assert face_box(points, (600, 600), plain) == face_box(points, (600, 600), full)


def test_the_resize_mode_takes_the_whole_image_whatever_the_points():
    assert face_box(torch.zeros(68, 2), (640, 480), CropMode.RESIZE) == Box(0, 0, 640, 480)


def test_a_tall_image_keeps_the_chin():
    # the original clamped the lower edge to the WIDTH of the image: 446 x 1427 lost everything below row 446
    points = face_68(223, 700, 120)
    box = face_box(points, (446, 1427), CropMode.CROP)
    assert box.bottom > 700 + 120 * 0.8 and abs(box.width - box.height) <= 1


def test_a_wide_image_is_not_left_at_the_bottom():
    box = face_box(face_68(800, 330, 100), (1600, 400), CropMode.CROP)
    assert box.bottom == 400


@pytest.mark.parametrize("mode", CROPS)
@pytest.mark.parametrize("x, y", [(0, 0), (0, 240), (640, 240), (320, 0), (320, 480), (639, 479)])
def test_a_face_on_the_edge_gives_a_box_inside_the_image(mode, x, y):
    box = face_box(face_68(x, y, 90), (640, 480), mode)
    assert inside(box, 640, 480) and box.width > 50 and box.height > 50


@pytest.mark.parametrize("mode", CROPS)
def test_random_faces_in_random_images_never_leave_the_image(mode, generator):
    for _ in range(200):
        width, height = torch.randint(64, 3000, (2,), generator=generator).tolist()
        where = torch.rand(4, generator=generator)
        points = face_68(where[0] * width, where[1] * height, 8 + where[2] * 400, float(where[3]) * 360)
        box = face_box(points, (width, height), mode)
        assert inside(box, width, height)


@pytest.mark.parametrize("roll", [0, 45, 90, 135, 180, 270])
def test_a_turned_face_gets_a_box_around_its_middle(roll):
    box = face_box(face_68(500, 500, 120, roll), (1000, 1000), CropMode.CROP)
    assert math.hypot(box.x + box.width / 2 - 500, box.y + box.height / 2 - 500) < 40 and box.width > 250


def test_faces_of_2048_pixels_and_more_get_their_box_in_pixels_of_the_image():
    # the original computed the box in an image shrunk by a whole factor and cut the full one with it
    small, large = face_68(500, 500, 150), face_68(500, 500, 150) * 8
    box = face_box(small, (1000, 1000), CropMode.CROP)
    for got, expected in zip(face_box(large, (8000, 8000), CropMode.CROP), box, strict=True):
        assert abs(got - 8 * expected) <= 8


@pytest.mark.parametrize("mode", CROPS)
def test_crop_scale_grows_the_box_around_its_middle(mode):
    points = face_68(500, 500, 100)
    plain, grown = face_box(points, (1000, 1000), mode), face_box(points, (1000, 1000), mode, crop_scale=1.5)
    assert grown.width == pytest.approx(1.5 * plain.width, abs=1.5)
    assert grown.x + grown.width / 2 == pytest.approx(plain.x + plain.width / 2, abs=1)
    assert grown.y + grown.height / 2 == pytest.approx(plain.y + plain.height / 2, abs=1)


def test_the_offset_is_in_parts_of_the_box():
    points = face_68(500, 500, 100)
    plain, moved = (face_box(points, (1000, 1000), CropMode.CROP, offset=o) for o in ((0, 0), (0.25, -0.5)))
    assert moved.x - plain.x == pytest.approx(0.25 * plain.width, abs=1)
    assert moved.y - plain.y == pytest.approx(-0.5 * plain.height, abs=1)
    assert moved.width == pytest.approx(plain.width, abs=1)


def test_an_adjusted_box_is_still_cut_off_where_the_image_ends():
    box = face_box(face_68(300, 300, 100), (600, 600), CropMode.CROP, crop_scale=3, offset=(0.4, 0.4))
    assert inside(box, 600, 600)


@pytest.mark.parametrize("scale, offset", [(0, (0, 0)), (-1, (0, 0)), (math.nan, (0, 0)), (1, (math.inf, 0))])
def test_an_adjustment_that_means_nothing_is_refused(scale, offset):
    with pytest.raises(OptionError):
        face_box(face_68(300, 300, 100), (600, 600), CropMode.CROP, crop_scale=scale, offset=offset)


@pytest.mark.parametrize(
    "points",
    [
        face_68(3000, 300, 100),
        torch.zeros(68, 2),
        torch.full((68, 2), math.nan),
        torch.full((68, 2), -1.0),
        torch.zeros(5, 2),
    ],
)
def test_points_that_make_no_face_in_the_image_are_refused(points):
    with pytest.raises(FaceNotFound):
        face_box(points, (600, 600), CropMode.CROP)


def test_points_go_to_the_square_and_back(generator):
    box = Box(37, 11, 301, 155)
    points = torch.rand(68, 3, generator=generator) * 400
    back = square_to_image(image_to_square(points, box, 256), box, 256)
    torch.testing.assert_close(back, points, atol=1e-3, rtol=0)


def test_the_corners_of_the_box_are_the_corners_of_the_square():
    box = Box(10, 20, 100, 50)
    corners = torch.tensor([(10.0, 20.0), (110.0, 70.0)])
    assert image_to_square(corners, box, 256).tolist() == [[0.0, 0.0], [256.0, 256.0]]


def test_a_point_stays_on_its_pixel_when_the_square_is_cut():
    image = torch.zeros(300, 400, 3)
    image[140:150, 200:210] = 1
    box = Box(100, 60, 256, 200)
    square = crop_square(image, box, 256)
    rows, columns = square[0].nonzero(as_tuple=True)
    middle = image_to_square(torch.tensor([[205.0, 145.0]]), box, 256)[0]
    assert columns.double().mean() + 0.5 == pytest.approx(float(middle[0]), abs=0.3)
    assert rows.double().mean() + 0.5 == pytest.approx(float(middle[1]), abs=0.7)


@pytest.mark.parametrize("wh_and_size", [(265, 265, 256), (265, 265, 512), (91, 37, 256), (1024, 512, 256), (8, 9, 64)])
def test_resizing_is_that_of_opencv_to_the_bit(wh_and_size):
    width, height, size = wh_and_size
    image = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ours = (resize_bilinear(torch.from_numpy(image).permute(2, 0, 1) / 255, size) * 255).round().byte()
    theirs = cv2.resize(image, (size, size))
    assert (ours.permute(1, 2, 0).numpy() == theirs).all()


def test_a_square_has_256_levels():
    square = crop_square(torch.rand(300, 300, 3), Box(0, 0, 300, 300), 256)
    assert torch.equal(square, (square * 255).round() / 255)


def test_a_huge_face_is_averaged_down_before_single_pixels_are_taken():
    checkerboard = (torch.arange(2048)[:, None] + torch.arange(2048)) % 2
    square = crop_square(checkerboard.float()[..., None].expand(-1, -1, 3), Box(0, 0, 2048, 2048), 64)
    assert (square - 0.5).abs().max() < 0.01


def test_a_huge_face_stays_where_it_is_when_it_is_averaged_down():
    image = torch.zeros(2100, 2100, 3)
    image[700:1000, 1400:1800] = 1
    square = crop_square(image, Box(0, 0, 2100, 2100), 210)
    rows, columns = (square[0] > 0.5).nonzero(as_tuple=True)
    assert (rows.min(), rows.max() + 1) == (70, 100) and (columns.min(), columns.max() + 1) == (140, 180)


@pytest.mark.parametrize("mode", CROPS)
@pytest.mark.parametrize("x, y", [(60, 240), (580, 240), (320, 70), (320, 400), (60, 70), (-10, 240), (320, 490)])
def test_a_square_box_stays_square_at_the_edge_and_keeps_the_visible_face(mode, x, y):
    points = face_68(x, y, 90)
    box = square_box(points, (640, 480), mode)
    assert box.width == box.height and inside(box, 640, 480)
    seen = points[((points >= 0) & (points <= torch.tensor([640.0, 480.0]))).all(dim=1)]
    assert (seen >= torch.tensor([box.x, box.y])).all() and (seen <= torch.tensor([box.right, box.bottom])).all()


@pytest.mark.parametrize("mode", list(CropMode))
def test_away_from_the_edge_the_unsqueezed_box_is_the_box(mode):
    points = face_68(500, 500, 100, 8)
    assert square_box(points, (1000, 1000), mode) == face_box(points, (1000, 1000), mode)


def test_a_face_that_fills_a_tall_image_is_squeezed_rather_than_cut():
    points = face_68(50, 150, 95)
    assert square_box(points, (100, 400), CropMode.CROP) == face_box(points, (100, 400), CropMode.CROP)


# ------------------------------------------------------------------------------------------------- the size of a head


@pytest.mark.parametrize(("wh", "asked", "side"), [
    ((438, 438), 0, 438), ((300, 410), 0, 410), ((90, 90), 0, 256), ((1500, 1500), 0, 1024), ((313, 313), 0, 312),
    ((438, 438), 512, 512), ((438, 438), 301, 300), ((2000, 2000), 1024, 1024),
])  # fmt: skip
def test_a_head_is_rendered_as_large_as_it_is_or_as_is_asked_for(wh, asked, side):
    assert render_side(Box(0, 0, *wh), asked) == side


@pytest.mark.parametrize("size", [-1, 1, 255, 1025, 4096])
def test_a_size_that_no_head_may_have_is_refused_with_what_is_possible(size):
    with pytest.raises(OptionError, match=rf"render_size: expected 0 .* or 256 to 1024 pixels, got {size}"):
        check_render_size(size)


def test_a_box_that_is_nearly_square_becomes_even_and_others_stay():
    assert even_box(Box(3, 4, 313, 312)) == Box(3, 4, 312, 312) == even_box(Box(3, 4, 313, 313))
    assert even_box(Box(3, 4, 313, 300)) == Box(3, 4, 313, 300)


def test_a_square_of_its_own_size_is_the_image_to_the_bit():
    image, box = torch.rand(90, 100, 3), Box(20, 10, 70, 70)
    assert torch.equal(crop_filtered(image, box, 70), image[10:80, 20:90].permute(2, 0, 1))


@pytest.mark.parametrize("side", [400, 700, 1500])
def test_what_is_finer_than_the_square_turns_grey_and_not_into_a_pattern(side):
    board = ((torch.arange(side)[:, None] + torch.arange(side)) % 2).float()[..., None].expand(-1, -1, 3)
    square = crop_filtered(board, Box(0, 0, side, side), 256)[:, 8:-8, 8:-8]
    assert (square - 0.5).abs().max() < 0.02
    if side == 400:
        assert (crop_square(board, Box(0, 0, side, side), 256) - 0.5).abs().max() > 0.4  # what stored workflows have


def test_a_cut_out_that_is_enlarged_rings_no_further_than_its_alpha():
    place = torch.arange(64) + 0.5
    alpha = (20.3 - (place[:, None] - 32).hypot(place - 32)).clamp(0, 1)[..., None]
    image = torch.lerp(torch.tensor([0.2, 0.5, 0.8]), torch.tensor([0.9, 0.1, 0.3]), alpha)
    box = Box(0, 0, 64, 64)
    larger, outside = crop_filtered(image, box, 180), crop_filtered(alpha, box, 180) == 0
    assert 0.3 < outside.float().mean() < 0.7
    assert (larger - torch.tensor([0.2, 0.5, 0.8])[:, None, None]).abs().mul(outside).max() < 1 / 255
