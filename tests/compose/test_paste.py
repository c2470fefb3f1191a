"""Pasting the head back: exact outside the box, soft at its edge, in the colours of the image, at any place."""

import pytest
import torch

from sadtalker_core.compose.frame_input import with_even_sides
from sadtalker_core.compose.paste import Blend, PasteBack, fade, resize, without_doubled_row
from sadtalker_core.datatypes import Box, CropMode, FaceCrop, FrameStream, Portrait
from sadtalker_core.errors import ImageError, OptionError, VideoError
from sadtalker_core.lanczos import resize_lanczos


def an_image(height, width, seed=0):
    """(H, W, 3) soft colours."""
    coarse = torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(seed))
    return resize(coarse, (height, width))[0].permute(1, 2, 0).contiguous()


def a_portrait(box, height=90, width=120, pic_size=64):
    whole_image = an_image(height, width)
    seen = whole_image.permute(2, 0, 1)[None, :, max(box.y, 0) : box.bottom, max(box.x, 0) : box.right]
    image = resize(seen, (pic_size, pic_size))[0] if 0 not in seen.shape else torch.zeros(3, pic_size, pic_size)
    return Portrait(whole_image, crop=FaceCrop(image, torch.zeros(68, 2), box, CropMode.FULL))


def some_frames(n=3, height=40, width=50):
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(n))


def channels_first(whole_image):
    return whole_image.permute(2, 0, 1)


EVERYWHERE = {
    "middle": Box(30, 20, 50, 40),
    "left edge": Box(0, 20, 50, 40),
    "top edge": Box(30, 0, 50, 40),
    "right edge": Box(70, 20, 50, 40),
    "bottom edge": Box(30, 50, 50, 40),
    "left top corner": Box(0, 0, 51, 43),
    "right top corner": Box(70, 0, 50, 40),
    "left bottom corner": Box(0, 50, 50, 40),
    "right bottom corner": Box(70, 50, 50, 40),
    "over the left edge": Box(-20, 20, 50, 40),
    "over the top edge": Box(30, -10, 50, 40),
    "over the right edge": Box(100, 20, 50, 40),
    "over the bottom edge": Box(30, 70, 50, 40),
    "over the left top corner": Box(-20, -10, 50, 40),
    "over the right top corner": Box(100, -10, 50, 40),
    "over the left bottom corner": Box(-20, 70, 50, 40),
    "over the right bottom corner": Box(100, 70, 50, 40),
    "all of it": Box(0, 0, 120, 90),
    "more than all of it": Box(-5, -7, 140, 130),
    "one pixel": Box(60, 40, 1, 1),
    "a line": Box(10, 30, 90, 1),
    "a column": Box(50, 0, 1, 90),
    "odd": Box(31, 21, 37, 29),
}


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize(("box", "pic_size", "made"), [
    (Box(30, 20, 48, 33), 64, (44, 64)),
    (Box(30, 20, 50, 34), 64, (43, 64)),
    (Box(20, 10, 50, 51), 64, (65, 64)),
    (Box(20, 10, 50, 50), 64, (64, 64)),
])  # fmt: skip
def test_a_side_that_was_made_even_is_pasted_as_if_it_had_not_been(box, pic_size, made, scale):
    """Also behind an upscaler. The doubled row must not squeeze the head."""
    portrait = a_portrait(box, pic_size=pic_size)
    assert portrait.require_crop().frame_hw == made
    frames = some_frames(2, *made)
    stream = with_even_sides(FrameStream(2, *made, lambda: iter([frames])))
    (even,) = stream.batches()
    assert even.shape[2] % 2 == even.shape[3] % 2 == 0
    larger = [x.repeat_interleave(scale, 2).repeat_interleave(scale, 3) for x in (frames, even)]
    assert torch.equal(PasteBack(portrait)(larger[1]), PasteBack(portrait)(larger[0]))


@pytest.mark.parametrize("size_hw", [(43, 64), (86, 128), (34, 50), (64, 64), (128, 128), (90, 128)])
def test_frames_without_a_doubled_row_are_pasted_whole(size_hw):
    frames = torch.rand(1, 3, *size_hw)
    assert without_doubled_row(frames, a_portrait(Box(30, 20, 50, 34)).require_crop()) is frames


@pytest.mark.parametrize("blend", list(Blend))
@pytest.mark.parametrize("where", EVERYWHERE)
def test_paste_back_leaves_pixels_outside_the_box_alone(where, blend):
    box = EVERYWHERE[where]
    portrait = a_portrait(box)
    whole = PasteBack(portrait, blend=blend)(some_frames())
    assert whole.shape == (3, 3, 90, 120)
    outside = torch.ones(90, 120, dtype=torch.bool)
    outside[max(box.y, 0) : box.bottom, max(box.x, 0) : box.right] = False
    assert torch.equal(whole[..., outside], channels_first(portrait.image).expand(3, -1, -1, -1)[..., outside])
    assert whole.min() >= 0 and whole.max() <= 1


@pytest.mark.parametrize("where", EVERYWHERE)
def test_the_middle_of_the_box_is_the_frame(where):
    box = EVERYWHERE[where]
    paste = PasteBack(a_portrait(box), colour_match=0)
    frames = some_frames(2, box.height, box.width)
    whole = paste(frames)
    y, x = box.y + box.height // 2, box.x + box.width // 2
    if 0 <= y < 90 and 0 <= x < 120:
        torch.testing.assert_close(whole[:, :, y, x], frames[:, :, box.height // 2, box.width // 2])
        assert paste.mask[y, x] == 1


def test_the_untouched_crop_pastes_to_the_image():
    portrait = a_portrait(Box(30, 20, 50, 40))
    seen = channels_first(portrait.image)[None, :, 20:60, 30:80]
    for blend in Blend:
        torch.testing.assert_close(
            PasteBack(portrait, blend=blend)(seen)[0], channels_first(portrait.image), rtol=0, atol=1e-5
        )


def test_the_mask_covers_where_the_frames_show():
    """With the colours left alone a pixel is p + m (f - p)."""
    portrait = a_portrait(Box(30, 20, 50, 40))
    paste = PasteBack(portrait, colour_match=0)
    black, white = paste(torch.zeros(1, 3, 40, 50)), paste(torch.ones(1, 3, 40, 50))
    torch.testing.assert_close((white - black)[0], paste.mask.expand(3, -1, -1))


def test_a_seam_fades_but_the_edge_of_the_image_does_not():
    mask = PasteBack(a_portrait(Box(0, 50, 60, 40)), feather=0.25).mask  # at the left and bottom edge of the image
    assert (mask[80:, :30] == 1).all()
    assert mask[50, 0] < 0.02 and mask[89, 59] < 0.02
    assert (mask[50:61, 10].diff() > 0).all() and (mask[70, 49:60].diff() < 0).all()


def test_a_box_that_is_the_whole_image_has_no_seam():
    portrait = a_portrait(EVERYWHERE["all of it"])
    frames = some_frames(1, 90, 120)
    paste = PasteBack(portrait)
    assert (paste.mask == 1).all()
    torch.testing.assert_close(paste(frames), frames)


def test_without_feather_the_edge_is_hard():
    mask = PasteBack(a_portrait(Box(30, 20, 50, 40)), feather=0).mask
    assert set(mask.unique().tolist()) == {0.0, 1.0} and mask.sum() == 50 * 40


def test_a_wider_feather_shows_less():
    shown = [PasteBack(a_portrait(Box(30, 20, 50, 40)), feather=f).mask.sum() for f in (0.0, 0.1, 0.3, 0.5)]
    assert shown == sorted(shown, reverse=True)


def test_fading_is_the_same_from_all_sides():
    mask = fade(Box(5, 5, 20, 12), (40, 40), 4.0)
    assert torch.equal(mask, mask.flip(0)) and torch.equal(mask, mask.flip(1))


def test_a_tint_is_removed():
    portrait = a_portrait(Box(30, 20, 50, 40))
    seen = channels_first(portrait.image)[None, :, 20:60, 30:80]
    tinted = 0.9 * seen + torch.tensor([0.09, 0.06, 0.03])[None, :, None, None]
    matched, left = PasteBack(portrait)(tinted)[0], PasteBack(portrait, colour_match=0)(tinted)[0]
    whole_image = channels_first(portrait.image)
    assert (matched - whole_image).abs().max() < 0.01 < (left - whole_image).abs().max()
    half = PasteBack(portrait, colour_match=0.5)(tinted)[0]
    torch.testing.assert_close(half, (matched + left) / 2)


def test_a_black_frame_is_not_turned_into_a_face():
    """What comes into the band may be anything; the colours move by a fifth at most."""
    portrait = a_portrait(Box(30, 20, 50, 40))
    assert PasteBack(portrait)(torch.zeros(1, 3, 40, 50))[0, :, 40, 55].max() <= 0.2


def test_batches_of_any_size_make_the_same_frames():
    portrait, frames = a_portrait(Box(30, 20, 50, 40)), some_frames(7)
    at_once = PasteBack(portrait)(frames)
    for batch in (1, 2, 5):
        paste = PasteBack(portrait)
        pieces = torch.cat([paste(part) for part in frames.split(batch)])
        torch.testing.assert_close(pieces, at_once)


@pytest.mark.parametrize("where", EVERYWHERE)
@pytest.mark.parametrize("colour_match", [0.0, 0.7])
def test_bytes_for_a_video_are_the_frames_rounded(where, colour_match):
    portrait = a_portrait(EVERYWHERE[where])
    frames = some_frames(4)
    whole = PasteBack(portrait, colour_match=colour_match)(frames)
    fast = PasteBack(portrait, colour_match=colour_match)
    pieces = torch.cat([fast.as_bytes(part) for part in frames.split(3)])
    assert torch.equal(pieces, (whole * 255).round().to(torch.uint8).permute(0, 2, 3, 1))


def test_a_frame_in_bytes_is_nobody_elses():
    """The next frame starts from the image again, whatever was drawn on the last one."""
    paste, frames = PasteBack(a_portrait(Box(30, 20, 50, 40)), colour_match=0), some_frames()
    first = paste.as_bytes(frames)
    kept = first.clone()
    first.zero_()
    assert torch.equal(paste.as_bytes(frames), kept)


@pytest.mark.parametrize(("height", "width"), [(40, 50), (20, 25), (333, 517), (1, 1)])
def test_a_restorer_may_have_changed_the_resolution(height, width):
    portrait = a_portrait(Box(30, 20, 50, 40))
    seen = channels_first(portrait.image)[None, :, 20:60, 30:80]
    whole = PasteBack(portrait)(resize(seen, (height, width)))
    assert whole.shape == (1, 3, 90, 120)
    if height > 1:
        assert (whole[0] - channels_first(portrait.image)).abs().max() < 0.05


def test_a_users_mask_shows_the_frames_only_where_it_is_white():
    portrait = a_portrait(Box(30, 20, 50, 40))
    mask = torch.zeros(90, 120)
    mask[:, :55] = 1.0
    for given in (mask, mask[None], mask.double()):
        paste = PasteBack(portrait, mask=given, colour_match=0)
        whole = paste(torch.ones(1, 3, 40, 50))
        whole_image = channels_first(portrait.image)
        assert torch.equal(whole[0, :, :, 55:], whole_image[:, :, 55:])
        assert (whole[0, :, 40, 45] == 1).all()
    stretched = PasteBack(portrait, mask=resize(mask.expand(1, 3, -1, -1), (45, 60))[0, 0]).mask
    assert (stretched - paste.mask).abs().mean() < 0.01


def test_nothing_that_came_in_is_written_on():
    portrait, frames = a_portrait(Box(30, 20, 50, 40)), some_frames()
    before = portrait.image.clone(), frames.clone()
    for blend in Blend:
        PasteBack(portrait, blend=blend)(frames).zero_()
    assert torch.equal(portrait.image, before[0]) and torch.equal(frames, before[1])


@pytest.mark.parametrize("box", [Box(120, 0, 10, 10), Box(-10, 5, 10, 10), Box(0, 90, 5, 5), Box(5, 5, 0, 9)])
def test_a_box_off_the_image_gets_a_sentence(box):
    with pytest.raises(ImageError, match="box on the image of 120 x 90"):
        PasteBack(a_portrait(box))


def test_a_portrait_without_a_crop_gets_a_sentence():
    with pytest.raises(OptionError, match="3DMM Extract"):
        PasteBack(Portrait(an_image(20, 20)))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"feather": -0.1}, "feather between 0 and 0.5"),
        ({"feather": 0.6}, "feather between 0 and 0.5"),
        ({"colour_match": 1.5}, "colour_match between 0 and 1"),
        ({"colour_match": float("nan")}, "colour_match"),
        ({"mask": torch.zeros(2, 90, 120)}, "one mask"),
        ({"mask": torch.zeros(0, 5)}, "one mask"),
        ({"mask": torch.full((90, 120), float("nan"))}, "NaN"),
    ],
)
def test_impossible_options_get_a_sentence(options, sentence):
    with pytest.raises(OptionError, match=sentence):
        PasteBack(a_portrait(Box(30, 20, 50, 40)), **options)


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        (torch.zeros(3, 40, 50), "batch, 3, height, width"),
        (torch.zeros(1, 4, 40, 50), "batch, 3, height, width"),
        (torch.zeros(1, 3, 0, 50), "batch, 3, height, width"),
        (torch.full((1, 3, 40, 50), float("nan")), "fp32"),
    ],
)
def test_frames_that_cannot_be_pasted_get_a_sentence(frames, sentence):
    with pytest.raises(VideoError, match=sentence):
        PasteBack(a_portrait(Box(30, 20, 50, 40)))(frames)


def test_a_second_head_goes_into_the_frames_of_the_first():
    """Both are in the image, each where it alone would be, and around them nothing changes."""
    left, right = a_portrait(Box(5, 20, 40, 40)), a_portrait(Box(70, 20, 40, 40))
    one, two = PasteBack(left)(some_frames(3)), PasteBack(right)(some_frames(3).flip(0))
    both = PasteBack(right)(some_frames(3).flip(0), one)
    torch.testing.assert_close(both[..., :60], one[..., :60], rtol=0, atol=0)
    torch.testing.assert_close(both[..., 60:], two[..., 60:], rtol=0, atol=0)


def test_the_edge_of_the_second_head_fades_into_the_first():
    """Where the boxes overlap: what lies under the fade is the frame, not the image that stands still."""
    first = a_portrait(Box(10, 20, 50, 40))
    second = PasteBack(a_portrait(Box(40, 20, 50, 40)), feather=0.5, colour_match=0)
    under = PasteBack(first, colour_match=0)(torch.ones(1, 3, 40, 50))
    both = second(torch.zeros(1, 3, 40, 50), under)
    shown = second.mask[20:60, 40:90]
    torch.testing.assert_close(both[0, :, 20:60, 40:90], under[0, :, 20:60, 40:90] * (1 - shown))


@pytest.mark.parametrize("size_hw", [(90, 119), (45, 60)])
def test_a_background_of_another_image_is_refused(size_hw):
    with pytest.raises(VideoError, match="120 x 90, got"):
        PasteBack(a_portrait(Box(30, 20, 50, 40)))(some_frames(2), torch.zeros(2, 3, *size_hw))


def test_a_head_that_was_enlarged_and_is_made_smaller_again_keeps_its_detail():
    """A head of fewer pixels than 256 is rendered at 256 and comes back."""
    noise = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    fine = 0.5 + 0.3 * (noise - noise.mean())
    back = resize(resize_lanczos(fine, (128, 128), lobes=16), (96, 96))

    def detail(image):
        return float((image[..., 1:-1, 1:-1] * 2 - image[..., 1:-1, :-2] - image[..., 1:-1, 2:]).abs().mean())

    assert detail(back) > 0.72 * detail(fine)  # .76; by a cubic .65
