"""Cut-outs on other backgrounds: no rim of what lay under them, and opaque pixels untouched."""

import pytest
import torch

from sadtalker_core.compose.cutout import Backdrop, clean_edges, colour_of, require_colour
from sadtalker_core.compose.label import label_alpha, label_frames
from sadtalker_core.compose.paste import PasteBack
from sadtalker_core.datatypes import Box, CropMode, FaceCrop, Portrait
from sadtalker_core.errors import ImageError, OptionError, VideoError
from sadtalker_core.face.portrait import portrait_from_image


def a_disc_on_black(side=64, soft=2.0):
    """Frames (1, 3, side, side) and alpha: a light disc whose edge has mixed with the black under it."""
    y, x = torch.meshgrid(*[torch.arange(side) + 0.5] * 2, indexing="ij")
    alpha = ((20 - (x - 32).hypot(y - 32)) / soft + 0.5).clamp(0, 1)[None, None]
    return alpha * torch.tensor([0.9, 0.7, 0.5])[None, :, None, None], alpha


def test_the_edge_has_the_colour_of_what_is_within_it():
    frames, alpha = a_disc_on_black()
    clean = clean_edges(frames, alpha)
    rim = ((alpha > 0.05) & (alpha < 1)).expand(-1, 3, -1, -1)
    wanted = torch.tensor([0.9, 0.7, 0.5])[None, :, None, None].expand_as(frames)
    assert (frames - wanted)[rim].abs().max() > 0.7
    assert (clean - wanted)[rim].abs().max() < 0.12
    white = Backdrop(torch.ones(3), (64, 64)).under(clean, alpha)
    assert white.min() > 0.45  # without it the rim is as dark as 0.26


def test_opaque_pixels_stay_to_the_bit_and_so_do_those_far_from_everything():
    frames, alpha = a_disc_on_black()
    frames = frames + torch.rand(frames.shape, generator=torch.Generator().manual_seed(1)) * 0.1
    clean = clean_edges(frames, alpha)
    for same in (alpha == 1, (torch.nn.functional.max_pool2d(alpha, 11, 1, 5) == 0)):
        assert torch.equal(clean[same.expand_as(clean)], frames[same.expand_as(frames)])


def test_an_image_fills_the_frame_and_a_clip_holds_its_last_image():
    stripes = torch.zeros(2, 20, 40, 3)
    stripes[0, :, :10], stripes[0, :, 30:] = 1, 1  # cut off where the frame is square
    stripes[1] = 0.5
    behind = Backdrop(stripes, (10, 10))
    nothing = torch.zeros(2, 3, 10, 10), torch.zeros(2, 1, 10, 10)
    first, later = behind.under(*nothing), behind.under(*nothing)
    assert first[0, :, :, 1:-1].abs().max() < 0.1 and torch.allclose(first[1], torch.tensor(0.5))
    assert torch.allclose(later, torch.tensor(0.5))


def test_an_image_that_is_a_line_is_cut_before_it_is_enlarged():
    line = torch.linspace(0, 1, 100_001)[None, :, None, None].expand(1, -1, 1, 3)
    under = Backdrop(line, (64, 48)).under(torch.zeros(1, 3, 48, 64), torch.zeros(1, 1, 48, 64))  # else 80 GB
    assert torch.allclose(under, torch.tensor(0.5), atol=1e-4)


@pytest.mark.parametrize(
    ("text", "levels"), [("#00ff00", (0, 255, 0)), ("#f80", (255, 136, 0)), (" White ", (255,) * 3)]
)
def test_colours_are_read_as_the_web_writes_them(text, levels):
    assert require_colour("background_color", text).mul(255).round().tolist() == list(levels)


@pytest.mark.parametrize("text", ["", "grren", "#12", "#11223344", "rgba(1,2,3,4)", "a.png"])
def test_what_is_no_opaque_colour_gets_a_sentence(text):
    assert colour_of(text) is None
    with pytest.raises(OptionError, match="background_color: expected a colour such as #00ff00 or white, got"):
        require_colour("background_color", text)


def test_a_background_that_is_none_gets_a_sentence():
    with pytest.raises(VideoError, match="expected a background"):
        Backdrop(torch.zeros(4, 4), (8, 8))
    with pytest.raises(VideoError, match="NaN"):
        Backdrop(torch.full((1, 4, 4, 3), torch.nan), (8, 8))


# --------------------------------------------------------------------------------------------- the whole image, a label


def a_portrait(mask):
    crop = FaceCrop(torch.zeros(3, 32, 32), torch.zeros(68, 2), Box(20, 10, 32, 32), CropMode.FULL)
    return Portrait(torch.full((60, 80, 3), 0.25), mask, crop=crop)


def test_the_whole_alpha_is_the_heads_in_its_box_and_the_portraits_around_it():
    mask = torch.zeros(60, 80)
    mask[:, 60:] = 1
    back = PasteBack(a_portrait(mask), feather=0.0)
    heads = torch.zeros(2, 1, 32, 32)
    heads[1, :, 8:, :] = 1
    alpha = back.alpha(heads)
    assert alpha.shape == (2, 1, 60, 80)
    assert not alpha[0, 0, 10:42, 20:52].any() and torch.equal(alpha[1, 0, 10:42, 20:52], heads[1, 0])
    outside = torch.ones(60, 80, dtype=torch.bool)
    outside[10:42, 20:52] = False
    assert torch.equal(alpha[:, 0, outside], (1 - mask)[outside].expand(2, -1))


def test_a_label_is_visible_where_the_frames_are_transparent():
    frames, alpha = torch.zeros(2, 64, 128, 3), torch.zeros(2, 64, 128)
    labelled, shown = label_frames(frames, opacity=1.0), label_alpha(alpha, opacity=1.0)
    assert torch.equal(shown[0] > 0.99, shown[1] > 0.99) and not alpha.any()
    assert (shown[labelled.amax(-1) > 0.5] == 1).all() and (shown[:, :32] == 0).all()


# ------------------------------------------------------------------------------------------------------ the portrait


def test_the_mask_of_a_person_makes_the_rest_transparent():
    image, person = torch.full((80, 100, 3), 0.5), torch.zeros(40, 50)
    person[10:30, 10:40] = 1
    portrait = portrait_from_image(image, person_mask=person)
    assert portrait.mask.shape == (80, 100)
    assert portrait.mask[40, 50] == 0 and portrait.mask[2, 2] == 1
    assert torch.equal(portrait.alpha(), 1 - portrait.mask)
    both = portrait_from_image(torch.cat([image, torch.full((80, 100, 1), 0.75)], -1), person_mask=person)
    assert both.alpha()[40, 50] == 0.75 and both.alpha()[2, 2] == 0


def test_an_opaque_portrait_has_no_alpha():
    assert portrait_from_image(torch.ones(80, 100, 4)).alpha() is None
    assert portrait_from_image(torch.ones(80, 100, 3)).alpha() is None


@pytest.mark.parametrize(("shown", "kind", "words"), [
    (torch.zeros(64, 64), OptionError, "person_mask shows nothing of the image.*put Invert Mask between"),
    (torch.full((80, 100), torch.nan), ImageError, "person_mask contains NaN"),
    (torch.ones(2, 2, 80, 100), ImageError, "expected person_mask as"),
])  # fmt: skip
def test_a_mask_that_fits_nothing_gets_a_sentence(shown, kind, words):
    with pytest.raises(kind, match=words):
        portrait_from_image(torch.ones(80, 100, 3), person_mask=shown)


@pytest.mark.parametrize("side", [96, 800])  # at its size, and worked out at half of it
def test_a_head_in_a_large_frame_is_cleaned_as_it_is_alone(side):
    """Around it nothing is worked out, and nothing changes."""
    frames = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    line = torch.arange(side) + 0.5 - side / 2
    alpha = ((side / 6 - (line**2 + line[:, None] ** 2).sqrt()) / 8 + 0.5).clamp(0, 1)[None, None]
    cleaned = clean_edges(frames, alpha)
    # a faint pixel in each corner makes the rectangle the whole frame
    faint = alpha.clone()
    faint[..., [0, 0, -1, -1], [0, -1, 0, -1]] = 1e-3
    assert (cleaned - clean_edges(frames, faint))[:, :, 1:-1, 1:-1].mul(alpha[:, :, 1:-1, 1:-1]).abs().max() < 1e-4
    assert (cleaned != frames)[(alpha > 0).expand_as(frames) & (alpha < 0.9)].float().mean() > 0.9
    assert torch.equal(cleaned[..., : side // 4, :], frames[..., : side // 4, :])
