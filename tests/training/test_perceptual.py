"""The perceptual loss against a plain calculation, and the file that the user gives for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import Conv2d, MaxPool2d, ReLU, Sequential

from sadtalker_core.errors import CheckpointDamaged, CheckpointMismatch, CheckpointMissing
from sadtalker_core.render.facevid2vid.keypoints import AntialiasedShrink
from sadtalker_core.training.perceptual import (
    MEAN,
    SPREAD,
    VggConfig,
    load_vgg,
    perceptual_loss,
    shrink,
    substitute_vgg,
)

NARROW = VggConfig(widths=(4, 4, 6, 6, 8), scales=(1, 2))


def an_image(side=32, seed=0, n=2):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def torchvision_layers(widths):
    """VGG-19's `features` as torchvision numbers them, written out: convolution, rectifier, ..., pooling."""
    layers, inputs = [], 3
    for width, count in zip(widths, (2, 2, 4, 4, 4), strict=True):
        for _ in range(count):
            layers += [Conv2d(inputs, width, 3, padding=1), ReLU()]
            inputs = width
        layers.append(MaxPool2d(2))
    return Sequential(*layers)


def vgg_file(path, widths=NARROW.widths):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        layers = torchvision_layers(widths)
    tensors = {f"features.{name}": tensor for name, tensor in layers.state_dict().items()}
    torch.save({**tensors, "classifier.0.weight": torch.zeros(2, 2)}, path)
    return layers


def shrunk_plainly(image, factor):
    """(3, S, S) -> every factor-th pixel of a Gaussian blur with zeros outside, pixel by pixel."""
    if factor == 1:
        return image
    sigma = (factor - 1) / 2
    radius = round(4 * sigma)
    steps = np.arange(-radius, radius + 1)
    bell = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * sigma**2))
    bell /= bell.sum()
    padded = np.pad(image, ((0, 0), (radius, radius), (radius, radius)))
    size = len(steps)
    rows = range(0, image.shape[1], factor)
    return np.array(
        [[[(padded[c, y : y + size, x : x + size] * bell).sum() for x in rows] for y in rows] for c in range(3)]
    )


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_shrinking_is_a_blur_and_every_nth_pixel(factor):
    image = an_image(16, n=1)
    plain = shrunk_plainly(image[0].double().numpy(), factor)
    assert np.allclose(shrink(image, factor)[0].numpy(), plain, atol=1e-6)


def test_a_quarter_is_what_the_key_point_detector_sees():
    assert torch.allclose(shrink(an_image(), 4), AntialiasedShrink()(an_image()), atol=1e-6)


def test_the_loss_is_the_distance_of_torchvisions_features_at_each_scale(tmp_path):
    layers = vgg_file(tmp_path / "vgg.pth")
    made, real = an_image(seed=0), an_image(seed=1)

    def features(image, factor):
        small = np.stack([shrunk_plainly(one.double().numpy(), factor) for one in image])
        mean, spread = (np.array(three)[:, None, None] for three in (MEAN, SPREAD))
        x = torch.from_numpy((small - mean) / spread).float()
        seen = {}
        for number, layer in enumerate(layers[:30]):
            x = layer(x)
            seen[number] = x.detach().numpy()
        return [seen[number] for number in (1, 6, 11, 20, 29)]

    plain = sum(
        np.abs(a - b).mean()
        for factor in NARROW.scales
        for a, b in zip(features(made, factor), features(real, factor), strict=True)
    )
    loss = perceptual_loss(load_vgg(tmp_path / "vgg.pth", NARROW), made, real)
    assert loss.item() == pytest.approx(float(plain), rel=1e-4)


def test_the_substitute_has_the_same_numbers_each_time_and_none_that_learn():
    torch.manual_seed(0)
    one = substitute_vgg(NARROW)
    state = torch.random.get_rng_state()
    other = substitute_vgg(NARROW)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not any(parameter.requires_grad for parameter in one.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_substitute_sees_all_levels_about_equally_strongly():
    sizes = [seen.abs().mean().item() for seen in substitute_vgg()(an_image(64))]
    assert max(sizes) < 5 * min(sizes)


def test_the_substitute_forgives_fine_hair_a_shift():
    # stripes of a pixel, moved by one, and made so much darker that colours differ as much
    stripes = (torch.arange(64) % 2).float().expand(1, 3, 64, 64) * 0.4 + 0.4
    moved, darker = stripes.roll(1, dims=-1), stripes - 0.4
    vgg = substitute_vgg(VggConfig(scales=(1,)))
    assert torch.isclose((moved - stripes).abs().mean(), (darker - stripes).abs().mean())
    assert perceptual_loss(vgg, moved, stripes) < 0.5 * perceptual_loss(vgg, darker, stripes)


def test_the_made_image_learns_and_the_real_one_does_not():
    made, real = an_image().requires_grad_(), an_image(seed=1).requires_grad_()
    perceptual_loss(substitute_vgg(NARROW), made, real).backward()
    assert made.grad.abs().sum() > 0 and real.grad is None


# ---- the user's file --------------------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointMissing, match="there is no file vgg19.pth"):
        load_vgg(tmp_path / "vgg19.pth")


def test_a_file_of_another_width_is_recognised(tmp_path):
    vgg_file(tmp_path / "narrow.pth")
    with pytest.raises(CheckpointMismatch) as caught:
        load_vgg(tmp_path / "narrow.pth")
    for fact in (
        "narrow.pth is not torchvision's VGG-19",
        "features.0.weight of the shape (64, 3, 3, 3)",
        "got (4, 3, 3, 3)",
        "vgg19-dcbb9e9d.pth",
        "leave the option out",
    ):
        assert fact in str(caught.value)


def test_a_file_of_another_net_is_recognised(tmp_path):
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "resnet.pth")
    with pytest.raises(CheckpointMismatch, match="got nothing under that name"):
        load_vgg(tmp_path / "resnet.pth")


def test_a_web_page_is_no_file(tmp_path):
    (tmp_path / "vgg19.pth").write_text("<!doctype html>")
    with pytest.raises(CheckpointDamaged, match="is a web page"):
        load_vgg(tmp_path / "vgg19.pth")
