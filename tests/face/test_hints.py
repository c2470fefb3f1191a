"""Faces that ComfyUI's own nodes have found, in the shapes in which their wires carry them."""

import numpy as np
import pytest
import torch

from sadtalker_core.datatypes import Box
from sadtalker_core.errors import FaceNotFound, InputError, OptionError
from sadtalker_core.face.hints import hinted_box
from sadtalker_core.face.portrait import portrait_from_image

SIZE_WH = (200, 100)


def landmarks(*frames, size_wh=SIZE_WH):
    """As core's Detect Face Landmarks (MediaPipe) gives it. frames: lists of (left, top, right, bottom)."""
    faces = [
        [
            {
                "bbox_xyxy": np.array(corners, np.float32),
                "blendshapes": {"jawOpen": 0.1},
                "landmarks_xy": np.zeros((478, 2), np.float32),
                "landmarks_3d": np.zeros((478, 3), np.float32),
                "presence": 9.0,
                "score": 0.9,
            }
            for corners in frame
        ]
        for frame in frames
    ]
    return {"frames": faces, "image_size": (size_wh[1], size_wh[0]), "connection_sets": {}}


def box(x, y, width, height):
    """As core's nodes give one; DrawBBoxes and the detectors add a label and a score."""
    return {"x": x, "y": y, "width": width, "height": height, "label": "face", "score": 0.9}


def hinted(face_landmarks=None, bounding_box=None, *, frame=0, index=0, order="largest", size_wh=SIZE_WH):
    return hinted_box(face_landmarks, bounding_box, frame=frame, index=index, order=order, size_wh=size_wh)


SMALL, LARGE = (10.0, 20.0, 40.0, 60.0), (100.0, 10.0, 180.0, 90.0)


def test_without_a_wire_there_is_no_hint():
    assert hinted() is None


def test_faces_are_counted_in_the_chosen_order():
    wire = landmarks([SMALL, LARGE])
    assert hinted(wire) == Box(100, 10, 80, 80)
    assert hinted(wire, index=1) == Box(10, 20, 30, 40)
    assert hinted(wire, order="left to right") == Box(10, 20, 30, 40)


@pytest.mark.parametrize(
    "wire", [box(10, 20, 30, 40), [box(10, 20, 30, 40)], [[box(10, 20, 30, 40)]]], ids=["one", "list", "frames"]
)
def test_boxes_come_in_three_shapes(wire):
    assert hinted(bounding_box=wire) == Box(10, 20, 30, 40)


def test_the_frame_of_the_batch_is_that_of_the_faces():
    wire = landmarks([SMALL], [LARGE])
    assert hinted(wire, frame=1) == Box(100, 10, 80, 80)
    assert hinted(wire, frame=7) == Box(100, 10, 80, 80)
    assert hinted(landmarks([], [LARGE]), frame=None) == Box(100, 10, 80, 80)


def test_faces_found_in_a_smaller_image_are_enlarged_with_it():
    assert hinted(landmarks([SMALL], size_wh=(100, 50))) == Box(20, 40, 60, 60)


def test_a_face_at_the_edge_is_cut_to_the_image():
    assert hinted(bounding_box=box(-10.5, -3, 30.2, 300)) == Box(0, 0, 20, 100)


def test_a_box_outside_of_the_image_is_refused():
    with pytest.raises(OptionError, match="200 x 100"):
        hinted(bounding_box=box(300, 10, 30, 30))


@pytest.mark.parametrize("wire", [landmarks([]), landmarks([], []), landmarks()], ids=["empty", "two", "none"])
def test_no_face_is_reported(wire):
    with pytest.raises(FaceNotFound, match="face_landmarks"):
        hinted(wire)
    with pytest.raises(FaceNotFound, match="bounding_box"):
        hinted(bounding_box=[])


def test_an_index_beyond_the_faces_is_reported():
    with pytest.raises(FaceNotFound, match="2 faces"):
        hinted(landmarks([SMALL, LARGE]), index=2)


@pytest.mark.parametrize(
    "wire",
    [{}, {"frames": 7, "image_size": (1, 1)}, {"frames": [[{"bbox_xyxy": [1, 2]}]], "image_size": (100, 200)},
     landmarks([(0.0, 0.0, float("nan"), 1.0)]), landmarks([SMALL], size_wh=(0, 0)),
     {"frames": [[7]], "image_size": 3}],
)  # fmt: skip
def test_what_is_no_face_landmarks_is_refused(wire):
    with pytest.raises(InputError, match="face_landmarks: expected"):
        hinted(wire)


@pytest.mark.parametrize("wire", [{"x": 1}, [[7]], [7], [box(1, "a", 2, 3)], {"x": None}])
def test_what_is_no_box_is_refused(wire):
    with pytest.raises(InputError, match="bounding_box: expected"):
        hinted(bounding_box=wire)


def test_both_wires_or_a_mask_beside_one_are_refused():
    with pytest.raises(OptionError, match="both"):
        hinted(landmarks([SMALL]), box(1, 2, 3, 4))
    image = torch.zeros(100, 200, 3)
    with pytest.raises(OptionError, match="one hint"):
        portrait_from_image(image, face_mask=torch.ones(100, 200), bounding_box=box(1, 2, 30, 40))


def test_a_portrait_takes_the_face_that_was_found():
    portrait = portrait_from_image(
        torch.zeros(2, 100, 200, 3), batch_index=1, face_landmarks=landmarks([SMALL], [LARGE])
    )
    assert portrait.face_box == Box(100, 10, 80, 80)
