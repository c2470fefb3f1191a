"""A face is the same face whichever way up its image is, and one that stands upright is not looked at twice."""

import math
import types

import numpy as np
import pytest
import torch

from sadtalker_core.canonical_face import rotation_of_angles
from sadtalker_core.datatypes import Box, CropMode, Portrait
from sadtalker_core.face import detector as looking
from sadtalker_core.face.detector import detect_faces
from sadtalker_core.face.extract import extract_mini, extract_released
from sadtalker_core.face.face_alignment_points import FaceAlignmentPoints
from sadtalker_core.face.landmarks import find_faces, mesh_to_68
from sadtalker_core.face.mesh import face_mesh, track_meshes
from sadtalker_core.face.points import FaceSelector, MeshPoints, find_mesh
from sadtalker_core.face.recon import FaceReconConfig, FaceReconNet
from sadtalker_core.face.sampling import Square
from tests.face.images import astronaut, resized, turned

MIDDLE, SIDE, FACE = (225.0, 122.0), 300, 105  #: of `turned`; FACE: how wide she is, pixels
#: where faces were read upside down once; the other steps of 15 degrees are slow
INVERTED = (120, 135, 165, 180, 195, 225)
EVERY_WAY = [pytest.param(a, marks=() if a in INVERTED else pytest.mark.slow) for a in range(0, 360, 15)]


@pytest.fixture(scope="module")
def upright(detector, mesh_net):
    """(468, 3) her mesh in the image as it is."""
    (face,) = detect_faces(detector, astronaut())
    return face_mesh(mesh_net, astronaut(), face).points


@pytest.fixture
def on_her_head():
    return turned(astronaut(), 180)


def moved(points, degrees):
    """Points of the astronaut in `turned(astronaut(), degrees)`."""
    return Square(*MIDDLE, float(SIDE), math.radians(-degrees)).from_image(points[:, :2], SIDE)


def off(points, expected):
    """How far points are from where they should be, as a part of the face."""
    return float((points[:, :2] - expected[:, :2]).norm(dim=1).mean()) / FACE


def to_image(crop):
    """(N, 2) the landmarks of a crop in pixels of its image."""
    scale = torch.tensor([crop.box.width, crop.box.height]) / crop.pic_size
    return crop.landmarks[:, :2] * scale + torch.tensor([crop.box.x, crop.box.y])


@pytest.mark.parametrize("degrees", EVERY_WAY)
def test_at_every_angle_the_mesh_and_the_coefficients_are_those_of_the_turned_face(
    detector, mesh_net, mean_face, upright, degrees
):
    done, row = extract_mini(detector, mesh_net, mean_face, Portrait(turned(astronaut(), degrees)), CropMode.CROP, 256)
    points = to_image(done.crop)
    assert off(points, moved(upright, degrees)) < 0.03
    own = mesh_to_68(Square(0.0, 0.0, 1.0, math.radians(degrees)).from_image(points, 1))
    assert own[48:68, 1].min() > own[30, 1] > own[36:48, 1].max()  # in the face's frame: mouth, nose tip, eyes
    plain = extract_mini(detector, mesh_net, mean_face, Portrait(turned(astronaut(), 0)), CropMode.CROP, 256)[1]
    turn = rotation_of_angles(torch.tensor([[0.0, 0.0, math.radians(degrees)]]))[0]
    difference = rotation_of_angles(row.rotation)[0] @ (turn @ rotation_of_angles(plain.rotation)[0]).T
    assert math.degrees(math.acos(min((float(difference.trace()) - 1) / 2, 1.0))) < 4


def test_a_certain_upright_face_is_not_looked_at_again(detector, monkeypatch):
    def refuse(*_):
        raise AssertionError("looked around")

    monkeypatch.setattr(looking, "_detect_around", refuse)
    assert len(detect_faces(detector, astronaut())) == 1


@pytest.mark.parametrize("how", ["dark", "half", "small", "in profile's shade"])
def test_an_uncertain_upright_face_keeps_every_bit_of_what_was_found(detector, monkeypatch, how):
    image = {
        "dark": astronaut() * 0.08,
        "half": astronaut()[:, 225:],
        "small": resized(astronaut(), 100, 100),
        "in profile's shade": astronaut() * torch.linspace(0, 1, 512).sub(0.35).clamp(min=0)[None, :, None],
    }[how]
    found = detect_faces(detector, image)
    monkeypatch.setattr(looking, "SURE", 0.0)
    alone = detect_faces(detector, image)
    assert [face.box for face in found] == [face.box for face in alone]
    assert all(torch.equal(one.keypoints, other.keypoints) for one, other in zip(found, alone, strict=True))


def test_of_two_people_on_their_heads_both_are_found_and_none_upright(detector, mesh_net):
    pair = torch.rot90(torch.cat([astronaut(), astronaut().flip(1)], dim=1), 2).contiguous()
    faces = sorted(find_faces(detector, mesh_net, pair), key=lambda face: face.centre[0])
    assert [face.centre[0] for face in faces] == pytest.approx([225, 1024 - 225], abs=8)
    assert all(abs(face.roll) > math.radians(160) for face in faces)


@pytest.mark.slow
def test_a_small_face_on_its_head_in_a_big_image_is_found(detector, mesh_net):
    image = torch.full((600, 800, 3), 0.4)
    image[300:428, 500:628] = torch.rot90(resized(astronaut(), 128, 128), 2)
    (face,) = find_faces(detector, mesh_net, image)
    assert abs(face.roll) > math.radians(150)
    assert face.centre == pytest.approx((628 - 225 / 4, 428 - 122 / 4), abs=5)


@pytest.mark.parametrize("degrees", [0, 135, 180, 225])
def test_a_users_box_holds_a_face_that_stands_any_way(detector, mesh_net, upright, degrees):
    expected = moved(upright, degrees)
    x, y = (int(v) for v in expected.amin(0) - 10)
    width, height = (int(v) for v in expected.amax(0) - expected.amin(0) + 20)
    seen = find_mesh(detector, mesh_net, turned(astronaut(), degrees), FaceSelector(box=Box(x, y, width, height)))
    assert off(seen.points, expected) < 0.03


@pytest.mark.parametrize("mode", [CropMode.CROP, CropMode.RESIZE])
def test_the_second_look_at_the_square_knows_which_way_the_face_stands(detector, mesh_net, upright, on_her_head, mode):
    torch.manual_seed(3)
    net = FaceReconNet(FaceReconConfig(stem=2, blocks=(1,), widths=(2,), expansion=2)).eval()
    portrait = Portrait(on_her_head)
    done, _ = extract_released(net, portrait, MeshPoints(detector, mesh_net, FaceSelector.of(portrait)), mode, 256)
    assert off(to_image(done.crop), moved(mesh_to_68(upright), 180)) < 0.03


def test_a_video_on_its_head_is_followed(detector, mesh_net, upright, on_her_head):
    frames = [on_her_head.roll(3 * i, dims=1) for i in range(3)]
    for i, seen in enumerate(track_meshes(detector, mesh_net, frames)):
        assert off(seen.points[:, :2] - torch.tensor([3.0 * i, 0.0]), moved(upright, 180)) < 0.03


def test_in_a_video_what_the_mesh_does_not_know_is_no_face(detector, mesh_net, monkeypatch):
    from sadtalker_core.face import mesh

    real = mesh.detect_faces
    cup = looking.DetectedFace((150.0, 300.0, 200.0, 200.0), 0.9, torch.tensor([[200.0, 350.0], [300.0, 350.0]]))
    monkeypatch.setattr(mesh, "detect_faces", lambda *given, **how: [cup, *real(*given, **how)])
    (seen,) = track_meshes(detector, mesh_net, [astronaut()])
    assert (seen.points[4, :2] - torch.tensor([220.0, 130.0])).norm() < 30


# ------------------------------------------------------------------------------------------- the face-alignment package


class ReadsUpright:
    """Behaves as the package on faces that stand upright; others it sees, and reads as if they did."""

    def __init__(self, detector, mesh_net, blind_to_inverted=False):
        self.nets, self.blind = (detector, mesh_net), blind_to_inverted
        self.face_detector = types.SimpleNamespace(detect_from_batch=self.detect)

    def detect(self, batch):
        found = []
        for planes in batch:
            faces = detect_faces(self.nets[0], planes.permute(1, 2, 0) / 255)
            if self.blind:
                faces = [] if any(abs(face.roll) > 1 for face in faces) else faces
            found.append([np.array([x, y, x + w, y + h, 0.9]) for x, y, w, h in (face.box for face in faces)])
        return found

    def get_landmarks_from_image(self, image, detected_faces):
        pixels, out = torch.from_numpy(image.astype(np.float32) / 255), []
        for left, top, right, bottom, _ in detected_faces:
            box = Box(int(left), int(top), int(right - left), int(bottom - top))
            out.append(mesh_to_68(face_mesh(self.nets[1], pixels, box, min_score=0).points).numpy())
        return out


@pytest.fixture(params=[False, True], ids=["sees it", "does not see it"])
def package_points(request, detector, mesh_net, monkeypatch):
    finder = FaceAlignmentPoints("nowhere", batch_size=2)
    monkeypatch.setattr(finder, "_nets", lambda: package)
    package = ReadsUpright(detector, mesh_net, request.param)
    return finder


def test_the_package_gets_a_face_on_its_head_upright(package_points, upright, on_her_head):
    expected = moved(mesh_to_68(upright), 180)
    points = package_points(on_her_head)
    assert off(points, expected) < 0.05
    low, high = points.amin(0).tolist(), points.amax(0).tolist()
    again = package_points(on_her_head, Box(*map(int, low), int(high[0] - low[0]), int(high[1] - low[1])))
    assert off(again, expected) < 0.05


def test_the_package_gets_a_lying_face_in_a_wide_image_upright(package_points, upright):
    wide = torch.cat([torch.zeros(SIDE, 100, 3), turned(astronaut(), 90)], dim=1)
    assert off(package_points(wide), moved(mesh_to_68(upright), 90) + torch.tensor([100.0, 0.0])) < 0.05


@pytest.mark.slow
def test_the_package_follows_a_video_on_its_head(package_points, upright, on_her_head):
    frames = [on_her_head.roll(3 * i, dims=1) for i in range(3)]
    for i, (frame, points) in enumerate(package_points.follow(frames)):
        assert frame is frames[i]
        assert off(points - torch.tensor([3.0 * i, 0.0]), moved(mesh_to_68(upright), 180)) < 0.05
