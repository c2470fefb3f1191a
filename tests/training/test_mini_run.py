"""Runs that are stopped and taken up again, and the heads that PoseVAE mini learns from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import Linear

from sadtalker_core.training import head_sway
from sadtalker_core.training.mini_run import RunOptions, chance, learning_rate, train, trained


class _Interrupted(Exception):
    pass


def _run(folder, *stops):
    """Train towards step 8, broken off at each of the stops before it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Linear(3, 1)

    def losses_until(stop):
        def losses(step):
            if step == stop:
                raise _Interrupted
            x = torch.from_numpy(chance(5, step).normal(size=(8, 3)).astype(np.float32))
            error = (net(x) - x.sum(dim=1, keepdim=True)).square().mean()
            return {"error": error, "size": 0.01 * net.weight.square().sum()}

        return losses

    options = RunOptions(folder, steps=8, warmup=2, report_every=2, save_every=1)
    for stop in stops:
        with pytest.raises(_Interrupted):
            train(net, options, losses_until(stop))
        nn.init.zeros_(net.weight)  # what the process had in memory is lost
    train(net, options, losses_until(None))
    return trained(net, folder)


def test_a_run_that_was_interrupted_ends_where_an_unbroken_one_does(tmp_path):
    unbroken = _run(tmp_path / "one")
    broken = _run(tmp_path / "two", 3, 6)
    torch.testing.assert_close(broken.weight, unbroken.weight, rtol=0, atol=0)
    assert len((tmp_path / "two" / "log.jsonl").read_text().splitlines()) == 4


def test_the_rate_rises_and_then_falls_to_two_percent(tmp_path):
    options = RunOptions(tmp_path, steps=1000, rate=1.0, warmup=10)
    rates = [learning_rate(options, step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.02, abs=1e-3)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


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
