from __future__ import annotations

import numpy as np
import torch

from sadtalker_core.training.discriminators import PUBLISHED_DISCRIMINATOR, DiscriminatorConfig, PatchDiscriminators
from sadtalker_core.training.engine import seeded

NARROW = DiscriminatorConfig(width=2, widest=6, blocks=3, scales=(1, 2))


def discriminators(config=NARROW):
    with seeded(0):
        return PatchDiscriminators(config)


def an_image(side=64, n=2):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def convolved_plainly(image, weight, bias):
    """(C, H, W) with (O, C, k, k): place by place, without padding."""
    size = weight.shape[-1]
    rows, columns = (n - size + 1 for n in image.shape[1:])
    return np.array(
        [
            [[(image[:, y : y + size, x : x + size] * w).sum() + b for x in range(columns)] for y in range(rows)]
            for w, b in zip(weight, bias, strict=True)
        ]
    )


def test_a_discriminator_is_convolutions_norms_and_halvings_written_out():
    discriminator = discriminators().judges[0].eval()
    image = an_image(38, n=1)
    x = image[0].double().numpy()
    n_blocks = len(discriminator.blocks)
    for number, convolution in enumerate([*discriminator.blocks, discriminator.score]):
        weight = convolution.weight.detach().double().numpy()
        matrix = weight.reshape(len(weight), -1)
        left, right = convolution.left.double().numpy(), convolution.right.double().numpy()
        x = convolved_plainly(x, weight / (left @ matrix @ right), convolution.bias.detach().double().numpy())
        if number == n_blocks:
            break
        if number:
            norm = discriminator.norms[number - 1]
            mean, spread = x.mean(axis=(1, 2)), np.sqrt(x.var(axis=(1, 2)) + 1e-5)
            x = (x - mean[:, None, None]) / spread[:, None, None]
            x = x * norm.weight.detach().numpy()[:, None, None] + norm.bias.detach().numpy()[:, None, None]
        x = np.where(x > 0, x, 0.2 * x)
        if number < n_blocks - 1:
            even = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
            x = even.reshape(len(even), even.shape[1] // 2, 2, even.shape[2] // 2, 2).mean(axis=(2, 4))
    score, _ = discriminator(image)
    assert np.allclose(score[0].detach().numpy(), x, atol=1e-5)


def test_there_is_a_discriminator_for_each_scale():
    assessed = discriminators()(an_image())
    assert [tuple(score.shape) for score in assessed.scores] == [(2, 1, 10, 10), (2, 1, 2, 2)]
    assert len(assessed.features) == 2 * NARROW.blocks


def test_no_layer_makes_a_difference_larger():
    # what spectral normalisation is for: after some steps of its iteration every matrix has the largest value 1
    net = discriminators()
    for _ in range(30):
        net(an_image())
    for discriminator in net.judges:
        for convolution in [*discriminator.blocks, discriminator.score]:
            matrix = (convolution.weight / convolution.largest_singular_value(convolution.weight)).flatten(1)
            assert abs(torch.linalg.matrix_norm(matrix, 2).item() - 1) < 0.02


def test_every_parameter_learns():
    # a bias before an instance norm is taken off again by it
    net = discriminators()
    assessed = net(an_image())
    sum(part.square().sum() for part in [*assessed.scores, *assessed.features]).backward()
    idle = {name for name, parameter in net.named_parameters() if not parameter.grad.abs().sum() > 0}
    assert idle == set()


def test_the_published_widths():
    discriminator = PatchDiscriminators(PUBLISHED_DISCRIMINATOR).judges[0]
    assert [block.out_channels for block in discriminator.blocks] == [64, 128, 256, 512]
