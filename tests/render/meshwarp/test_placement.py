"""Where a head is found, and what is known of its face."""

import pytest
import torch

from sadtalker_core.canonical_face import HEAD_TO_IMAGE, INNER_LIPS, load_canonical_face, rotation_of_angles
from sadtalker_core.render.meshwarp.placement import MARGIN, STAGE, WINDOW, fit_head, place_face
from tests.render.heads import stage_points, weights


@pytest.mark.parametrize("pitch, yaw, roll", [(0.0, 0.0, 0.0), (0.2, -0.3, 0.1), (-0.3, 0.5, -0.4)])
def test_fit_finds_the_turn_it_was_made_with(pitch, yaw, roll):
    canonical, flip = load_canonical_face(), torch.tensor(HEAD_TO_IMAGE)
    rotation = flip[:, None] * rotation_of_angles(torch.tensor([pitch, yaw, roll])) * flip
    points = ((canonical.mean - canonical.pivot) @ rotation.T * 41.0 + torch.tensor([3.0, -100.0, 7.0])) * flip
    fit = fit_head(points)
    assert torch.allclose(fit.rotation, rotation, atol=1e-4)
    assert float(fit.scale) == pytest.approx(41.0, rel=1e-4)
    assert torch.allclose(fit.origin, torch.tensor([3.0, -100.0, 7.0]), atol=1e-2)


def test_the_mesh_of_the_basis_is_whole_and_symmetric():
    canonical = load_canonical_face()
    assert canonical.mean[:, 0].sum().abs() < 1e-2
    assert len(canonical.triangles) == 898
    used = torch.unique(canonical.triangles)
    assert len(used) == 468
    jaw = canonical.displacements(weights(jawOpen=1))[0]
    assert jaw[14, 1] < -0.15 and jaw[13, 1].abs() < 0.1
    lips = canonical.mean[list(INNER_LIPS)]
    assert lips[:, 1].amax() - lips[:, 1].amin() < 0.1


def test_the_window_is_the_middle_of_the_stage():
    assert 2 * MARGIN + WINDOW == STAGE


def test_camera_coordinates_and_the_stage_are_there_and_back():
    face = place_face(stage_points(), torch.zeros(64))
    assert torch.allclose(face.to_stage(face.camera_points), face.points, atol=1e-4)


def test_down_is_down():
    face = place_face(stage_points(), torch.zeros(64))
    assert torch.allclose(face.down, torch.tensor([0.0, -1.0, 0.0]), atol=1e-3)
    assert torch.allclose(face.down_on_stage, torch.tensor([0.0, 1.0]) * face.fit.scale, atol=0.1)
