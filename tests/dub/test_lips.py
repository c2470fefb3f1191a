"""The inner edges of lips are where the image has them: on the dark line where they touch, however the mesh guesses."""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.canonical_face import INNER_LIPS, LOWER_INNER_LIP, OUTER_LIPS, UPPER_INNER_LIP, load_canonical_face
from sadtalker_core.dub.lips import with_lip_edges

SIDE, PER_DM = 200, 100


def face(gap: float = 0.0) -> torch.Tensor:
    """(468, 3) pixels of the image: the mean face, its lips that many pixels apart in the middle of the image."""
    mean = load_canonical_face().mean.clone()
    points = (mean - mean[list(OUTER_LIPS)].mean(0)) * torch.tensor([PER_DM, -PER_DM, -PER_DM])
    points[:, :2] += SIDE / 2
    upper, lower = list(UPPER_INNER_LIP), list(LOWER_INNER_LIP[::-1])
    middle = (points[upper, 1] + points[lower, 1]) / 2
    points[upper, 1], points[lower, 1] = middle - gap / 2, middle + gap / 2
    return points


def lips_with_a_line(points: torch.Tensor, off: float) -> torch.Tensor:
    """(3, SIDE, SIDE): red, with a dark line so many pixels below the edges of the mesh."""
    upper = points[list(UPPER_INNER_LIP), :2]
    order = upper[:, 0].argsort()
    columns = torch.arange(SIDE) + 0.5
    place = torch.searchsorted(upper[order, 0].contiguous(), columns).clamp(1, len(order) - 1)
    height = upper[order, 1][place] + off
    dark = torch.exp(-(((torch.arange(SIDE) + 0.5)[:, None] - height) ** 2) / 2)
    return torch.tensor([0.7, 0.4, 0.35])[:, None, None] * (1 - 0.6 * dark)


@pytest.mark.parametrize("off", [-1.5, 0.0, 2.5])
def test_touching_lips_meet_on_the_dark_line(off):
    points = face()
    moved = with_lip_edges(lips_with_a_line(points, off), points) - points
    middle = [*UPPER_INNER_LIP[2:7], *LOWER_INNER_LIP[2:7]]
    assert moved[middle, 1].mean() == pytest.approx(off, abs=0.6)
    others = [k for k in range(468) if k not in INNER_LIPS]
    assert moved[list(OUTER_LIPS)].abs().max() == 0, "the outer edges stay"
    assert moved[others].norm(dim=-1).max() <= moved[list(INNER_LIPS)].norm(dim=-1).max()


def test_parted_lips_are_left_where_only_touching_ones_are_to_be_closed():
    points = face(gap=12.0)
    image = lips_with_a_line(points, 6.0)
    assert torch.equal(with_lip_edges(image, points, open_too=False), points)
