"""Blendshapes of speech and the portrait's own expression come in; the expression of the speaking face goes out.

The built-in family's ExpNet is trained on these expressions, and imported visemes are converted to them. Letters: `B`
video frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..coefficients import ARKIT_BLENDSHAPES, EXPRESSION
from .expnet import opened_from_rest
from .visemes import SPEECH_BLENDSHAPES, blendshape_indices

#: how much of the portrait's own expression stays while it speaks; blendshapes not listed here are kept whole
KEPT = {
    "jawOpen": 0.0, "jawForward": 0.5, "jawLeft": 0.6, "jawRight": 0.6, "mouthClose": 0.0, "mouthFunnel": 0.0,
    "mouthPucker": 0.0, "mouthLowerDown": 0.1, "mouthUpperUp": 0.1, "mouthPress": 0.2, "mouthRollLower": 0.0,
    "mouthRollUpper": 0.0, "mouthShrugLower": 0.2, "mouthShrugUpper": 0.2, "mouthStretch": 0.3, "mouthDimple": 0.5,
    "mouthSmile": 0.6, "mouthFrown": 0.6, "mouthLeft": 0.6, "mouthRight": 0.6, "cheekPuff": 0.0, "tongueOut": 0.0,
}  # fmt: skip


def kept_share() -> Tensor:
    """(64,): the share of each coefficient of the portrait that the expression keeps."""
    share = torch.zeros(EXPRESSION)
    share[: len(ARKIT_BLENDSHAPES)] = 1.0
    for name, value in KEPT.items():
        share[blendshape_indices(name)] = value
    return share


def spoken_expression(speech_blendshapes: Tensor, reference: Tensor) -> Tensor:
    """speech_blendshapes (B, len(SPEECH_BLENDSHAPES)), reference (B, 64) the portrait's -> (B, 64)."""
    spoken = reference * kept_share()
    spoken[:, list(SPEECH_BLENDSHAPES)] += speech_blendshapes
    return opened_from_rest(spoken, reference)


__all__ = ["KEPT", "kept_share", "spoken_expression"]
