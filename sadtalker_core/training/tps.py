"""A generator comes in, smooth random deformations of an image go out, which know where each place of the bent image
comes from.

An affine map near the identity plus a thin plate that is pushed at the nodes of a grid (Siarohin et al., "First order
motion model for image animation", 2019, section 3.1). Places are (x, y) in -1..1, x right, y down; -1 and 1 are the
centres of the first and the last pixel, as in the renderer's grids. Letters: `B` images, `N` places, `n` nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..render.facevid2vid.grids import volume_grid

#: the logarithm of a distance of 0 is not taken
LEAST_DISTANCE = 1e-6


@dataclass(frozen=True)
class BendConfig:
    """affine: spread of the six affine numbers about the identity;  plate: spread of the push at a node;
    nodes: per side of the grid.
    """

    affine: float = 0.05
    plate: float = 0.005
    nodes: int = 5


PUBLISHED_BEND = BendConfig()


@dataclass(frozen=True, eq=False)
class Bend:
    """affine: (B, 2, 3);  push: (B, n) at the nodes (n, 2), the same for x and y"""

    affine: Tensor
    push: Tensor
    nodes: Tensor

    def places(self, places: Tensor) -> Tensor:
        """Places (B or 1, N, 2) of the bent image -> the places (B, N, 2) of the image that they show.

        The plate's distance is |x| + |y|, not the root of squares: so the published training has it, and the spread of
        0.005 belongs to it. kornia's thin plates know the other distance alone.
        """
        matrix, shift = self.affine[..., :2], self.affine[..., 2]
        moved = places @ matrix.mT + shift[:, None]
        distance = (places[:, :, None] - self.nodes).abs().sum(dim=-1)
        plate = distance.square() * (distance + LEAST_DISTANCE).log()
        return moved + (plate * self.push[:, None]).sum(dim=-1, keepdim=True)

    def bent(self, image: Tensor) -> Tensor:
        """(B, C, H, W) bent; beyond its border the image is mirrored."""
        height, width = image.shape[-2:]
        grid = volume_grid((2, height, width), like=image)[0, ..., :2]
        places = self.places(grid.reshape(1, -1, 2)).unflatten(1, (height, width))
        return F.grid_sample(image, places, mode="bilinear", padding_mode="reflection", align_corners=True)


def draw_bend(n: int, config: BendConfig, generator: torch.Generator, device: torch.device | str = "cpu") -> Bend:
    """`n` bends, drawn on the CPU."""
    line = torch.linspace(-1, 1, config.nodes)
    y, x = torch.meshgrid(line, line, indexing="ij")
    nodes = torch.stack([x, y], dim=-1).reshape(-1, 2)
    affine = torch.eye(2, 3) + config.affine * torch.randn(n, 2, 3, generator=generator)
    push = config.plate * torch.randn(n, len(nodes), generator=generator)
    return Bend(affine.to(device), push.to(device), nodes.to(device))
