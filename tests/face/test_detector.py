from __future__ import annotations

import pytest
import torch
from torch import nn

from sadtalker_core.face.detector import DetectedFace, FaceDetector, ShortRangeNet, detect_faces, merge_same
from sadtalker_core.face.landmarks import find_faces
from tests.face.images import astronaut, photograph, resized, turned

EYES = torch.tensor([[204.0, 103.0], [247.0, 106.0]])  #: of the astronaut, read off the image


def a_face(x, y, size, score=0.9) -> DetectedFace:
    return DetectedFace((x, y, size, size), score, torch.zeros(6, 2))


def test_the_astronaut_has_one_face_with_eyes_where_they_are(detector):
    (face,) = detect_faces(detector, astronaut())
    assert face.score > 0.9
    assert (face.keypoints[:2] - EYES).norm(dim=1).max() < 6
    x, y, width, height = face.box
    assert 85 < width < 125 and abs(x + width / 2 - 225) < 8 and abs(y + height / 2 - 122) < 10


def test_detection_is_the_same_every_time(detector):
    first, second = (detect_faces(detector, astronaut())[0] for _ in range(2))
    assert first.box == second.box and torch.equal(first.keypoints, second.keypoints)


def test_both_of_two_people_are_found(detector):
    pair = torch.cat([astronaut(), astronaut()], dim=1)
    centres = sorted(face.centre[0] for face in detect_faces(detector, pair))
    assert len(centres) == 2
    assert abs(centres[1] - centres[0] - 512) < 6


@pytest.mark.parametrize("degrees", [-45, -25, 25, 45])
def test_a_tilted_head_is_found_with_its_tilt(detector, degrees):
    face = detect_faces(detector, turned(astronaut(), degrees))[0]
    assert abs(torch.rad2deg(torch.tensor(face.roll)) - degrees - 4) < 12  # she holds it 4 degrees to begin with


def test_an_image_on_its_side_still_has_a_face(detector):
    lying = torch.rot90(astronaut(), 1).contiguous()
    x, y = detect_faces(detector, lying)[0].centre
    assert abs(x - 122) < 20 and abs(y - (512 - 225)) < 20


@pytest.mark.parametrize(
    "cut, middle",
    [
        ((slice(None), slice(225, None)), (0, 122)),
        ((slice(None), slice(None, 225)), (225, 122)),
        ((slice(110, None), slice(None)), (225, 12)),
        ((slice(None, 135), slice(None)), (225, 122)),
    ],
    ids=["left", "right", "top", "bottom"],
)
def test_half_a_face_at_the_edge_is_found(detector, cut, middle):
    face = detect_faces(detector, astronaut()[cut])[0]
    assert abs(face.centre[0] - middle[0]) < 15 and abs(face.centre[1] - middle[1]) < 15


def test_a_face_that_fills_the_image_is_found(detector):
    (face,) = detect_faces(detector, astronaut()[70:170, 180:275])
    assert 80 < face.box[2] < 130


def test_an_image_of_sixteen_pixels_is_enough_for_a_detection(detector):
    (face,) = detect_faces(detector, resized(astronaut()[60:190, 160:290], 16, 16))
    assert 10 < face.box[2] < 20


def test_grey_and_dark_images_are_as_good(detector):
    for image in (astronaut().mean(-1, keepdim=True).expand(-1, -1, 3), astronaut() * 0.08):
        (face,) = detect_faces(detector, image)
        assert abs(face.centre[0] - 225) < 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape, place", [((6000, 8000), (5000, 3000)), ((512, 6000), (5000, 0)), ((6000, 512), (0, 4000))]
)
def test_a_small_face_in_a_very_big_or_long_image_is_found(detector, mesh_net, shape, place):
    image = torch.full((*shape, 3), 0.4)
    x, y = place
    image[y : y + 512, x : x + 512] = astronaut()
    (face,) = find_faces(detector, mesh_net, image)
    assert abs(face.centre[0] - x - 225) < 10 and abs(face.centre[1] - y - 122) < 10


@pytest.mark.parametrize("name", ["brick", "grass", "gravel", "moon", "text", "hubble_deep_field"])
def test_images_of_no_face_have_no_face(detector, name):
    assert detect_faces(detector, photograph(name)) == []


def test_an_image_of_one_colour_has_no_face(detector):
    assert detect_faces(detector, torch.ones(300, 400, 3)) == []


def test_merging_keeps_separate_faces_and_joins_the_same_one():
    faces = [a_face(0, 0, 10, 0.7), a_face(1, 0, 10, 0.9), a_face(50, 0, 10, 0.8), a_face(3, 3, 4, 0.6)]
    merged = merge_same(faces)
    assert [face.score for face in merged] == [0.9, 0.8]
    assert merged[0].box[0] == pytest.approx(0.9 / 1.6)


def test_the_net_at_a_finer_scale_is_the_same_net_on_a_larger_grid(detector):
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    logits, places = detector.short_range(image)
    assert logits.shape == (1, 32 * 32 * 2 + 16 * 16 * 6) and places.shape == (*logits.shape, 16)


def test_gradients_reach_the_image(detector):
    image = torch.rand(1, 3, 192, 192, requires_grad=True)
    logits, _ = detector(image)
    logits.sum().backward()
    assert image.grad.abs().sum() > 0


def test_layers_come_from_the_factory():
    class Counting(nn.Conv2d):
        made = 0

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            Counting.made += 1

    class ops:
        Conv2d = Counting

    net = FaceDetector(ops=ops)
    assert Counting.made == sum(isinstance(module, nn.Conv2d) for module in net.modules()) > 100


def test_the_near_net_has_the_published_number_of_weights():
    assert sum(p.numel() for p in ShortRangeNet().parameters()) == 101_390
