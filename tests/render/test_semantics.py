import pytest
import torch

from sadtalker_core.coefficients import CROP_ROW, EXPRESSION, MOTION_ROW
from sadtalker_core.datatypes import CropMode, PoseAngles
from sadtalker_core.render.semantics import driving_rows, semantic_windows, source_row
from tests.render import tiny


@pytest.mark.parametrize("n_frames", [1, 2, 3, 40])
def test_a_window_is_the_13_frames_on_each_side_with_the_ends_repeated(n_frames):
    rows = tiny.normal(n_frames, 5)
    windows = semantic_windows(rows)
    assert windows.shape == (n_frames, 5, 27)
    for frame in range(n_frames):
        for place in range(27):
            seen = min(max(frame + place - 13, 0), n_frames - 1)
            assert torch.equal(windows[frame, :, place], rows[seen])


def test_windows_of_a_part_are_a_part_of_the_windows():
    rows = tiny.normal(40, 5)
    assert torch.equal(semantic_windows(rows, 7, 19), semantic_windows(rows)[7:19])


def test_only_the_driving_expression_is_scaled():
    source, expression, pose = tiny.coefficients(), tiny.expression(4), tiny.pose(4)
    rows = driving_rows(source, expression, pose, MOTION_ROW, expression_scale=1.3)
    assert torch.equal(rows[:, :EXPRESSION], expression.coefficients * 1.3)
    assert torch.equal(rows[:, EXPRESSION:], pose.coefficients)
    assert torch.equal(source_row(source, MOTION_ROW), source.motion_rows())


def test_still_takes_the_head_of_the_portrait_and_leaves_the_mouth():
    source, expression = tiny.coefficients(), tiny.expression(4)
    rows = driving_rows(source, expression, tiny.pose(4), MOTION_ROW, still=True)
    assert torch.equal(rows[:, :EXPRESSION], expression.coefficients)
    assert torch.equal(rows[:, EXPRESSION:], source.pose.expand(4, -1))


@pytest.mark.parametrize("still", [False, True])
def test_wide_rows_carry_the_crop_parameters_of_the_portrait(still):
    source = tiny.coefficients(CropMode.FULL)
    rows = driving_rows(source, tiny.expression(4), tiny.pose(4), CROP_ROW, still=still)
    assert rows.shape == (4, 73)
    assert torch.equal(rows[:, MOTION_ROW:], source.crop.expand(4, -1))
    assert torch.equal(source_row(source, CROP_ROW), source.crop_rows())


def test_pose_scale_is_the_way_from_where_the_portrait_holds_its_head():
    source, pose = tiny.coefficients(), tiny.pose(4)
    rows = driving_rows(
        source, tiny.expression(4), pose, MOTION_ROW, pose_scale=PoseAngles(yaw=0.0, pitch=2.0, roll=1.0)
    )
    pitch, yaw, roll = rows[:, EXPRESSION : EXPRESSION + 3].T
    own_pitch, own_yaw, _ = source.rotation[0]
    assert torch.equal(yaw, own_yaw.expand(4))
    assert torch.allclose(pitch, own_pitch + 2 * (pose.rotation[:, 0] - own_pitch), atol=1e-6)
    assert torch.equal(roll, pose.rotation[:, 2])
    assert torch.equal(rows[:, EXPRESSION + 3 :], pose.translation)
