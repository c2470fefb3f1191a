"""ExpNet: what is being said, the face at rest and how far the lids are down come in; an expression goes out.

Letters: `B` video frames, each by itself. (SadTalker, section 3.1: Zhang et al. 2023.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..coefficients import EXPRESSION
from .audio_encoder import RELEASED_AUDIO_ENCODER, AudioEncoder, AudioEncoderConfig


@dataclass(frozen=True)
class ExpNetConfig:
    """audio: the width of the audio encoder."""

    audio: AudioEncoderConfig = RELEASED_AUDIO_ENCODER


RELEASED_EXPNET = ExpNetConfig()


class ExpNet(nn.Module):
    """windows (B, 1, 80, 16), reference (B, 64) expression of the portrait, blink (B,) in 0..1 -> expression (B, 64).

    The output is the expression itself, not a difference to the reference (PARITY.md P13).
    """

    def __init__(self, config: ExpNetConfig = RELEASED_EXPNET, ops: Any = nn):
        super().__init__()
        self.config = config
        self.audio = AudioEncoder(config.audio, ops)
        self.head = ops.Linear(config.audio.embedding + EXPRESSION + 1, EXPRESSION)

    def forward(self, windows: Tensor, reference: Tensor, blink: Tensor) -> Tensor:
        return self.from_embedding(self.audio(windows), reference, blink)

    def from_embedding(self, audio_embedding: Tensor, reference: Tensor, blink: Tensor) -> Tensor:
        """audio_embedding (B, E): the windows' embeddings;  the others as in `forward`."""
        return self.head(torch.cat([audio_embedding, reference, blink.reshape(-1, 1)], dim=1))
