"""The one curve by which things fade."""

from __future__ import annotations

import torch

from sadtalker_core.easing import smoothstep


def test_a_smoothstep_rests_at_both_ends_and_rises_between():
    x = torch.linspace(-1, 2, 301, dtype=torch.float64, requires_grad=True)
    y = smoothstep(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert (y[x <= 0] == 0).all() and (y[x >= 1] == 1).all() and smoothstep(torch.tensor(0.5)) == 0.5
    assert (slope >= 0).all() and slope[(x > 0.01) & (x < 0.99)].min() > 0
    torch.testing.assert_close(y + smoothstep(1 - x), torch.ones_like(y))
