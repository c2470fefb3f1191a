"""Latents are matched to N(0, 1), and nothing that was rebuilt changes by it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sadtalker_core.motion.audio_encoder import AudioEncoderConfig
from sadtalker_core.motion.posevae import PoseVAE, PoseVAEConfig
from sadtalker_core.training.engine import seeded, step_generator
from sadtalker_core.training.matched_prior import match_prior, moments
from sadtalker_core.training.posevae import PUBLISHED, as_begun
from sadtalker_core.training.states import settle

LATENT, BLOCKS = 5, 400


@pytest.fixture
def net():
    """Whose encoder says the same by every number, three times over."""
    config = PoseVAEConfig(AudioEncoderConfig(width=2), latent=LATENT, unet_widths=(2, 2, 2, 2))
    with seeded(0):
        net = PoseVAE(config).eval()
    with torch.no_grad():
        net.encoder.mean.weight.copy_(3 * net.encoder.mean.weight[:1] + 0.3 * net.encoder.mean.weight)
    return net


@pytest.fixture
def told(net):
    draw = step_generator(0, 0)
    motion, reference = (0.3 * torch.randn(BLOCKS, *shape, generator=draw) for shape in ((32, 6), (6,)))
    audio = torch.randn(BLOCKS, 32, net.config.audio.embedding, generator=draw)
    return motion, audio, reference, torch.arange(BLOCKS) % net.config.styles


@torch.no_grad()
def test_the_aggregate_posterior_becomes_that_of_draws_and_what_is_rebuilt_stays(net, told):
    mean, logvar = net.encoder(*told)
    before = net.decode(mean, *told[1:])
    *_, variance = whole = moments(mean, logvar)
    noise = torch.randn(200 * BLOCKS, LATENT, generator=step_generator(0, 1))
    drawn = mean.repeat(200, 1) + torch.exp(0.5 * logvar).repeat(200, 1) * noise
    torch.testing.assert_close(whole[1], drawn.T @ drawn / len(drawn), atol=0.05, rtol=0.02)
    assert torch.corrcoef(mean.T).abs().min() > 0.9  # they do say the same
    match_prior(net, *whole)
    mean, logvar = net.encoder(*told)
    middle, squares, after = moments(mean, logvar)
    torch.testing.assert_close(net.decode(mean, *told[1:]), before, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(middle, torch.zeros(LATENT), atol=1e-3, rtol=0)
    torch.testing.assert_close(squares.diag(), torch.ones(LATENT), atol=1e-3, rtol=1e-3)
    assert not torch.allclose(after, variance, rtol=0.1)


@torch.no_grad()
def test_means_of_two_halves_are_the_moments_of_all(net, told):
    mean, logvar = net.encoder(*told)
    halves = zip(moments(mean[:200], logvar[:200]), moments(mean[200:], logvar[200:]), strict=True)
    for one, whole in zip([(a + b) / 2 for a, b in halves], moments(mean, logvar), strict=True):
        torch.testing.assert_close(one, whole)


def test_a_run_of_an_earlier_version_goes_on_without_it(tmp_path):
    matched = replace(PUBLISHED, match_every=50)
    assert as_begun(matched, tmp_path) == matched
    settle(tmp_path, {"training": {"batch": 64}})
    assert as_begun(matched, tmp_path).match_every == 0
