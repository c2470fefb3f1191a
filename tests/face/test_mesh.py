from __future__ import annotations

import math

import pytest
import torch

from sadtalker_core.datatypes import Box
from sadtalker_core.errors import FaceNotFound
from sadtalker_core.face.detector import DetectedFace, detect_faces
from sadtalker_core.face.mesh import FaceMesh, face_mesh, mesh_square, track_meshes
from tests.face.images import astronaut, photograph, turned

LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS = [33, 133], [362, 263]


@pytest.fixture(scope="module")
def mesh(detector, mesh_net):
    return face_mesh(mesh_net, astronaut(), detect_faces(detector, astronaut())[0])


def test_the_mesh_lies_on_the_astronaut(mesh):
    assert mesh.points.shape == (468, 3) and mesh.score > 0.99
    eyes = [mesh.points[pair, :2].mean(0) for pair in (LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS)]
    assert torch.dist(eyes[0], torch.tensor([204.0, 103.0])) < 3
    assert torch.dist(eyes[1], torch.tensor([247.0, 106.0])) < 3
    assert abs(mesh.points[152, 0] - 225) < 6 and abs(mesh.points[152, 1] - 180) < 10  # the chin


def test_the_tip_of_the_nose_is_nearest_and_the_ears_are_far(mesh):
    z = mesh.points[:, 2]
    assert z[4] < -15 and z[[234, 454]].min() > 10
    assert abs(z.mean()) < 15


def test_the_mesh_hardly_depends_on_the_box(detector, mesh_net, mesh):
    face = detect_faces(detector, astronaut())[0]
    x, y, width, height = face.box
    moved = DetectedFace((x + 8, y - 6, width * 1.15, height * 1.15), face.score, face.keypoints)
    shift = (face_mesh(mesh_net, astronaut(), moved).points - mesh.points)[:, :2].norm(dim=1)
    assert shift.mean() < 0.8 and shift.max() < 2  # the eyes are 58 pixels apart


def test_two_passes_depend_less_on_the_box_than_one(detector, mesh_net):
    face = detect_faces(detector, astronaut())[0]
    x, y, width, height = face.box
    moved = DetectedFace((x + 8, y - 6, width * 1.15, height * 1.15), face.score, face.keypoints)

    def shift(passes):
        one, other = (face_mesh(mesh_net, astronaut(), box, passes=passes).points for box in (face, moved))
        return (one - other).norm(dim=1).mean()

    assert shift(2) < 0.5 * shift(1)


@pytest.mark.parametrize("box", [Box(175, 70, 100, 105), Box(140, 0, 170, 200), Box(190, 60, 70, 150)])
def test_a_box_drawn_by_hand_is_enough(mesh_net, mesh, box):
    drawn = face_mesh(mesh_net, astronaut(), box)
    assert (drawn.points - mesh.points)[:, :2].norm(dim=1).mean() < 1.5


def test_turning_the_image_turns_the_mesh(detector, mesh_net, mesh):
    photograph = turned(astronaut(), 40)
    there = face_mesh(mesh_net, photograph, detect_faces(detector, photograph)[0]).points[:, :2]
    c, s = math.cos(math.radians(40)), math.sin(math.radians(40))
    expected = (mesh.points[:, :2] - torch.tensor([225.0, 122.0])) @ torch.tensor([[c, s], [-s, c]]) + 150
    assert (there - expected).norm(dim=1).mean() < 1.5


@pytest.mark.slow
def test_a_larger_image_gives_the_same_mesh_larger_also_in_depth(detector, mesh_net, mesh):
    big = torch.nn.functional.interpolate(astronaut().permute(2, 0, 1)[None], scale_factor=3.0, mode="bicubic")
    big = big[0].permute(1, 2, 0).clamp(0, 1)
    points = face_mesh(mesh_net, big, detect_faces(detector, big)[0]).points
    assert (points / 3 - mesh.points).norm(dim=1).mean() < 1.5


def test_half_a_face_at_the_edge_has_a_mesh_that_reaches_over_it(detector, mesh_net):
    image = astronaut()[:, 225:]
    mesh = face_mesh(mesh_net, image, detect_faces(detector, image)[0])
    assert mesh.points[:, 0].min() < -10 and mesh.score > 0.5


def test_no_face_in_the_box_is_reported_with_its_place(mesh_net):
    with pytest.raises(FaceNotFound, match=r"\(300, 200\) of 120 x 140"):
        face_mesh(mesh_net, photograph("brick"), Box(300, 200, 120, 140))


def test_an_empty_box_holds_no_face(mesh_net):
    with pytest.raises(FaceNotFound, match="of 0 x 0"):
        face_mesh(mesh_net, astronaut(), Box(10, 400, 0, 0))


def test_the_square_of_a_mesh_holds_it_upright_with_room(mesh):
    square = mesh_square(mesh.points)
    inside = square.from_image(mesh.points[:, :2], 1)
    assert inside.min() > 0.1 and inside.max() < 0.9
    assert abs(inside[33, 1] - inside[263, 1]) < 1e-4
    assert torch.allclose((inside.amin(0) + inside.amax(0)) / 2, torch.tensor([0.5, 0.5]), atol=1e-4)


def sliding(n: int, step: int = 6) -> list:
    """A face that moves to the right, `step` pixels a frame."""
    return [astronaut()[:300, 120 - step * t : 420 - step * t] for t in range(n)]


def test_a_moving_face_is_followed(detector, mesh_net):
    tips = torch.stack([mesh.points[4, :2] for mesh in track_meshes(detector, mesh_net, sliding(6))])
    steps = tips[1:] - tips[:-1]
    assert (steps - torch.tensor([6.0, 0.0])).abs().max() < 1.0


def test_tracking_is_as_exact_as_detection(detector, mesh_net):
    frames = sliding(4)
    tracked = list(track_meshes(detector, mesh_net, frames))[-1]
    alone = face_mesh(mesh_net, frames[-1], detect_faces(detector, frames[-1])[0])
    assert (tracked.points - alone.points)[:, :2].norm(dim=1).mean() < 1


def test_a_frame_that_comes_again_keeps_its_mesh(detector, mesh_net):
    one, other = sliding(2)
    first, again, moved = track_meshes(detector, mesh_net, [one, one, other])
    assert again is first and moved is not first


def test_a_lost_face_is_none_and_taken_up_again(detector, mesh_net):
    frames = sliding(4)
    frames[1] = torch.full((300, 300, 3), 0.5)
    found = [mesh is not None for mesh in track_meshes(detector, mesh_net, frames)]
    assert found == [True, False, True, True]


def test_with_two_people_the_same_one_is_followed_after_a_gap(detector, mesh_net):
    both = torch.cat([astronaut()[:300], astronaut()[:300] * 0.9], dim=1)
    frames = [both, torch.zeros_like(both), both]
    tracks = list(track_meshes(detector, mesh_net, frames, choose=lambda faces: max(faces, key=lambda f: f.centre[0])))
    assert tracks[1] is None
    assert tracks[0].points[4, 0] > 512 and abs(tracks[2].points[4, 0] - tracks[0].points[4, 0]) < 2


def test_gradients_reach_the_image(mesh_net):
    square = torch.rand(1, 3, 192, 192, requires_grad=True)
    points, _ = mesh_net(square)
    points.sum().backward()
    assert square.grad.abs().sum() > 0


def test_the_mesh_net_has_the_published_number_of_weights():
    assert sum(p.numel() for p in FaceMesh().parameters()) == 604_685
