"""An image made larger or smaller by Lanczos' kernel keeps its place and its detail, and nothing aliases."""

from __future__ import annotations

import math

import pytest
import torch

from sadtalker_core.lanczos import resize_lanczos


def slowly(line: list[float], n_out: int, lobes: int) -> list[float]:
    """One row, pixel by pixel, as the textbook has it."""
    ratio = len(line) / n_out
    wide, found = max(ratio, 1), []
    for k in range(n_out):
        centre = (k + 0.5) * ratio - 0.5
        total = weight_sum = 0.0
        for j in range(math.floor(centre - lobes * wide) - 1, math.ceil(centre + lobes * wide) + 2):
            x = (j - centre) / wide * math.pi
            if abs(x) >= lobes * math.pi:
                continue
            weight = 1.0 if x == 0 else lobes * math.sin(x) * math.sin(x / lobes) / x**2
            total, weight_sum = total + weight * line[min(max(j, 0), len(line) - 1)], weight_sum + weight
        found.append(min(max(total / weight_sum, 0), 1))
    return found


@pytest.mark.parametrize(("n_in", "n_out", "lobes"), [(12, 31, 3), (40, 13, 3), (9, 18, 6), (5, 40, 2)])
def test_each_row_and_each_column_matches_the_textbook(n_in, n_out, lobes):
    line = torch.rand(n_in, generator=torch.Generator().manual_seed(n_in))
    wanted = torch.tensor(slowly(line.tolist(), n_out, lobes))
    across = resize_lanczos(line.expand(3, 4, n_in), (4, n_out), lobes=lobes)
    down = resize_lanczos(line[:, None].expand(n_in, 4), (n_out, 4), lobes=lobes)
    assert torch.allclose(across, wanted.expand(3, 4, n_out), atol=1e-5)
    assert torch.allclose(down, wanted[:, None].expand(n_out, 4), atol=1e-5)


def test_the_same_size_is_the_same_image():
    image = torch.rand(3, 20, 30)
    assert torch.equal(resize_lanczos(image, (20, 30)), image)


def test_a_checkerboard_made_smaller_is_grey():
    board = ((torch.arange(300)[:, None] + torch.arange(300)) % 2).float()
    assert (resize_lanczos(board, (130, 130))[8:-8, 8:-8] - 0.5).abs().max() < 0.01
