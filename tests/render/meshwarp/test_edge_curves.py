"""Edges of lips and lids as curves, against numpy and by hand."""

import numpy as np
import torch

from sadtalker_core.render.meshwarp.edge_curves import below_edge, edge_curve, line_coordinates, pixels_around


def test_places_are_measured_along_and_below_the_line():
    edge = torch.tensor([[[10.0, 20.0], [15.0, 26.0], [30.0, 20.0]]])
    u, v = line_coordinates(torch.tensor([[[[20.0, 23.0], [10.0, 20.0]]]]), edge)
    assert torch.allclose(u, torch.tensor([[[0.5, 0.0]]]))
    assert torch.allclose(v, torch.tensor([[[3.0, 0.0]]]))


def test_turning_everything_changes_nothing():
    edge, places = torch.rand(1, 7, 2) * 20, torch.rand(1, 4, 5, 2) * 20
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    for one, other in zip(
        line_coordinates(places, edge), line_coordinates(places @ turn.T, edge @ turn.T), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-4)


def test_between_its_points_an_edge_is_straight():
    edge = torch.tensor([[[0.0, 0.0], [2.0, 3.0], [7.0, 4.0], [10.0, 0.0]]])
    u = torch.linspace(-0.1, 1.1, 30).view(1, 5, 6)
    expected = np.interp(u.numpy(), [0.0, 0.2, 0.7, 1.0], [0.0, 3.0, 4.0, 0.0])
    assert np.allclose(below_edge(edge_curve(edge), u), expected, atol=1e-5)


def test_an_edge_that_turns_back_is_followed_forwards():
    edge = torch.tensor([[[0.0, 0.0], [6.0, 2.0], [5.0, 3.0], [10.0, 0.0]]])
    curve = edge_curve(edge)
    assert (curve[0, :, 0].diff() >= 0).all()


def test_one_curve_serves_all_frames():
    edge = torch.tensor([[[0.0, 0.0], [5.0, 4.0], [10.0, 0.0]]])
    below = below_edge(edge_curve(edge), torch.full((3, 2, 2), 0.25))
    assert torch.allclose(below, torch.full((3, 2, 2), 2.0))


def test_pixels_around_stay_inside_the_image():
    rows, columns, places = pixels_around(torch.tensor([[[-5.0, 3.2], [4.4, 6.8]]]), 1.0, 64)
    assert (rows, columns) == (slice(2, 8), slice(0, 6))
    assert places.shape == (6, 6, 2)
    assert places[0, 0].tolist() == [0.5, 2.5]


def test_a_mouth_outside_the_image_has_no_pixels():
    rows, columns, places = pixels_around(torch.tensor([[[80.0, 90.0], [85.0, 95.0]]]), 1.0, 64)
    assert places.numel() == 0
    assert torch.zeros(1, 3, 64, 64)[:, :, rows, columns].numel() == 0
