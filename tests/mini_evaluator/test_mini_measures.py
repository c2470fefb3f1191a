"""The measures of the trial on made-up inputs whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sadtalker_core.canonical_face import HEAD_TO_IMAGE, LEFT_EYE, RIGHT_EYE, load_canonical_face, rotation_of_angles
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.face.landmarks import mesh_to_68
from tests.tools.mini_evaluator import measures


def wave(n: int = 100) -> np.ndarray:
    return np.sin(np.arange(n) * 0.7) + 0.5 * np.sin(np.arange(n) * 0.31)


def test_a_track_agrees_with_itself_scaled_and_not_with_its_negative():
    assert measures.correlation(3 * wave() + 2, wave()) == pytest.approx(1)
    assert measures.correlation(-wave(), wave()) == pytest.approx(-1)


def test_a_track_that_does_not_move_agrees_with_nothing():
    assert measures.correlation(np.ones(50), wave(50)) == 0


@pytest.mark.parametrize("late", [-3, 0, 2])
def test_a_late_track_is_found_to_be_late_by_as_many_frames(late):
    line = wave(120)
    assert measures.best_lag(line[10 - late : 110 - late], line[10:110]) == late


def test_half_the_movement_is_half_the_spread():
    assert measures.spread_ratio(0.5 * wave(), wave()) == pytest.approx(0.5)


def test_closed_lips_are_counted_in_the_chosen_frames_alone():
    gap = np.array([0.0, 0.1, 0.0, 0.1, 0.0])
    assert measures.share_below(gap, np.array([0, 1, 3]), 0.05) == pytest.approx(1 / 3)


def face_68() -> torch.Tensor:
    """(1, 68, 2): eyes 30 wide, 90 between their outer corners, 9 and 6 high; lips 4.5 apart."""
    points = torch.zeros(68, 2)
    for corner, x, high in ((36, 0.0, 9.0), (42, 60.0, 6.0)):
        points[corner], points[corner + 3] = torch.tensor([x, 0.0]), torch.tensor([x + 30, 0.0])
        for upper, lower, at in ((corner + 1, corner + 5, 10), (corner + 2, corner + 4, 20)):
            points[upper], points[lower] = torch.tensor([x + at, -high / 2]), torch.tensor([x + at, high / 2])
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        points[upper], points[lower] = torch.tensor([40.0, 50.0]), torch.tensor([40.0, 54.5])
    return points[None]


def test_eyes_and_lips_of_a_drawn_face_are_read_with_a_ruler():
    torch.testing.assert_close(measures.eye_aspect_ratio_68(face_68()), torch.tensor([[0.3, 0.2]]))
    torch.testing.assert_close(measures.inner_lip_gap_68(face_68()), torch.tensor([0.05]))


@pytest.mark.parametrize("degrees", [(0, 12, 0), (-12, 0, 0), (8, -10, 5)])
def test_the_turn_of_a_flat_projection_is_found_again(degrees):
    canonical = load_canonical_face()
    rotation = rotation_of_angles(torch.deg2rad(torch.tensor([degrees], dtype=torch.float32)))
    turned = ((canonical.mean - canonical.pivot) * torch.tensor(HEAD_TO_IMAGE)) @ rotation[0].T
    found = measures.head_angles_68(mesh_to_68(100 * turned)[None, :, :2]).rad2deg()
    torch.testing.assert_close(found, torch.tensor([degrees], dtype=torch.float32), atol=1.0, rtol=0)


def test_a_jaw_that_opens_asks_for_a_gap():
    weights = np.zeros((3, 52), np.float32)
    weights[:, BLENDSHAPE_INDEX["jawOpen"]] = (0, 0.3, 0.6)
    gap = measures.commanded_gap(weights)
    assert np.all(np.diff(gap) > 0.05)


def test_images_that_differ_by_one_everywhere_are_48_decibels_apart():
    grey = np.full((4, 5, 3), 100, np.uint8)
    assert measures.psnr(grey, grey + 1) == pytest.approx(20 * math.log10(255))
    assert measures.psnr(grey, grey) == 99


def test_only_the_masked_pixels_are_compared():
    one, other, where = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool)
    other[0, 0], where[1:] = 255, True
    assert measures.psnr(one, other, where) == 99
    assert math.isnan(measures.psnr(one, other, np.zeros((4, 4), bool)))


def test_flicker_is_the_worst_step_between_frames():
    frames = np.zeros((4, 2, 2, 3), np.uint8)
    frames[2] = 6
    assert measures.flicker(frames, np.ones((2, 2), bool)) == 6


def test_a_lid_over_the_iris_takes_the_contrast_out_of_the_eyes():
    points = np.zeros((468, 2))
    for edge, x in ((RIGHT_EYE, 30.0), (LEFT_EYE, 80.0)):
        turn = np.linspace(0, 2 * np.pi, len(edge), endpoint=False)
        points[list(edge)] = np.stack([x + 15 * np.cos(turn), 30 + 7 * np.sin(turn)], -1)
    y, x = np.mgrid[0:60, 0:110]
    shut = np.full((60, 110, 3), 170, np.uint8)
    eyes = shut.copy()
    eyes[np.hypot((x - 30) / 15, (y - 30) / 7) < 1] = eyes[np.hypot((x - 80) / 15, (y - 30) / 7) < 1] = 240
    eyes[(np.hypot(x - 30, y - 30) < 7) | (np.hypot(x - 80, y - 30) < 7)] = 20
    assert measures.eye_contrast(eyes, points) > 80
    assert measures.eye_contrast(shut, points) == 0
