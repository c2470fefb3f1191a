"""The released door of 3DMM Extract: what is cropped, what is looked at twice, what the coefficients say about it."""

import dataclasses

import pytest
import torch

from sadtalker_core.canonical_face import rotation_of_angles
from sadtalker_core.datatypes import Box, CropMode, Portrait
from sadtalker_core.errors import FaceNotFound
from sadtalker_core.face.crop import crop_filtered, crop_square, face_box, image_to_square
from sadtalker_core.face.extract import _person_of, extract_mini, extract_released, read_meshes_at, read_squares
from sadtalker_core.face.landmarks import mesh_to_68
from sadtalker_core.face.points import FaceSelector, MeshPoints
from sadtalker_core.face.recon import FaceReconConfig, FaceReconNet
from tests.face.drawn_face import face_68
from tests.face.images import astronaut

POINTS = face_68(260, 200, 90)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(3)
    return FaceReconNet(FaceReconConfig(stem=4, blocks=(1, 1), widths=(4, 8), expansion=2)).eval()


@pytest.fixture
def portrait(generator):
    return Portrait(torch.rand(400, 500, 3, generator=generator))


class Finder:
    """Knows the points of the image, moves them to a square cut at `box`, and remembers what it was asked."""

    def __init__(self, size_wh=(500, 400), box=None, blind_in_square=False):
        self.size_wh, self.box, self.blind, self.asked = size_wh, box, blind_in_square, []

    def __call__(self, image, near=None):
        height, width = image.shape[:2]
        self.asked.append(((width, height), near))
        if (width, height) == self.size_wh:
            return POINTS
        if self.blind:
            raise FaceNotFound("no face")
        return image_to_square(POINTS, self.box, width)


@pytest.mark.parametrize("mode", list(CropMode))
@pytest.mark.parametrize("size", [256, 512])
def test_every_mode_gives_a_square_its_box_and_one_row(net, portrait, mode, size):
    box = face_box(POINTS, (500, 400), mode)
    done, row = extract_released(net, portrait, Finder(box=box), mode, size)
    assert done.crop.image.shape == (3, size, size) and done.crop.box == box and done.crop.mode is mode
    assert done.crop.landmarks.shape == (68, 2)
    assert row.full_rows().shape == (1, 257) and row.crop_rows().shape == (1, 73)
    assert (row.family, row.crop_mode, row.pic_size) == ("released", mode, size)


def test_the_face_is_looked_for_once_in_the_image_and_once_in_the_square(net, portrait):
    box = face_box(POINTS, (500, 400), CropMode.CROP)
    finder = Finder(box=box)
    extract_released(net, portrait, finder, CropMode.CROP, 256)
    (first, near_first), (second, near_second) = finder.asked
    assert first == (500, 400) and near_first is None and second == (256, 256)
    moved = image_to_square(POINTS, box, 256)
    assert near_second.x == pytest.approx(float(moved[:, 0].min()), abs=1)
    assert near_second.bottom == pytest.approx(float(moved[:, 1].max()), abs=2)


def test_the_resize_mode_looks_at_the_square_alone(net, portrait):
    finder = Finder(box=Box(0, 0, 500, 400))
    extract_released(net, portrait, finder, CropMode.RESIZE, 256)
    assert [size for size, _ in finder.asked] == [(256, 256)]


def test_in_the_resize_mode_the_users_box_is_moved_into_the_square(net, portrait):
    finder = Finder(box=Box(0, 0, 500, 400))
    portrait = dataclasses.replace(portrait, face_box=Box(100, 100, 250, 200))
    extract_released(net, portrait, finder, CropMode.RESIZE, 256)
    assert finder.asked[0][1] == Box(51, 64, 128, 128)


@pytest.mark.parametrize("mode", [CropMode.CROP, CropMode.RESIZE])
def test_a_face_that_is_lost_in_the_square_keeps_the_points_of_the_image(net, portrait, mode):
    done, _ = extract_released(net, portrait, Finder(blind_in_square=True), mode, 256)
    torch.testing.assert_close(done.crop.landmarks, image_to_square(POINTS, done.crop.box, 256))


def test_no_face_in_the_image_is_an_error_and_not_the_mean_face(net, portrait):
    def blind(image, near):
        raise FaceNotFound("no face")

    for mode in (CropMode.CROP, CropMode.RESIZE):
        with pytest.raises(FaceNotFound):
            extract_released(net, portrait, blind, mode, 256)


def test_the_crop_parameters_count_in_pixels_of_the_square(net, portrait):
    box = face_box(POINTS, (500, 400), CropMode.CROP)
    small, large = (extract_released(net, portrait, Finder(box=box), CropMode.CROP, s)[1].crop[0] for s in (256, 512))
    assert small[0] == pytest.approx(2 * float(large[0]), rel=1e-4)
    assert large[1] == pytest.approx(2 * float(small[1]), rel=1e-4)


def test_crop_scale_and_offset_reach_the_box(net, portrait):
    box = face_box(POINTS, (500, 400), CropMode.CROP, crop_scale=0.8, offset=(0.1, 0))
    done, _ = extract_released(net, portrait, Finder(box=box), CropMode.CROP, 256, crop_scale=0.8, offset=(0.1, 0))
    assert done.crop.box == box


def test_the_portrait_that_came_in_has_no_crop_afterwards(net, portrait):
    before = portrait.image.clone()
    box = face_box(POINTS, (500, 400), CropMode.CROP)
    done, _ = extract_released(net, portrait, Finder(box=box), CropMode.CROP, 256)
    assert portrait.crop is None and done.image is portrait.image and torch.equal(portrait.image, before)


def test_many_squares_read_at_once_give_the_rows_of_each(net, generator):
    squares = torch.rand(3, 3, 256, 256, generator=generator)
    points = [face_68(128, 128, size) for size in (70, 80, 90)]
    together = read_squares(net, squares, points, CropMode.CROP)
    alone = read_squares(net, squares[1:2], points[1:2], CropMode.CROP)
    torch.testing.assert_close(together.full_rows()[1:2], alone.full_rows())
    assert torch.equal(together.crop[1:2], alone.crop)


def test_a_net_in_half_precision_is_spoken_to_in_half_precision(generator):
    torch.manual_seed(3)
    half = FaceReconNet(FaceReconConfig(stem=4, blocks=(1,), widths=(4,), expansion=2)).eval().to(torch.bfloat16)
    rows = read_squares(half, torch.rand(1, 3, 256, 256, generator=generator), [face_68(128, 128, 70)], CropMode.CROP)
    assert rows.expression.dtype == torch.float32


# --------------------------------------------------------------------------------------------------- the mini family


@pytest.mark.parametrize("mode", [CropMode.CROP, CropMode.EXTENDED_FULL, CropMode.RESIZE])
def test_the_mini_door_gives_a_mesh_in_the_square_and_one_row(detector, mesh_net, mean_face, mode):
    done, row = extract_mini(detector, mesh_net, mean_face, Portrait(astronaut()), mode, 256)
    assert done.crop.image.shape == (3, 256, 256) and done.crop.landmarks.shape == (468, 3) and done.crop.mode is mode
    assert (row.family, row.crop_mode, row.pic_size, len(row)) == ("mini", mode, 256, 1)
    eyes = image_to_square(torch.tensor([(204.0, 103.0), (247.0, 106.0)]), done.crop.box, 256)
    lids = mesh_to_68(done.crop.landmarks)[36:48].reshape(2, 6, 2)
    assert (lids.mean(dim=1) - eyes).norm(dim=1).max() < 8


def test_the_mini_door_takes_the_users_box_and_adjustment(detector, mesh_net, mean_face):
    portrait = Portrait(astronaut(), face_box=Box(175, 60, 100, 130))
    plain, _ = extract_mini(detector, mesh_net, mean_face, portrait, CropMode.CROP, 256)
    smaller = {"crop_scale": 0.8, "offset": (0.1, 0.0)}
    moved, _ = extract_mini(detector, mesh_net, mean_face, portrait, CropMode.CROP, 256, **smaller)
    assert moved.crop.box.width == pytest.approx(0.8 * plain.crop.box.width, abs=2)


def test_without_a_size_the_mini_door_cuts_what_it_always_cut(detector, mesh_net, mean_face):
    doors = detector, mesh_net, mean_face, Portrait(astronaut()), CropMode.CROP, 256
    (silent, row), (asked, same_row) = extract_mini(*doors), extract_mini(*doors, render_size=256)
    assert torch.equal(silent.crop.image, crop_square(astronaut(), silent.crop.box, 256)) and not silent.crop.fine
    assert torch.equal(asked.crop.image, silent.crop.image) and torch.equal(same_row.full_rows(), row.full_rows())


@pytest.mark.slow
@pytest.mark.parametrize("asked", [0, 300])
def test_a_head_is_cut_as_large_as_it_is_or_as_asked_and_read_alike(detector, mesh_net, mean_face, asked):
    image = torch.nn.functional.interpolate(astronaut().permute(2, 0, 1)[None], scale_factor=2)[0].permute(1, 2, 0)
    doors = detector, mesh_net, mean_face, Portrait(image), CropMode.CROP, 256
    (plain, row), (done, same) = extract_mini(*doors), extract_mini(*doors, render_size=asked)
    box, square = done.crop.box, done.crop.image
    assert done.crop.fine and box.width == box.height and plain.crop.box.width - box.width in (0, 1)
    assert square.shape[-1] == same.pic_size == (asked or box.width)
    assert torch.equal(square, crop_filtered(image, box, asked or box.width))
    assert (same.motion_rows() - row.motion_rows()).abs().max() < 0.02


def test_the_embedded_mesh_serves_the_released_family_too(net, detector, mesh_net):
    portrait = Portrait(astronaut())
    finder = MeshPoints(detector, mesh_net, FaceSelector.of(portrait))
    done, _ = extract_released(net, portrait, finder, CropMode.CROP, 256)
    assert done.crop.landmarks.shape == (68, 2)
    box = done.crop.box
    assert box.x < 175 and box.right > 275 and box.y < 30 and box.bottom > 175


def test_an_image_without_a_face_is_a_sentence_at_both_doors(net, detector, mesh_net, mean_face, generator):
    noise = Portrait(torch.rand(200, 200, 3, generator=generator))
    with pytest.raises(FaceNotFound, match="no face found"):
        extract_mini(detector, mesh_net, mean_face, noise, CropMode.CROP, 256)
    with pytest.raises(FaceNotFound, match="no face found"):
        extract_released(net, noise, MeshPoints(detector, mesh_net), CropMode.CROP, 256)


def test_mesh_points_follow_the_selected_face_through_a_video(detector, mesh_net):
    frames = [astronaut().roll(4 * i, dims=1) for i in range(3)]
    seen = list(MeshPoints(detector, mesh_net).follow(iter(frames)))
    moved = [float(points[30, 0]) for _, points in seen]
    assert all(frame is own for (frame, _), own in zip(seen, frames, strict=True))
    assert moved[1] - moved[0] == pytest.approx(4, abs=1) and moved[2] - moved[0] == pytest.approx(8, abs=1)


def test_a_squeezed_box_does_not_change_what_is_read_in_the_face(mean_face):
    turn = rotation_of_angles(torch.tensor([[0.1, -0.2, 0.15]]))[0]
    mesh = (mean_face.template @ turn.T * 50 + torch.tensor([130.0, 90.0, 0.0]))[None]
    plain = read_meshes_at(mean_face, mesh, [Box(0, 0, 200, 200)], 256, CropMode.RESIZE)
    wide = read_meshes_at(mean_face, mesh, [Box(0, 0, 400, 200)], 256, CropMode.RESIZE)
    torch.testing.assert_close(wide.rotation, plain.rotation, atol=1e-4, rtol=0)
    torch.testing.assert_close(plain.rotation, torch.tensor([[0.1, -0.2, 0.15]]), atol=1e-3, rtol=0)
    assert wide.crop[0].tolist() == pytest.approx([50 * 1.28 / 2**0.5, 130 * 0.64, 90 * 1.28], rel=1e-3)
    assert wide.translation[0, :2].tolist() == pytest.approx([130 / 200 - 1, 90 / 100 - 1], abs=1e-3)


def test_a_cut_out_person_ends_where_its_alpha_does_and_a_card_does_not():
    seen, cut_out, card = torch.zeros(3, 1, 20, 20)
    seen[:, 5:15, 5:15], cut_out[:, 5:15, 4:15], card[:, 1:19, 1:19] = 0.9, 1, 1
    assert _person_of(cut_out, seen) == (cut_out, True)
    person, is_cut_out = _person_of(card, seen)
    assert torch.equal(person, seen) and not is_cut_out
