"""The 468-point mesh of a face: a picture and where the face is in, points in pixels of the picture out.

The net and its weights come from MediaPipe (Kartynnik et al. 2019, "Real-time Facial Surface Geometry from Monocular
Video on Mobile GPUs"; see assets/NOTICE). It looks at an upright square of 192 pixels around the face.

Letters: `B` batch, `T` video frames, `H W` a picture. Points are x right, y down, z away from the viewer, in pixels of
the picture; the centre of the first pixel is at (0.5, 0.5), z is about 0 in the middle of the face and negative at the
tip of the nose.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .blaze import BlazeBlock, conv

N_POINTS = 468


@dataclass(frozen=True)
class FaceMeshConfig:
    """blocks: (channels, stride) shared by both answers; points, presence: the blocks of each answer."""

    side: int = 192
    n_points: int = N_POINTS
    stem: int = 16
    blocks: tuple[tuple[int, int], ...] = (
        (16, 1), (16, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1),
        (128, 2), (128, 1), (128, 1), (128, 2), (128, 1), (128, 1),
    )  # fmt: skip
    points: tuple[tuple[int, int], ...] = ((128, 2), (128, 1), (128, 1))
    presence: tuple[tuple[int, int], ...] = ((128, 2),)
    squeezed: int = 32


MEDIAPIPE_MESH = FaceMeshConfig()


class FaceMesh(nn.Module):
    """Squares (B, 3, 192, 192) in 0..1 around an upright face -> points (B, 468, 3) in pixels of the square, logits (B,).

    The logit says how surely there is a face. z is in the same pixels, away from the viewer.
    """

    def __init__(self, config: FaceMeshConfig = MEDIAPIPE_MESH, *, ops=nn):
        super().__init__()
        self.config = config
        self.stem = nn.Sequential(conv(3, config.stem, 3, 2, ops=ops), nn.PReLU(config.stem))
        self.blocks = _chain(config.stem, config.blocks, ops)
        width = config.blocks[-1][0]
        self.points = Answer(width, config.points, config.squeezed, 3 * config.n_points, ops=ops)
        self.presence = Answer(width, config.presence, config.squeezed, 1, ops=ops)

    def forward(self, squares: Tensor) -> tuple[Tensor, Tensor]:
        features = self.blocks(self.stem(squares))
        return self.points(features).unflatten(1, (self.config.n_points, 3)), self.presence(features)[:, 0]


class Answer(nn.Module):
    """Features (B, n_in, 6, 6) -> (B, n_out): down to 3 x 3 cells, squeezed, and one look at all nine."""

    def __init__(self, n_in: int, blocks, n_squeezed: int, n_out: int, *, ops=nn):
        super().__init__()
        self.blocks = _chain(n_in, blocks, ops)
        self.squeeze = nn.Sequential(ops.Conv2d(blocks[-1][0], n_squeezed, 1), nn.PReLU(n_squeezed))
        self.mix = BlazeBlock(n_squeezed, n_squeezed, kind="prelu", ops=ops)
        self.head = ops.Conv2d(n_squeezed, n_out, 3)

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.mix(self.squeeze(self.blocks(features)))).flatten(1)


def _chain(width: int, blocks, ops) -> nn.Sequential:
    chain = nn.Sequential()
    for n_out, stride in blocks:
        chain.append(BlazeBlock(width, n_out, stride, kind="prelu", ops=ops))
        width = n_out
    return chain
