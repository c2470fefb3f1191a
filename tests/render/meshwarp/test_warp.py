"""Images looked up at other places."""

import torch

from sadtalker_core.render.meshwarp.placement import MARGIN, STAGE, WINDOW
from sadtalker_core.render.meshwarp.warp import sample, warp_window, within_the_image

CORNER = torch.full((1, 2), float(MARGIN))


def test_without_displacement_the_window_shows_the_middle_of_the_stage():
    stage = torch.rand(1, 3, STAGE, STAGE)
    middle = stage[:, :, MARGIN : MARGIN + WINDOW, MARGIN : MARGIN + WINDOW]
    assert torch.allclose(warp_window(stage, torch.zeros(1, 2, WINDOW, WINDOW), CORNER), middle, atol=1e-4)


def test_a_displacement_says_where_a_pixel_comes_from():
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
    kept = within_the_image(moved, identity)
    looked_up = identity.permute(0, 3, 1, 2) + kept
    assert looked_up.abs().max() <= 1
    assert torch.equal(kept[0, :, :20], moved[0, :, :20])  # there is room enough
    assert (looked_up[0, 1, :, 0].diff() > 0).all() and (looked_up[1, 0, 0].diff() > 0).all()  # nothing folds
