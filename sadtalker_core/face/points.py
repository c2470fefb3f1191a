"""Who finds the 68 points of the released family: an image comes in, the points of the selected face go out.

A `PointFinder` knows which face is selected (by its place among the faces, or by the user's box) and is called in two
ways: once for an image, and frame by frame for a video. `MeshPoints` asks the embedded networks; `FaceAlignmentPoints`
in face_alignment_points.py asks the face-alignment package. Points are (x, y) in pixels, y down.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from ..datatypes import Box, Portrait
from .detector import DetectedFace, FaceDetector, best_face_around
from .landmarks import choose_face, find_faces, mesh_to_68
from .mesh import FaceMesh, MeshLandmarks, face_mesh, mesh_square, track_meshes

#: the looks at a user's box know faces that are tilted by less, radians
UPRIGHT_TILT = math.radians(60)


@dataclass(frozen=True)
class FaceSelector:
    """Which face of an image is selected: the index after ordering, or the one at the user's box. See Portrait."""

    index: int = 0
    order: str = "largest"
    box: Box | None = None

    @classmethod
    def of(cls, portrait: Portrait) -> FaceSelector:
        return cls(portrait.face_index, portrait.face_order, portrait.face_box)


class PointFinder(Protocol):
    """What `extract_released` and the reference video ask for points."""

    def __call__(self, image: Tensor, near: Box | None = None) -> Tensor:
        """image (H, W, 3) in 0..1 -> (68, 2) in its pixels.

        near: where the face is, when that is known already (the second look, at the cropped square); None: choose
        Raises FaceNotFound.
        """
        ...

    def follow(self, frames: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Frames (H, W, 3) of one size -> each frame with the (68, 2) points of the same face, None where it is not."""
        ...


class MeshPoints:
    """The 68 points from the embedded detector and mesh; works without any file beside the pack."""

    def __init__(self, detector: FaceDetector, mesh: FaceMesh, selector: FaceSelector = FaceSelector()):  # noqa: B008 (frozen)
        self.detector, self.mesh, self.selector = detector, mesh, selector
        self._tilt: float | None = None  #: of the face in the image, which it keeps in the square

    def __call__(self, image: Tensor, near: Box | None = None) -> Tensor:
        if near is None:
            seen = find_mesh(self.detector, self.mesh, image, self.selector)
            self._tilt = known_tilt(mesh_square(seen.points).angle)
        else:
            tilt = find_tilt(self.detector, image, near) if self._tilt is None else self._tilt
            seen = face_mesh(self.mesh, image, near, tilt=tilt)
        return mesh_to_68(seen.points)

    def follow(self, frames: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
        for frame, seen in follow_mesh(self.detector, self.mesh, frames, self.selector):
            yield frame, None if seen is None else mesh_to_68(seen.points)


def find_mesh(detector: FaceDetector, mesh: FaceMesh, image: Tensor, selector: FaceSelector) -> MeshLandmarks:
    """The mesh of the selected face in an image (H, W, 3). Raises FaceNotFound, and OptionError for the order."""
    if selector.box is not None:
        return face_mesh(mesh, image, selector.box, tilt=find_tilt(detector, image, selector.box))
    height, width = image.shape[:2]
    face = choose_face(find_faces(detector, mesh, image), selector.index, selector.order, (width, height))
    return face_mesh(mesh, image, face)


def find_tilt(detector: FaceDetector, image: Tensor, box: Box) -> float:
    """How far the face in a box is tilted: radians clockwise, 0 where it stands about upright or is not known."""
    face = best_face_around(detector, image, box.x + box.width / 2, box.y + box.height / 2, max(box.width, box.height))
    return 0.0 if face is None else known_tilt(face.roll)


def known_tilt(roll: float) -> float:
    """Faces that are tilted by less are looked at as if they stood upright."""
    return roll if abs(roll) > UPRIGHT_TILT else 0.0


def follow_mesh(
    detector: FaceDetector, mesh: FaceMesh, frames: Iterable[Tensor], selector: FaceSelector
) -> Iterator[tuple[Tensor, MeshLandmarks | None]]:
    """Frames with the mesh of the same face; which one is decided in the first frame that shows any, where an index
    beyond the last face means the last.
    """
    waiting: deque[Tensor] = deque()

    def passing() -> Iterator[Tensor]:
        for frame in frames:
            waiting.append(frame)
            yield frame

    for seen in track_meshes(detector, mesh, passing(), choose=lambda faces: select_face(faces, selector, waiting[-1])):
        yield waiting.popleft(), seen


def select_face(faces: list[DetectedFace], selector: FaceSelector, frame: Tensor) -> DetectedFace:
    """The selected face, of those of a frame (H, W, 3); an index beyond the last selects the last."""
    height, width = frame.shape[:2]
    if selector.box is not None:
        return nearest(faces, selector.box, lambda face: face.box)
    return choose_face(faces, min(selector.index, len(faces) - 1), selector.order, (width, height))


def nearest(faces: list[Any], box: Box, box_of: Callable[[Any], tuple[float, ...]]) -> DetectedFace:
    """The face whose middle lies nearest to the middle of a box; box_of(face) gives (x, y, width, height)."""
    middle_x, middle_y = box.x + box.width / 2, box.y + box.height / 2

    def distance(face: Any) -> float:
        x, y, width, height = box_of(face)
        return (x + width / 2 - middle_x) ** 2 + (y + height / 2 - middle_y) ** 2

    return min(faces, key=distance)
