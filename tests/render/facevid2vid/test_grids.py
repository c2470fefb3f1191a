import math

import pytest
import torch

from sadtalker_core.render.facevid2vid.grids import (
    ALIGN_CORNERS,
    HEAT_VARIANCE,
    centre_of_mass,
    heat_maps,
    read_volume,
    volume_grid,
)
from tests.render import tiny

SHAPE = (3, 4, 5)


def place_of(index):
    """The place (x, y, z) of the voxel (d, h, w)."""
    return [2 * i / (n - 1) - 1 for i, n in zip(reversed(index), reversed(SHAPE), strict=True)]


def voxels():
    return [(d, h, w) for d in range(SHAPE[0]) for h in range(SHAPE[1]) for w in range(SHAPE[2])]


def test_the_grid_runs_from_centre_to_centre_in_the_order_x_y_z():
    grid = volume_grid(SHAPE, like=torch.zeros(1))
    assert grid.shape == (*SHAPE, 3)
    for index in voxels():
        assert grid[index].tolist() == pytest.approx(place_of(index), abs=1e-6)


def test_heat_falls_off_as_a_gaussian_around_each_point():
    points = tiny.uniform(2, 2, 3) * 2 - 1
    heat = heat_maps(points, SHAPE)
    assert heat.shape == (2, 2, *SHAPE)
    for b in range(2):
        for k in range(2):
            for index in voxels():
                squared = sum((a - p) ** 2 for a, p in zip(place_of(index), points[b, k].tolist(), strict=True))
                assert heat[(b, k, *index)].item() == pytest.approx(math.exp(-squared / (2 * HEAT_VARIANCE)), abs=1e-6)


def test_the_centre_of_mass_is_the_mean_place():
    maps = tiny.uniform(2, 3, *SHAPE)
    got = centre_of_mass(maps)
    maps = maps / maps.sum(dim=(2, 3, 4), keepdim=True)
    for b in range(2):
        for k in range(3):
            for axis in range(3):
                mean = sum(maps[(b, k, *index)].item() * place_of(index)[axis] for index in voxels())
                assert got[b, k, axis].item() == pytest.approx(mean, abs=1e-5)


def test_the_centre_of_mass_of_many_voxels_is_as_exact_as_of_few():
    """A dot product over as many was off by 1e-4, on each processor by something else."""
    maps = torch.exp(10 * tiny.normal(1, 2, 16, 128, 128).clamp(-1, 1))
    grid = volume_grid(maps.shape[2:], like=maps.double())
    exact = torch.einsum("bkdhw,dhwc->bkc", maps.double(), grid) / maps.double().sum(dim=(2, 3, 4))[..., None]
    assert (centre_of_mass(maps) - exact).abs().max().item() < 3e-7


def read_slowly(volume, place):
    """One channel (D, H, W) read at (x, y, z), where -1 and 1 are the outer edges of the first and the last voxel."""
    at = [((p + 1) * n - 1) / 2 for p, n in zip(reversed(place), SHAPE, strict=True)]
    total = 0.0
    for index in voxels():
        total += volume[index].item() * math.prod(max(0.0, 1 - abs(a - i)) for a, i in zip(at, index, strict=True))
    return total


def test_a_volume_is_read_trilinearly_from_edge_to_edge_with_zeros_outside():
    volume, places = tiny.normal(2, 2, *SHAPE), 2.4 * tiny.uniform(2, 2, 1, 3, 3, seed=1) - 1.2
    got = read_volume(volume, places)
    assert got.shape == (2, 2, 2, 1, 3)
    for b in range(2):
        for c in range(2):
            for d in range(2):
                for w in range(3):
                    slow = read_slowly(volume[b, c], places[b, d, 0, w].tolist())
                    assert got[b, c, d, 0, w].item() == pytest.approx(slow, abs=1e-5)


def test_the_identity_shrinks_as_the_released_weights_learned_it():
    """Grids run from centre to centre, reading runs from edge to edge: the corner voxel keeps an eighth of itself."""
    assert ALIGN_CORNERS is False
    ones = torch.ones(1, 1, *SHAPE)
    read = read_volume(ones, volume_grid(SHAPE, like=ones).unsqueeze(0))
    assert read[0, 0, 0, 0, 0].item() == pytest.approx(1 / 8)
    assert read[0, 0, 1, 1, 2].item() == pytest.approx(1)


def test_narrow_volumes_are_read_at_exact_places():
    volume, places = tiny.normal(1, 2, *SHAPE).bfloat16(), 2 * tiny.uniform(1, 2, 3, 4, 3) - 1
    got = read_volume(volume, places)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, read_volume(volume.float(), places).bfloat16())
