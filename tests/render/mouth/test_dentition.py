"""Teeth and tongue: their drawings, and where the canonical face has them."""

import pytest
import torch

from sadtalker_core.canonical_face import load_canonical_face
from sadtalker_core.render.meshwarp.mouth_anchors import LOWER_TEETH, TONGUE, UPPER_TEETH
from sadtalker_core.render.mouth import dentition
from sadtalker_core.render.mouth.dentition import LOWER_APART, LOWER_CROWNS, LOWER_SHADED, UPPER_CROWNS, teeth, tongue


@pytest.mark.parametrize("crowns", [UPPER_CROWNS, LOWER_CROWNS])
def test_a_row_of_teeth_is_symmetric_and_has_its_edge_at_zero(crowns):
    drawing = teeth(100.0, crowns)
    assert torch.allclose(drawing, drawing.flip(2), atol=1e-3)
    cover = drawing[3, :, drawing.shape[2] // 2 + 2]
    edge = int((cover > 0.5).nonzero().max())
    assert abs(edge - drawing.shape[1] / 2) <= 2


def test_teeth_are_parted_by_dark_lines():
    row = teeth(200.0, UPPER_CROWNS)[:3, 30].mean(0)
    middle = len(row) // 2
    assert row[middle] < 0.93 * row[middle + 8]


def test_single_lower_teeth_can_be_told_at_the_size_of_a_small_portrait():
    """By gaps of a pixel or less; towards the gum they fall into the shade of the lip."""
    small = teeth(90.0, LOWER_CROWNS, apart=LOWER_APART, shaded=LOWER_SHADED)[:3].mean(0)
    edge, middle = small.shape[0] // 2 - 2, small.shape[1] // 2
    row = small[edge, middle - 14 : middle + 14]
    assert (row[1:-1] < 0.88 * torch.minimum(row[:-2], row[2:])).sum() >= 3
    assert small[edge - 5, middle + 2] < 0.9 * small[edge, middle + 2]


def test_drawings_have_as_many_pixels_as_they_are_asked_for():
    assert teeth(100.0, UPPER_CROWNS).shape == tongue(100.0).shape == (4, 40, 72)
    assert teeth(50.0, UPPER_CROWNS).shape == (4, 20, 36)


@pytest.mark.parametrize(
    "kind, below, behind", [(UPPER_TEETH, 4.8, 4.9), (LOWER_TEETH, 1.1, 10.0), (TONGUE, 3.8, 21.2)]
)
def test_the_tooth_edges_lie_where_the_docstring_has_them(kind, below, behind):
    canonical = load_canonical_face()
    points = canonical.teeth[canonical.teeth_kind == kind]
    _, down, back = ((canonical.mean[13] - points[len(points) // 2]) * 100).tolist()
    assert (down, back) == (pytest.approx(below, abs=0.05), pytest.approx(behind, abs=0.05))
    assert f"{below} below, {behind:4.1f} behind" in dentition.__doc__
