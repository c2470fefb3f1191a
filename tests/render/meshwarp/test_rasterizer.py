"""The rasterizer against a loop one can read."""

import pytest
import torch

from sadtalker_core.render.meshwarp.rasterizer import is_covered, rasterize, signed_areas


def test_rasterize_agrees_with_a_slow_loop():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, 30, 2, generator=generator) * 16 - 2
    depth = torch.randn(2, 30, generator=generator)
    triangles = torch.randint(30, (24, 3), generator=generator)
    triangle, weights = rasterize(points, depth, triangles, 12)
    for b in range(2):
        corners = [[(*points[b, i].tolist(), float(depth[b, i])) for i in t] for t in triangles.tolist()]
        for y in range(12):
            for x in range(12):
                expected = slow_front(corners, x + 0.5, y + 0.5)
                if expected is None:
                    assert float(weights[b, y, x].sum()) == 0
                else:
                    front, margin = expected
                    assert int(triangle[b, y, x]) == front or margin < 1e-3
                    assert float(weights[b, y, x].sum()) == pytest.approx(1, abs=1e-4)


def slow_front(triangles, x, y):
    """The nearest triangle at one place, and how clear that is: the distance to the next one or to its own edge."""
    found = []
    for k, ((ax, ay, az), (bx, by, bz), (cx, cy, cz)) in enumerate(triangles):
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-5:
            continue
        v = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
        w = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
        if min(1 - v - w, v, w) < 0:
            continue
        near = (1 - v - w) * az + v * bz + w * cz
        found.append((near, k, min(1 - v - w, v, w)))
    if not found:
        return None
    found.sort(reverse=True)
    gap = found[0][0] - found[1][0] if len(found) > 1 else 1.0
    return found[0][1], min(gap, found[0][2])


def test_a_triangle_edge_on_is_not_drawn():
    points = torch.tensor([[[1.0, 1.0], [8.0, 8.0], [4.0, 4.0]]])
    _, corners = rasterize(points, torch.zeros(1, 3), torch.tensor([[0, 1, 2]]), 10)
    assert not is_covered(corners).any()


def test_the_area_is_positive_for_corners_that_turn_clockwise_in_the_image():
    clockwise = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 2.0]])  # right, then down
    assert signed_areas(clockwise) == 6
    assert signed_areas(clockwise.flip(0)) == -6
