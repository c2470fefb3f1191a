"""The template's head as a portrait would show it: on a stage, on a crop, with the weights that a test names."""

from __future__ import annotations

import torch
from torch import Tensor

from sadtalker_core.canonical_face import HEAD_TO_IMAGE, N_POINTS, load_canonical_face
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import BlendshapeMotion, Box, CropMode, FaceCrop
from sadtalker_core.render.meshwarp.placement import HEAD_CENTRE, STAGE
from sadtalker_core.render.meshwarp.posed_rig import PosedRig
from sadtalker_core.render.meshwarp.rig import FaceRig

SIDE, DENSITY = 256, 85.0  #: pixels of a crop, and of a decimetre on it
ON_STAGE = 53.0  #: pixels of the stage in a decimetre
STILL = torch.eye(3)[None], torch.zeros(1, 2)  #: turn and shift of a head that does not move


def weights(**units: float) -> Tensor:
    """(1, 64) blendshape weights by name; "mouthPress" is mouthPressLeft and mouthPressRight."""
    return row(units)[None]


def row(units: dict[str, float]) -> Tensor:
    """(64,) the same."""
    values = torch.zeros(64)
    for name, amount in units.items():
        for side in ("",) if name in BLENDSHAPE_INDEX else ("Left", "Right"):
            values[BLENDSHAPE_INDEX[name + side]] = amount
    return values


def moving(offsets: Tensor, yaw=0.0, pitch=0.0) -> BlendshapeMotion:
    """Weights (n, 64), and angles in degrees, -> the motion of a head that stays where it is."""
    n = len(offsets)
    angles = [torch.as_tensor(a, dtype=torch.float32).expand(n).clone() for a in (yaw, pitch, 0.0)]
    return BlendshapeMotion(*angles, torch.zeros(n, 3), offsets)


def rows(n: int = 1, yaw=0.0, pitch=0.0, **units) -> BlendshapeMotion:
    """n rows of motion; units: one weight for all of them, or (n,)."""
    offsets = torch.zeros(n, 64)
    for name, amount in units.items():
        offsets[:, BLENDSHAPE_INDEX[name]] = torch.as_tensor(amount)
    return moving(offsets, yaw, pitch)


def head_points(face: Tensor | None = None, density: float = DENSITY, side: int = SIDE) -> Tensor:
    """(468, 3) the template, or what weights (64,) make of it, seen from the front in the middle of a square."""
    canonical = load_canonical_face()
    points = canonical.mean - torch.tensor(HEAD_CENTRE)
    if face is not None:
        points = points + canonical.displacements(face)
    return points * torch.tensor(HEAD_TO_IMAGE) * density + torch.tensor([side / 2, side / 2, 0.0])


def stage_points(face: Tensor | None = None) -> Tensor:
    """(468, 3) the same on the stage, as the face network would give it."""
    return head_points(face, ON_STAGE, STAGE)


def rig(points: Tensor | None = None, source: Tensor | None = None) -> FaceRig:
    """The rig of a portrait with these points on the stage and these weights (64,): at rest where none are told."""
    points = stage_points() if points is None else points
    return FaceRig.from_points(points, torch.zeros(64) if source is None else source)


def posed_head(source: BlendshapeMotion | None = None) -> PosedRig:
    """A crop's head with the face of `source`."""
    source = source or rows()
    return PosedRig(head_points(source.weights[0]), SIDE, source)


def noise_crop(side: int = SIDE, pixels_per_decimetre: float = DENSITY, seed: int = 0) -> FaceCrop:
    """An image of noise with the template's mesh in the middle of it."""
    image = torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))
    points = head_points(None, pixels_per_decimetre * side / 256, side)
    return FaceCrop(image, points, Box(0, 0, side, side), CropMode.CROP)


def driven(of: FaceRig, face: Tensor) -> Tensor:
    """weights (B, 64) -> (B, 468, 2) the face in pixels of the stage, the head still."""
    still = torch.eye(3).expand(len(face), 3, 3), torch.zeros(len(face), 2)
    return of.driven(face, *still)[0][:, :N_POINTS]


# ---- portraits that show their teeth: what the found weights say, and the face that they really make ----------------

SMILE = (
    {"mouthSmile": 1.0, "mouthUpperUp": 0.45, "jawOpen": 0.2},
    {"mouthSmile": 1.0, "mouthUpperUp": 0.8, "jawOpen": 0.3},
)
GRIN = (
    {"mouthSmile": 1.0, "mouthUpperUp": 0.6, "jawOpen": 0.4},
    {"mouthSmile": 1.0, "mouthUpperUp": 0.9, "jawOpen": 0.65},
)
TALKING = {"jawOpen": 0.6, "mouthLowerDown": 0.3}, {"jawOpen": 0.75, "mouthLowerDown": 0.4, "mouthUpperUp": 0.2}
NOTHING = {"jawOpen": 0.0}
M = {"mouthPress": 0.45, "mouthRollLower": 0.2, "mouthRollUpper": 0.2}
A = {"jawOpen": 0.6, "mouthLowerDown": 0.38, "mouthUpperUp": 0.16}


def portrait_points(portrait) -> Tensor:
    """The template with the real face in the middle of the crop."""
    return head_points(row(portrait[1]))


def portrait_head(portrait) -> PosedRig:
    return PosedRig(portrait_points(portrait), SIDE, moving(row(portrait[0])[None]))


def transition(*units, steps: int = 40) -> Tensor:
    """Rows from one face to the next, in even steps."""
    stations = torch.stack([row(u) for u in units])
    share = torch.linspace(0, 1, steps)[:, None]
    return torch.cat([a + share * (b - a) for a, b in zip(stations[:-1], stations[1:], strict=True)])
