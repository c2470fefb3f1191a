"""What covers a mouth: masks, moustaches and hands painted on a photograph; and bare faces, where nothing does."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from sadtalker_core.canonical_face import INNER_LIPS
from sadtalker_core.datatypes import CropMode, Portrait
from sadtalker_core.dub.follow import _measured
from sadtalker_core.face.covered import CLOTH, HAIR, HAND, STRANDS, cover_of
from sadtalker_core.face.extract import extract_mini
from sadtalker_core.face.points import FaceSelector, find_mesh
from tests.face import hands
from tests.face.images import astronaut, resized

# points of the mesh around what is painted
MASK = (
    197, 120, 118, 50, 187, 192, 138, 136, 150, 149, 176, 148,
    152, 377, 400, 378, 379, 365, 367, 416, 411, 280, 347, 349,
)  # fmt: skip
MOUSTACHE = (98, 97, 2, 326, 327, 391, 410, 270, 269, 267, 0, 37, 39, 40, 186, 165)
BLUE, WHITE, BLACK, BROWN = (150, 190, 215), (235, 235, 235), (25, 25, 28), (70, 48, 36)


@pytest.fixture(scope="module")
def bare():
    return astronaut()


@pytest.fixture(scope="module")
def points(detector, mesh_net, bare):
    return find_mesh(detector, mesh_net, bare, FaceSelector()).points


def painted(image, points, ring, colour, folds=0.15):
    """image (H, W, 3) in 0..1 with a shape on it, whose brightness goes up and down in folds, with a little noise."""
    cover = Image.new("L", (image.shape[1], image.shape[0]))
    ImageDraw.Draw(cover).polygon([tuple(p) for p in points[list(ring), :2].tolist()], fill=255)
    inside = torch.from_numpy(np.array(cover)).float()[..., None] / 255
    rows = torch.arange(image.shape[0])[:, None, None]
    noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    cloth = torch.tensor(colour) / 255 * (1 + folds * torch.sin(rows * 0.7) + 0.1 * noise)
    return image + inside * (cloth.clamp(0, 1) - image)


def seen(image, points):
    return cover_of(image.permute(2, 0, 1), points)


@pytest.mark.parametrize("colour", [BLUE, WHITE, BLACK])
def test_a_mask_is_detected_whatever_its_colour(bare, points, colour):
    assert seen(painted(bare, points, MASK, colour), points) == CLOTH


@pytest.mark.parametrize("colour", [BLACK, BROWN])
def test_a_moustache_is_hair(bare, points, colour):
    assert seen(painted(bare, points, MOUSTACHE, colour), points) == HAIR


HANGING = (98, 97, 2, 326, 327, 391, 270, 310, 312, 13, 82, 80, 40, 165)  # from the nose over the upper lip


def test_a_moustache_that_hangs_over_the_upper_lip_is_hair(bare, points):
    assert seen(painted(bare, points, HANGING, BROWN), points) == HAIR


def with_strand(image, points, ends, width):
    """A dark line from one point of the mesh to another, as wide as a share of the distance of the eyes."""
    cover = Image.new("L", (image.shape[1], image.shape[0]))
    wide = max(1, round(width * float((points[33] - points[263])[:2].norm())))
    ImageDraw.Draw(cover).line([tuple(points[end, :2].tolist()) for end in ends], fill=255, width=wide)
    inside = torch.from_numpy(np.array(cover)).float()[..., None] / 255
    return image + inside * (torch.tensor(BROWN) / 255 - image)


@pytest.mark.parametrize("ends", [(98, 13, 200), (129, 13, 428)])
def test_a_strand_of_hair_across_both_lips_is_detected(bare, points, ends):
    assert seen(with_strand(bare, points, ends, 0.03), points) == STRANDS


def test_a_strand_on_the_cheek_or_that_ends_at_the_mouth_is_not(bare, points):
    assert seen(with_strand(bare, points, (116, 192), 0.03), points) is None
    assert seen(with_strand(bare, points, (98, 13), 0.03), points) is None


def skin_of(image, points):
    """The colour of the forehead, 0..255."""
    x, y = points[151, :2].int().tolist()
    return (image[y - 3 : y + 4, x - 3 : x + 4].mean((0, 1)) * 255).tolist()


@pytest.mark.parametrize("light", [1.0, 0.7])
def test_a_hand_has_the_colour_of_skin_where_lips_were(bare, points, light):
    lit = bare * light
    assert seen(painted(lit, points, MASK, skin_of(lit, points), folds=0.04), points) == HAND


@pytest.mark.parametrize("hand", [hands.ACROSS, hands.UPWARDS, hands.LEFT_HALF, hands.RIGHT_HALF])
def test_a_hand_with_shaded_fingers_is_detected_over_a_mouth_and_over_half_of_it(
    detector, mesh_net, bare, points, hand
):
    image = hands.with_hand(bare, points, hand)
    assert seen(image, find_mesh(detector, mesh_net, image, FaceSelector()).points) == HAND


@pytest.mark.parametrize("hand", [hands.BESIDE, hands.UNDER_CHIN])
def test_a_hand_beside_a_mouth_or_under_the_chin_covers_nothing(detector, mesh_net, bare, points, hand):
    image = hands.with_hand(bare, points, hand)
    assert seen(image, find_mesh(detector, mesh_net, image, FaceSelector()).points) is None


def shrunk(image, points, eyes):
    """The image and its points, the outer corners of the eyes as many pixels apart."""
    side = round(512 * eyes / float((points[33] - points[263])[:2].norm()))
    return resized(image, side, side), points * (side / 512)


def test_a_bare_face_of_32_pixels_is_no_hand(detector, mesh_net, bare, points):
    small = resized(bare, 74, 74)
    assert seen(small, find_mesh(detector, mesh_net, small, FaceSelector()).points) is None
    assert seen(*shrunk(bare, points, 8)) is None


@pytest.mark.parametrize("eyes, hand, bare_mouth", [(8, False, 1.0), (16, True, 0.0)])
def test_dub_video_leaves_a_hand_alone_but_not_a_tiny_bare_face(bare, points, eyes, hand, bare_mouth):
    """Though it looks at the face enlarged."""
    image, places = shrunk(hands.with_hand(bare, points, hands.ACROSS) if hand else bare, points, eyes)
    assert _measured((image * 255).round().byte(), places)[1] == bare_mouth


def test_a_hand_and_a_mask_are_detected_in_a_face_of_60_pixels(bare, points):
    hand = hands.with_hand(bare, points, hands.ACROSS)
    assert seen(*shrunk(hand, points, 16)) == HAND
    assert seen(*shrunk(painted(bare, points, MASK, BLUE), points, 16)) == CLOTH


def test_lips_without_a_colour_of_their_own_are_no_hand_while_a_line_is_drawn_between_them(bare, points):
    """As in many drawings."""
    skin = skin_of(bare, points)
    plain = painted(bare, points, MASK, skin, folds=0.0)
    line = painted(plain, points, INNER_LIPS, [0.5 * value for value in skin], folds=0.0)
    assert seen(plain, points) == HAND
    assert seen(line, points) is None


def test_a_mask_without_colour_is_no_hand(bare, points):
    grey = bare.mean(-1, keepdim=True).expand(-1, -1, 3)
    assert seen(painted(grey, points, MASK, skin_of(grey, points), folds=0.0), points) is None


@pytest.mark.parametrize("light", [1.0, 0.5, 0.15])
@pytest.mark.parametrize("tint", [(1.0, 1.0, 1.0), (1.0, 0.8, 0.6), (0.7, 0.85, 1.0)])
def test_nothing_is_reported_of_a_bare_face_in_any_light(bare, points, light, tint):
    assert seen(bare * light * torch.tensor(tint), points) is None


def test_nothing_is_reported_of_a_bare_face_without_colour(bare, points):
    assert seen(bare.mean(-1, keepdim=True).expand(-1, -1, 3), points) is None


def test_3dmm_extract_logs_it_in_one_line_and_the_crop_knows(detector, mesh_net, mean_face, bare, points, caplog):
    outcomes = []
    for image in (bare, painted(bare, points, MASK, BLUE), hands.with_hand(bare, points, hands.ACROSS)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            cropped, _ = extract_mini(detector, mesh_net, mean_face, Portrait(image), CropMode.CROP, 256)
        outcomes.append((cropped.crop.mouth_covered, [line for line in caplog.messages if "cover" in line]))
    assert outcomes[0] == (False, [])
    assert all(covered and len(lines) == 1 for covered, lines in outcomes[1:])
