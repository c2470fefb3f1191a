"""Blocks that overlap become one course: no seams, no end, the same beginning whatever the length."""

import pytest
import torch

from sadtalker_core.motion import course
from sadtalker_core.motion.course import BLOCK, HOP, WAVE_NUMBERS


def drawn(n_blocks: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n_blocks, 64, generator=torch.Generator().manual_seed(seed))


def test_blocks_that_agree_are_faded_into_each_other_without_a_trace():
    changes = torch.cat([*course.blended([torch.full((BLOCK, 6), 0.5)] * 4)])
    assert changes.shape == (4 * HOP, 6)
    torch.testing.assert_close(changes[HOP:], torch.full((3 * HOP, 6), 0.5))
    assert (changes[:HOP].diff(dim=0) > 0).all() and changes[0, 0] < 0.01


def test_each_frame_is_between_its_two_blocks():
    one, two = torch.full((BLOCK, 6), 1.0), torch.full((BLOCK, 6), 3.0)
    middle = torch.cat([*course.blended([one, two])])[HOP:]
    assert (middle.diff(dim=0) > 0).all() and 1 < middle.min() < 1.01 and 2.99 < middle.max() < 3


def test_a_wave_goes_on_where_the_block_before_was_half_through():
    numbers = course.connected(drawn(2000)).double()
    before, after = (rows[:, :WAVE_NUMBERS].unflatten(1, (3, 6, 2)) for rows in (numbers[:-1], numbers[1:]))
    for wave, angle in enumerate((course.turns_per_frame() * HOP).tolist()):
        turn = torch.tensor([[1, 0], [0, 1]]).double()
        turn = torch.tensor([[torch.tensor(angle).cos(), torch.tensor(angle).sin()], [0, 0]]).double()
        turn[1] = torch.stack([-turn[0, 1], turn[0, 0]])
        expected = before[:, wave] @ turn.T
        r = (expected * after[:, wave]).mean() / expected.square().mean()
        assert r == pytest.approx(course.GOES_ON, abs=0.02)


def test_every_row_is_still_drawn_from_the_same_distribution():
    numbers = course.connected(drawn(4000))
    assert numbers.mean(dim=0).abs().max() < 0.25  # rows hang together: some 150 independent ones in 4000
    torch.testing.assert_close(numbers.std(dim=0), torch.ones(64), atol=0.15, rtol=0)
    assert torch.equal(numbers[:, WAVE_NUMBERS:], drawn(4000)[:, WAVE_NUMBERS:])


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_longer_clip_s_numbers_begin_like_a_shorter_one_s(n):
    assert torch.equal(course.connected(drawn(9))[:n], course.connected(drawn(9)[:n]))


def test_a_head_that_is_left_alone_comes_back():
    changes = torch.zeros(400, 6)
    changes[10] = 1.0
    led = course.added_up(changes)
    assert led[9, 0] == 0 and led[10, 0] == 1
    assert led[10 + round(course.RETURN_S * 25), 0] == pytest.approx(0.3679, abs=1e-3)
    assert led[-1, 0] < 0.02
