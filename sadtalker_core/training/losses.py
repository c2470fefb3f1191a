"""What the renderer's training minimises: features, scores, key points and angles come in, single numbers go out.

Each loss is the mean over the batch, without its weight; the weights are in renderer.py. Letters: `B` batch, `K` key
points, (x, y, z) in -1..1: x right, y down, z away from the viewer. (Wang et al., "One-shot free-view neural
talking-head synthesis", 2021, section 3.4 and appendix A.2, with the numbers of the published configuration.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..datatypes import KeypointMotion

#: key points nearer to one another than the root of this are pushed apart
LEAST_DISTANCE_SQUARED = 0.1
#: how far behind the middle of the volume the key points lie on average
MEAN_DEPTH = 0.33


def feature_distance(made: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of each feature map, summed over the maps; `real` is not pulled towards `made`."""
    distances = [(a - b.detach()).abs().mean() for a, b in zip(made, real, strict=True)]
    return torch.stack(distances).sum()


def hinge_for_generator(made: Sequence[Tensor]) -> Tensor:
    """The mean score of generated images, negative, summed over the discriminators."""
    return torch.stack([-scores.mean() for scores in made]).sum()


def hinge_for_discriminator(made: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """How far scores of real images are below 1, and those of generated ones above -1, summed over discriminators."""
    hinges = [(1 - r).clamp(min=0).mean() + (1 + m).clamp(min=0).mean() for m, r in zip(made, real, strict=True)]
    return torch.stack(hinges).sum()


def equivariance(points: Tensor, points_when_bent: Tensor, bend: Callable[[Tensor], Tensor]) -> Tensor:
    """Key points of an image (B, K, 3) and of the same image bent: the bend has to lead the one to the other.

    bend: places (B, K, 2) in the bent image -> places in the image that they show. Depth is left out.
    """
    return (points[..., :2] - bend(points_when_bent[..., :2])).abs().mean()


def keypoint_prior(points: Tensor) -> Tensor:
    """Key points (B, K, 3) keep their distance from one another, and lie at MEAN_DEPTH on average.

    The first part sums over ordered pairs, so each pair counts twice. (The published code also counts each point with
    itself, a constant 0.1 K without a gradient.)
    """
    n_points = points.shape[1]
    squared = (points[:, :, None] - points[:, None]).square().sum(dim=-1)
    shortfall = (LEAST_DISTANCE_SQUARED - squared).clamp(min=0)
    others = 1 - torch.eye(n_points, dtype=points.dtype, device=points.device)
    too_near = (shortfall * others).sum(dim=(1, 2)).mean()
    depth = points[..., 2].mean(dim=1)
    return too_near + (depth - MEAN_DEPTH).abs().mean()


def head_pose(motion: KeypointMotion, degrees: Tensor) -> Tensor:
    """Angles of a motion against the target's (B, 3) pitch, yaw, roll: degrees apart, summed over the three."""
    return (degrees_of(motion) - degrees).abs().sum(dim=-1).mean()


def degrees_of(motion: KeypointMotion) -> Tensor:
    """(B, 3) pitch, yaw, roll"""
    return torch.stack([motion.pitch, motion.yaw, motion.roll], dim=-1)


def deformation_prior(offsets: Tensor) -> Tensor:
    """Offsets (B, 3 K) are to be no larger than needed: the sum of their sizes."""
    return offsets.abs().sum(dim=-1).mean()


def keypoint_distance(points: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference of two sets of key points (B, K, 3)."""
    return (points - wanted).abs().mean()
