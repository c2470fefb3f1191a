"""A person before a wall of stripes, taken apart and put together again."""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.render.meshwarp.layers import Layers
from sadtalker_core.render.meshwarp.warp import sample

SIDE = 96
LINE = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
GRID = torch.stack(torch.meshgrid(LINE, LINE, indexing="ij"), dim=-1).flip(-1)[None]
STRIPES = 0.5 + 0.3 * torch.sin(LINE * 40).expand(1, 3, SIDE, SIDE)
DISC = ((0.5 - GRID.norm(dim=-1)) * 20 + 0.5).clamp(0, 1)[:, None]
_BESIDE = 0.62  #: from here on nothing is taken for the disc
WHOLE = (..., slice(0, SIDE), slice(0, SIDE))


@pytest.fixture(scope="module")
def image():
    return torch.lerp(STRIPES, torch.tensor([0.9, 0.2, 0.1]).view(1, 3, 1, 1).expand_as(STRIPES), DISC)


def shown(layers: Layers, dx: float):
    """The frame whose person has gone by dx halves of the side to the right."""
    places = GRID - torch.tensor([dx, 0.0])
    return layers.put_together(sample(layers.with_matte, places), WHOLE)


def test_what_does_not_move_is_the_image_whatever_the_matte_is(image):
    wrong = DISC.roll(7, -1)
    for matte in (DISC, wrong):
        assert (shown(Layers.of(image, matte), 0.0) - image).abs().max() < 1e-5


def test_the_wall_stays_and_the_person_goes(image):
    frame = shown(Layers.of(image, DISC), 0.25)
    clear = (GRID.norm(dim=-1) > _BESIDE) & ((GRID - torch.tensor([0.25, 0.0])).norm(dim=-1) > _BESIDE)
    assert (frame - image)[clear[:, None].expand_as(frame)].abs().max() < 1e-3
    assert (frame[0, 0, SIDE // 2, SIDE // 2 + 12] - 0.9).abs() < 0.01


def test_behind_the_person_there_is_wall_and_nothing_of_them(image):
    behind = Layers.of(image, DISC).behind
    inside = behind[DISC.expand_as(behind) > 0.99]
    assert 0.15 < inside.min() and inside.max() < 0.85
    assert (behind[0, 0] - behind[0, 2]).abs().max() < 0.05


def test_hair_that_the_matte_misses_goes_along(image):
    """A strand beside the disc, which the matte does not have."""
    strand = image.clone()
    at = slice(SIDE // 2 - 2, SIDE // 2 + 2)
    x = SIDE // 2 + round(0.5 * SIDE / 2) + 2
    strand[..., at, x : x + 1] = 0.0
    one, other = (shown(Layers.of(i, DISC), 0.25) for i in (strand, image))
    gone = (one - other)[0, 0, SIDE // 2, x : x + 20]
    assert gone[12] < -0.15 and gone[0].abs() < 0.02
