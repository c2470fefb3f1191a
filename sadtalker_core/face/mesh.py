"""The 468-point mesh of a face: an image and where the face is in, points in pixels of the image out.

The network and its weights come from MediaPipe (Kartynnik et al. 2019, "Real-time Facial Surface Geometry from
Monocular Video on Mobile GPUs"; see assets/NOTICE). It looks at an upright square of 192 pixels around the face.

Letters: `B` batch, `T` video frames, `H W` an image. Points are x right, y down, z away from the viewer, in pixels of
the image; the centre of the first pixel is at (0.5, 0.5), z is about 0 in the middle of the face and negative at the
tip of the nose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..datatypes import Box
from ..errors import FaceNotFound
from .blaze import BlazeBlock, blaze_chain, conv
from .detector import DetectedFace, FaceDetector, detect_faces
from .sampling import Square, sample_squares

N_POINTS = 468


@dataclass(frozen=True, eq=False)
class MeshLandmarks:
    """points: (468, 3) in pixels of the image, z away from the viewer;  score: how surely it is a face, 0..1."""

    points: Tensor
    score: float


@dataclass(frozen=True)
class FaceMeshConfig:
    """blocks: (channels, stride) shared by both answers; points, presence: the blocks of each answer."""

    side: int = 192
    n_points: int = N_POINTS
    stem: int = 16
    blocks: tuple[tuple[int, int], ...] = (
        (16, 1), (16, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1),
        (128, 2), (128, 1), (128, 1), (128, 2), (128, 1), (128, 1),
    )  # fmt: skip
    points: tuple[tuple[int, int], ...] = ((128, 2), (128, 1), (128, 1))
    presence: tuple[tuple[int, int], ...] = ((128, 2),)
    squeezed: int = 32


MEDIAPIPE_MESH = FaceMeshConfig()


class FaceMesh(nn.Module):
    """Squares (B, 3, 192, 192) in 0..1 of an upright face -> points (B, 468, 3) in pixels of the square, logits (B,).

    The logit is how surely there is a face. z is in the same pixels, away from the viewer.
    """

    def __init__(self, config: FaceMeshConfig = MEDIAPIPE_MESH, *, ops: Any = nn):
        super().__init__()
        self.config = config
        self.stem = nn.Sequential(conv(3, config.stem, 3, 2, ops=ops), nn.PReLU(config.stem))
        self.blocks = blaze_chain(config.stem, config.blocks, kind="prelu", ops=ops)
        width = config.blocks[-1][0]
        self.points = RegressionHead(width, config.points, config.squeezed, 3 * config.n_points, ops=ops)
        self.presence = RegressionHead(width, config.presence, config.squeezed, 1, ops=ops)

    def forward(self, squares: Tensor) -> tuple[Tensor, Tensor]:
        features = self.blocks(self.stem(squares))
        return self.points(features).unflatten(1, (self.config.n_points, 3)), self.presence(features)[:, 0]


class RegressionHead(nn.Module):
    """Features (B, n_in, 6, 6) -> (B, n_out): down to 3 x 3 cells, squeezed, and one look at all nine."""

    def __init__(self, n_in: int, blocks: Sequence[tuple[int, int]], n_squeezed: int, n_out: int, *, ops: Any = nn):
        super().__init__()
        self.blocks = blaze_chain(n_in, blocks, kind="prelu", ops=ops)
        self.squeeze = nn.Sequential(ops.Conv2d(blocks[-1][0], n_squeezed, 1), nn.PReLU(n_squeezed))
        self.mix = BlazeBlock(n_squeezed, n_squeezed, kind="prelu", ops=ops)
        self.head = ops.Conv2d(n_squeezed, n_out, 3)

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.mix(self.squeeze(self.blocks(features)))).flatten(1)


# ----------------------------------------------------------------- using it

#: the outer corners of the eyes: on the left of the image (the person's right eye) and on its right
LEFT_CORNER, RIGHT_CORNER = 33, 263
#: side of the square the network looks at / the longer side of the face in it, as it was trained
CROP_MARGIN = 1.5
#: below this there is no face: real faces score above .9, also half hidden ones
MIN_SCORE = 0.5
#: where to look first when all we have is a user's box: its longer side times these, turned by these (degrees)
TRIED_MARGINS, TRIED_TURNS = (1.0, 1.5, 2.0), (0, -30, 30)


def face_square(face: DetectedFace) -> Square:
    """The square in which the network wants to see a detected face: upright, with room around it."""
    return Square(*face.centre, CROP_MARGIN * max(face.box[2:]), face.roll)


def mesh_square(points: Tensor) -> Square:
    """The same from a mesh (468, 2 or 3): with it the next look, or the next video frame, is framed more exactly."""
    across = points[RIGHT_CORNER] - points[LEFT_CORNER]
    upright = Square(0.0, 0.0, 1.0, math.atan2(float(across[1]), float(across[0])))
    turned = upright.from_image(points[:, :2], 1)
    low, high = turned.amin(0), turned.amax(0)
    x, y = upright.to_image((low + high) / 2, 1).tolist()
    return Square(x, y, CROP_MARGIN * float((high - low).max()), upright.angle)


@torch.no_grad()
def detect_landmarks(net: FaceMesh, image: Tensor, squares: Sequence[Square]) -> list[MeshLandmarks]:
    """The mesh in each square of an image (H, W, 3), whatever the score."""
    side = net.config.side
    points, logits = net(sample_squares(image, squares, side).to(next(net.parameters()).device))
    scores = logits.float().clamp(-80, 80).sigmoid().tolist()
    return [
        MeshLandmarks(square.to_image(own.float(), side), score)
        for square, own, score in zip(squares, points.cpu(), scores, strict=True)
    ]


def face_mesh(
    net: FaceMesh,
    image: Tensor,
    where: DetectedFace | Box,
    *,
    tilt: float = 0.0,
    passes: int = 3,
    min_score: float = MIN_SCORE,
) -> MeshLandmarks:
    """The mesh of one face of an image (H, W, 3) in 0..1.

    where:  a detected face, or a user's box around a face or a head (then a few sizes and tilts are tried)
    tilt:   of the face in a user's box, about, radians clockwise; the network is as sure of faces that it reads upside
        down
    passes: each frames the face by the mesh of the one before; three make the result nearly independent of the box
    Raises FaceNotFound when the network is not sure enough that there is a face.
    """
    if isinstance(where, DetectedFace):
        squares = [face_square(where)]
    else:
        middle, size = (where.x + where.width / 2, where.y + where.height / 2), max(where.width, where.height, 1)
        squares = [Square(*middle, size * r, tilt + math.radians(a)) for r in TRIED_MARGINS for a in TRIED_TURNS]
        passes += 1
    mesh = max(detect_landmarks(net, image, squares), key=lambda seen: seen.score)
    for _ in range(passes - 1):
        again = detect_landmarks(net, image, [mesh_square(mesh.points)])[0]
        if again.score < min(min_score, mesh.score):  # a face of a few pixels may be lost again
            break
        mesh = again
    if mesh.score < min_score:
        box = where.box if isinstance(where, DetectedFace) else where
        x, y, width, height = (round(v) for v in box)
        raise FaceNotFound(
            f"no face found in the box at ({x}, {y}) of {width} x {height} pixels "
            f"(score {mesh.score:.2f}, expected at least {min_score:.2f}); "
            "choose another face, or draw the box from the eyebrows to the chin."
        )
    return mesh


def track_meshes(
    detector: FaceDetector,
    net: FaceMesh,
    frames: Iterable[Tensor],
    *,
    choose: Callable[[list[DetectedFace]], DetectedFace] = lambda faces: max(faces, key=lambda face: face.area),
    min_score: float = MIN_SCORE,
) -> Iterator[MeshLandmarks | None]:
    """The mesh of the same face in each frame of a video, frame by frame; None where it is not visible.

    frames: images (H, W, 3), all of one size
    choose: which face to follow when one is first detected; a lost face is taken up again where it was last
    Each frame is framed by the mesh before it; only when that fails are faces looked for.
    """
    last: MeshLandmarks | None = None
    previous: MeshLandmarks | None = None
    came: Tensor | None = None
    for frame in frames:
        if frame is came:  # a player shows it longer than a 25th of a second
            yield previous
            continue
        came = frame
        mesh = detect_landmarks(net, frame, [mesh_square(previous.points)])[0] if previous else None
        if mesh is None or mesh.score < min_score:
            mesh = _find_again(detector, net, frame, last, choose)
        previous = mesh if mesh is not None and mesh.score >= min_score else None
        last = previous or last
        yield previous


def _find_again(
    detector: FaceDetector,
    net: FaceMesh,
    frame: Tensor,
    last: MeshLandmarks | None,
    choose: Callable[[list[DetectedFace]], DetectedFace],
) -> MeshLandmarks | None:
    detected = detect_faces(detector, frame, thorough=last is None)
    if not detected:
        return None
    meshes = detect_landmarks(net, frame, [face_square(face) for face in detected])
    seen = {face: mesh for face, mesh in zip(detected, meshes, strict=True) if mesh.score >= MIN_SCORE}
    if not seen:  # a cup, or many faces behind
        return None
    faces = list(seen)
    face = choose(faces) if last is None else min(faces, key=lambda face: _distance(face, last))
    return detect_landmarks(net, frame, [mesh_square(seen[face].points)])[0]


def _distance(face: DetectedFace, mesh: MeshLandmarks) -> float:
    square = mesh_square(mesh.points)
    return math.hypot(face.centre[0] - square.x, face.centre[1] - square.y)
