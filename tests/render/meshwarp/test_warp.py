"""Images looked up at other places."""

import pytest
import torch
from torch.nn import functional as F

from sadtalker_core.lanczos import resize_lanczos
from sadtalker_core.render.meshwarp.placement import MARGIN, STAGE, WINDOW
from sadtalker_core.render.meshwarp.warp import (
    Lookup,
    halved,
    largest_around,
    mean_around,
    room_to_the_sides,
    sample,
    sum_around,
    warp_window,
    within_the_image,
)

CORNER = torch.full((1, 2), float(MARGIN))


def test_without_displacement_the_window_shows_the_middle_of_the_stage():
    stage = torch.rand(1, 3, STAGE, STAGE)
    middle = stage[:, :, MARGIN : MARGIN + WINDOW, MARGIN : MARGIN + WINDOW]
    assert torch.allclose(warp_window(stage, torch.zeros(1, 2, WINDOW, WINDOW), CORNER), middle, atol=1e-4)


def test_a_displacement_points_to_where_a_pixel_comes_from():
    stage = torch.rand(1, 3, STAGE, STAGE)
    moved = torch.zeros(1, 2, WINDOW, WINDOW)
    moved[:, 0], moved[:, 1] = 3, -2
    right = stage[:, :, MARGIN - 2 : MARGIN - 2 + WINDOW, MARGIN + 3 : MARGIN + 3 + WINDOW]
    assert torch.allclose(warp_window(stage, moved, CORNER), right, atol=1e-4)


def test_half_precision_is_sampled_in_single():
    image = torch.rand(1, 1, STAGE, STAGE).bfloat16()
    grid = torch.rand(1, 5, 5, 2) * 2 - 1
    found = sample(image, grid)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, sample(image.float(), grid).bfloat16())


def grid(side: int) -> torch.Tensor:
    """(1, S, S, 2) where the pixels of an image are, in -1..1"""
    y, x = torch.meshgrid(*(2 * [(torch.arange(side) + 0.5) / side * 2 - 1]), indexing="ij")
    return torch.stack([x, y], dim=-1)[None]


def test_what_moves_up_from_the_side_of_the_image_is_pressed_together_there():
    side = 64
    identity, moved = grid(side), torch.zeros(2, 2, side, side)
    moved[0, 1], moved[1, 0] = 0.2, -0.5
    kept = within_the_image(moved, room_to_the_sides(identity))
    looked_up = identity.permute(0, 3, 1, 2) + kept
    assert looked_up.abs().max() <= 1
    assert torch.equal(kept[0, :, :20], moved[0, :, :20])  # there is room enough
    assert (looked_up[0, 1, :, 0].diff() > 0).all() and (looked_up[1, 0, 0].diff() > 0).all()  # nothing folds


def test_beside_a_side_that_cuts_nobody_nothing_is_pressed_together():
    """A person in the lower right: cut below, to the right in the lower half, and at no other place."""
    side, reach = 64, 4
    person = torch.zeros(1, 1, side, side)
    person[..., side // 2 :, side // 2 :] = 1
    identity = grid(side)
    around, unknown = room_to_the_sides(identity, person, reach), room_to_the_sides(identity)
    to_the_right, down = around[1][0]
    beside = side // 2 - 3 * reach
    assert around[0].amin() > 5
    assert torch.equal(to_the_right[side // 2 :], unknown[1][0, 0, side // 2 :]) and to_the_right[:beside].amin() > 5
    assert torch.equal(down[:, side // 2 :], unknown[1][0, 1, :, side // 2 :]) and down[:, :beside].amin() > 5
    for push in (torch.tensor([0.5, 0.0]), torch.tensor([0.0, -0.5])):
        moved = push.view(1, 2, 1, 1).expand(-1, -1, side, side)
        kept, pressed = (within_the_image(moved, room)[:, :, :10] for room in (around, unknown))
        assert torch.equal(kept, moved[:, :, :10]) and not torch.equal(pressed, kept)


def shifted(look, side, pixels):
    """(S, S) what is looked up that far to the right and down."""
    places = (torch.arange(side) + 0.5 + pixels) * (2 / side) - 1
    grid = torch.stack(torch.meshgrid(places, places, indexing="ij")[::-1], dim=-1)[None]
    return look(grid)[0, 0, 8:-8, 8:-8]


def sharpness(image):
    return (
        (4 * image[1:-1, 1:-1] - image[:-2, 1:-1] - image[2:, 1:-1] - image[1:-1, :-2] - image[1:-1, 2:]).abs().mean()
    )


def test_a_fine_lookup_is_as_sharp_between_pixels_as_on_them_and_a_plain_one_is_not():
    skin = resize_lanczos(torch.rand(1, 1, 96, 96, generator=torch.Generator().manual_seed(0)), (128, 128))
    found = {fine: [sharpness(shifted(Lookup(skin, fine), 128, k / 8)) for k in range(8)] for fine in (True, False)}
    assert min(found[True]) > 0.95 * max(found[True])
    assert min(found[False]) < 0.6 * max(found[False])


def clouds():
    """(1, 3, 160, 160) in 0..1, light and dark of all sizes, and a little coloured."""
    draw, sums = torch.Generator().manual_seed(1), torch.zeros(1, 3, 160, 160)
    for k in (4, 8, 16, 32, 64):
        noise = torch.rand(1, 1, k, k, generator=draw) + 0.3 * torch.rand(1, 3, k, k, generator=draw)
        sums += F.interpolate(noise - noise.mean(), (160, 160), mode="bicubic") * (4 / k) ** 1.2
    return (sums / sums.std() * 0.22 + 0.5).clamp(0, 1)


def test_a_print_in_few_colours_is_as_sharp_between_pixels_as_on_them():
    """With as many lobes as photographs keep, it was 1.29 times as sharp there."""
    light = clouds().mean(1, keepdim=True)
    few = ((light * 6).round() / 6 + 1.5 * (clouds() - light)).clamp(0, 1) * 2 - 1
    found = [sharpness(shifted(Lookup(few, True), 160, k / 8)) / sharpness(few[0, 0, 8:-8, 8:-8]) for k in range(8)]
    assert 0.95 < min(found) and max(found) < 1.05


def test_a_fine_lookup_finds_each_pixel_where_it_is():
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(2)) * 0.6 + 0.2
    smooth = torch.nn.functional.avg_pool2d(image, 3, 1, 1)
    for pixels in (0, 1, -2):
        wanted = smooth.roll((-pixels, -pixels), (2, 3))[0, 0, 8:-8, 8:-8]
        assert (shifted(Lookup(smooth, True), 64, pixels) - wanted).abs().max() < 0.02


def test_a_plain_lookup_is_the_sample_that_it_always_was():
    image, grid = torch.rand(1, 3, 40, 40), torch.rand(2, 9, 9, 2) * 2 - 1
    assert torch.equal(Lookup(image, False)(grid), sample(image.expand(2, -1, -1, -1), grid))


def test_a_fine_lookup_puts_no_rings_around_a_hard_edge():
    edge = torch.full((1, 1, 64, 64), 0.8)
    edge[..., 32:] = 0.1
    for pixels in (0.25, 0.5):
        seen = shifted(Lookup(edge, True), 64, pixels)
        assert 0.08 < seen.min() and seen.max() < 0.83, "the cubic lookup alone overshoots that much"
        assert (seen[:, :16] - 0.8).abs().max() < 1e-4 and (seen[:, 32:] - 0.1).abs().max() < 1e-4


@pytest.mark.parametrize("wide", [1, 3, 5, 7, 11, 19])
def test_the_square_around_a_pixel_is_summed_as_pooling_does(wide):
    image = torch.rand(2, 3, 24, 33)
    pooled = F.avg_pool2d(image, wide, 1, wide // 2, divisor_override=1)
    assert torch.allclose(sum_around(image, wide), pooled, atol=1e-3)
    assert torch.allclose(
        mean_around(image, wide), F.avg_pool2d(image, wide, 1, wide // 2, count_include_pad=False), atol=1e-5
    )
    assert torch.equal(largest_around(image, wide), F.max_pool2d(image, wide, 1, wide // 2))


def test_half_the_size_is_the_mean_of_two_by_two():
    image = torch.rand(2, 3, 24, 34)
    assert torch.allclose(halved(image), F.avg_pool2d(image, 2), atol=1e-6)
