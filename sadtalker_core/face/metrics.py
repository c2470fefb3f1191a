"""Measures of a face from its mesh, in plain geometry: a lip gap, how open the eyes are, how the head is held.

For evaluating what came out of a model, not for driving one; so nothing here is fitted. Meshes are (..., 468, 3), in
any unit, x right, y down, z away from the viewer; distances are taken in three dimensions, so that a turned head
measures nearly the same as a frontal one. Left and right are the image's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..canonical_face import HEAD_TO_IMAGE, angles_of_rotation, fit_similarity, load_canonical_face

#: opposite points on the edges of the lips that meet when the mouth is closed, left of the middle to right of it
UPPER_LIP, LOWER_LIP = (81, 82, 13, 312, 311), (178, 87, 14, 317, 402)
#: outer corner, inner corner, and the pairs of points on the lids between them
IMAGE_LEFT_EYE = ((33, 133), ((160, 144), (158, 153)))
IMAGE_RIGHT_EYE = ((263, 362), ((387, 373), (385, 380)))
MOUTH_CORNERS = (61, 291)


def distance(points: Tensor, one: int, other: int) -> Tensor:
    """(..., 468, 3) -> (...,)"""
    return (points[..., one, :] - points[..., other, :]).norm(dim=-1)


def eye_distance(points: Tensor) -> Tensor:
    """(...,) between the outer corners of the eyes, which no expression moves: the measure of the others here."""
    return distance(points, IMAGE_LEFT_EYE[0][0], IMAGE_RIGHT_EYE[0][0])


def inner_lip_gap(points: Tensor) -> Tensor:
    """(...,) how far the lips are apart, as a part of `eye_distance`: about 0 closed, .1 in speech, .4 wide open."""
    gaps = [distance(points, upper, lower) for upper, lower in zip(UPPER_LIP, LOWER_LIP, strict=True)]
    return torch.stack(gaps).mean(0) / eye_distance(points)


def mouth_width(points: Tensor) -> Tensor:
    """(...,) between the corners of the mouth, as a part of `eye_distance`: about .55 at rest, more in a smile."""
    return distance(points, *MOUTH_CORNERS) / eye_distance(points)


def eye_aspect_ratio(points: Tensor) -> Tensor:
    """(..., 2) height by width of the left and the right eye, about .3 open (Soukupova and Cech 2016)."""
    ratios = []
    for corners, lids in (IMAGE_LEFT_EYE, IMAGE_RIGHT_EYE):
        height = torch.stack([distance(points, *pair) for pair in lids]).mean(0)
        ratios.append(height / distance(points, *corners))
    return torch.stack(ratios, dim=-1)


def head_angles(points: Tensor) -> Tensor:
    """(T, 468, 3) -> (T, 3) pitch, yaw, roll in radians, with the signs of canonical_face.rotation_of_angles.

    By laying the mean face on the mesh; points that faces move count less. Good to 2-4 degrees between people, better
    within one.
    """
    canonical = load_canonical_face()
    head = (canonical.mean - canonical.pivot) * torch.tensor(HEAD_TO_IMAGE)
    moves = canonical.blendshapes.norm(dim=-1).amax(0)
    rotation, _, _ = fit_similarity(points, head.to(points), 1 / (1 + (moves.to(points) / 0.05) ** 2))
    return angles_of_rotation(rotation)
