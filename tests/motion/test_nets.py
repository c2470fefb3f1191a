"""ExpNet and PoseVAE: shapes at any width, gradients, and what each input has a say in."""

import pytest
import torch
from torch import nn

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.motion.audio_encoder import AudioEncoder, AudioEncoderConfig, FoldedAudioEncoder
from sadtalker_core.motion.expnet import ExpNet, ExpNetConfig, opened_from_rest
from sadtalker_core.motion.posevae import RELEASED_POSEVAE, PoseUnet, PoseVAE, PoseVAEConfig

NARROW = AudioEncoderConfig(width=2)
SMALL = PoseVAEConfig(
    audio=NARROW, latent=8, styles=3, audio_dim=2, encoder_hidden=16, decoder_hidden=12, unet_widths=(2, 3, 4, 5)
)


def windows(*shape):
    return torch.randn(*shape, 1, 80, 16, generator=torch.Generator().manual_seed(0))


def n_parameters(net):
    return sum(p.numel() for p in net.parameters())


def test_the_released_nets_have_the_released_sizes():
    with torch.device("meta"):
        assert n_parameters(AudioEncoder()) == 2_812_672
        assert n_parameters(ExpNet()) == 2_812_672 + 64 * 577 + 64
        assert RELEASED_POSEVAE.logvar_from_means and n_parameters(PoseVAE()) == 9_141_944


def test_the_embedding_has_sixteen_numbers_per_channel():
    for width in (1, 2, 5):
        encoder = AudioEncoder(AudioEncoderConfig(width))
        assert encoder(windows(3)).shape == (3, encoder.config.embedding) == (3, 16 * width)


def test_an_expression_depends_on_the_voice_the_face_and_the_blink():
    torch.manual_seed(0)
    net = ExpNet(ExpNetConfig(NARROW)).eval()
    inputs = [windows(2).requires_grad_(), torch.zeros(2, 64, requires_grad=True), torch.zeros(2, requires_grad=True)]
    expression = net(*inputs)
    assert expression.shape == (2, 64)
    for gradient in torch.autograd.grad(expression[0].sum(), inputs):
        assert gradient[0].abs().sum() > 0 and gradient[1].abs().sum() == 0


@pytest.mark.parametrize(
    ("asked", "rest", "opened"),
    [(0.0, 0.23, 0.0), (0.03, 0.23, 0.03), (0.3, 0.2, 0.4), (0.3, 0.0, 0.3), (0.3, -0.1, 0.3), (0.3, 0.9, 0.5),
     (0.1, 0.2, 0.15)],
)  # fmt: skip
def test_a_jaw_opens_from_where_the_portrait_rests_and_shuts_all_the_same(asked, rest, opened):
    jaw = BLENDSHAPE_INDEX["jawOpen"]
    predicted, reference = torch.full((2, 64), 0.5), torch.full((2, 64), 0.7)
    predicted[:, jaw], reference[:, jaw] = asked, rest
    row = opened_from_rest(predicted, reference)
    torch.testing.assert_close(row[:, jaw], torch.full((2,), opened))
    row[:, jaw] = predicted[:, jaw]
    torch.testing.assert_close(row, predicted)


def test_only_a_net_configured_so_opens_from_the_rest():
    torch.manual_seed(0)
    plain, relative = (ExpNet(ExpNetConfig(NARROW, from_rest=from_rest)).eval() for from_rest in (False, True))
    relative.load_state_dict(plain.state_dict())
    inputs = windows(2), torch.full((2, 64), 0.3), torch.zeros(2)
    torch.testing.assert_close(relative(*inputs), opened_from_rest(plain(*inputs), inputs[1]))
    plain.head.bias.data += 1
    assert (opened_from_rest(plain(*inputs), inputs[1]) - plain(*inputs)).abs().max() > 0.1


def test_a_pose_depends_on_everything_that_it_is_given():
    torch.manual_seed(0)
    net = PoseVAE(SMALL).eval()
    motion, reference, noise = torch.randn(2, 32, 6), torch.randn(2, 6), torch.randn(2, 8)
    inputs = [x.requires_grad_() for x in (motion, windows(2, 32), reference, noise)]
    style = torch.tensor([0, 2])
    out = net(*inputs[:3], style, inputs[3])
    assert out.motion.shape == (2, 32, 6) and out.mean.shape == out.logvar.shape == (2, 8)
    for gradient in torch.autograd.grad(out.motion[0].sum(), inputs):
        assert gradient[0].abs().sum() > 0 and gradient[1].abs().sum() == 0
    assert (net(*inputs[:3], torch.tensor([1, 2]), inputs[3]).motion[0] - out.motion[0]).abs().max() > 0


def test_decoding_a_mean_is_forward_without_noise():
    torch.manual_seed(0)
    net = PoseVAE(SMALL).eval()
    motion, audio_embedding, reference, style = (
        torch.randn(2, 32, 6),
        windows(2, 32),
        torch.randn(2, 6),
        torch.tensor([1, 0]),
    )
    out = net(motion, audio_embedding, reference, style, torch.zeros(2, 8))
    torch.testing.assert_close(net.decode(out.mean, net.embed(audio_embedding), reference, style), out.motion)


def test_the_released_encoder_takes_its_spread_from_the_means():
    """A slip of the original that the released weights were trained with; ours use the layer that was meant for it."""
    for slip in (True, False):
        torch.manual_seed(0)
        net = PoseVAE(PoseVAEConfig(**{**vars(SMALL), "logvar_from_means": slip})).eval()
        out = net(torch.randn(1, 32, 6), windows(1, 32), torch.randn(1, 6), torch.tensor([1]), torch.zeros(1, 8))
        assert torch.equal(out.mean, out.logvar) == slip


def test_the_unet_ends_between_zero_and_one():
    block = 100 * torch.randn(2, 16, 6)
    out = PoseUnet((2, 3, 4, 5), nn)(block)
    assert out.shape == block.shape and out.min() >= 0 and out.max() <= 1


def test_a_block_that_cannot_be_halved_three_times_is_refused():
    with pytest.raises(ValueError, match="multiple of 8, got 30"):
        PoseVAEConfig(frames=30)


def test_layers_come_from_the_given_factory():
    made = []

    class Ops:
        def __getattr__(self, name):
            def layer(*args, **kwargs):
                made.append(name)
                return getattr(nn, name)(*args, **kwargs)

            return layer

    net = PoseVAE(SMALL, Ops())
    leaves = [type(m).__name__ for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))]
    assert sorted(made) == sorted(leaves)


@pytest.mark.parametrize("width", [1, 2, 8])
@pytest.mark.parametrize("n_windows", [1, 5])
def test_a_folded_audio_encoder_embeds_as_the_encoder(width, n_windows, lively):
    encoder = lively(AudioEncoder(AudioEncoderConfig(width)))
    given = windows(n_windows)
    before = given.clone()
    audio_embedding = FoldedAudioEncoder(encoder)(given)
    with torch.no_grad():
        torch.testing.assert_close(audio_embedding, encoder(given), rtol=1e-5, atol=1e-6)
    assert (
        audio_embedding.shape == (n_windows, 16 * width)
        and audio_embedding.abs().sum() > 0
        and not audio_embedding.requires_grad
    )
    assert torch.equal(given, before)
