"""What a portrait says about itself before it talks."""

import logging

import pytest
import torch

from sadtalker_core import pipeline
from sadtalker_core.datatypes import CropMode, Portrait
from sadtalker_core.errors import ImageError
from sadtalker_core.face.extract import extract_mini
from sadtalker_core.face.portrait import check_portrait, portrait_from_image
from tests.face.images import astronaut, resized


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO)
    return caplog


def cut_out(part: float):
    """(100, 100, 4) of which so much is transparent."""
    image = torch.ones(100, 100, 4)
    image[: round(100 * part), :, 3] = 0
    return image


def test_a_cut_out_logs_in_one_line_what_becomes_of_it(log):
    portrait = portrait_from_image(cut_out(0.4), name="me.png")
    assert portrait.mask.mean() == pytest.approx(0.4) and portrait.name == "me.png"
    (line,) = log.messages
    assert (
        "40 % of the portrait is transparent" in line
        and "webm and mov are transparent; background_color fills an mp4" in line
    )


def test_an_opaque_image_logs_nothing(log):
    portrait_from_image(cut_out(0.0))
    portrait_from_image(cut_out(0.0)[..., :3], alpha=torch.zeros(64, 64))
    assert log.messages == []


def test_an_empty_batch_and_an_empty_mask_are_reported():
    with pytest.raises(ImageError, match="image batch is empty"):
        portrait_from_image(torch.zeros(0, 100, 100, 3))
    for shape in [(0, 100), (1, 0, 0), (3, 100, 100), (100,)]:
        with pytest.raises(ImageError, match="expected one mask"):
            portrait_from_image(torch.zeros(100, 100, 3), face_mask=torch.zeros(shape))


@pytest.mark.parametrize(
    "image, words",
    [
        (torch.zeros(100), r"^the portrait: expected the shape .*got \(100,\)"),
        (torch.zeros(2, 100, 100, 3), "^the portrait: expected one image, got a batch of 2"),
        (torch.zeros(100, 100, 2), r"^the portrait: expected the shape .*got \(100, 100, 2\)"),
        (torch.zeros(100, 100, 3, dtype=torch.int32), "^the portrait: expected float values .*int32"),
        (torch.zeros(100, 40, 3), "^the portrait is 40 x 100 pixels, too small"),
        (torch.full((100, 100, 3), float("nan")), "^the portrait contains NaN"),
        ("face.jpg", "^the portrait: expected a tensor .*got str"),
    ],
)
def test_a_portrait_made_by_hand_gets_the_sentences_that_an_image_gets(image, words):
    with pytest.raises(ImageError, match=words):
        pipeline.extract(None, Portrait(image))


def test_a_portrait_made_by_hand_is_brought_into_the_form_of_all_others():
    alpha = torch.linspace(0, 255, 100).byte().expand(100, 100)
    made = check_portrait(Portrait(torch.full((100, 100, 4), 51, dtype=torch.uint8).index_fill(2, torch.tensor(3), 0)))
    assert made.image.shape == (100, 100, 3) and torch.allclose(made.image, torch.tensor(0.2))
    assert made.mask.shape == (100, 100) and (made.mask == 1).all()
    own = check_portrait(Portrait(torch.zeros(100, 100), mask=alpha / 255, name="grey"))
    assert own.image.shape == (100, 100, 3) and torch.equal(own.mask, alpha / 255) and own.name == "grey"


def test_a_portrait_is_looked_at_once():
    portrait = portrait_from_image(torch.zeros(100, 100, 3))
    assert check_portrait(portrait) is portrait
    once = check_portrait(Portrait(torch.zeros(100, 100, 3)))
    assert check_portrait(once) is once


@pytest.mark.parametrize("pixels, warned", [(22, True), (105, False)])
def test_a_small_face_logs_in_one_line_that_the_head_will_be_blurred(
    detector, mesh_net, mean_face, log, pixels, warned
):
    side = round(512 * pixels / 105)
    extract_mini(detector, mesh_net, mean_face, Portrait(resized(astronaut(), side, side)), CropMode.CROP, 256)
    lines = [line for line in log.messages if "pixels large" in line]
    assert len(lines) == warned and all("larger image" in line for line in lines)
