import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn import Conv2d

from sadtalker_core.render.facevid2vid.blocks import double, halve, spectral
from sadtalker_core.render.facevid2vid.generator import SpadeBlock
from tests.render import tiny


def image(n=1, seed=0):
    return tiny.uniform(n, 3, tiny.SIDE, tiny.SIDE, seed=seed)


def points(n, seed=0):
    return 1.6 * tiny.uniform(n, tiny.N_KEYPOINTS, 3, seed=seed) - 0.8


def test_the_frame_has_the_size_of_the_portrait_and_lies_in_0_to_1():
    frame = tiny.generator()(image(), points(1), points(1, seed=1)).image
    assert frame.shape == image().shape
    assert frame.min() > 0 and frame.max() < 1


def test_a_prepared_source_drives_as_the_whole_net_does():
    net = tiny.generator()
    source = net.encode_source(image(), points(1))
    for seed in (1, 2):
        assert torch.equal(
            net.warp_and_decode(source, points(1, seed)).image, net(image(), points(1), points(1, seed)).image
        )


def test_one_source_drives_a_batch_as_repeated_sources_do():
    net, driving = tiny.generator(), points(3, seed=1)
    one = net.warp_and_decode(net.encode_source(image(), points(1)), driving).image
    repeated = net(image().expand(3, -1, -1, -1), points(1).expand(3, -1, -1), driving).image
    assert torch.allclose(one, repeated, atol=1e-6)


def test_the_rows_of_a_batch_do_not_see_one_another():
    net, images, sources, driving = tiny.generator(), image(3), points(3), points(3, seed=1)
    together = net(images, sources, driving).image
    for row in range(3):
        alone = net(images[row : row + 1], sources[row : row + 1], driving[row : row + 1]).image
        assert torch.allclose(together[row : row + 1], alone, atol=1e-6)


def test_a_calm_net_writes_on_nothing():
    net, given = tiny.generator(), (image(), points(1), points(1, seed=1))
    before = [t.clone() for t in given]
    state = copy.deepcopy(net.state_dict())
    net(*given)
    assert all(torch.equal(a, b) for a, b in zip(before, given, strict=True))
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())


def test_the_generator_can_be_trained():
    net = tiny.generator().train()
    state = copy.deepcopy(net.state_dict())
    driving = points(2, seed=1).requires_grad_()
    net(image(2), points(2), driving).image.square().sum().backward()
    assert driving.grad.abs().sum() > 0
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    after = net.state_dict()
    for name in ("decoder.middle.0.first_conv.left", "encoder.stem.norm.running_mean"):
        assert not torch.equal(state[name], after[name]), name


def test_two_forward_passes_may_come_before_one_backward():
    net = tiny.generator().train()
    frames = [net(image(2), points(2), points(2, seed)).image for seed in (1, 2)]
    sum(frame.sum() for frame in frames).backward()


def test_bfloat16_keeps_its_places_and_comes_close():
    driving = points(1, seed=1)
    exact = tiny.generator()(image(), points(1), driving)
    narrow = tiny.generator().bfloat16()(image().bfloat16(), points(1), driving)
    assert narrow.image.dtype == torch.bfloat16 and narrow.motion.deformation.dtype == torch.float32
    assert F.l1_loss(narrow.image.float(), exact.image) < 0.02


# spectral norm


def twins(training):
    """A spectral convolution of ours and torch's own, with the same weight and vectors."""
    torch_conv = nn.utils.spectral_norm(Conv2d(4, 6, 3, padding=1))
    with torch.no_grad():
        torch_conv.weight_orig.copy_(tiny.normal(6, 4, 3, 3))
        torch_conv.weight_u.copy_(F.normalize(tiny.normal(6, seed=1), dim=0))
        torch_conv.weight_v.copy_(F.normalize(tiny.normal(36, seed=2), dim=0))
        torch_conv.bias.copy_(tiny.normal(6, seed=3))
    ours = spectral(nn.Conv2d)(4, 6, 3, padding=1)
    ours.load_state_dict(
        {
            "weight": torch_conv.weight_orig.detach().clone(),
            "bias": torch_conv.bias.detach().clone(),
            "left": torch_conv.weight_u.clone(),
            "right": torch_conv.weight_v.clone(),
        }
    )
    return ours.train(training), torch_conv.train(training)


@pytest.mark.parametrize("training", [False, True])
def test_spectral_norm_is_torchs_in_numbers_and_gradients(training):
    ours, reference = twins(training)
    x = tiny.normal(2, 4, 5, 5, seed=4)
    for _ in range(2):
        got, want = ours(x), reference(x)
        assert torch.allclose(got, want, atol=1e-5)
    got.square().sum().backward()
    want.square().sum().backward()
    assert torch.allclose(ours.weight.grad, reference.weight_orig.grad, rtol=1e-4, atol=1e-4)
    assert torch.allclose(ours.left, reference.weight_u, atol=1e-6)
    assert torch.allclose(ours.right, reference.weight_v, atol=1e-6)


def test_training_finds_the_largest_singular_value():
    conv = spectral(nn.Conv2d)(4, 6, 3).train()
    for _ in range(200):
        conv(tiny.normal(1, 4, 3, 3))
    largest = torch.linalg.matrix_norm(conv.weight.flatten(1), ord=2)
    assert torch.allclose(conv.largest_singular_value(conv.weight), largest, rtol=1e-4)


def test_spectral_layers_are_layers_of_the_factory():
    class CountingConv(nn.Conv2d):
        forwards = 0

        def forward(self, x):
            CountingConv.forwards += 1
            return super().forward(x)

    class Factory:
        Conv2d = CountingConv

    block = SpadeBlock(8, 4, 4, 4, Factory)
    block(tiny.normal(1, 8, 4, 4), tiny.normal(1, 4, 4, 4))
    assert CountingConv.forwards == 3 + 3 * 3, "three convolutions, and three in each of the three modulations"


# SPADE


def normalise_slowly(x, spade, features):
    """Channel by channel in plain arithmetic; features as large as x."""
    shared = F.relu(F.conv2d(features, spade.shared.weight, spade.shared.bias, padding=1))
    scale = F.conv2d(shared, spade.scale.weight, spade.scale.bias, padding=1)
    shift = F.conv2d(shared, spade.shift.weight, spade.shift.bias, padding=1)
    out = torch.empty_like(x)
    for b in range(x.shape[0]):
        for c in range(x.shape[1]):
            plane = x[b, c]
            even = (plane - plane.mean()) / (((plane - plane.mean()) ** 2).mean() + 1e-5).sqrt()
            out[b, c] = even * (1 + scale[b, c]) + shift[b, c]
    return out


def convolve_plainly(conv, x):
    matrix = conv.weight.flatten(1)
    weight = conv.weight / (conv.left @ matrix @ conv.right)
    return F.conv2d(x, weight, conv.bias, padding=conv.padding)


@pytest.mark.parametrize("outputs", [8, 4])
def test_a_spade_block_is_its_formula(outputs):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        block = SpadeBlock(8, outputs, 5, 6, nn).eval()
    x, features = tiny.normal(2, 8, 8, 8), tiny.normal(2, 5, 4, 4, seed=1)
    large = features.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    def leaky(y):
        return torch.where(y > 0, y, 0.2 * y)

    branch = convolve_plainly(block.first_conv, leaky(normalise_slowly(x, block.first_norm, large)))
    branch = convolve_plainly(block.second_conv, leaky(normalise_slowly(branch, block.second_norm, large)))
    if outputs == 8:
        skip = x
        assert block.skip_conv is None
    else:
        skip = convolve_plainly(block.skip_conv, normalise_slowly(x, block.skip_norm, large))
    assert torch.allclose(block(x, features), skip + branch, atol=1e-5)


# sizes


def test_halving_averages_and_doubling_repeats_rows_and_columns_only():
    volume = tiny.normal(2, 3, 4, 6, 8)
    assert torch.allclose(halve(volume), F.avg_pool3d(volume, (1, 2, 2)), atol=1e-6)
    assert torch.equal(double(volume), F.interpolate(volume, scale_factor=(1, 2, 2)))
    image = volume[:, :, 0]
    assert torch.allclose(halve(image), F.avg_pool2d(image, 2)) and torch.equal(halve(double(image)), image)
