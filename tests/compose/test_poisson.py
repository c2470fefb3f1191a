"""The seamless blend, held against a slow solver that sets every equation up by itself."""

import pytest
import scipy.fft
import torch

from sadtalker_core.compose.poisson import BORDER, seamless, sine_transform, solve_poisson


def noise(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def neighbours_minus_four(u):
    """u[y-1] + u[y+1] + u[x-1] + u[x+1] - 4 u, with zeros all around."""
    padded = torch.nn.functional.pad(u, (1, 1, 1, 1))
    return padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:] - 4 * u


@pytest.mark.parametrize("n", [1, 2, 7, 16])
def test_the_sine_transform_is_scipys(n):
    x = noise(3, n)
    torch.testing.assert_close(2 * sine_transform(x, -1), torch.from_numpy(scipy.fft.dst(x.numpy(), type=1)))
    torch.testing.assert_close(2 / (n + 1) * sine_transform(sine_transform(x, -1), -1), x)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (8, 5), (31, 40)])
def test_the_solution_solves_the_equation(height, width):
    right_side = noise(2, height, width) - 0.5
    torch.testing.assert_close(neighbours_minus_four(solve_poisson(right_side)), right_side)


def slow_seamless(patch, image):
    """(h, w) each. One equation per pixel: its steps to its neighbours are the wanted ones; the border is given."""
    height, width = image.shape
    inside = [(y, x) for y in range(2, height - 2) for x in range(2, width - 2)]
    number = {place: i for i, place in enumerate(inside)}
    matrix, right_side = torch.zeros(len(inside), len(inside)).double(), torch.zeros(len(inside)).double()

    def from_patch(y, x):
        return BORDER <= y < height - BORDER and BORDER <= x < width - BORDER

    for (y, x), i in number.items():
        # a step belongs to the pixel at its left or upper end
        for (y2, x2), owner in (
            ((y, x + 1), (y, x)),
            ((y + 1, x), (y, x)),
            ((y, x - 1), (y, x - 1)),
            ((y - 1, x), (y - 1, x)),
        ):
            source = patch if from_patch(*owner) else image
            matrix[i, i] += 1
            right_side[i] += source[y, x] - source[y2, x2]
            if (y2, x2) in number:
                matrix[i, number[y2, x2]] -= 1
            else:
                right_side[i] += image[y2, x2]
    result = image.clone()
    result[2:-2, 2:-2] = torch.linalg.solve(matrix, right_side).reshape(height - 4, width - 4)
    return result


@pytest.mark.parametrize(("height", "width"), [(9, 9), (11, 14), (15, 10)])
def test_a_seamless_patch_is_the_slow_one(height, width):
    patch, image = noise(1, 3, height, width), noise(3, height, width) / 2
    expected = torch.stack([slow_seamless(patch[0, c], image[c]) for c in range(3)])
    torch.testing.assert_close(seamless(patch, image)[0], expected)


def test_a_patch_of_another_level_takes_the_level_of_the_image():
    image = noise(3, 40, 50)
    torch.testing.assert_close(
        seamless(image[None] + 0.3, image)[0][:, 8:-8, 8:-8].mean(),
        image[:, 8:-8, 8:-8].mean(),
        rtol=0,
        atol=2e-2,
    )


def test_the_image_itself_comes_back():
    image = noise(3, 23, 31)
    torch.testing.assert_close(seamless(image[None], image)[0], image)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (8, 8)])
def test_a_patch_that_is_all_rim_is_the_image(size):
    image = noise(3, *size)
    assert torch.equal(seamless(noise(2, 3, *size), image), image.expand(2, -1, -1, -1))
