"""Faces in a picture: (H, W, 3) in, boxes with six points each out.

Two small nets look for faces, `NearFaceNet` for those that fill the view and `FarFaceNet` for those further away. Both
are BlazeFace detectors (see blaze.py) whose weights come from MediaPipe (see assets/NOTICE). They are convolutional,
so a picture with small faces is looked at again at a finer scale.

Letters: `B` batch, `N` places where a net may see a face, `H W` a picture, `S` the side of a net's input.
Points are (x, y) in pixels, x right, y down, the centre of the first pixel at 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import OptionError
from .blaze import BlazeBlock, DoubleBlazeBlock, conv
from .sampling import Square, check_picture, sample_squares

#: the six points of a detected face; left and right are the picture's when the face is upright
KEYPOINT_NAMES = ("left eye", "right eye", "nose tip", "mouth", "left ear", "right ear")


@dataclass(frozen=True)
class NearFaceConfig:
    """side: of the picture the net was trained on; coarse, fine: (channels, stride) of the blocks at 8 and 16 pixels."""

    side: int = 128
    stem: int = 24
    fine: tuple[tuple[int, int], ...] = (
        (24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1), (88, 1),
    )  # fmt: skip
    coarse: tuple[tuple[int, int], ...] = ((96, 2), (96, 1), (96, 1), (96, 1), (96, 1))
    fine_faces: int = 2  #: guesses for each cell of 8 pixels
    coarse_faces: int = 6  #: guesses for each cell of 16 pixels


@dataclass(frozen=True)
class FarFaceConfig:
    """pyramid: blocks of each level (squeezed channels, channels, stride); the levels have cells of 4, 8, 16, 32 pixels."""

    side: int = 192
    stem: int = 32
    pyramid: tuple[tuple[tuple[int, int, int], ...], ...] = (
        ((8, 32, 1), (8, 32, 1), (12, 48, 2), (12, 48, 1), (16, 64, 1)),
        ((24, 96, 2), (32, 128, 1), (32, 128, 1)),
        ((36, 144, 2), (48, 192, 1), (64, 256, 1)),
        ((96, 384, 2), (96, 384, 1), (96, 384, 1), (96, 384, 1)),
    )
    #: coming back from the coarsest level: channels, and blocks after each meeting
    merged: tuple[tuple[int, int], ...] = ((96, 2), (64, 2), (48, 1))


MEDIAPIPE_NEAR = NearFaceConfig()
MEDIAPIPE_FAR = FarFaceConfig()

#: a guess is a box (centre, size) and six points, all as offsets from the centre of its cell, in input pixels
GUESS = 4 + 2 * len(KEYPOINT_NAMES)


def cell_centres(rows: int, columns: int, cell: int, per_cell: int) -> Tensor:
    """(rows * columns * per_cell, 2) the (x, y) of cell centres in input pixels, row by row."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    centres = (torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5) * cell
    return centres.repeat_interleave(per_cell, dim=0)


def guesses(features: Tensor, faces: nn.Module, places: nn.Module, cell: int, per_cell: int) -> tuple[Tensor, Tensor]:
    """What two 1 x 1 heads say at each cell: logits (B, N), guesses (B, N, 16) moved from the cell to the picture."""
    logits = faces(features).permute(0, 2, 3, 1).flatten(1)
    offsets = places(features).permute(0, 2, 3, 1).reshape(logits.shape[0], -1, GUESS)
    centres = cell_centres(features.shape[2], features.shape[3], cell, per_cell).to(offsets)
    size = torch.zeros_like(centres)
    return logits, offsets + torch.cat([centres, size] + [centres] * len(KEYPOINT_NAMES), dim=-1)


class NearFaceNet(nn.Module):
    """Pictures (B, 3, S, S) in 0..1, S a multiple of 16 -> logits (B, N), guesses (B, N, 16) in input pixels.

    A guess is (x, y of the box centre, width, height, then x, y of the six points).
    """

    cell = 16

    def __init__(self, config: NearFaceConfig = MEDIAPIPE_NEAR, *, ops=nn):
        super().__init__()
        self.config = config
        self.stem = nn.Sequential(conv(3, config.stem, 5, 2, ops=ops), nn.ReLU())
        self.fine = _chain(config.stem, config.fine, ops)
        self.coarse = _chain(config.fine[-1][0], config.coarse, ops)
        n_fine, n_coarse = config.fine[-1][0], config.coarse[-1][0]
        self.fine_faces = ops.Conv2d(n_fine, config.fine_faces, 1)
        self.fine_places = ops.Conv2d(n_fine, config.fine_faces * GUESS, 1)
        self.coarse_faces = ops.Conv2d(n_coarse, config.coarse_faces, 1)
        self.coarse_places = ops.Conv2d(n_coarse, config.coarse_faces * GUESS, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(self.stem(2 * pictures - 1))
        coarse = self.coarse(fine)
        near = guesses(fine, self.fine_faces, self.fine_places, self.cell // 2, self.config.fine_faces)
        nearer = guesses(coarse, self.coarse_faces, self.coarse_places, self.cell, self.config.coarse_faces)
        return torch.cat([near[0], nearer[0]], dim=1), torch.cat([near[1], nearer[1]], dim=1)


class FarFaceNet(nn.Module):
    """Pictures (B, 3, S, S) in 0..1, S a multiple of 32 -> logits (B, N), guesses (B, N, 16) in input pixels.

    Goes down a pyramid of four levels and comes back up, so that small faces are seen with their surroundings.
    """

    cell = 32

    def __init__(self, config: FarFaceConfig = MEDIAPIPE_FAR, *, ops=nn):
        super().__init__()
        self.config = config
        self.stem = nn.Sequential(conv(3, config.stem, 3, 2, ops=ops), nn.ReLU())
        self.levels = nn.ModuleList()
        width, widths = config.stem, []
        for level in config.pyramid:
            blocks = nn.Sequential()
            for squeezed, n_out, stride in level:
                blocks.append(DoubleBlazeBlock(width, squeezed, n_out, stride, ops=ops))
                width = n_out
            self.levels.append(blocks)
            widths.append(width)
        self.meetings = nn.ModuleList()
        for n_side, (n_out, n_blocks) in zip(reversed(widths[:-1]), config.merged):
            self.meetings.append(Meeting(width, n_side, n_out, n_blocks, ops=ops))
            width = n_out
        self.faces = ops.Conv2d(width, 1, 1)
        self.places = ops.Conv2d(width, GUESS, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        features, heights = self.stem(2 * pictures - 1), []
        for level in self.levels:
            features = level(features)
            heights.append(features)
        for meeting, side in zip(self.meetings, reversed(heights[:-1])):
            features = meeting(features, side)
        return guesses(features, self.faces, self.places, 4, 1)


class Meeting(nn.Module):
    """Coarse features and those of the next finer level -> the finer level, informed by both."""

    def __init__(self, n_coarse: int, n_side: int, n_out: int, n_blocks: int, *, ops=nn):
        super().__init__()
        self.coarse = ops.Conv2d(n_coarse, n_out, 1)
        self.side = ops.Conv2d(n_side, n_out, 1)
        self.blocks = nn.Sequential(*(DoubleBlazeBlock(n_out, n_out // 2, n_out, ops=ops) for _ in range(n_blocks)))

    def forward(self, coarse: Tensor, side: Tensor) -> Tensor:
        side = F.relu(self.side(side))
        coarse = F.interpolate(F.relu(self.coarse(coarse)), size=side.shape[2:], mode="bilinear", align_corners=False)
        return self.blocks(side + coarse)


def _chain(width: int, blocks: Sequence[tuple[int, int]], ops) -> nn.Sequential:
    chain = nn.Sequential()
    for n_out, stride in blocks:
        chain.append(BlazeBlock(width, n_out, stride, ops=ops))
        width = n_out
    return chain


class FaceDetector(nn.Module):
    """Both nets in one, so that they travel together. Ask `detect_faces`, or the nets `near` and `far` themselves."""

    def __init__(
        self, near: NearFaceConfig = MEDIAPIPE_NEAR, far: FarFaceConfig = MEDIAPIPE_FAR, *, ops=nn
    ):
        super().__init__()
        self.near = NearFaceNet(near, ops=ops)
        self.far = FarFaceNet(far, ops=ops)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Square pictures (B, 3, S, S), S a multiple of 32 -> what both nets guess: (B, N), (B, N, 16)."""
        near, far = self.near(pictures), self.far(pictures)
        return torch.cat([near[0], far[0]], dim=1), torch.cat([near[1], far[1]], dim=1)
