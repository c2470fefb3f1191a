"""The check of the boxes knows each kind of face on which the original is wrong, from the points and the size alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.parity.stages.croper import WRONG_CORNERS, check_boxes, look_at, slow_square, upright_bounds

SIZE_WH = (1200, 1000)


def rolled_face(degrees: float) -> np.ndarray:
    """(68, 2) float32: eyes, mouth and the rest in the middle of the image, rolled clockwise."""
    upright = np.zeros((68, 2))
    upright[36:42], upright[42:48] = (-60, -50), (60, -50)
    upright[48], upright[54] = (-40, 80), (40, 80)
    turn = math.radians(degrees)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return (upright @ rotation.T + (600, 500)).astype(np.float32)


def stored_by_the_original(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(crop, quad) as the original makes them, for a face well inside its image."""
    crop = np.array(look_at(landmarks, SIZE_WH, 512).outer)
    corners, _ = slow_square([(float(x), float(y)) for x, y in landmarks])
    return crop, np.array(upright_bounds(corners)) + 0.5 - np.tile(crop[:2], 2)


@pytest.mark.parametrize(("degrees", "n_fixed"), [(0, 0), (30, 0), (-80, 0), (95, 4), (120, 4), (140, 4), (180, 4)])
def test_a_face_rolled_by_more_than_a_quarter_is_ours_to_fix(degrees, n_fixed):
    landmarks = rolled_face(degrees)
    rows = list(
        check_boxes(
            ("croper", "rolled"),
            landmarks,
            SIZE_WH,
            look_at(landmarks, SIZE_WH, 512),
            *stored_by_the_original(landmarks),
        )
    )
    assert all(row.ok for row in rows), rows
    assert [row.note for row in rows if row.note] == n_fixed * [f"fixed: {WRONG_CORNERS}"]


def test_the_original_cuts_less_the_more_the_face_is_rolled_and_nothing_in_the_end():
    widths = []
    for degrees in (0, 95, 120, 140):
        corners, side = slow_square([(float(x), float(y)) for x, y in rolled_face(degrees)])
        left, _, right, _ = upright_bounds(corners)
        widths.append((right - left) / side)
    assert widths[0] == pytest.approx(1) and 0.9 < widths[1] < 1 and 0 < widths[2] < 0.6 and widths[3] < 0
