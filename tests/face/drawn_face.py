"""A face of 68 points drawn with a few curves, for tests: like a mean face, frontal unless it is turned."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def face_68(x: float, y: float, size: float, roll_deg: float = 0.0) -> Tensor:
    """(68, 2) points around (x, y); `size` is the distance of the outer corners of the eyes, in pixels."""
    t = torch.linspace(-1, 1, 17)
    jaw = torch.stack([0.8 * t, 1.25 - 1.15 * t.abs() ** 2.5], dim=1)
    brow = torch.stack([torch.linspace(-0.62, -0.12, 5), torch.tensor([-0.18, -0.27, -0.3, -0.28, -0.22])], dim=1)
    ridge = torch.stack([torch.zeros(4), torch.linspace(0.0, 0.42, 4)], dim=1)
    nostrils = torch.stack([torch.linspace(-0.16, 0.16, 5), torch.tensor([0.5, 0.53, 0.55, 0.53, 0.5])], dim=1)
    eye = torch.tensor([(-0.5, 0.0), (-0.41, -0.06), (-0.29, -0.06), (-0.2, 0.01), (-0.29, 0.04), (-0.41, 0.04)])
    mirror = torch.tensor([-1.0, 1.0])
    brows, eyes = [brow, brow.flip(0) * mirror], [eye, eye[[3, 2, 1, 0, 5, 4]] * mirror]
    lips = [_ring(12, 0.3, 0.12), _ring(8, 0.22, 0.03)]
    points = torch.cat([jaw, *brows, ridge, nostrils, *eyes, *lips]) - torch.tensor([0.0, 0.4])
    c, s = math.cos(math.radians(roll_deg)), math.sin(math.radians(roll_deg))
    return points @ torch.tensor([[c, s], [-s, c]]) * size + torch.tensor([x, y])


def _ring(n: int, wide: float, high: float) -> Tensor:
    angle = torch.linspace(-math.pi, math.pi, n + 1)[:n]
    return torch.stack([wide * angle.cos(), 0.82 + high * angle.sin()], dim=1)
