from __future__ import annotations

import math

import torch

from sadtalker_core.canonical_face import HEAD_TO_IMAGE, angles_of_rotation, load_canonical_face, rotation_of_angles


def test_angles_and_rotations_are_inverse(generator):
    angles = (torch.rand(50, 3, generator=generator) - 0.5) * math.pi * 0.9
    torch.testing.assert_close(angles_of_rotation(rotation_of_angles(angles)), angles, atol=1e-4, rtol=0)


def test_the_rotation_is_pitch_times_yaw_times_roll():
    p, y, r = 0.3, -0.5, 0.2
    pitch = torch.tensor([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    yaw = torch.tensor([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    roll = torch.tensor([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    torch.testing.assert_close(rotation_of_angles(torch.tensor([p, y, r])), pitch @ yaw @ roll)


def test_signs_match_the_docstring():
    canonical = load_canonical_face()
    head = (canonical.mean - canonical.pivot) * torch.tensor(HEAD_TO_IMAGE)

    def moved(*angles):
        return (head @ rotation_of_angles(torch.tensor(angles)).T - head)[:, :2]

    nose, left_eye, right_eye = 4, 33, 263
    assert moved(0.2, 0, 0)[nose, 1] > 0.1  # down
    assert moved(0, 0.2, 0)[nose, 0] < -0.1  # to the left of the image
    tilt = moved(0, 0, 0.2)
    assert tilt[left_eye, 1] < tilt[right_eye, 1]  # clockwise: the left eye rises against the right
    assert tilt[nose, 0] > 0  # above the neck everything goes to the right
