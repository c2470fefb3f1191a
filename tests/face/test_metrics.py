from __future__ import annotations

import pytest
import torch

from sadtalker_core.canonical_face import HEAD_TO_IMAGE, load_canonical_face, rotation_of_angles
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.face.detector import detect_faces
from sadtalker_core.face.mesh import face_mesh
from sadtalker_core.face.metrics import eye_aspect_ratio, head_angles, inner_lip_gap, mouth_width
from tests.face.images import astronaut


def head(angles=(0.0, 0.0, 0.0), **units) -> torch.Tensor:
    """The mean head, moved and turned, in the axes of images."""
    canonical = load_canonical_face()
    weights = torch.zeros(52)
    for name, amount in units.items():
        weights[BLENDSHAPE_INDEX[name]] = amount
    points = (canonical.mean + canonical.displacements(weights) - canonical.pivot) * torch.tensor(HEAD_TO_IMAGE)
    return points @ rotation_of_angles(torch.tensor(angles)).T * 90 + torch.tensor([100.0, 200.0, 0.0])


def test_the_lip_gap_grows_with_the_jaw():
    gaps = torch.stack([inner_lip_gap(head(jawOpen=amount)) for amount in (0.0, 0.25, 0.5, 1.0)])
    assert (gaps[1:] > gaps[:-1] + 0.03).all() and gaps[0] < 0.08


def test_the_lip_gap_is_the_same_on_a_turned_head():
    straight, turned = inner_lip_gap(head(jawOpen=0.5)), inner_lip_gap(head((0.2, 0.5, 0.3), jawOpen=0.5))
    assert straight == pytest.approx(float(turned), abs=1e-4)


def test_a_blink_closes_the_eye_it_names():
    open_eyes, left_closed = eye_aspect_ratio(head()), eye_aspect_ratio(head(eyeBlinkLeft=1.0))
    assert left_closed[1] < 0.6 * open_eyes[1]  # the person's left eye is on the right of the image
    assert left_closed[0] == pytest.approx(float(open_eyes[0]), abs=0.02)


def test_a_smile_widens_the_mouth_and_a_pucker_narrows_it():
    rest = mouth_width(head())
    assert mouth_width(head(mouthSmileLeft=1.0, mouthSmileRight=1.0)) > 1.05 * rest
    assert mouth_width(head(mouthPucker=1.0)) < 0.95 * rest


def test_head_angles_are_found_again():
    angles = torch.tensor([[0.2, -0.4, 0.1], [-0.3, 0.5, -0.2]])
    found = head_angles(torch.stack([head(tuple(row.tolist())) for row in angles]))
    torch.testing.assert_close(found, angles, atol=1e-3, rtol=0)


def test_speaking_does_not_turn_the_measured_head():
    change = head_angles(torch.stack([head(), head(jawOpen=1.0, mouthSmileLeft=0.5, mouthSmileRight=0.5)]))
    assert torch.rad2deg(change[1] - change[0]).abs().max() < 2.5


def test_the_astronaut_measures_like_a_smiling_frontal_face(detector, mesh_net):
    points = face_mesh(mesh_net, astronaut(), detect_faces(detector, astronaut())[0]).points
    assert 0.03 < inner_lip_gap(points) < 0.2
    assert 0.65 < mouth_width(points) < 0.9
    assert eye_aspect_ratio(points).min() > 0.18
    assert torch.rad2deg(head_angles(points[None])).abs().max() < 8


def test_tracks_are_measured_at_once():
    track = torch.stack([head(), head(jawOpen=0.5)])
    assert inner_lip_gap(track).shape == (2,) and eye_aspect_ratio(track).shape == (2, 2)
