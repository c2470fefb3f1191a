"""Coefficients come in, the face they describe goes out: its mesh, its 68 points, its mouth as a grey image.

`MiniFace` reads the mini family's coefficients, with the pack's own table. `BfmFace` reads the released family's,
with a file that cannot be shipped: the Basel Face Model of 2009 is free for research, on request from its makers, and
Deep3DFaceRecon's scripts turn it into BFM_model_front.mat, which is the file to give.

Letters: `B` faces, `P` vertices, `N` triangles. Pixels are those of the 224 x 224 image that the released 3-D face
network looks at, x right, y down; a decimetre of face is about 102 of them, in both families.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..canonical_face import HEAD_TO_IMAGE, INNER_LIPS, MOUTH, OUTER_LIPS, load_canonical_face, rotation_of_angles
from ..coefficients import BLENDSHAPE_INDEX, EXPRESSION, IDENTITY, TEXTURE
from ..datatypes import MINI, RELEASED, FaceCoefficients
from ..errors import CheckpointDamaged, CheckpointMismatch, CheckpointMissing, OptionError
from ..face.landmarks import MESH_TO_68, mesh_to_68
from ..render.meshwarp.rasterizer import rasterize

IMAGE_SIDE = 224
PIXELS_PER_DECIMETRE = 102.0
#: of the released 3-D face network's camera: focal length in pixels, distance in decimetres
FOCAL, DISTANCE = 1015.0, 10.0

#: of the 68 points: corners and lids of both eyes, and the mouth
EYE_POINTS = ((36, 39, (37, 38), (41, 40)), (42, 45, (43, 44), (47, 46)))
MOUTH_POINTS = slice(48, 68)

#: of the mini family: what makes its eyes blink, and how open the mean head's are
BLINK_BLENDSHAPES = [BLENDSHAPE_INDEX["eyeBlinkLeft"], BLENDSHAPE_INDEX["eyeBlinkRight"]]
OPEN_EYES = 0.26

SKIN_GREY, LIP_GREY, INSIDE_GREY = 0.7, 0.45, 0.08


@dataclass(frozen=True, eq=False)
class Mesh:
    """points (B, P, 2) in pixels;  depth (B, P) in decimetres, larger is nearer;  grey (B, N, 3) of the corners of
    triangles (N, 3), lit from the viewer's side
    """

    points: Tensor
    depth: Tensor
    triangles: Tensor
    grey: Tensor


class Face(Protocol):
    """What ExpNet's losses ask for. Both are differentiable in the expression."""

    def points(self, who: FaceCoefficients, expression: Tensor) -> Tensor:
        """B rows of a face, with this expression (B, 64) in the place of their own -> (B, 68, 2) pixels."""
        ...

    def openness(self, who: FaceCoefficients, expression: Tensor) -> Tensor:
        """-> (B,) how open the eyes are, height by width: about 0.26, and 0 when shut"""
        ...

    def mesh(self, who: FaceCoefficients, expression: Tensor) -> Mesh: ...


class MiniFace:
    """The face of the mini family: the mean head of canonical_face.py, moved by the blendshapes, turned as in the
    row.
    """

    def __init__(self) -> None:
        self.canonical = load_canonical_face()
        grey = torch.full((len(self.canonical.mean), 1), SKIN_GREY)
        grey[[*INNER_LIPS, *OUTER_LIPS]] = LIP_GREY
        self.grey = grey[self.canonical.triangles, 0]
        self.grey[self.canonical.kind == MOUTH] = INSIDE_GREY

    def points(self, who: FaceCoefficients, expression: Tensor) -> Tensor:
        turned = self._turned(who, expression)
        return IMAGE_SIDE / 2 + PIXELS_PER_DECIMETRE * mesh_to_68(turned)

    def openness(self, who: FaceCoefficients, expression: Tensor) -> Tensor:
        """By the two blink units, whose 1 is shut whatever the eyes are like; the renderer reads them alone, too."""
        return OPEN_EYES * (1 - expression[:, BLINK_BLENDSHAPES].mean(dim=1))

    def mesh(self, who: FaceCoefficients, expression: Tensor) -> Mesh:
        turned = self._turned(who, expression)
        triangles = self.canonical.triangles.to(turned.device)
        lit = _lit(turned, triangles, self.grey.to(turned))
        return Mesh(IMAGE_SIDE / 2 + PIXELS_PER_DECIMETRE * turned[..., :2], -turned[..., 2], triangles, lit)

    def _turned(self, who: FaceCoefficients, expression: Tensor) -> Tensor:
        """(B, 468, 3) decimetres in the axes of images."""
        canonical = self.canonical
        head = (canonical.mean - canonical.pivot).to(expression) + canonical.displacements(expression.cpu()).to(
            expression
        )
        turns = rotation_of_angles(who.rotation.to(expression))
        return (head * expression.new_tensor(HEAD_TO_IMAGE)) @ turns.transpose(1, 2)


class BfmFace:
    """The face of the released family: 3-D morphable model, and the camera its coefficients were made for."""

    def __init__(self, file: Path):
        """Raises CheckpointMissing, CheckpointDamaged or CheckpointMismatch."""
        table = _read_bfm(file)
        mean = table["meanshape"].reshape(-1, 3)
        self.mean = mean - mean.mean(dim=0)
        self.identity, self.expression, self.texture = (table[name] for name in ("idBase", "exBase", "texBase"))
        self.mean_texture = table["meantex"].flatten()
        self.triangles = table["tri"].long() - 1
        self.landmarks = table["keypoints"].long().flatten() - 1

    def points(self, who: FaceCoefficients, expression: Tensor) -> Tensor:
        rows = (self.landmarks[:, None] * 3 + torch.arange(3)).flatten()
        return _visible_points(self._placed(who, expression, rows))[..., :2]

    def openness(self, who: FaceCoefficients, expression: Tensor) -> Tensor:
        return eye_openness(self.points(who, expression))

    def mesh(self, who: FaceCoefficients, expression: Tensor) -> Mesh:
        placed = self._placed(who, expression, torch.arange(self.mean.numel()))
        triangles = self.triangles.to(expression.device)
        colours = self.mean_texture.to(expression) + who.texture.to(expression) @ self.texture.to(expression).T
        grey = (colours.unflatten(1, (-1, 3)).mean(dim=2) / 255).clamp(0, 1)
        # y counts up and z to the viewer here; _lit wants them as in images
        lit = _lit(placed * placed.new_tensor([1.0, -1.0, -1.0]), triangles, grey[:, triangles])
        return Mesh(_visible_points(placed)[..., :2], placed[..., 2], triangles, lit)

    def _placed(self, who: FaceCoefficients, expression: Tensor, rows: Tensor) -> Tensor:
        """rows of the basis (3 per vertex) -> (B, P, 3) decimetres, x right, y up, z to the viewer."""
        shape = self.mean.flatten()[rows].to(expression)
        shape = shape + who.identity.to(expression) @ self.identity[rows].to(expression).T
        shape = (shape + expression @ self.expression[rows].to(expression).T).unflatten(1, (-1, 3))
        # pitch first, roll last: the inverse of the other order by the negative angles; rows are turned by inverses
        turned = shape @ rotation_of_angles(-who.rotation.to(expression))
        return turned + who.translation.to(expression)[:, None]


def face_of(family: str, bfm: Path | None) -> Face:
    """Who turns a family's coefficients into a face. Raises OptionError for a released one without its file."""
    return _FACES[family](bfm)


def _bfm_face(bfm: Path | None) -> Face:
    if bfm is None:
        raise OptionError(
            "the landmark, blink and lip-reading losses need the face that released coefficients describe, and its "
            "basis cannot be shipped: give --bfm BFM_model_front.mat (from the Basel Face Model of 2009 by "
            "Deep3DFaceRecon's scripts). Or give --coefficients-only: then the network learns the coefficients alone, "
            "and the lids will not obey the blink track."
        )
    return BfmFace(bfm)


#: by the family's name
_FACES: Mapping[str, Callable[[Path | None], Face]] = {MINI: lambda bfm: MiniFace(), RELEASED: _bfm_face}
_NEED_NO_FILE: Mapping[str, Callable[[], Face]] = {MINI: MiniFace}


def known_face(family: str) -> Face | None:
    """The family's face where it needs no file of the user's, else None."""
    make = _NEED_NO_FILE.get(family)
    return None if make is None else make()


def eye_openness(points: Tensor) -> Tensor:
    """(B, 68, 2) -> (B,) the mean height of the four pairs of lid points by the mean width of the eyes; about 0.26.

    Heights are counted across the line between the corners and have a sign, so lids that cross count as shut, not as
    open again.
    """
    widths, heights = [], []
    for outer, inner, upper, lower in EYE_POINTS:
        along = points[:, inner] - points[:, outer]
        down = normalize(torch.stack([-along[:, 1], along[:, 0]], dim=-1), dim=-1)
        widths.append(along.norm(dim=-1))
        for above, below in zip(upper, lower, strict=True):
            heights.append(((points[:, below] - points[:, above]) * down).sum(dim=-1))
    return torch.stack(heights).mean(dim=0) / torch.stack(widths).mean(dim=0)


def mouth_images(mesh: Mesh, centre: Tensor, side: int) -> Tensor:
    """The side x side pixels around centre (B, 2) -> (B, side, side) grey in 0..1, black where no face is.

    Which triangle is in front is decided without gradients; where its corners are and how they are lit, with them.
    """
    points = mesh.points - centre[:, None].detach() + side / 2
    with torch.no_grad():
        which, inside = rasterize(points, mesh.depth, mesh.triangles, side)
    covered = inside.sum(dim=-1) > 0.5
    frame = torch.arange(len(points), device=points.device)[:, None, None]
    corners = points[frame[..., None], mesh.triangles[which]]
    grid = torch.arange(side, device=points.device) + 0.5
    y, x = torch.meshgrid(grid, grid, indexing="ij")
    pixel = torch.stack([x, y], dim=-1)
    area = _cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])
    area = torch.where(area.abs() < 1e-6, torch.ones_like(area), area)
    second = _cross(pixel - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]) / area
    third = _cross(corners[..., 1, :] - corners[..., 0, :], pixel - corners[..., 0, :]) / area
    weights = torch.stack([1 - second - third, second, third], dim=-1)
    return (mesh.grey[frame, which] * weights).sum(dim=-1) * covered


def _cross(one: Tensor, other: Tensor) -> Tensor:
    return one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]


def _lit(points: Tensor, triangles: Tensor, grey: Tensor) -> Tensor:
    """points (B, P, 3) in the axes of images, grey (N, 3) or (B, N, 3) -> (B, N, 3): darker where it faces aside."""
    corners = points[:, triangles]
    across = torch.linalg.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    normals = torch.zeros_like(points)
    for corner in range(3):
        normals = normals.index_add(1, triangles[:, corner], across)
    facing = normalize(normals, dim=-1)[..., 2].abs()
    return grey * (0.5 + 0.5 * facing)[:, triangles]


def _visible_points(placed: Tensor) -> Tensor:
    """(B, P, 3) decimetres, y up, z to the viewer -> (B, P, 2) pixels, y down."""
    depth = DISTANCE - placed[..., 2]
    across = IMAGE_SIDE / 2 + FOCAL * placed[..., 0] / depth
    return torch.stack([across, IMAGE_SIDE / 2 - FOCAL * placed[..., 1] / depth], dim=-1)


def _read_bfm(file: Path) -> dict[str, Tensor]:
    from scipy.io import loadmat

    source = f"{file.name} in {file.parent}"
    if not file.is_file():
        raise CheckpointMissing(f"there is no face model {source}. Give the path of BFM_model_front.mat.")
    try:
        read = loadmat(str(file))
    except (ValueError, TypeError, OSError, NotImplementedError) as error:
        raise CheckpointDamaged(
            f"{source} cannot be read as a MATLAB file ({error}). It should be BFM_model_front.mat."
        ) from error
    wanted = {
        "meanshape": None,
        "idBase": IDENTITY,
        "exBase": EXPRESSION,
        "texBase": TEXTURE,
        "meantex": None,
        "tri": 3,
        "keypoints": len(MESH_TO_68),
    }
    wrong = [name for name, width in wanted.items() if name not in read or width not in (None, read[name].shape[-1])]
    if wrong:
        raise CheckpointMismatch(
            f"{source} is not BFM_model_front.mat: {', '.join(wrong)} is missing or of another width."
        )
    return {name: torch.from_numpy(read[name].astype("float32")) for name in wanted}


__all__ = ["BfmFace", "Face", "Mesh", "MiniFace", "eye_openness", "face_of", "mouth_images"]
