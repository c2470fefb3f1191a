"""The fast arrangement is held against the plain one, whose own tests say that it is right."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sadtalker_core.batchnorm_folding import fold_batchnorm
from sadtalker_core.render.facevid2vid.dense_motion import sparse_motions
from sadtalker_core.render.facevid2vid.fast import accelerate, hourglass_input
from sadtalker_core.render.facevid2vid.fast_decoder import Modulation
from sadtalker_core.render.facevid2vid.fast_layers import Enlarging, Kernel, empty_last, normalised
from sadtalker_core.render.facevid2vid.four_rows import FourRows, Products
from sadtalker_core.render.facevid2vid.generator import Generator
from tests.parity.harness import rule_net
from tests.parity.stages.render import on_the_edge
from tests.render import tiny

#: frames of both arrangements lie no further apart than this, and much less on average
CLOSE = 5e-5


def lived_in(net: Generator) -> Generator:
    """With norms that are no longer those of a fresh network, and say something."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
                for numbers, low, high in (
                    (module.running_mean, -0.3, 0.3), (module.running_var, 0.5, 1.5),
                    (module.weight, 0.5, 1.5), (module.bias, -0.3, 0.3),
                ):  # fmt: skip
                    numbers.uniform_(low, high, generator=generator)
    return net


def image(n=1, seed=0):
    return tiny.uniform(n, 3, tiny.SIDE, tiny.SIDE, seed=seed)


def points(n, seed=0, reach=0.8):
    return 2 * reach * tiny.uniform(n, tiny.N_KEYPOINTS, 3, seed=seed) - reach


def apart(fast, plain):
    pairs = zip((fast.image, *fast.motion), (plain.image, *plain.motion), strict=True)
    return max((a.float() - b.float()).detach().abs().max().item() for a, b in pairs)


@pytest.mark.parametrize(("n_frames", "reach"), [(1, 0.8), (3, 0.8), (1, 5.0)])
def test_both_arrangements_paint_the_same_frames(n_frames, reach):
    net = lived_in(tiny.generator())
    given = image(), points(1), points(n_frames, 1, reach)
    with torch.no_grad():
        assert apart(accelerate(net)(*given), net(*given)) < CLOSE


EVERY_ONE_IS_WIDE = {4: (1, 1), 5: (1, 1)}


def test_convolutions_of_four_rows_at_once_paint_the_same_frames(monkeypatch):
    monkeypatch.setattr("sadtalker_core.render.facevid2vid.four_rows.WIDE", EVERY_ONE_IS_WIDE)
    net, given = lived_in(tiny.generator()), (image(), points(1), points(3, 1))
    with torch.no_grad():
        fast = accelerate(net)
        assert sum(isinstance(layer, FourRows) for layer in fast.modules()) >= 15
        assert apart(fast(*given), net(*given)) < CLOSE


@pytest.mark.parametrize(("dtype", "device"), [(torch.bfloat16, "cpu"), (torch.float32, "meta")])
def test_only_float32_on_a_cpu_is_convolved_four_rows_at_once(dtype, device, monkeypatch):
    monkeypatch.setattr("sadtalker_core.render.facevid2vid.four_rows.WIDE", EVERY_ONE_IS_WIDE)
    fast = accelerate(tiny.generator(), dtype, dtype, device=torch.device(device))
    assert not any(isinstance(layer, Products) for layer in fast.modules())


def test_a_portrait_for_each_frame_works_too():
    net = lived_in(tiny.generator())
    given = image(2), points(2), points(2, 1)
    with torch.no_grad():
        assert apart(accelerate(net)(*given), net(*given)) < CLOSE


def test_one_source_drives_many_frames_in_any_order():
    net = lived_in(tiny.generator())
    fast = accelerate(net)
    source = fast.encode_source(image(), points(1))
    for seed in (1, 2, 2, 1):
        want = net(image(), points(1), points(1, seed))
        assert apart(fast.warp_and_decode(source, points(1, seed)), want) < CLOSE


def test_a_frame_like_the_one_before_is_not_painted_again(monkeypatch):
    fast = accelerate(tiny.generator())
    source = fast.encode_source(image(), points(1))
    handed_out = fast.warp_and_decode(source, points(1, 1)).image
    first = handed_out.clone()
    monkeypatch.setattr(fast.decoder, "forward", None)
    for _ in range(2):
        handed_out.zero_()  # the caller's own
        handed_out = fast.warp_and_decode(source, points(1, 1)).image
        assert torch.equal(handed_out, first)


def test_the_plain_net_stays_as_it_was():
    net = tiny.generator()
    state = copy.deepcopy(net.state_dict())
    fast = accelerate(net, torch.bfloat16, torch.bfloat16)
    fast(image(), points(1), points(1, 1))
    with torch.no_grad():
        for numbers in fast.parameters():
            numbers.zero_()
    assert all(torch.equal(state[name], numbers) for name, numbers in net.state_dict().items())


def test_everything_the_fast_net_needs_moves_with_it():
    fast = accelerate(tiny.generator())
    assert all(tensor.is_meta for tensor in fast.to("meta").state_dict().values())
    out = fast(image().to("meta"), points(1).to("meta"), points(1, 1).to("meta"))
    assert out.image.is_meta and out.image.shape == image().shape


def test_motion_stays_in_float32_when_the_painting_is_narrowed():
    net = lived_in(tiny.generator())
    given = image(), points(1), points(1, 1)
    with torch.no_grad():
        exact, narrow = net(*given), accelerate(net, torch.bfloat16)(*given)
        narrower = accelerate(net, torch.bfloat16, torch.bfloat16)(*given)
    assert narrow.image.dtype == torch.bfloat16
    assert torch.allclose(narrow.motion.deformation, exact.motion.deformation, atol=CLOSE)
    for rendered in (narrow, narrower):
        assert F.l1_loss(rendered.image.float(), exact.image) < 0.02


@pytest.mark.slow
def test_both_arrangements_of_the_released_size_agree():
    """At 512 the parity table holds one against the other: stage render_512, rows "fast less plain"."""
    net = rule_net("generator", 0)
    fast = accelerate(net)
    image = F.interpolate(tiny.uniform(1, 3, 32, 32), size=(256, 256), mode="bicubic").clamp(0, 1)
    source = 1.6 * tiny.uniform(1, 15, 3) - 0.8
    near, far = source + 0.1 * tiny.normal(1, 15, 3), 1.5 * tiny.normal(1, 15, 3, seed=1)
    with torch.no_grad():
        plain_source, fast_source = net.encode_source(image, source), fast.encode_source(image, source)
        for driving in (near, far):
            quick, slow = (
                fast.dense_motion(fast_source.compressed_features, source, driving),
                net.warp_and_decode(plain_source, driving),
            )
            assert (quick.mask - slow.motion.mask).abs().max() < CLOSE
            # a say on the step of PARITY.md P52 may round to either side: what follows is compared beside and after it
            edge = on_the_edge(slow.motion.mask).any(dim=1)
            assert edge.float().mean() < 1e-3  # 8 of 65 536 voxels at 256
            assert (quick.deformation - slow.motion.deformation)[~edge].abs().max() < CLOSE
            assert (fast.decode(fast_source, slow.motion) - slow.image).abs().max() < CLOSE


# its parts


def convolution(dims, inputs=5, outputs=4):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(nn, f"Conv{dims}d")(inputs, outputs, 3, padding=1).requires_grad_(False)


def test_a_large_map_is_normalised_exactly():
    # the batch norm of training is off by 3e-4 here
    offsets = torch.linspace(-30, 30, 8)[:, None, None]
    pixels = (tiny.normal(1, 8, 384, 384) + offsets).contiguous(memory_format=torch.channels_last)
    exact = F.instance_norm(pixels.double())
    assert (normalised(pixels) - exact).abs().max() < CLOSE
    assert normalised(pixels).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("factor", "four_rows"), [(1, False), (2, False), (4, False), (5, False),
                                                   (1, True), (2, True), (4, True)])  # fmt: skip
def test_features_modulate_enlarged_images_without_being_enlarged(factor, four_rows, monkeypatch):
    monkeypatch.setattr("sadtalker_core.render.facevid2vid.four_rows.WIDE", EVERY_ONE_IS_WIDE)
    monkeypatch.setattr(FourRows, "STRIP", 4)
    first, second = convolution(2), convolution(2, 4, 6)
    features = tiny.normal(2, 5, 4 if four_rows else 3, 3)
    large = F.interpolate(features, scale_factor=factor, mode="nearest")
    want = second(F.relu(first(large)))
    got = torch.full_like(want, float("nan"))
    modulation = Modulation(first, second.weight, second.bias, factor, four_rows)
    assert any(isinstance(layer, Products) for layer in modulation.modules()) is four_rows
    for rows, columns, answers in modulation(features):
        got[..., rows, columns] = answers
    assert torch.allclose(got, want, atol=1e-5)


def test_a_volume_is_convolved_as_if_it_were_enlarged():
    conv, volume = convolution(3), tiny.normal(2, 5, 3, 4, 2)
    want = F.relu(conv(F.interpolate(volume, scale_factor=(1, 2, 2), mode="nearest")))
    got = Enlarging(conv.weight, conv.bias, 2)(volume, empty_last(*want.shape, like=volume))
    assert torch.allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("padding", [1, (1, 0, 1)])
def test_a_kernel_larger_than_its_volume_gives_the_same_answers(padding):
    conv, volume = convolution(3, 5, 60), tiny.normal(2, 5, 2, 3, 4)
    want = F.conv3d(volume, conv.weight, conv.bias, padding=padding)
    assert torch.allclose(Kernel(conv.weight, conv.bias, padding)(volume), want, atol=1e-5)


@pytest.mark.parametrize(("dims", "shape"), [(2, (20, 3)), (2, (2, 4)), (2, (9, 4)), (3, (3, 8, 5)), (3, (3, 6, 5))])
def test_four_rows_at_once_are_the_convolution(dims, shape, monkeypatch):
    monkeypatch.setattr(FourRows, "STRIP", 8)  # so that twenty rows are handled in three strips
    conv, numbers = convolution(dims), tiny.normal(2, 5, *shape)
    four_rows = FourRows(conv.weight, conv.bias)
    got, exact = four_rows(numbers), conv.double()(numbers.double())
    assert got.shape == exact.shape and (got - exact).abs().max() < 3e-6


def test_four_rows_at_once_round_as_the_convolution_does():
    numbers, weight, bias = tiny.normal(1, 256, 16, 16), tiny.normal(64, 256, 3, 3) / 48, torch.zeros(64)
    exact = F.conv2d(numbers.double(), weight.double(), padding=1)
    far = [(layer(numbers) - exact).abs().mean() for layer in (FourRows(weight, bias), Kernel(weight, bias, padding=1))]
    assert far[0] < 1.5 * far[1]  # the customary places 1 and 2 would make it 1.9


def test_a_norm_goes_into_the_convolution_before_it():
    conv, norm = convolution(2), nn.BatchNorm2d(4).eval()
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    image = tiny.normal(1, 5, 6, 6)
    weight, bias = fold_batchnorm(conv, norm)
    assert torch.allclose(F.conv2d(image, weight, bias, padding=1), norm(conv(image)), atol=1e-5)


@pytest.mark.parametrize("reach", [0.5, 3.0])
def test_evidence_is_read_axis_by_axis_as_it_is_point_by_point(reach):
    motion = tiny.generator().dense_motion
    compressed_features, source, driving = tiny.normal(1, 2, 4, 8, 6), points(1, 0, reach), points(2, 1, reach)
    want = motion.hourglass_input(
        compressed_features, sparse_motions(source, driving, compressed_features.shape[2:]), source, driving
    )
    got = hourglass_input(compressed_features, F.pad(source - driving, (0, 0, 1, 0)), source, driving)
    assert torch.allclose(got, want, atol=1e-5)
