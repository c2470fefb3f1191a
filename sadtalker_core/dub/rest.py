"""A person's face at rest: a sample of the video comes in, the person goes out.

The resting face is the median of the frames in which the lips are nearly closed, except the few in which they are
pressed together. A permanent expression, such as a smile, belongs to it.
Letters: `F` frames of the sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..canonical_face import LOWER_INNER_LIP, UPPER_INNER_LIP, load_canonical_face
from ..coefficients import EXPRESSION
from ..face.linear_3dmm import Linear3DMM
from ..render.meshwarp.placement import fit_head
from .closed_lips import ClosedLips

_UPPER, _LOWER = list(UPPER_INNER_LIP[2:7]), list(LOWER_INNER_LIP[::-1][2:7])
#: quantiles of the lip gap: frames between the two count as resting
_CALM = (0.05, 0.25)
#: the largest distance of a face from the person, as a factor of the sample's own, and its limits in decimetres: videos
#: of five people differed from themselves by .008 in the median and .022 at most, from the others by .013 to .049
_BEYOND, _STRANGER = 1.5, (0.024, 0.045)
_STILL = 0.05  #: decimetres: a point that blendshapes move this far counts half in likeness


@dataclass(frozen=True, eq=False)
class Person:
    """rest (468, 3): the face at rest in head coordinates, decimetres from the pivot;  weights (64,): the blendshape
    weights estimated for it;  spread: the largest `difference` within the sample;  teeth (4, H, W): the upper row,
    where the sample shows it, see teeth.py;  corners (2,): how far below the mesh's they are, see corners.py;
    closed: the mouth of a calm frame, whose lips touch where the sample has such a frame, see closed_lips.py
    """

    rest: Tensor
    weights: Tensor
    spread: float = 0.0
    teeth: Tensor | None = None
    corners: Tensor = field(default_factory=lambda: torch.zeros(2))
    closed: ClosedLips | None = None

    @classmethod
    def of(cls, linear_3dmm: Linear3DMM | None, meshes: Tensor) -> Person:
        """The person of the meshes (F, 468, 3), in pixels of the video."""
        heads = torch.stack([in_head(mesh) for mesh in meshes])
        calm = calm_frames(heads)
        weights = read_weights(linear_3dmm, meshes[calm]).median(0).values
        person = cls(heads[calm].median(0).values, weights)
        return replace(person, spread=max(map(person.difference, meshes)))

    def may_be(self, mesh: Tensor) -> bool:
        """Whether the face mesh (468, 3) can be this person's."""
        least, most = _STRANGER
        return self.difference(mesh) < min(max(_BEYOND * self.spread, least), most)

    def difference(self, mesh: Tensor) -> float:
        """mesh (468, 3) -> its mean distance from this person, decimetres; points that expressions move count less."""
        return float(((in_head(mesh) - self.rest).norm(dim=-1) * _rigidity_weights()).sum())


def calm_frames(heads: Tensor) -> Tensor:
    """heads (F, 468, 3) -> the numbers of those whose lips nearly touch, of any number one at least."""
    gaps = (heads[:, _UPPER, 1] - heads[:, _LOWER, 1]).mean(1)
    first, last = (int(part * len(heads)) for part in _CALM)
    return gaps.argsort(stable=True)[first : max(last, first + 1)]


def _rigidity_weights() -> Tensor:
    """(468,) of sum 1: the weight of each point in `difference`."""
    moves = load_canonical_face().blendshapes.norm(dim=-1).amax(0)
    steady = 1 / (1 + (moves / _STILL) ** 2)
    return steady / steady.sum()


def in_head(mesh: Tensor) -> Tensor:
    """(468, 3) pixels -> head coordinates, decimetres from the pivot."""
    fit = fit_head(mesh)
    camera = (mesh * mesh.new_tensor([1.0, -1.0, -1.0]) - fit.origin) / fit.scale
    return camera @ fit.rotation


@torch.no_grad()
def read_weights(linear_3dmm: Linear3DMM | None, meshes: Tensor) -> Tensor:
    """(F, 468, 3) -> (F, 64) blendshape weights; zeros without a regressor."""
    if linear_3dmm is None:
        return torch.zeros(len(meshes), EXPRESSION)
    place = linear_3dmm.read.weight.device
    found = linear_3dmm(meshes.to(place, torch.float32)).blendshapes.float().cpu()
    return torch.nn.functional.pad(found, (0, EXPRESSION - found.shape[1]))


__all__ = ["Person", "calm_frames", "in_head", "read_weights"]
