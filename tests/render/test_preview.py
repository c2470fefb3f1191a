"""The preview draws the face where the motion puts it."""

import pytest
import torch

from sadtalker_core.canonical_face import LOWER_INNER_LIP, UPPER_INNER_LIP, load_canonical_face
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import BlendshapeMotion, Box, CropMode, FaceCrop, KeypointMotion, Motion
from sadtalker_core.errors import FaceNotFound, OptionError
from sadtalker_core.render.preview import moved_keypoints, moved_mesh, preview_keypoints, preview_mesh

SIDE = 256


@pytest.fixture
def crop():
    """The template's head, seen from the front, 60 pixels for a decimetre."""
    canonical = load_canonical_face()
    points = (canonical.mean - canonical.pivot) * torch.tensor([60.0, -60.0, -60.0]) + torch.tensor([128.0, 140.0, 0.0])
    return FaceCrop(torch.full((3, SIDE, SIDE), 0.8), points, Box(0, 0, SIDE, SIDE), CropMode.CROP)


def motion(n_offsets=64, yaw=(0.0,), kind=BlendshapeMotion, **units):
    """One row for every yaw; units: weights by name, the same in all of them."""
    n = len(yaw)
    offsets = torch.zeros(n, n_offsets)
    for name, weight in units.items():
        offsets[:, BLENDSHAPE_INDEX[name]] = weight
    zeros = torch.zeros(n)
    driving = kind(torch.tensor(yaw), zeros, zeros, torch.zeros(n, 3), offsets)
    source = kind(zeros[:1], zeros[:1], zeros[:1], torch.zeros(1, 3), torch.zeros(1, n_offsets))
    return Motion(driving, source)


def test_a_face_that_does_not_move_stays_on_its_points(crop):
    (points,) = moved_mesh(crop, motion())
    torch.testing.assert_close(points, crop.landmarks[:, :2], atol=0.02, rtol=0)


def test_a_jaw_that_opens_parts_the_lips(crop):
    (points,) = moved_mesh(crop, motion(jawOpen=1.0))

    def gap(places):
        return float(places[list(LOWER_INNER_LIP), 1].mean() - places[list(UPPER_INNER_LIP), 1].mean())

    assert gap(points) > gap(crop.landmarks) + 5


def test_a_positive_yaw_moves_the_nose_to_the_left_of_the_image(crop):
    (points,) = moved_mesh(crop, motion(yaw=(15.0,)))
    assert points[1, 0] < crop.landmarks[1, 0] - 3


def test_a_head_that_comes_nearer_grows(crop):
    near = motion()
    near.driving.translation[:, 2] = 0.2
    (points,) = moved_mesh(crop, near)
    width = [float(p[454, 0] - p[234, 0]) for p in (crop.landmarks, points)]
    assert width[1] == pytest.approx(width[0] * 1.2214, rel=0.01)


def test_frames_are_images_that_follow_the_motion(crop):
    still, again, turned = preview_mesh(crop, motion(yaw=(0.0, 0.0, 20.0)), side=96)
    assert still.shape == (96, 96, 3) and 0 <= still.min() and still.max() <= 1
    assert torch.equal(still, again) and not torch.equal(still, turned)


def test_the_portrait_lies_behind_where_requested(crop):
    (over_nothing,) = preview_mesh(crop, motion(), side=64)
    (over_portrait,) = preview_mesh(crop, motion(), side=64, behind=True)
    assert over_nothing[0, 0].max() < 0.15
    assert over_portrait[0, 0].min() > 0.3


class Detector(torch.nn.Module):
    """Stands where the released detector stands: 15 points on a line."""

    def __init__(self):
        super().__init__()
        self.line = torch.nn.Parameter(torch.linspace(-0.5, 0.5, 15))

    def forward(self, image):
        assert image.shape == (1, 3, SIDE, SIDE)
        return torch.stack([self.line, torch.zeros(15), torch.zeros(15)], dim=-1)[None]


def test_released_key_points_are_in_pixels_of_the_crop(crop):
    (points,) = moved_keypoints(crop, motion(45, kind=KeypointMotion), Detector())
    torch.testing.assert_close(points[:, 0], torch.linspace(64, 192, 15))
    assert (points[:, 1] == 128).all()


def test_a_released_motion_is_drawn_as_dots(crop):
    first, second = preview_keypoints(crop, motion(45, (0.0, 30.0), KeypointMotion), Detector(), side=96)
    assert (first[48] > 0.5).any() and not torch.equal(first, second)


def test_a_crop_without_a_mesh_is_refused(crop):
    released = FaceCrop(crop.image, crop.landmarks[:68, :2], crop.box, crop.mode)
    with pytest.raises(FaceNotFound, match=r"\(68, 2\)"):
        next(preview_mesh(released, motion()))


def test_a_preview_has_a_sensible_size(crop):
    with pytest.raises(OptionError, match="64 to 2048"):
        next(preview_mesh(crop, motion(), side=10))
