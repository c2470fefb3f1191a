from __future__ import annotations

import math

import torch

from sadtalker_core.face.sampling import Square, sample_squares, shrink


def test_to_image_and_from_image_are_inverse(generator):
    points = torch.rand(20, 3, generator=generator) * 192
    square = Square(100.0, 50.0, 333.0, 0.4)
    there_and_back = square.from_image(square.to_image(points, 192), 192)
    torch.testing.assert_close(there_and_back, points, atol=1e-3, rtol=0)


def test_a_square_on_the_pixel_grid_copies_pixels(generator):
    image = torch.rand(40, 50, 3, generator=generator)
    square = sample_squares(image, [Square(20.0, 18.0, 16.0)], 16)[0].permute(1, 2, 0)
    torch.testing.assert_close(square, image[10:26, 12:28], atol=1e-5, rtol=0)


def test_a_quarter_turn_puts_the_right_of_the_image_at_the_top(generator):
    image = torch.rand(16, 16, 3, generator=generator)
    square = sample_squares(image, [Square(8.0, 8.0, 16.0, math.pi / 2)], 16)[0].permute(1, 2, 0)
    torch.testing.assert_close(square[0], image[:, 15], atol=1e-5, rtol=0)


def test_a_point_of_the_square_shows_the_colour_at_its_place_in_the_image():
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
    image = torch.stack([x / 80, y / 60, torch.zeros_like(x)], dim=-1)  # a colour tells where it was
    square = Square(41.0, 29.0, 30.0, 0.5)
    cut = sample_squares(image, [square], 24)[0]
    place = square.to_image(torch.tensor([[7.5, 3.5]]), 24)[0]
    expected = torch.tensor([(place[0] - 0.5) / 80, (place[1] - 0.5) / 60])
    torch.testing.assert_close(cut[:2, 3, 7], expected, atol=1e-4, rtol=0)


def test_shrinking_fine_stripes_gives_grey_not_patterns():
    stripes = torch.zeros(960, 960, 3)
    stripes[:, ::2] = 1
    cut = sample_squares(stripes, [Square(480.0, 480.0, 800.0, 0.1)], 96)
    assert (cut - 0.5).abs().max() < 0.1


def test_shrink_means_blocks_and_repeats_the_border():
    image = torch.arange(7.0)[:, None, None].expand(7, 5, 3)
    small = shrink(image, 2)
    assert small.shape == (4, 3, 3)
    assert small[:, 0, 0].tolist() == [0.5, 2.5, 4.5, 6.0]


def test_outside_the_image_is_black():
    assert sample_squares(torch.ones(10, 10, 3), [Square(100.0, 100.0, 20.0)], 8).abs().max() == 0
