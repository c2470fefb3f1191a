"""The inner edges of lips are where the image has them: on the dark line where they touch, however the mesh guesses."""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.canonical_face import INNER_LIPS, LOWER_INNER_LIP, OUTER_LIPS, UPPER_INNER_LIP, load_canonical_face
from sadtalker_core.dub.lips import with_lip_edges

SIDE, PER_DM = 200, 100
STAY = torch.zeros(2)  #: corners that are where the mesh has them


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
    moved = with_lip_edges(lips_with_a_line(points, off), points, STAY) - points
    middle = [*UPPER_INNER_LIP[2:7], *LOWER_INNER_LIP[2:7]]
    assert moved[middle, 1].mean() == pytest.approx(off, abs=0.6)
    others = [k for k in range(468) if k not in INNER_LIPS]
    assert moved[list(OUTER_LIPS)].abs().max() == 0, "the outer edges stay"
    assert moved[others].norm(dim=-1).max() <= moved[list(INNER_LIPS)].norm(dim=-1).max()


def test_parted_lips_are_left_where_only_touching_ones_are_to_be_closed():
    points = face(gap=12.0)
    image = lips_with_a_line(points, 6.0)
    assert torch.equal(with_lip_edges(image, points, STAY, open_too=False), points)


def test_teeth_beyond_the_mesh_are_no_lip():
    """Pale teeth are nearer to the lip's colour than to the dark behind them."""
    points, further = face(gap=20.0), 4.0
    points[list(OUTER_LIPS[11:]), 1] += 10
    upper, lower = points[13, 1], points[14, 1]
    rows = torch.arange(SIDE) + 0.5
    image = torch.tensor([0.7, 0.4, 0.35])[:, None, None].repeat(1, SIDE, SIDE)
    image[:, (rows > upper) & (rows < lower)] = 0.05
    image[:, (rows > lower - 4) & (rows < lower + further)] = torch.tensor([0.75, 0.75, 0.7])[:, None, None]
    moved = (with_lip_edges(image, points, STAY) - points)[:, 1]
    assert moved[[87, 14, 317]].tolist() == pytest.approx([further] * 3, abs=1.5), "the lower edge, to below the teeth"
    assert moved[[82, 13, 312]].abs().max() < 1, "the upper one has none"
