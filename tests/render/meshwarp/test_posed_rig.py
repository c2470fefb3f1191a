"""How far a head turns that the border of the image cuts: its face is 90 pixels wide."""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.render.meshwarp.posed_rig import PosedRig
from tests.render.heads import SIDE, head_points, rows


def yaw_of(head: PosedRig, degrees: float) -> float:
    turn, _ = head.pose(rows(1, yaw=degrees))
    return float(turn[0, 0, 2].abs().asin().rad2deg())


def head_at(beyond: float) -> PosedRig:
    """beyond: the part of the face's width that the left border cuts off"""
    points = head_points()
    left, right = points[:, 0].min(), points[:, 0].max()
    points[:, 0] -= left + beyond * (right - left)
    return PosedRig(points, SIDE, rows())


def test_a_face_that_is_cut_hardly_turns_away_from_the_border():
    """An eye at the border would be drawn out as wide as the way that it goes."""
    whole = yaw_of(head_at(0.0), -12.0)
    assert whole == pytest.approx(12 * 1.15, abs=0.01)
    assert yaw_of(head_at(0.03), -12.0) == pytest.approx(whole / 2, abs=0.01)
    assert yaw_of(head_at(0.12), -12.0) == pytest.approx(whole / 5, abs=0.01)


def test_it_turns_over_the_border_as_ever():
    assert yaw_of(head_at(0.12), 12.0) == pytest.approx(yaw_of(head_at(0.0), 12.0), abs=0.01)


def test_a_face_that_is_cut_stays_beside_the_border():
    driving = rows(2)
    driving.translation[:, 0] = torch.tensor([0.1, -0.1])
    _, shift = head_at(0.12).pose(driving)
    _, free = head_at(0.0).pose(driving)
    assert shift[0, 0] == pytest.approx(float(free[0, 0]) / 5, abs=1e-4)
    assert shift[1, 0] == pytest.approx(float(free[1, 0]), abs=1e-4)
