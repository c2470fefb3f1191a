"""The mini family's 3-D face: meshes of 468 points come in, and the coefficients of the face go out.

The mesh is laid on a mean mesh; what then still differs is read by one linear map as blendshape weights (jaw, lids,
smile) and as a small correction of the pose. The map was fitted on generated heads whose weights and poses were known
(training/fit_linear_3dmm.py), read by the same mesh network, so that its biases are part of the fit.

Letters: `T` meshes (video frames, or one), `S` the side of the cropped square. Points are x right, y down, z away from
the viewer, in pixels of the square. Rotations are in those axes too and angles have the released family's signs, see
canonical_face.rotation_of_angles. Lengths of the head are decimetres, its origin is the point it turns about
(CanonicalFace.pivot):

    a point of the square = origin + scale * (rotation @ (point of the head - pivot))      scale: pixels per decimetre
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..canonical_face import angles_of_rotation, fit_similarity
from ..coefficients import ARKIT_BLENDSHAPES, EXPRESSION, IDENTITY, LIGHTING, TEXTURE
from ..datatypes import MINI, CropMode, FaceCoefficients
from ..errors import FaceNotFound

#: translation z is the logarithm of the scale over this many pixels per decimetre and pixel of the square
USUAL_SCALE = 0.35


@dataclass(frozen=True)
class Linear3DMMConfig:
    """How many landmarks are read, and how many blendshapes they are explained by."""

    n_points: int = 468
    n_units: int = len(ARKIT_BLENDSHAPES)


MINI_LINEAR_3DMM = Linear3DMMConfig()


class FaceParameters(NamedTuple):
    """blendshapes (T, 52) in 0..1;  rotation (T, 3, 3);  scale (T,) pixels per decimetre;  origin (T, 2) pixels."""

    blendshapes: Tensor
    rotation: Tensor
    scale: Tensor
    origin: Tensor


class Linear3DMM(nn.Module):
    """Meshes (T, 468, 3) in pixels -> a `FaceParameters`.

    template (468, 3): the mean mesh in decimetres about the pivot, as the mesh network sees it
    rigidity_weights (468,): how much a point counts when the template is laid on the mesh; little where faces move
    """

    template: Tensor
    rigidity_weights: Tensor

    def __init__(self, config: Linear3DMMConfig = MINI_LINEAR_3DMM, *, ops: Any = nn):
        super().__init__()
        self.config = config
        self.register_buffer("template", torch.zeros(config.n_points, 3))
        self.register_buffer("rigidity_weights", torch.ones(config.n_points))
        self.read = ops.Linear(3 * config.n_points, config.n_units + 6)

    def residual(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(T, 468 * 3) how the mesh differs from the template in decimetres, and the placement that was taken out."""
        rotation, scale, origin = fit_similarity(points, self.template, self.rigidity_weights)
        upright = (points - origin[:, None]) @ rotation / scale[:, None, None]
        return (upright - self.template.to(points)).flatten(1), rotation, scale, origin

    def forward(self, points: Tensor) -> FaceParameters:
        residual, rotation, scale, origin = self.residual(points)
        prediction = self.read(residual.to(self.read.weight.dtype)).to(residual)
        blendshapes, turn, growth, shift = prediction.split([self.config.n_units, 3, 1, 2], dim=-1)
        return FaceParameters(
            blendshapes.clamp(0, 1),
            turn_about(turn) @ rotation,
            scale * growth[:, 0].exp(),
            origin[:, :2] + scale[:, None] * shift,
        )


def turn_about(vector: Tensor) -> Tensor:
    """(..., 3) -> rotations (..., 3, 3) about the vector, by its length in radians (Rodrigues).

    By hand: kornia.geometry.axis_angle_to_rotation_matrix gives the same to rounding, but whichever module of kornia is
    imported, all of it is, which costs the first portrait 0.25 to 0.37 s of a core (kornia 0.9; `python -X importtime
    -c "import torch, kornia.geometry"`).
    """
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    turns = vector.norm(dim=-1)[..., None, None] / torch.pi
    # sin(a) / a and (1 - cos(a)) / a**2, both of which know what they are at 0
    return torch.eye(3).to(vector) + torch.sinc(turns) * cross + torch.sinc(turns / 2) ** 2 / 2 * (cross @ cross)


@torch.no_grad()
def read_meshes(
    net: Linear3DMM, points: Tensor, pic_size: int, crop_mode: CropMode, found: Tensor | None = None
) -> FaceCoefficients:
    """Meshes (T, 468, 3) in pixels of a square of `pic_size` -> T rows of coefficients of the mini family.

    expression: the 52 blendshape weights, then zeros;  rotation: pitch, yaw, roll;
    translation: where the head's origin is, -1..1 in the square (x right, y down), and ln(scale / (USUAL_SCALE S));
    crop: (scale, origin x, origin y) in pixels of the square. Identity, texture and lighting are zeros: the mini family
    keeps them in the image.  found: (T,) which meshes were detected and not held over, or None.
    Raises FaceNotFound when the points are no mesh.
    """
    if points.ndim != 3 or tuple(points.shape[1:]) != (net.config.n_points, 3):
        raise FaceNotFound(
            f"expected meshes (frames, {net.config.n_points}, 3), got {tuple(points.shape)}; "
            "the mini model reads the points of the face mesh only."
        )
    if not bool(torch.isfinite(points).all()):
        raise FaceNotFound("the points of the face mesh are NaN or infinite; check the image they come from.")
    weight = net.read.weight
    parameters = FaceParameters(*(part.float().cpu() for part in net(points.to(weight.device, torch.float32))))
    half = pic_size / 2
    nearness = torch.log(parameters.scale / (USUAL_SCALE * pic_size))
    nothing = {
        name: torch.zeros(len(points), n)
        for name, n in (("identity", IDENTITY), ("texture", TEXTURE), ("lighting", LIGHTING))
    }
    return FaceCoefficients(
        expression=F.pad(parameters.blendshapes, (0, EXPRESSION - parameters.blendshapes.shape[1])),
        rotation=angles_of_rotation(parameters.rotation),
        translation=torch.cat([parameters.origin / half - 1, nearness[:, None]], dim=1),
        crop=torch.cat([parameters.scale[:, None], parameters.origin], dim=1),
        family=MINI,
        crop_mode=crop_mode,
        pic_size=pic_size,
        found=found,
        **nothing,
    )
