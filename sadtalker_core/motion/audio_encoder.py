"""A mel window of a fifth of a second comes in, one embedding goes out: the speech in this video frame.

Letters: `B` windows. The layout is the audio encoder of Wav2Lip (Prajwal et al. 2020), which SadTalker starts from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..batchnorm_folding import fold_batchnorm


@dataclass(frozen=True)
class AudioEncoderConfig:
    """width: channels of the first stage; the later ones have 2, 4, 8 and 16 times as many."""

    width: int = 32

    @property
    def embedding(self) -> int:
        return 16 * self.width


RELEASED_AUDIO_ENCODER = AudioEncoderConfig(width=32)


class AudioEncoder(nn.Module):
    """windows (B, 1, 80, 16) in -4..4 -> (B, 16 * width)."""

    def __init__(self, config: AudioEncoderConfig = RELEASED_AUDIO_ENCODER, ops: Any = nn):
        super().__init__()
        self.config = config
        w = config.width

        def step(
            n_in: int, n_out: int, kernel: int = 3, stride: int | tuple[int, int] = 1, padding: int = 1
        ) -> ConvNormRelu:
            return ConvNormRelu(n_in, n_out, kernel, stride, padding, residual=False, ops=ops)

        def stay(n: int) -> ConvNormRelu:
            return ConvNormRelu(n, n, 3, 1, 1, residual=True, ops=ops)

        self.layers = nn.Sequential(  # mel bands x steps
            step(1, w),
            stay(w),
            stay(w),  # 80 x 16
            step(w, 2 * w, stride=(3, 1)),
            stay(2 * w),
            stay(2 * w),  # 27 x 16
            step(2 * w, 4 * w, stride=3),
            stay(4 * w),
            stay(4 * w),  # 9 x 6
            step(4 * w, 8 * w, stride=(3, 2)),
            stay(8 * w),  # 3 x 3
            step(8 * w, 16 * w, padding=0),  # 1 x 1
            step(16 * w, 16 * w, kernel=1, padding=0),
        )

    def forward(self, windows: Tensor) -> Tensor:
        return self.layers(windows).flatten(1)


class ConvNormRelu(nn.Module):
    """Convolution, batch normalisation, ReLU; (B, C, H, W) -> (B, C', H', W'). residual: the input is added first."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        stride: int | tuple[int, int],
        padding: int,
        *,
        residual: bool,
        ops: Any,
    ):
        super().__init__()
        self.conv = ops.Conv2d(n_in, n_out, kernel, stride, padding)
        self.norm = nn.BatchNorm2d(n_out)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return torch.relu(y + x if self.residual else y)


class FoldedAudioEncoder:
    """An AudioEncoder that has learnt enough: the same embeddings in two thirds of the time. Its norms, in eval mode,
    are folded into the convolutions before them, and nothing is remembered for gradients.
    """

    @torch.no_grad()
    def __init__(self, encoder: AudioEncoder):
        steps = cast("Iterator[ConvNormRelu]", encoder.layers.children())
        self.steps = [(*fold_batchnorm(step.conv, step.norm), step) for step in steps]

    @torch.no_grad()
    def __call__(self, windows: Tensor) -> Tensor:
        """windows (B, 1, 80, 16) -> (B, 16 * width)"""
        x = windows
        for weight, bias, step in self.steps:
            if x.shape[2:] == weight.shape[2:] and not any(step.conv.padding):  # one place to look at: no sliding
                y = F.linear(x.flatten(1), weight.flatten(1), bias)[..., None, None]
            else:
                y = F.conv2d(x, weight, bias, step.conv.stride, step.conv.padding)
            x = F.relu_(y.add_(x) if step.residual else y)
        return x.flatten(1)
