"""Which face is selected, and the 68 points that the released family works with: faces or a mesh in, a choice or
points out.

Points are (x, y) in pixels, x right, y down. "Left" and "right" are the image's unless a person's side is named.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..choices import one_of
from ..errors import FaceNotFound, OptionError
from .detector import DetectedFace, FaceDetector, detect_faces
from .mesh import MIN_SCORE, FaceMesh, detect_landmarks, face_square

FACE_ORDERS = ("largest", "left to right", "right to left", "top to bottom", "bottom to top", "score", "centre")


def order_faces(
    faces: Sequence[DetectedFace], order: str = "largest", size_wh: tuple[int, int] | None = None
) -> list[DetectedFace]:
    """Faces in one of FACE_ORDERS; equals keep the order they came in.

    size_wh: width and height of the image, needed for "centre" (nearest to the middle first).
    Raises OptionError for an unknown order.
    """
    order = one_of("face_order", order, FACE_ORDERS)
    if order == "centre" and size_wh is None:
        raise OptionError('the order "centre" needs the size of the image.')
    middle = (size_wh[0] / 2, size_wh[1] / 2) if size_wh else (0.0, 0.0)
    keys = {
        "largest": lambda face: -face.area,
        "left to right": lambda face: face.centre[0],
        "right to left": lambda face: -face.centre[0],
        "top to bottom": lambda face: face.centre[1],
        "bottom to top": lambda face: -face.centre[1],
        "score": lambda face: -face.score,
        "centre": lambda face: (face.centre[0] - middle[0]) ** 2 + (face.centre[1] - middle[1]) ** 2,
    }
    return sorted(faces, key=keys[order])


def choose_face(
    faces: Sequence[DetectedFace], index: int = 0, order: str = "largest", size_wh: tuple[int, int] | None = None
) -> DetectedFace:
    """The face with this index, from 0, after ordering. Raises FaceNotFound, saying what was found and where."""
    if not faces:
        raise FaceNotFound(
            "no face found in the image; use one with a sharp face in frontal or three-quarter view that is not too "
            "small, or, in ComfyUI, select the face with a box in Portrait from Image."
        )
    if index < 0:
        raise OptionError(f"expected a face index of 0 or more, got {index}.")
    ordered = order_faces(faces, order, size_wh)
    if index >= len(ordered):
        places = "; ".join(f"{i}: around ({f.centre[0]:.0f}, {f.centre[1]:.0f})" for i, f in enumerate(ordered[:8]))
        count = "1 face was found" if len(ordered) == 1 else f"{len(ordered)} faces were found"
        raise FaceNotFound(
            f"expected a face index up to {len(ordered) - 1}, got {index}; {count} "
            f"(counted from 0, order {order!r}: {places})."
        )
    return ordered[index]


def find_faces(
    detector: FaceDetector, mesh: FaceMesh, image: Tensor, *, thorough: bool = True, min_score: float = MIN_SCORE
) -> list[DetectedFace]:
    """detect_faces, and then only those in which the mesh network sees a face, too; cats and cups drop out here.

    thorough: small faces, too, also where the image stands on its head
    """
    faces = detect_faces(detector, image, thorough=thorough)
    if not faces and thorough:
        height, width = image.shape[:2]
        inverted = torch.rot90(image, 2).contiguous()
        faces = [face.turned_back(2, width, height) for face in detect_faces(detector, inverted)]
    if not faces:
        return []
    seen = detect_landmarks(mesh, image, [face_square(face) for face in faces])
    return [face for face, own in zip(faces, seen, strict=True) if own.score >= min_score]


# fmt: off
#: The 68 points in the iBUG order, by index of the mesh. Each row names its run; runs go from left to right in the
#: image, and the eyes and lips clockwise from their left corner.
MESH_TO_68 = (
    127, 234, 132, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 361, 454, 356,  # 0-16 jaw, ear to ear
    70, 63, 105, 66, 107,                                                                # 17-21 left brow
    336, 296, 334, 293, 300,                                                             # 22-26 right brow
    168, 197, 5, 4,                                                                      # 27-30 ridge of the nose, tip
    98, 97, 2, 326, 327,                                                                 # 31-35 under the nose
    33, 160, 158, 133, 153, 144,                                                         # 36-41 left eye
    362, 385, 387, 263, 373, 380,                                                        # 42-47 right eye
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91,                                  # 48-59 lips, outside
    78, 81, 13, 311, 308, 402, 14, 178,                                                  # 60-67 lips, inside
)
# fmt: on


def mesh_to_68(points: Tensor) -> Tensor:
    """Mesh points (..., 468, 2 or 3) -> (..., 68, 2), the same pixels, in the iBUG order.

    The points of the jaw lie on the border of the mesh, which is the border of the face, not the visible outline: on a
    head in profile the far ones hide behind the cheek.
    """
    return points[..., torch.tensor(MESH_TO_68), :2]
