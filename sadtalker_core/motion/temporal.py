"""The second network of the built-in ExpNet: a voice's mel track comes in, an expression per video frame goes out.

It sees .375 s to both sides of a frame, where a window of the audio encoder has a tenth, and each mel step is worked
on once instead of once for every window that it lies in. Letters: `B` clips, `S` mel steps, `E` width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..batchnorm_folding import fold_batchnorm
from ..coefficients import EXPRESSION
from ..datatypes import SpeechWindows
from ..timeline import frame_middle_step

#: distances of the taps of one block after the other, in mel steps, over and over
_DILATIONS = (1, 2, 4)
#: channels of the two first convolutions, which go over bands and steps; they leave every fourth of the 80 bands
_FRONT, _BANDS_LEFT = 16, 20
_TAPS = 5


@dataclass(frozen=True)
class TemporalConfig:
    """width: channels of a mel step.  blocks: convolutions over time; 0 is no network at all."""

    width: int = 96
    blocks: int = 0

    @property
    def dilations(self) -> list[int]:
        """Of the blocks, one after the other."""
        return [_DILATIONS[i % len(_DILATIONS)] for i in range(self.blocks)]

    @property
    def margin(self) -> int:
        """By so many steps more on each side than come out go in."""
        return 2 + sum(_TAPS // 2 * dilation for dilation in self.dilations)


class TemporalNet(nn.Module):
    """mel (B, S, 80) in -4..4 -> embeddings (B, S - 2 margin, E) of its steps; with the face at rest and a blink track,
    as ExpNet gets them, an expression.
    """

    def __init__(self, config: TemporalConfig, ops: Any = nn):
        super().__init__()
        self.config = config
        self.front = nn.ModuleList([
            _Step(ops.Conv2d(1, _FRONT, (5, 3), (2, 1), (2, 0)), nn.BatchNorm2d(_FRONT)),
            _Step(ops.Conv2d(_FRONT, _FRONT, 3, (2, 1), (1, 0)), nn.BatchNorm2d(_FRONT)),
        ])  # fmt: skip
        self.joined = _Step(ops.Conv1d(_FRONT * _BANDS_LEFT, config.width, 1), nn.BatchNorm1d(config.width))
        self.blocks = nn.ModuleList(
            _Step(ops.Conv1d(config.width, config.width, _TAPS, dilation=d), nn.BatchNorm1d(config.width), 2 * d)
            for d in config.dilations
        )
        self.head = ops.Linear(config.width + EXPRESSION + 1, EXPRESSION)

    def forward(self, mel: Tensor) -> Tensor:
        x = mel.transpose(1, 2).unsqueeze(1)
        for step in self.front:
            x = step(x)
        x = self.joined(x.flatten(1, 2))
        for step in self.blocks:
            x = step(x)
        return x.transpose(1, 2)

    def from_embedding(self, embedding: Tensor, reference: Tensor, blink: Tensor) -> Tensor:
        """embedding (N, E), reference (N, 64), blink (N,) -> expression (N, 64)"""
        expression: Tensor = self.head(torch.cat([embedding, reference, blink.reshape(-1, 1)], dim=1))
        return expression


class _Step(nn.Module):
    """Convolution, batch normalisation, ReLU. reach: by so many steps the convolution shortens each side, and its input
    is added to what comes out; 0 adds nothing.
    """

    def __init__(self, conv: Any, norm: nn.Module, reach: int = 0):
        super().__init__()
        self.conv, self.norm, self.reach = conv, norm, reach

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return torch.relu(y + x[..., self.reach : -self.reach] if self.reach else y)


def at_frames(embeddings: Tensor, first_step: int, frames: range) -> Tensor:
    """embeddings (..., S, E) of the steps from `first_step` on -> (..., T, E) at the middles of these frames, mixed of
    the two steps around each.
    """
    places = [frame_middle_step(frame) for frame in frames]
    first = torch.tensor([whole - first_step for whole, _ in places], device=embeddings.device)
    share = torch.tensor([share for _, share in places], device=embeddings.device, dtype=embeddings.dtype)[:, None]
    return torch.lerp(embeddings[..., first, :], embeddings[..., first + 1, :], share)


def steps_around(frames: range, margin: int) -> range:
    """The mel steps that the embeddings of these frames take."""
    return range(frame_middle_step(frames[0])[0] - margin, frame_middle_step(frames[-1])[0] + 2 + margin)


class FoldedTemporalNet:
    """A TemporalNet that has learnt enough: its norms are folded into the convolutions, nothing is kept for
    gradients.
    """

    @torch.no_grad()
    def __init__(self, net: TemporalNet):
        self.margin = net.config.margin
        steps = [*net.front, net.joined, *net.blocks]
        self.steps = [(*fold_batchnorm(step.conv, step.norm), step) for step in steps]

    @torch.no_grad()
    def __call__(self, speech: SpeechWindows, frames: range, like: Tensor) -> Tensor:
        """(T, E): the embeddings of these frames. like: a tensor where the network is, in its precision"""
        steps = steps_around(frames, self.margin)
        x = speech.steps(steps.start, steps.stop).to(like).T[None, None]
        for weight, bias, step in self.steps:
            conv = step.conv
            if weight.ndim == 4:
                x = F.relu_(F.conv2d(x, weight, bias, conv.stride, conv.padding))
                continue
            x = x.flatten(1, 2) if x.ndim == 4 else x
            y = F.conv1d(x, weight, bias, dilation=conv.dilation)
            x = F.relu_(y.add_(x[..., step.reach : -step.reach]) if step.reach else y)
        return at_frames(x[0].T, steps.start + self.margin, frames)
