"""Images looked up at other places."""

import torch

from sadtalker_core.render.meshwarp.placement import MARGIN, STAGE, WINDOW
from sadtalker_core.render.meshwarp.warp import sample, warp_window

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
