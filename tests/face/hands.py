"""Hands with the colour of a face's skin, drawn over it with light and shade: fingers are capsules."""

from __future__ import annotations

import torch
from torch import Tensor

from sadtalker_core.canonical_face import INNER_LIPS

# Fingers and palms: from x, y to x, y around the middle of the mouth (y down) and radius, in distances of the eyes.
ACROSS = [(-0.75, y, 0.5, y + 0.04, 0.105) for y in (-0.28, -0.08, 0.12, 0.31)]
UPWARDS = [(x, 0.9, x, -0.25, 0.105) for x in (-0.33, -0.12, 0.09, 0.29)]
LEFT_HALF = [(-0.95, 0.5, -0.25, 0.0, 0.27), (-0.7, 0.7, -0.3, 0.25, 0.27)]
RIGHT_HALF = [(-x0, y0, -x1, y1, radius) for x0, y0, x1, y1, radius in LEFT_HALF]
BESIDE = [(-0.75, 1.0, -0.72, 0.0, 0.105), (-0.95, 1.0, -0.95, -0.1, 0.105)]
UNDER_CHIN = [(x, 0.65, x + 0.1, 0.67, 0.15) for x in (-0.3, -0.1, 0.1, 0.3)]
_SKIN = (151, 9, 50, 280, 205, 425)
_LIGHT = (-0.25, -0.45, 1.0)


def with_hand(image: Tensor, points: Tensor, hand: list[tuple[float, ...]]) -> Tensor:
    """image (H, W, 3) in 0..1, points (468, 2 or 3) in its pixels -> the same with a hand in front."""
    points = points[:, :2].float()
    right = points[263] - points[33]
    eyes, axes = right.norm(), torch.stack([right, torch.stack([-right[1], right[0]])]) / right.norm()
    rows, columns = torch.meshgrid(*(torch.arange(n) + 0.5 for n in image.shape[:2]), indexing="ij")
    middle = points[list(INNER_LIPS)].mean(0)
    place = (torch.stack([columns, rows], -1) - middle) @ axes.T / eyes
    height = torch.zeros(image.shape[:2])
    for x0, y0, x1, y1, radius in hand:
        start, along = torch.tensor([x0, y0]), torch.tensor([x1 - x0, y1 - y0])
        t = ((place - start) @ along / along.square().sum()).clamp(0, 1)
        away = (place - start - t[..., None] * along).norm(dim=-1)
        height = torch.maximum(height, (radius**2 - away.square()).clamp_min(0).sqrt())
    down, across = torch.gradient(height * eyes)
    normal = torch.nn.functional.normalize(torch.stack([-across, -down, torch.ones_like(down)], -1), dim=-1)
    lit = (normal @ torch.nn.functional.normalize(torch.tensor(_LIGHT), dim=0)).clamp_min(0)
    x, y = points[list(_SKIN)].int().unbind(-1)
    grain = 1 + 0.04 * (torch.rand(image.shape[:2], generator=torch.Generator().manual_seed(0)) - 0.5)
    skin = image[y.long(), x.long()].median(0).values * ((0.45 + 0.6 * lit) * grain)[..., None]
    return torch.where((height > 0)[..., None], skin.clamp(0, 1), image)
