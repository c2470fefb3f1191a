"""Glasses are seen by their bridge, and then brows and cheeks leave the rims in peace."""

import pytest
import torch
import torch.nn.functional as F

from sadtalker_core.render.eyes.glasses import wears_glasses
from tests.render.heads import DENSITY, SIDE, posed_head


def face(bar=0.0, thick=0.03, noise=0.02, shade=0.0):
    """Skin with a bar across the bridge of the nose that is so much darker; decimetres thick."""
    image = 0.6 + noise * (torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) - 0.5)
    image = F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
    x, y = posed_head().on_crop(posed_head().rig.source[6]).tolist()
    half = thick * DENSITY / 2
    image[:, :, round(y - half) : round(y + half), round(x) - 12 : round(x) + 12] -= bar
    return image + shade * torch.linspace(-1, 1, SIDE)[:, None]


@pytest.mark.parametrize("bar", [0.15, 0.5, -0.3])
def test_a_bar_across_the_nose_is_a_pair_of_glasses(bar):
    assert wears_glasses(face(bar), posed_head())


@pytest.mark.parametrize("options", [{}, {"bar": 0.02}, {"shade": 0.4}, {"noise": 0.1}])
def test_skin_is_none(options):
    assert not wears_glasses(face(**options), posed_head())
