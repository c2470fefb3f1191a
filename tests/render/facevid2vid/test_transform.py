import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from sadtalker_core.datatypes import KeypointMotion
from sadtalker_core.render.facevid2vid.transform import TRAINING_PI, rotation_matrix, transform_keypoints
from tests.render import tiny


def at(yaw=0.0, pitch=0.0, roll=0.0):
    return rotation_matrix(*(torch.tensor([float(angle)]) for angle in (yaw, pitch, roll)))[0]


def still(n_frames):
    zeros = torch.zeros(n_frames)
    return KeypointMotion(zeros, zeros, zeros, torch.zeros(n_frames, 3), torch.zeros(n_frames, 9))


def test_the_released_weights_keep_their_own_pi():
    assert TRAINING_PI == 3.14
    assert at(yaw=180)[0, 0].item() == pytest.approx(math.cos(3.14), abs=1e-6)
    assert at(yaw=180)[0, 2].item() == pytest.approx(math.sin(3.14), abs=1e-6)


def test_rotation_is_about_x_of_about_y_of_about_z():
    angles = 40 * tiny.normal(3, 20).double()
    yaw, pitch, roll = angles
    turns = torch.stack([pitch, yaw, roll], dim=-1) / 180 * TRAINING_PI
    assert torch.allclose(
        rotation_matrix(yaw, pitch, roll), torch.from_numpy(Rotation.from_euler("XYZ", turns).as_matrix())
    )


def test_the_signs_are_those_the_viewer_sees():
    nose, brow = torch.tensor([0.0, 0.0, -1.0]), torch.tensor([0.0, -1.0, 0.0])
    assert (at(pitch=10) @ nose)[1] > 0, "pitch > 0: the nose moves down"
    assert (at(yaw=10) @ nose)[0] < 0, "yaw > 0: the nose moves to the left of the picture"
    assert (at(roll=10) @ brow)[0] > 0, "roll > 0: the top of the head tilts to the right, clockwise"


def test_a_motion_of_zeros_leaves_key_points_alone():
    points = tiny.normal(1, 3, 3)
    assert torch.equal(transform_keypoints(points, still(4)), points.expand(4, -1, -1))


def test_only_the_y_of_the_translation_counts():
    points, motion = tiny.normal(1, 3, 3), still(2)
    motion.translation.copy_(torch.tensor([[5.0, 0.25, 7.0], [0.0, -1.0, 0.0]]))
    moved = transform_keypoints(points, motion) - points
    assert torch.allclose(moved[0], torch.tensor([0.0, 0.25, 0.0]).expand(3, -1), atol=1e-6)
    assert torch.allclose(moved[1], torch.tensor([0.0, -1.0, 0.0]).expand(3, -1), atol=1e-6)


def test_key_points_are_turned_then_moved_then_bent():
    points, motion = tiny.normal(1, 3, 3), tiny.keypoint_motion(4)
    got = transform_keypoints(points, motion)
    for frame in range(4):
        turn = rotation_matrix(motion.yaw[frame], motion.pitch[frame], motion.roll[frame])
        for k in range(3):
            place = turn @ points[0, k] + motion.offsets[frame, 3 * k : 3 * k + 3]
            place[1] += motion.translation[frame, 1]
            assert torch.allclose(got[frame, k], place, atol=1e-6)


def test_the_motion_is_left_as_it_was():
    motion = tiny.keypoint_motion(4)
    before = motion.translation.clone()
    transform_keypoints(tiny.normal(1, 3, 3), motion)
    assert torch.equal(motion.translation, before)
