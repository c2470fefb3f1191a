"""A head's movement comes in, how much it looks like a recorded one goes out. PoseVAE learns against it.

Letters: `B` blocks, `L` frames of a block. Widths and layers are those of the released `netD_motion`, which training
alone uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..coefficients import POSE


@dataclass(frozen=True)
class SequenceDiscriminatorConfig:
    """width: channels of the first stage; the next two have 2 and 4 times as many."""

    width: int = 256


class SequenceDiscriminator(nn.Module):
    """motion (B, L, 6) -> (B, L / 4) logits: above 0 for recorded motion. Each looks at 26 frames."""

    def __init__(self, config: SequenceDiscriminatorConfig = SequenceDiscriminatorConfig(), ops: Any = nn):  # noqa: B008
        super().__init__()
        self.config = config
        w = config.width
        self.layers = nn.Sequential(
            ops.Conv1d(POSE, w, 4, 2, 1, bias=False),
            nn.BatchNorm1d(w),
            nn.ReLU(),
            ops.Conv1d(w, 2 * w, 4, 2, 1, bias=False),
            nn.BatchNorm1d(2 * w),
            nn.ReLU(),
            ops.Conv1d(2 * w, 4 * w, 3, 1, 1, bias=False),
            nn.BatchNorm1d(4 * w),
            nn.ReLU(),
            ops.Conv1d(4 * w, 1, 3, 1, 1),
        )

    def forward(self, motion: Tensor) -> Tensor:
        return self.layers(motion.transpose(1, 2)).squeeze(1)


__all__ = ["SequenceDiscriminator", "SequenceDiscriminatorConfig"]
