"""Latents are matched to N(0, 1), and nothing that was rebuilt changes by it."""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.motion.audio_encoder import AudioEncoderConfig
from sadtalker_core.motion.posevae import PoseVAE, PoseVAEConfig
from sadtalker_core.training.engine import seeded, step_generator
from sadtalker_core.training.matched_prior import matched_prior

LATENT, BLOCKS = 5, 400


@pytest.fixture
def net():
    """Whose encoder says the same by every number."""
    config = PoseVAEConfig(AudioEncoderConfig(width=2), latent=LATENT, unet_widths=(2, 2, 2, 2))
    with seeded(0):
        net = PoseVAE(config).eval()
    with torch.no_grad():
        net.encoder.mean.weight.copy_(30 * net.encoder.mean.weight[:1] + 0.3 * net.encoder.mean.weight)
        net.encoder.logvar.bias.sub_(1.5)
    return net


@pytest.fixture
def draws_of(net):
    draw = step_generator(0, 0)
    motion, reference = (0.3 * torch.randn(BLOCKS, *shape, generator=draw) for shape in ((32, 6), (6,)))
    audio = torch.randn(BLOCKS, 32, net.config.audio.embedding, generator=draw)
    return motion, audio, reference, torch.arange(BLOCKS) % net.config.styles


@torch.no_grad()
def test_inside_the_data_s_latents_are_what_is_drawn_and_what_is_rebuilt_stays(net, draws_of):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    mean, logvar = net.encoder(*draws_of)
    rebuilt = net.decode(mean, *draws_of[1:])
    assert torch.corrcoef(mean.T).abs().min() > 0.9  # they do say the same
    with matched_prior(net, mean, logvar):
        matched, variance = net.encoder(*draws_of)[0], net.encoder(*draws_of)[1].exp()
        torch.testing.assert_close(net.decode(matched, *draws_of[1:]), rebuilt, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(matched.mean(dim=0), torch.zeros(LATENT), atol=1e-3, rtol=0)
        whole = torch.cov(matched.T, correction=0) + torch.diag(variance.mean(dim=0))
        torch.testing.assert_close(whole.diag(), torch.ones(LATENT), atol=0.03, rtol=0)
        assert variance.mean(dim=0).min() < 0.5 * variance.mean()  # one number knows now what all said together
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@torch.no_grad()
def test_draws_are_spread_as_what_is_rebuilt(net, draws_of):
    """Latents that say the same give draws that hardly move, until they are matched."""
    mean, logvar = net.encoder(*draws_of)
    one_voice = [part[:1].expand(BLOCKS, *part.shape[1:]) for part in draws_of[1:]]
    spread_of = lambda latents: float(net.decode(latents, *one_voice).std(dim=0).mean())  # noqa: E731
    noise, more = torch.randn(2, BLOCKS, LATENT, generator=step_generator(0, 1))
    seen, unmatched = spread_of(mean + torch.exp(0.5 * logvar) * more), spread_of(noise)
    with matched_prior(net, mean, logvar):
        drawn = spread_of(noise)
    assert abs(drawn / seen - 1) < 0.15 < abs(unmatched / seen - 1)
