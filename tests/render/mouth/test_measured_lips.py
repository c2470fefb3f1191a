"""The lips of an open mouth: where the portrait shows their edges, not where the mesh has them."""

import pytest
import torch

from sadtalker_core.canonical_face import INNER_LIPS, LOWER_INNER_LIP, UPPER_INNER_LIP
from sadtalker_core.render.mouth.measured_lips import with_measured_lips
from tests.render.heads import DENSITY, SIDE, head_points, row

SMILE = row({"mouthSmile": 1.0, "mouthUpperUp": 0.8, "jawOpen": 0.25})
UPPER, LOWER = list(UPPER_INNER_LIP), list(LOWER_INNER_LIP[::-1])
SKIN, LIP, TOOTH, DARK = (0.85, 0.66, 0.54), (0.75, 0.42, 0.42), (0.93, 0.92, 0.88), (0.1, 0.05, 0.05)
MIDDLE = slice(3, 6)


def portrait(face, inside, upper=0.0, lower=0.0):
    """A mouth whose lips end `upper` and `lower` decimetres further in than those of its mesh, and what is inside."""
    points = head_points(face)
    lips = points[list(INNER_LIPS), :2]
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    edges = []
    for edge, moved in ((UPPER, upper), (LOWER, -lower)):
        places = points[edge, :2]
        after = torch.searchsorted(places[:, 0].contiguous(), x.contiguous()).clamp(1, len(edge) - 1)
        left, right = places[after - 1], places[after]
        share = ((x - left[..., 0]) / (right[..., 0] - left[..., 0])).clamp(0, 1)
        edges.append(left[..., 1] + share * (right - left)[..., 1] + moved * DENSITY)
    within = (x > lips[:, 0].min()) & (x < lips[:, 0].max())
    image = torch.tensor(SKIN)[:, None, None].expand(3, SIDE, SIDE).clone()
    for colour, over in ((LIP, 0.12), (inside, 0.0)):
        where = within & (y > edges[0] - over * DENSITY) & (y < edges[1] + over * DENSITY)
        image[:, where] = torch.tensor(colour)[:, None]
    return points, image[None]


@pytest.mark.parametrize("inside", [TOOTH, DARK], ids=["teeth", "dark"])
@pytest.mark.parametrize(("upper", "lower"), [(0.0, 0.0), (0.03, 0.04), (-0.015, 0.0), (0.0, -0.02)])
def test_edges_go_to_where_the_lips_end(upper, lower, inside):
    points, image = portrait(SMILE, inside, upper, lower)
    moved = (with_measured_lips(points, image) - points)[:, 1] / DENSITY
    # what moves in stops a little before, so that no tooth comes along
    for found, true in ((moved[UPPER], upper), (-moved[LOWER], lower)):
        assert true - 0.035 < found[MIDDLE].mean() < true + 0.008


def test_the_outer_lip_goes_along_and_the_eyes_stay():
    points, image = portrait(SMILE, TOOTH, lower=0.04)
    moved = (with_measured_lips(points, image) - points)[:, 1] / DENSITY
    assert moved[17] < 0.5 * moved[14] < -0.002
    assert moved[[33, 263, 10]].abs().amax() < 1e-3


def test_closed_lips_stay():
    points, image = portrait(row({}), TOOTH, upper=0.03)
    assert torch.equal(with_measured_lips(points, image), points)


def test_a_portrait_without_colour_stays():
    points, image = portrait(SMILE, TOOTH, upper=0.03, lower=0.04)
    grey = image.mean(1, keepdim=True).expand_as(image)
    assert torch.equal(with_measured_lips(points, grey), points)
