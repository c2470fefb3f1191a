"""The doorway for images."""

import pytest
import torch

from sadtalker_core.errors import ImageError
from sadtalker_core.face.image import check_image


def test_a_good_image_passes_unchanged_and_without_a_mask():
    image = torch.rand(80, 90, 3)
    clean, mask = check_image(image)
    assert torch.equal(clean, image) and mask is None


@pytest.mark.parametrize("shape", [(70, 64), (70, 64, 1), (1, 70, 64, 1)])
def test_grey_becomes_rgb(shape):
    grey = torch.rand(shape)
    clean, _ = check_image(grey)
    assert clean.shape == (70, 64, 3) and torch.equal(clean[..., 2], grey.reshape(70, 64))


def test_alpha_becomes_the_mask_and_leaves_the_colours_alone():
    image = torch.rand(64, 64, 4)
    clean, mask = check_image(image)
    assert torch.equal(clean, image[..., :3]) and torch.equal(mask, 1 - image[..., 3])


def test_8_bit_images_become_parts_of_one():
    clean, _ = check_image(torch.full((64, 64, 3), 255, dtype=torch.uint8))
    assert clean.dtype == torch.float32 and (clean == 1).all()


def test_what_a_resizer_left_outside_0_and_1_is_clamped():
    clean, _ = check_image(torch.tensor([-0.01, 0.5, 1.02]).expand(64, 64, 3))
    assert clean[0, 0].tolist() == [0.0, 0.5, 1.0]


def test_the_image_that_came_in_is_not_written_on():
    image = torch.full((64, 64, 3), 1.5)
    check_image(image)
    assert (image == 1.5).all()


@pytest.mark.parametrize(
    "image, words",
    [
        (torch.rand(16, 16, 3), "16 x 16 pixels, too small"),
        (torch.rand(600, 40, 3), "40 x 600 pixels, too small"),
        (torch.rand(64, 64, 2), r"got \(64, 64, 2\)"),
        (torch.rand(64), r"got \(64,\)"),
        (torch.rand(2, 64, 64, 3), "got a batch of 2"),
        (torch.full((64, 64, 3), float("nan")), "NaN"),
        (torch.full((64, 64, 3), float("inf")), "NaN"),
        (torch.ones(64, 64, 3, dtype=torch.int64), "torch.int64"),
        ([[0.0]], "got list"),
    ],
)
def test_each_bad_image_gets_its_sentence(image, words):
    with pytest.raises(ImageError, match=words) as error:
        check_image(image, "the portrait")
    assert str(error.value).startswith("the portrait")


@pytest.mark.slow
def test_a_48_megapixel_image_passes():
    clean, _ = check_image(torch.zeros(6000, 8000, 3, dtype=torch.uint8)[..., :1])
    assert clean.shape == (6000, 8000, 3)
