"""Angles and a mouth come in, an image of a drawn head goes out: enough of a face for a renderer's training to find.

For rehearsals and tests, without recordings. Letters: `T` frames, `S` the side of an image in pixels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..canonical_face import rotation_of_angles

#: where things lie on the head (x right, y down, z away), and their colours
EYES, NOSE, MOUTH = ((-0.4, -0.25, -0.85), (0.4, -0.25, -0.85)), (0.0, 0.1, -1.1), (0.0, 0.5, -0.85)
SKIN, HAIR, LIPS = (0.85, 0.66, 0.55), (0.25, 0.16, 0.1), (0.7, 0.2, 0.2)
WHITE, DARK = (0.95, 0.95, 0.95), (0.1, 0.1, 0.2)


def draw_heads(degrees: Tensor, mouth: Tensor, side: int, seed: int = 0) -> Iterator[np.ndarray]:
    """degrees (T, 3) pitch, yaw, roll, mouth (T,) 0 shut to 1 -> images (S, S, 3) uint8.  seed: of what is behind"""
    turns = rotation_of_angles(torch.deg2rad(degrees)).double().numpy()
    tint = np.random.default_rng(seed).uniform(0.2, 0.6, 3)
    for turn, opening in zip(turns, mouth.tolist(), strict=True):
        yield _drawn(turn, opening, side, tint)


def jpeg_of(image: np.ndarray) -> bytes:
    """The JPEG bytes that clips store."""
    from PIL import Image

    code = io.BytesIO()
    Image.fromarray(image).save(code, "JPEG", quality=95)
    return code.getvalue()


def _drawn(turn: np.ndarray, mouth: float, side: int, tint: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / (side - 1) * 2 - 1
    image = tint * (0.7 + 0.3 * np.sin(5 * x + 3 * y))[..., None]

    def spot(
        place: tuple[float, float, float], width: float, height: float, colour: tuple[float, float, float]
    ) -> np.ndarray:
        at = 0.6 * (turn @ np.array(place))
        inside = 1 - np.hypot((x - at[0]) / width, (y - at[1]) / height)
        weight = 1 / (1 + np.exp(-inside * min(width, height) * 40))
        return weight[..., None] * np.array(colour) + (1 - weight[..., None]) * image

    image = spot((0.0, -0.3, 0.3), 0.62, 0.66, HAIR)
    image = spot((0.0, 0.05, -0.1), 0.5, 0.64, SKIN)
    for eye in EYES:
        image = spot(eye, 0.13, 0.08, WHITE)
        image = spot((eye[0], eye[1], eye[2] - 0.05), 0.05, 0.06, DARK)
    image = spot(NOSE, 0.06, 0.1, (0.75, 0.5, 0.42))
    image = spot(MOUTH, 0.2, 0.05 + 0.1 * mouth, LIPS)
    if mouth > 0.05:
        image = spot(MOUTH, 0.14, 0.1 * mouth, DARK)
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


__all__ = ["draw_heads", "jpeg_of"]
