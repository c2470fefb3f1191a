from __future__ import annotations

import pytest
import torch

from sadtalker_core.errors import FaceNotFound, OptionError
from sadtalker_core.face.detector import DetectedFace, detect_faces
from sadtalker_core.face.landmarks import FACE_ORDERS, MESH_TO_68, choose_face, find_faces, mesh_to_68, order_faces
from sadtalker_core.face.mesh import face_mesh
from tests.face.images import astronaut, photograph


def a_face(x, y, size, score) -> DetectedFace:
    return DetectedFace((x - size / 2, y - size / 2, size, size), score, torch.zeros(6, 2))


FACES = [a_face(100, 300, 40, 0.8), a_face(300, 100, 80, 0.7), a_face(500, 200, 20, 0.9)]


@pytest.mark.parametrize(
    "order, expected",
    [
        ("largest", [1, 0, 2]),
        ("left to right", [0, 1, 2]),
        ("right to left", [2, 1, 0]),
        ("top to bottom", [1, 2, 0]),
        ("bottom to top", [0, 2, 1]),
        ("score", [2, 0, 1]),
        ("centre", [1, 2, 0]),
    ],
)
def test_orders_sort_by_their_names(order, expected):
    ordered = order_faces(FACES, order, (600, 400))
    assert [FACES.index(face) for face in ordered] == expected


def test_every_order_is_tested_above():
    tested = {"largest", "left to right", "right to left", "top to bottom", "bottom to top", "score", "centre"}
    assert set(FACE_ORDERS) == tested


def test_an_unknown_order_names_the_known_ones():
    with pytest.raises(OptionError, match="largest, left to right"):
        order_faces(FACES, "prettiest")


def test_choosing_counts_from_zero():
    assert choose_face(FACES, 1, "left to right") is FACES[1]


def test_no_face_is_reported():
    with pytest.raises(FaceNotFound, match="no face found"):
        choose_face([])


def test_an_index_too_high_states_how_many_there_are_and_where():
    with pytest.raises(FaceNotFound, match=r"face index up to 2, got 3; 3 faces were found .*0: around \(100, 300\)"):
        choose_face(FACES, 3, "left to right")


def test_a_negative_index_is_refused():
    with pytest.raises(OptionError, match="0 or more"):
        choose_face(FACES, -1)


@pytest.mark.parametrize("name", ["chelsea", "coffee", "cell"])
def test_what_only_the_detector_takes_for_a_face_drops_out(detector, mesh_net, name):
    image = photograph(name)
    assert detect_faces(detector, image)  # or the next line would show nothing
    assert find_faces(detector, mesh_net, image) == []


def test_a_man_in_profile_stays(detector, mesh_net):
    (face,) = find_faces(detector, mesh_net, photograph("camera"))
    assert abs(face.centre[0] - 222) < 20 and abs(face.centre[1] - 163) < 20


def test_the_68_points_lie_where_their_names_belong(detector, mesh_net):
    points = mesh_to_68(face_mesh(mesh_net, astronaut(), detect_faces(detector, astronaut())[0]).points)
    assert points.shape == (68, 2)
    x, y = points.unbind(1)
    jaw, left_eye, right_eye, lips = points[:17], points[36:42], points[42:48], points[48:60]
    assert (jaw[1:, 0] - jaw[:-1, 0])[2:-2].min() > 0  # from the left of the image to its right
    assert jaw[:, 1].argmax() == 8 and abs(x[8] - x[30]) < 10  # the chin is lowest, under the nose
    assert (left_eye.mean(0) - torch.tensor([204.0, 103.0])).norm() < 4
    assert (right_eye.mean(0) - torch.tensor([247.0, 106.0])).norm() < 4
    assert x[36] < x[39] < x[42] < x[45]
    assert y[37] < y[41] and y[38] < y[40] and y[43] < y[47] and y[44] < y[46]  # lids above, lids below
    assert y[17:27].max() < y[36:48].min()  # brows above eyes
    assert (y[28:31] > y[27:30]).all() and y[33] > y[30]  # down the nose
    assert x[48] == lips[:, 0].min() and x[54] == lips[:, 0].max() and y[57] == lips[:, 1].max()
    assert y[51] < y[62] < y[66] < y[57] and x[60] > x[48] and x[64] < x[54]


def test_the_68_points_are_all_different():
    assert len(set(MESH_TO_68)) == 68 and max(MESH_TO_68) < 468


def test_a_track_of_meshes_is_mapped_at_once():
    assert mesh_to_68(torch.zeros(5, 468, 3)).shape == (5, 68, 2)
