"""A lip-reading network's file and moving faces come in, how differently their lips read goes out.

The network is the user's own, a TorchScript file (`torch.jit.save`) that was trained on words:

    input   (W, 1, 12, 88, 88) float32: W windows of 12 frames, the mouth in grey, (grey - 0.421) / 0.165
    output  (W, words) logits

as the lip-reading networks for Lip Reading in the Wild take it (88 x 88 about the mouth, 500 words). The mouths are
those of the faces that coefficients describe, in a 224-pixel image (faces.py), once as they are and once as they
should be.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..datatypes import FaceCoefficients
from ..errors import CheckpointDamaged, CheckpointMismatch, CheckpointMissing
from .faces import MOUTH_POINTS, Face, mouth_images

FRAMES, SIDE = 12, 88
MEAN, SPREAD = 0.421, 0.165


def read_lip_reader(file: Path) -> nn.Module:
    """Raises CheckpointMissing, CheckpointDamaged, or CheckpointMismatch for a network that takes something else."""
    source = f"{file.name} in {file.parent}"
    if not file.is_file():
        raise CheckpointMissing(
            f"there is no lip-reading network {source}. Give a TorchScript file, or leave "
            f"--lip-reader out: then nothing reads the lips."
        )
    try:
        net = torch.jit.load(str(file), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        raise CheckpointDamaged(
            f"{source} cannot be read as TorchScript ({str(error).strip()[:100]}). Save the network with "
            "torch.jit.save."
        ) from error
    try:
        with torch.no_grad():
            logits = net(torch.zeros(2, 1, FRAMES, SIDE, SIDE))
        fits = isinstance(logits, Tensor) and logits.ndim == 2 and logits.shape[0] == 2
    except RuntimeError:
        fits = False
    if not fits:
        raise CheckpointMismatch(
            f"{source} does not take mouths (W, 1, {FRAMES}, {SIDE}, {SIDE}) and give logits (W, words)."
        )
    return net


def lip_reading_loss(
    reader: nn.Module, face: Face, who: FaceCoefficients, prediction: Tensor, wanted: Tensor, length: int
) -> Tensor:
    """Cross-entropy of what is read from the lips that should be to what is read from those that are.

    who: B rows, runs of `length` frames;  prediction, wanted (B, 64) expressions. Frames behind the last whole window
    of a run are not read.
    """
    with torch.no_grad():
        centre = face.points(who, wanted)[:, MOUTH_POINTS].mean(dim=1)
        target = reader(_windows(face, who, wanted, centre, length)).softmax(dim=1)
    read = reader(_windows(face, who, prediction, centre, length)).log_softmax(dim=1)
    return -(target * read).sum(dim=1).mean()


def _windows(face: Face, who: FaceCoefficients, expression: Tensor, centre: Tensor, length: int) -> Tensor:
    """-> (W, 1, 12, 88, 88)"""
    mouths = (mouth_images(face.mesh(who, expression), centre, SIDE) - MEAN) / SPREAD
    runs = mouths.unflatten(0, (-1, length))[:, : length // FRAMES * FRAMES]
    return runs.reshape(-1, 1, FRAMES, SIDE, SIDE)


__all__ = ["lip_reading_loss", "read_lip_reader"]
