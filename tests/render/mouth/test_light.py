"""The light that teeth are drawn in."""

import torch

from sadtalker_core.render.mouth.light import light_of
from tests.render.heads import SIDE, posed_head


def test_light_is_never_below_that_of_the_cheeks():
    image = torch.full((1, 3, SIDE, SIDE), 0.6)
    assert (light_of(image, posed_head()) > 0.6).all()


def test_a_warm_light_tints_what_is_white():
    red, green, blue = light_of(torch.tensor([0.6, 0.5, 0.4]).view(1, 3, 1, 1).expand(1, 3, SIDE, SIDE), posed_head())
    assert red > green > blue
