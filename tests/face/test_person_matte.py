"""A drawn head with hair down to the shoulders before a plain background, and masks that miss a part of it."""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.canonical_face import FACE_OUTLINE, LEFT_EYE, RIGHT_EYE
from sadtalker_core.face.person_matte import refined_matte

SIDE = 192
LINE = torch.arange(SIDE) + 0.5
Y, X = torch.meshgrid(LINE, LINE, indexing="ij")
FACE = ((X - 96) / 32) ** 2 + ((Y - 90) / 48) ** 2 < 1
HAIR = ((X - 96).abs() < 52) & (Y > 20) & (Y < 130) & ~FACE
MISSED = HAIR & (Y > 96)  #: what the network does not see of it
SKIN, BLACK, BACKGROUND = (0.8, 0.6, 0.5), (0.06, 0.05, 0.05), (0.3, 0.5, 0.4)


@pytest.fixture(scope="module")
def points():
    found = torch.tensor([96.0, 90.0]).repeat(468, 1)
    angle = torch.linspace(0, 2 * torch.pi, len(FACE_OUTLINE) + 1)[:-1]
    found[list(FACE_OUTLINE)] += torch.stack([30 * angle.sin(), -46 * angle.cos()], dim=1)
    found[list(LEFT_EYE)], found[list(RIGHT_EYE)] = torch.tensor([110.0, 80.0]), torch.tensor([82.0, 80.0])
    return found


def drawn(background=BACKGROUND):
    image = torch.tensor(background)[:, None, None].repeat(1, SIDE, SIDE)
    for where, colour in ((HAIR, BLACK), (FACE, SKIN)):
        image[:, where] = torch.tensor(colour)[:, None]
    return image


def as_mask(where):
    return where.float()[None]


def test_hair_that_was_missed_is_brought_back(points):
    mended = refined_matte(as_mask((HAIR | FACE) & ~MISSED), drawn(), points)
    wrong = (mended[0] > 0.5) != (HAIR | FACE)
    assert wrong.sum() < 0.1 * MISSED.sum()


def test_before_a_background_as_dark_as_the_hair_nothing_is_added(points):
    seen = as_mask((HAIR | FACE) & ~MISSED)
    assert torch.equal(refined_matte(seen, drawn(background=BLACK), points), seen)


def test_who_stands_beside_is_not_the_person(points):
    beside = (X > 165) & (Y > 60)
    mended = refined_matte(as_mask(HAIR | FACE | beside), drawn(), points)
    assert mended[0][beside].max() == 0
    assert mended[0][HAIR | FACE].min() == 1


def test_a_soft_edge_stays_as_soft(points):
    soft = ((60 - ((X - 96) ** 2 + (Y - 90) ** 2).sqrt()) / 4 + 0.5).clamp(0, 1)[None]
    assert torch.equal(refined_matte(soft, drawn(), points), soft)
