"""The second judge's network in plain torch, held against TensorFlow's rules written as slow loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tools.mini_evaluator.points68 import SIDE, WIDTHS, Points68, dequantised


def slow_convolution(x: np.ndarray, kernel: np.ndarray, stride: int, depthwise: bool) -> np.ndarray:
    """x (H, W, in), kernel (3, 3, in, out or 1) with TensorFlow's "same": the odd pixel of padding is right and
    below.
    """
    sides = [-(-side // stride) for side in x.shape[:2]]
    spare = [max((n - 1) * stride + 3 - side, 0) for n, side in zip(sides, x.shape[:2], strict=True)]
    x = np.pad(x, [(spare[0] // 2, spare[0] - spare[0] // 2), (spare[1] // 2, spare[1] - spare[1] // 2), (0, 0)])
    rows = []
    for i in range(sides[0]):
        cells = [x[i * stride : i * stride + 3, j * stride : j * stride + 3, :, None] for j in range(sides[1])]
        rows.append([(cell * kernel).sum((0, 1) if depthwise else (0, 1, 2)) for cell in cells])
    found = np.array(rows)
    return found[..., 0] if depthwise else found


def stored_net(draw: np.random.Generator) -> tuple[list[dict], bytes, dict[str, np.ndarray]]:
    """A manifest, its bytes, and the numbers they mean, all at random."""
    shapes: dict[str, tuple[int, ...]] = {}
    n_in = 3
    for block, width in enumerate(WIDTHS):
        for layer in range(4):
            name = f"dense{block}/conv{layer}"
            if block == layer == 0:
                shapes[f"{name}/filters"] = (3, 3, n_in, width)
            else:
                shapes[f"{name}/depthwise_filter"] = (3, 3, n_in, 1)
                shapes[f"{name}/pointwise_filter"] = (1, 1, n_in, width)
            shapes[f"{name}/bias"] = (width,)
            n_in = width
    shapes |= {"fc/weights": (n_in, 136), "fc/bias": (136,)}
    manifest, stored, selector = [], b"", {}
    for name, shape in shapes.items():
        codes = draw.integers(0, 256, shape, dtype=np.uint8)
        spread = np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else 0.05
        scale, low = float(spread / 75), float(-spread * 1.7)
        manifest.append({"name": name, "shape": list(shape), "quantization": {"scale": scale, "min": low}})
        stored += codes.tobytes()
        selector[name] = codes * scale + low
    return manifest, stored, selector


def test_the_first_layers_are_those_that_tensorflow_would_compute():
    manifest, stored, selector = stored_net(np.random.default_rng(1))
    net = Points68(dequantised(manifest, stored))
    x = np.random.default_rng(2).random((10, 8, 3))
    tensor = torch.from_numpy(x).permute(2, 0, 1)[None].float()

    first = slow_convolution(x, selector["dense0/conv0/filters"], 2, depthwise=False) + selector["dense0/conv0/bias"]
    torch.testing.assert_close(
        net._convolution(tensor, "dense0/conv0", stride=2)[0].permute(1, 2, 0).double(),
        torch.from_numpy(first),
        rtol=1e-4,
        atol=1e-4,
    )

    def separable(x: np.ndarray, name: str) -> np.ndarray:
        deep = slow_convolution(x, selector[f"{name}/depthwise_filter"], 1, depthwise=True)
        return deep @ selector[f"{name}/pointwise_filter"][0, 0] + selector[f"{name}/bias"]

    total = np.maximum(first, 0)
    for layer in (1, 2, 3):
        total = total + separable(np.maximum(total, 0), f"dense0/conv{layer}")
    torch.testing.assert_close(
        net._block(tensor, "dense0")[0].permute(1, 2, 0).double(),
        torch.from_numpy(np.maximum(total, 0)),
        rtol=1e-3,
        atol=1e-3,
    )


def test_a_square_becomes_68_points():
    manifest, stored, _ = stored_net(np.random.default_rng(1))
    assert Points68(dequantised(manifest, stored))(torch.zeros(2, 3, SIDE, SIDE)).shape == (2, 68, 2)


def test_bytes_that_the_manifest_does_not_name_are_refused():
    manifest, stored, _ = stored_net(np.random.default_rng(1))
    with pytest.raises(ValueError, match="expected .* bytes"):
        dequantised(manifest, stored + b"\0")


class Bright(Points68):
    """Finds the brightest spot of the square, and its four neighbours a quarter of the square away."""

    def __init__(self):
        super().__init__({})

    def __call__(self, squares: torch.Tensor) -> torch.Tensor:
        at = squares.mean(1).flatten(1).argmax(1)
        spot = (torch.stack([at % SIDE, at // SIDE], -1) + 0.5) / SIDE
        return spot[:, None] + torch.tensor([[0, 0], [0.25, 0], [-0.25, 0], [0, 0.25], [0, -0.25]])


def test_points_come_back_in_pixels_of_the_image():
    image = torch.zeros(1, 3, 90, 160)
    image[..., 40:42, 100:102] = 1
    around = torch.tensor([[[80.0, 20.0], [120.0, 60.0]]])
    torch.testing.assert_close(Bright().find(image, around)[0, 0], torch.tensor([101.0, 41.0]), atol=0.5, rtol=0)
