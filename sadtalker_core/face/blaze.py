"""The two residual blocks of the embedded face networks: features in, features of the same or half the size out.

`B` batch, `C` channels, `H W` the grid. After BlazeFace (Bazarevsky et al. 2019, "BlazeFace: Sub-millisecond Neural
Face Detection on Mobile GPUs", section 3): a depthwise 3 x 3 convolution, a 1 x 1 convolution, and a shortcut that is
max-pooled when the block halves the grid and filled up with zero channels when the block widens.

The networks were trained with a padding that puts the odd pixel on the right and the bottom, hence `SamePad`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class SamePad(nn.Module):
    """Zeros around (B, C, H, W) so that a convolution gives H / stride rows; the odd one goes right and below."""

    def __init__(self, kernel: int, stride: int):
        super().__init__()
        before = (kernel - stride) // 2
        after = kernel - stride - before
        self.sides = (before, after, before, after)

    def forward(self, features: Tensor) -> Tensor:
        return F.pad(features, self.sides)


def conv(
    n_in: int, n_out: int, kernel: int = 1, stride: int = 1, *, depthwise: bool = False, ops: Any = nn
) -> nn.Sequential:
    """A padded convolution with bias; `depthwise` filters each channel by itself."""
    return nn.Sequential(
        SamePad(kernel, stride), ops.Conv2d(n_in, n_out, kernel, stride, groups=n_in if depthwise else 1)
    )


def activation(kind: str, channels: int) -> nn.Module:
    """The rectifier "relu", or "prelu" with one slope for each channel."""
    return nn.ReLU() if kind == "relu" else nn.PReLU(channels)


def shortcut(features: Tensor, n_out: int, stride: int) -> Tensor:
    """The way around a block: halved by maxima where the block halves, zero channels behind where it widens."""
    if stride > 1:
        features = F.max_pool2d(features, stride)
    return F.pad(features, (0, 0, 0, 0, 0, n_out - features.shape[1]))


class BlazeBlock(nn.Module):
    """(B, n_in, H, W) -> (B, n_out, H / stride, W / stride): depthwise, pointwise, plus the shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1, *, kind: str = "relu", ops: Any = nn):
        super().__init__()
        self.n_out, self.stride = n_out, stride
        self.depthwise = conv(n_in, n_in, 3, stride, depthwise=True, ops=ops)
        self.pointwise = conv(n_in, n_out, ops=ops)
        self.activation = activation(kind, n_out)

    def forward(self, features: Tensor) -> Tensor:
        change = self.pointwise(self.depthwise(features))
        return self.activation(shortcut(features, self.n_out, self.stride) + change)


def blaze_chain(width: int, blocks: Sequence[tuple[int, int]], *, kind: str = "relu", ops: Any = nn) -> nn.Sequential:
    """Blocks one after the other; each is (channels it gives, stride)."""
    chain = nn.Sequential()
    for n_out, stride in blocks:
        chain.append(BlazeBlock(width, n_out, stride, kind=kind, ops=ops))
        width = n_out
    return chain


class DoubleBlazeBlock(nn.Module):
    """The same with two depthwise-pointwise pairs, squeezed to `n_squeezed` channels between them."""

    def __init__(self, n_in: int, n_squeezed: int, n_out: int, stride: int = 1, *, ops: Any = nn):
        super().__init__()
        self.n_out, self.stride = n_out, stride
        self.squeeze = nn.Sequential(
            conv(n_in, n_in, 3, stride, depthwise=True, ops=ops), conv(n_in, n_squeezed, ops=ops)
        )
        self.expand = nn.Sequential(
            conv(n_squeezed, n_squeezed, 3, depthwise=True, ops=ops), conv(n_squeezed, n_out, ops=ops)
        )

    def forward(self, features: Tensor) -> Tensor:
        change = self.expand(F.relu(self.squeeze(features)))
        return F.relu(shortcut(features, self.n_out, self.stride) + change)
