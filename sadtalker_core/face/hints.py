"""Faces that other nodes have found come in, in the shapes of ComfyUI's own wires; the box of the selected one
goes out.

FACE_LANDMARKS: {"frames": for each frame a list of faces, each with "bbox_xyxy": (4,) left, top, right, bottom in
pixels, "image_size": (height, width) of the frames they were found in}. BOUNDING_BOX: {"x", "y", "width", "height"} in
pixels, a list of such, or for each frame a list of such.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..datatypes import Box
from ..errors import FaceNotFound, InputError, OptionError, shorten
from .detector import DetectedFace
from .landmarks import choose_face

#: x, y, width, height in pixels
_Corners = tuple[float, float, float, float]


def hinted_box(
    face_landmarks: Any,
    bounding_box: Any,
    *,
    frame: int | None,
    index: int,
    order: str,
    size_wh: tuple[int, int],
) -> Box | None:
    """The box of one face of an image of this size; None where neither wire is connected.

    frame: which frame's faces, those of the last where there are fewer; None: those of the first frame that has any
    index, order: as for faces that the detector finds
    Raises InputError for a wire that carries something else, OptionError for both wires at once and for a box outside
    of the image, FaceNotFound where there are not so many faces.
    """
    if face_landmarks is None and bounding_box is None:
        return None
    if face_landmarks is not None and bounding_box is not None:
        raise OptionError("expected face_landmarks or bounding_box, got both; disconnect one.")
    frames = _landmarks(face_landmarks, size_wh) if bounding_box is None else _boxes(bounding_box)
    if frame is None:
        found: list[_Corners] = next(filter(None, frames), [])
    else:
        found = frames[min(frame, len(frames) - 1)] if frames else []
    if not found:
        name = "bounding_box" if face_landmarks is None else "face_landmarks"
        raise FaceNotFound(f"{name}: the node that is connected found no face here; disconnect it to look for one.")
    faces = [DetectedFace(box, 1.0, torch.zeros(6, 2)) for box in found]
    return _whole(choose_face(faces, index, order, size_wh).box, size_wh)


def _landmarks(wire: Any, size_wh: tuple[int, int]) -> list[list[_Corners]]:
    try:
        height, width = (float(side) for side in wire["image_size"])
        frames = [[[float(value) for value in face["bbox_xyxy"]] for face in faces] for faces in wire["frames"]]
        across, down = size_wh[0] / width, size_wh[1] / height
        boxes = [
            [
                (across * left, down * top, across * (right - left), down * (bottom - top))
                for left, top, right, bottom in faces
            ]
            for faces in frames
        ]
    except (TypeError, KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise _refusal("face_landmarks", "FACE_LANDMARKS", "frames and image_size", wire) from error
    return _finite("face_landmarks", "FACE_LANDMARKS", boxes, wire)


def _boxes(wire: Any) -> list[list[_Corners]]:
    if isinstance(wire, Mapping):
        frames: Any = [[wire]]
    elif isinstance(wire, Sequence) and all(isinstance(one, Mapping) for one in wire):
        frames = [wire]
    else:
        frames = wire
    try:
        boxes = [
            [(float(one["x"]), float(one["y"]), float(one["width"]), float(one["height"])) for one in frame]
            for frame in frames
        ]
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise _refusal("bounding_box", "BOUNDING_BOX", "x, y, width and height", wire) from error
    return _finite("bounding_box", "BOUNDING_BOX", boxes, wire)


def _finite(name: str, kind: str, frames: list[list[_Corners]], wire: Any) -> list[list[_Corners]]:
    if not all(math.isfinite(value) for boxes in frames for box in boxes for value in box):
        raise _refusal(name, kind, "finite numbers", wire)
    return frames


def _refusal(name: str, kind: str, parts: str, wire: Any) -> InputError:
    return InputError(f"{name}: expected a wire of {kind} with {parts}, got {shorten(repr(wire), 100)}.")


def _whole(box: _Corners, size_wh: tuple[int, int]) -> Box:
    """In whole pixels, and inside of the image."""
    left, top = max(math.floor(box[0]), 0), max(math.floor(box[1]), 0)
    right = min(math.ceil(box[0] + box[2]), size_wh[0])
    bottom = min(math.ceil(box[1] + box[3]), size_wh[1])
    if right - left < 2 or bottom - top < 2:
        raise OptionError(
            f"the box of the face leaves nothing of the {size_wh[0]} x {size_wh[1]} image; was the face found in "
            "another image?"
        )
    return Box(left, top, right - left, bottom - top)


__all__ = ["hinted_box"]
