"""The evaluator that training never saw: the 68-point network of npm's @vladmandic/face-api, read and run in plain
torch.

In: images and roughly where a face is. Out: 68 points in pixels, in the usual order. The weights (MIT, quantised to
8 bits) are read at evaluation time and never shipped: `face_landmark_68_model.bin` and its weights manifest.
The net: a 112 x 112 square, minus a mean colour, through four dense blocks of separable convolutions with 32, 64, 128
and 256 channels, each halving the image; then the mean over what is left and one linear layer to 136 numbers, x and
y in turn, as parts of the square. Padding is TensorFlow's "same", which for a stride of 2 pads right and below only.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 112
MEAN_COLOUR = (122.782, 117.001, 104.298)
WIDTHS = (32, 64, 128, 256)
LAYERS_PER_BLOCK = 4
MODEL = "face_landmark_68_model"

#: the square around a face that the network wants, as a multiple of the larger side of the box around the points
MARGIN = 1.12


def read_weights(folder: Path) -> dict[str, Tensor]:
    """MODEL.bin and MODEL-weights_manifest.json -> float32 tensors; convolutions as (out, in, h, w)."""
    (group,) = json.loads((folder / f"{MODEL}-weights_manifest.json").read_text(encoding="utf-8"))
    return dequantised(group["weights"], (folder / f"{MODEL}.bin").read_bytes())


def dequantised(manifest: list[dict], stored: bytes) -> dict[str, Tensor]:
    """One byte per number: value = byte * scale + min. Raises ValueError when bytes are missing or left over."""
    weights, at = {}, 0
    for entry in manifest:
        shape, quantised = entry["shape"], entry["quantization"]
        count = int(np.prod(shape))
        codes = np.frombuffer(stored, np.uint8, count, at).astype(np.float32)
        tensor = torch.from_numpy(codes * np.float32(quantised["scale"]) + np.float32(quantised["min"])).view(shape)
        weights[entry["name"]] = _torch_order(entry["name"], tensor)
        at += count
    if at != len(stored):
        raise ValueError(f"expected {at} bytes of weights by the manifest, got {len(stored)}")
    return weights


def _torch_order(name: str, tensor: Tensor) -> Tensor:
    """TensorFlow keeps (h, w, in, out), and depthwise (h, w, channels, 1)."""
    if name.endswith("depthwise_filter"):
        return tensor.permute(2, 3, 0, 1).contiguous()
    return tensor.permute(3, 2, 0, 1).contiguous() if tensor.ndim == 4 else tensor


class Points68:
    """weights: of `read_weights`."""

    def __init__(self, weights: dict[str, Tensor]):
        self.weights = weights

    @torch.no_grad()
    def __call__(self, squares: Tensor) -> Tensor:
        """squares (B, 3, 112, 112) in 0..1 -> (B, 68, 2) as parts of the square."""
        x = (squares * 255 - squares.new_tensor(MEAN_COLOUR)[:, None, None]) / 255
        for block in range(len(WIDTHS)):
            x = self._block(x, f"dense{block}")
        x = F.avg_pool2d(x, 7, 2).flatten(1)
        return (x @ self.weights["fc/weights"] + self.weights["fc/bias"]).unflatten(1, (68, 2))

    def _block(self, x: Tensor, name: str) -> Tensor:
        """Each layer reads the sum of all before it; only the first one halves the image."""
        total = self._convolution(x, f"{name}/conv0", stride=2).relu()
        for layer in range(1, LAYERS_PER_BLOCK):
            total = total + self._convolution(total.relu(), f"{name}/conv{layer}", stride=1)
        return total.relu()

    def _convolution(self, x: Tensor, name: str, stride: int) -> Tensor:
        x = F.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        whole, bias = self.weights.get(f"{name}/filters"), self.weights[f"{name}/bias"]
        if whole is not None:
            return F.conv2d(x, whole, bias, stride)
        x = F.conv2d(x, self.weights[f"{name}/depthwise_filter"], stride=stride, groups=x.shape[1])
        return F.conv2d(x, self.weights[f"{name}/pointwise_filter"], bias)

    def find(self, images: Tensor, around: Tensor) -> Tensor:
        """images (B, 3, H, W) in 0..1, around (B, n, 2) any points spread over each face, from the brows to the chin
        -> (B, 68, 2) in pixels. The square is placed a second time, around the points that the network has found.
        """
        points = around
        for _ in range(2):
            low, high = points.amin(dim=1), points.amax(dim=1)
            side = (high - low).amax(dim=1) * MARGIN
            left_top = (low + high) / 2 - side[:, None] / 2
            points = left_top[:, None] + self(cut(images, left_top, side)) * side[:, None, None]
        return points


def cut(images: Tensor, left_top: Tensor, side: Tensor) -> Tensor:
    """Squares (B, 3, 112, 112) out of images, antialiased by sampling 2 x 2 as densely; outside is the border."""
    height, width = images.shape[-2:]
    steps = (torch.arange(2 * SIDE) + 0.5) / (2 * SIDE)
    places = left_top[:, :, None] + steps * side[:, None, None]  # (B, 2, 224): x, then y
    x = places[:, 0, None, :].expand(-1, 2 * SIDE, -1) * (2 / width) - 1
    y = places[:, 1, :, None].expand(-1, -1, 2 * SIDE) * (2 / height) - 1
    grid = torch.stack([x, y], dim=-1)
    return F.avg_pool2d(F.grid_sample(images, grid, padding_mode="border", align_corners=False), 2)
