"""Irises: found where they were drawn, in any size and pose, and not where there are none."""

import math

import pytest
import torch

from sadtalker_core.canonical_face import LEFT_EYE, RIGHT_EYE
from sadtalker_core.face.iris import Eye, find_irises
from tests.render.heads import head_points

SKIN, WHITE, IRIS, RADIUS = 0.55, 0.85, 0.2, 0.06


def drawn(x=0.0, y=0.0, density=100.0, side=180, turn=0.0, iris=IRIS, white=WHITE, apart=0.0):
    """-> (3, S, S) two eyes on skin, and the mesh. x, y decimetres by which the irises are off the middle of the lids,
    `apart` by how much more the left one is; turn: degrees by which the head is tilted.
    """
    points = head_points(None, density, side)[:, :2]
    angle = math.radians(turn)
    rotation = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = torch.full((2,), side / 2)
    rows, columns = torch.meshgrid(torch.arange(2 * side) / 2 + 0.25, torch.arange(2 * side) / 2 + 0.25, indexing="ij")
    # pixels as the upright head has them
    place = (torch.stack([columns, rows], dim=-1) - middle) @ rotation + middle
    image = torch.full((2 * side, 2 * side), SKIN)
    for ring, more in ((LEFT_EYE, apart), (RIGHT_EYE, 0.0)):
        eye = Eye.of(points, ring)
        inside = torch.ones_like(image, dtype=torch.bool)
        edges = torch.cat([eye.upper, eye.lower.flip(0)])
        for a, b in zip(edges, edges.roll(-1, 0), strict=True):
            step, off = b - a, place - a
            inside &= step[0] * off[..., 1] - step[1] * off[..., 0] >= -1e-3
        centre = (eye.upper[3:6] + eye.lower[3:6]).mean(0) / 2 + torch.tensor([x + more, y]) * density
        disc = (place - centre).norm(dim=-1) < RADIUS * density
        image[inside] = white
        image[inside & disc] = iris
    image = torch.nn.functional.avg_pool2d(image[None], 2)
    return image.expand(3, -1, -1), (points - middle) @ rotation.T + middle


def centres(points, x, y, density, turn):
    """Where the irises were drawn, (2, 2)."""
    angle = math.radians(turn)
    shift = torch.tensor([x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)])
    eyes = [Eye.of(points, ring) for ring in (LEFT_EYE, RIGHT_EYE)]
    return torch.stack([(eye.upper[3:6] + eye.lower[3:6]).mean(0) / 2 for eye in eyes]) + shift * density


@pytest.mark.parametrize("density", [40.0, 100.0, 250.0])
@pytest.mark.parametrize("x", [-0.05, 0.0, 0.03])
def test_irises_are_found_where_they_are(x, density):
    image, points = drawn(x, density=density, side=round(1.4 * density))
    found = find_irises(image, points)
    assert (found[:, :2] - centres(points, x, 0.0, density, 0.0))[:, 0].abs().max() < 0.012 * density
    assert found[:, 2] == pytest.approx(RADIUS * density, rel=0.25)


@pytest.mark.parametrize("turn", [-90.0, -30.0, 20.0, 180.0])
def test_a_tilted_head_looks_the_same(turn):
    image, points = drawn(0.03, turn=turn)
    off = find_irises(image, points)[:, :2] - centres(points, 0.03, 0.0, 100.0, turn)
    angle = math.radians(turn)
    along = off @ torch.tensor([math.cos(angle), math.sin(angle)])
    assert along.abs().max() < 1.2


def test_a_mesh_with_depth_will_do():
    image, points = drawn()
    deep = torch.nn.functional.pad(points, (0, 1), value=7.0)
    assert torch.equal(find_irises(image, points), find_irises(image, deep))


@pytest.mark.parametrize(
    "options",
    [
        {"iris": WHITE},  # blind white
        {"iris": 0.2, "white": 0.2},  # dark glasses
        {"iris": WHITE, "white": 0.3},  # a light disc on something dark
        {"apart": -0.09},
        {"density": 15.0, "side": 30},
    ],
)
def test_what_is_not_clear_is_not_guessed_at(options):
    assert find_irises(*drawn(**options)) is None


def test_closed_eyes_have_none():
    image, points = drawn()
    for ring in (LEFT_EYE, RIGHT_EYE):
        points[list(ring[1:8])] = points[list(ring[:8:-1])] - torch.tensor([0.0, 1.0])
    assert find_irises(image, points) is None


def test_points_that_are_no_numbers_have_none():
    image, points = drawn()
    points[RIGHT_EYE[3]] = math.nan
    assert find_irises(image, points) is None


def test_faces_that_reach_beyond_the_image_do_no_harm():
    image, points = drawn()
    find_irises(image, points + torch.tensor([60.0, 0.0]))
    assert find_irises(image, points + torch.tensor([1000.0, 0.0])) is None
