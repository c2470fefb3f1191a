"""What a portrait says about itself before it talks."""

import logging

import pytest
import torch

from sadtalker_core.canonical_face import HEAD_TO_IMAGE, load_canonical_face
from sadtalker_core.datatypes import CropMode, Portrait
from sadtalker_core.errors import ImageError
from sadtalker_core.face.extract import extract_mini
from sadtalker_core.face.linear_3dmm import Linear3DMM
from sadtalker_core.face.portrait import portrait_from_image
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


def test_a_cut_out_says_in_one_line_what_becomes_of_it(log):
    portrait = portrait_from_image(cut_out(0.4), name="me.png")
    assert portrait.mask.mean() == pytest.approx(0.4) and portrait.name == "me.png"
    (line,) = log.messages
    assert "40 % of the portrait is transparent" in line and "put the portrait on a background colour" in line


def test_an_opaque_image_says_nothing(log):
    portrait_from_image(cut_out(0.0))
    portrait_from_image(cut_out(0.0)[..., :3], alpha=torch.zeros(64, 64))
    assert log.messages == []


def test_an_empty_batch_and_an_empty_mask_are_told():
    with pytest.raises(ImageError, match="image batch is empty"):
        portrait_from_image(torch.zeros(0, 100, 100, 3))
    for shape in [(0, 100), (1, 0, 0), (3, 100, 100), (100,)]:
        with pytest.raises(ImageError, match="expected one mask"):
            portrait_from_image(torch.zeros(100, 100, 3), painted=torch.zeros(shape))


@pytest.mark.parametrize("pixels, said", [(22, True), (105, False)])
def test_a_small_face_says_in_one_line_that_the_head_will_be_blurred(detector, mesh_net, log, pixels, said):
    side = round(512 * pixels / 105)
    net = Linear3DMM()
    canonical = load_canonical_face()
    net.template.copy_((canonical.mean - canonical.pivot) * torch.tensor(HEAD_TO_IMAGE))
    torch.nn.init.zeros_(net.read.weight)
    extract_mini(detector, mesh_net, net, Portrait(resized(astronaut(), side, side)), CropMode.CROP, 256)
    lines = [line for line in log.messages if "pixels large" in line]
    assert len(lines) == said and all("larger image" in line for line in lines)
