"""The heads that PoseVAE mini learns from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sadtalker_core.training import head_sway


def test_sway_rests_where_blocks_meet_and_has_the_promised_spread():
    numbers = torch.randn(4000, head_sway.SWAY_NUMBERS, generator=torch.Generator().manual_seed(0))
    even = torch.full((4000,), 19)  # liveliness 1, slow, even
    motion = head_sway.sway(numbers, even)
    assert motion.shape == (4000, head_sway.BLOCK, 6)
    spread = torch.rad2deg(motion[..., :3]).square().mean(dim=(0, 1)).sqrt()
    torch.testing.assert_close(spread, torch.tensor(head_sway.SWAY_DEGREES), rtol=0.05, atol=0)
    ends = torch.rad2deg(motion[:, [0, -1], :3]).square().mean(dim=(0, 1)).sqrt()
    assert (ends < 0.25 * spread).all()


def test_style_0_is_the_calmest_and_livelier_styles_move_more():
    numbers = torch.randn(500, head_sway.SWAY_NUMBERS, generator=torch.Generator().manual_seed(0))
    spread = [
        head_sway.sway(numbers, torch.full((500,), i))[..., :3].square().mean().item() for i in range(head_sway.STYLES)
    ]
    assert min(spread) == spread[0]
    assert all(spread[i] < spread[i + 9] for i in range(1, 37))


def test_there_is_no_47th_style():
    with pytest.raises(ValueError, match="0..45"):
        head_sway.style(46)


def test_a_silent_voice_does_not_nod_and_a_loud_one_does():
    silent, loud = np.full((81, 80), -4.0), np.full((81, 80), 0.0)
    np.testing.assert_allclose(head_sway.voice(silent, 25), 0.0, atol=1e-9)
    assert head_sway.voice(loud, 25)[:, 0].min() > 1.0
    styles = torch.tensor([19])
    assert head_sway.voiced(torch.ones(1, 32, 3), styles)[0, :, 0] == pytest.approx(np.radians(1.0), rel=1e-5)
