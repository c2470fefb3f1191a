"""Multi-band blending: all of it where everything shows, nothing where nothing does, and a seam of two widths."""

import pytest
import torch

from sadtalker_core.compose.multiband import Multiband, _doubled, _halved
from sadtalker_core.compose.paste import Blend, PasteBack
from sadtalker_core.datatypes import Box, CropMode, FaceCrop, Portrait
from sadtalker_core.pipeline import make_paste_back


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def half(height, width):
    mask = torch.zeros(height, width)
    mask[:, width // 2 :] = 1
    return mask


@pytest.mark.parametrize("size", [(64, 64), (37, 90), (8, 61), (3, 5), (1, 1), (1, 40)])
@pytest.mark.parametrize("width", [0, 12, 40, 500])
def test_what_shows_everywhere_is_the_patch_and_what_shows_nowhere_is_nothing(size, width):
    patch = random(2, 3, *size)
    torch.testing.assert_close(Multiband(torch.ones(size), width)(patch), patch, rtol=0, atol=1e-6)
    assert Multiband(torch.zeros(size), width)(patch).abs().max() == 0


def test_without_a_width_the_edge_stays_hard():
    patch, mask = random(1, 3, 20, 30), half(20, 30)
    assert torch.equal(Multiband(mask, 9.0)(patch), patch * mask)


def test_colours_fade_over_the_width_and_detail_over_a_few_pixels():
    """A step and a chequerboard, both of 1, along the middle row."""
    mask = half(64, 256)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(256), indexing="ij")
    chequers = (1 - 2 * ((rows + columns) % 2)).float()
    blend = Multiband(mask, 80.0)
    colour = blend(torch.ones(1, 3, 64, 256))[0, 0, 32]
    detail = (blend(chequers.expand(1, 3, -1, -1))[0, 0] * chequers)[32]

    def fade_of(line):
        return int(((line > 0.05) & (line < 0.95)).sum())

    assert 30 < fade_of(colour) < 100
    assert fade_of(detail) < 8
    assert colour.diff().abs().max() < 0.1, "no step is left of the hard edge"


def test_frames_do_not_depend_on_their_batch_or_their_dtype():
    blend, patch = Multiband(half(40, 60), 30.0), random(4, 3, 40, 60)
    apart = torch.cat([blend(one[None]) for one in patch])
    torch.testing.assert_close(blend(patch), apart)
    torch.testing.assert_close(blend(patch.double()).float(), apart)


@pytest.mark.parametrize("size", [(2, 2), (6, 4), (34, 50)])
def test_halving_and_doubling_are_those_of_torch(size):
    patch = random(2, 3, *size)
    bilinear = torch.nn.functional.interpolate(patch, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(_doubled(patch), bilinear, rtol=0, atol=1e-6)
    torch.testing.assert_close(_halved(patch), torch.nn.functional.avg_pool2d(patch, 2), rtol=0, atol=1e-6)


def a_portrait(box):
    return Portrait(random(90, 120, 3), crop=FaceCrop(torch.zeros(3, 32, 32), torch.zeros(68, 2), box, CropMode.FULL))


def test_the_head_ends_before_the_box_does_but_not_at_the_edges_of_the_image():
    portrait = a_portrait(Box(0, 20, 60, 50))
    image = portrait.image.permute(2, 0, 1)
    whole = PasteBack(portrait, blend="multiband", colour_match=0, feather=0.3)(torch.ones(1, 3, 50, 60))[0]
    apart = (whole - image).abs().amax(0)[20:70, :60]
    assert apart[:, -1].max() < 0.02 and apart[0].max() < 0.02 and apart[-1].max() < 0.02
    torch.testing.assert_close(whole[:, 45, :30], torch.ones(3, 30), rtol=0, atol=0.02)


def test_a_mask_keeps_the_head_out():
    mask = torch.ones(90, 120)
    mask[:, 60:] = 0
    portrait = a_portrait(Box(20, 10, 80, 70))
    paste = PasteBack(portrait, blend="multiband", colour_match=0, mask=mask)
    whole, image = paste(torch.ones(1, 3, 70, 80))[0], portrait.image.permute(2, 0, 1)
    torch.testing.assert_close(whole[..., 80:], image[..., 80:])
    torch.testing.assert_close(whole[:, 20:70, 35:48], torch.ones(3, 50, 13), rtol=0, atol=1e-3)


def test_what_comes_as_bytes_is_what_comes_as_numbers():
    frames = random(2, 3, 40, 50)
    numbers = PasteBack(a_portrait(Box(30, 20, 50, 40)), blend="multiband")(frames)
    pixels = PasteBack(a_portrait(Box(30, 20, 50, 40)), blend="multiband").as_bytes(frames)
    assert torch.equal((numbers * 255).round().to(torch.uint8).permute(0, 2, 3, 1), pixels)


def test_paste_back_blends_in_bands_unless_a_mask_ends_the_head():
    portrait = a_portrait(Box(20, 10, 80, 70))
    assert make_paste_back(portrait).blend is Blend.MULTIBAND
    assert make_paste_back(portrait, mask=torch.ones(90, 120)).blend is Blend.FEATHER
