"""The generator of heads, without its wheel: the pure parts, and a head small enough to write down."""

import pickle

import numpy as np
import pytest
import torch

from sadtalker_core.canonical_face import HEAD_TO_IMAGE, rotation_of_angles
from sadtalker_core.coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX
from sadtalker_core.render.meshwarp.rasterizer import rasterize as torch_rasterize
from sadtalker_core.training.heads import mesh as parts
from sadtalker_core.training.heads.expressions import expression, random_turn, turn, weights_of
from sadtalker_core.training.heads.mesh import HeadMesh, _read_obj, _read_target
from sadtalker_core.training.heads.person import Appearance
from sadtalker_core.training.heads.raster import noise_over, rasterise, vertex_normals
from sadtalker_core.training.heads.scene import Camera, Frame, exact_flow, photograph


def test_a_unit_named_without_its_side_means_both():
    weights = weights_of(eyeBlink=0.7, jawOpen=0.3)
    assert weights[BLENDSHAPE_INDEX["eyeBlinkLeft"]] == weights[BLENDSHAPE_INDEX["eyeBlinkRight"]] == np.float32(0.7)
    assert weights[BLENDSHAPE_INDEX["jawOpen"]] == np.float32(0.3)
    assert np.count_nonzero(weights) == 3


@pytest.mark.parametrize("kind", [None, "neutral", "talk", "smile", "random"])
def test_faces_have_weights_between_none_and_full(kind):
    rng = np.random.default_rng(0)
    faces = np.stack([expression(rng, kind) for _ in range(200)])
    assert faces.shape == (200, len(ARKIT_BLENDSHAPES))
    assert faces.min() >= 0 and faces.max() <= 1


def test_the_same_seed_makes_the_same_faces_and_turns():
    one, other = np.random.default_rng(7), np.random.default_rng(7)
    for _ in range(20):
        assert np.array_equal(expression(one), expression(other))
        assert np.array_equal(random_turn(one), random_turn(other))


@pytest.mark.parametrize("axis, sign", [(0, 1), (1, -1), (2, -1)])  # pitch, yaw, roll
def test_single_angles_turn_as_those_of_the_coefficients_do(axis, sign):
    angles = torch.zeros(3)
    angles[axis] = 0.3
    flip = torch.tensor(HEAD_TO_IMAGE)
    expected = flip[:, None] * rotation_of_angles(angles) * flip
    pitch, yaw, roll = (sign * angles).tolist()
    assert torch.allclose(torch.from_numpy(turn(yaw, pitch, roll)), expected, atol=1e-6)


def test_numba_and_torch_see_the_same_triangles_in_front():
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.uniform(-4, 44, (60, 2)), rng.normal(0, 1, (60, 1))], 1).astype(np.float32)
    faces = rng.integers(0, 60, (50, 3)).astype(np.int32)
    _, triangle, weights = rasterise(points, faces, 40, 40)
    tensor = torch.from_numpy(points)[None]
    other, corners = torch_rasterize(tensor[..., :2], tensor[..., 2], torch.from_numpy(faces).long(), 40)
    covered = corners[0].sum(-1).numpy() > 0.5
    assert (covered == (triangle >= 0)).mean() > 0.99
    both = covered & (triangle >= 0)
    same = other[0].numpy() == triangle
    assert same[both].mean() > 0.98
    assert np.abs(corners[0, ..., 1:].numpy() - weights)[both & same].max() < 1e-3


def test_normals_of_a_flat_sheet_look_at_the_viewer():
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    normals = vertex_normals(points, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    assert np.allclose(normals, [0, 0, 1])


def test_noise_passes_through_its_grid_and_repeats():
    grid = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    points = np.array([[1, 2, 3], [9, 10, 11], [-7, 2, 3]], np.float32)
    assert np.allclose(noise_over(grid, points, 1.0), grid[1, 2, 3])


def test_a_quad_of_the_mesh_file_becomes_two_triangles():
    text = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\ng body\nf 1/1 2/2 3/3 4/4\n"
    points, texture, corners, texture_corners, groups = _read_obj(text)
    assert points.shape == (4, 3) and texture.shape == (4, 2)
    assert corners.tolist() == texture_corners.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert groups == ["body", "body"]


def test_a_target_moves_the_vertices_it_names():
    moved = _read_target("# comment\n2 .5 -1 0\n\n0 0 0 .25\n", 4)
    assert moved.tolist() == [[0, 0, 0.25], [0, 0, 0], [0.5, -1, 0], [0, 0, 0]]


def sheet_mesh():
    vertices = np.array([[-1, 6, 0], [1, 6, 0], [1, 8, 0], [-1, 8, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return HeadMesh(
        vertices,
        faces,
        np.zeros(2, np.int32),
        np.zeros((2, 3, 2), np.float32),
        np.zeros((len(ARKIT_BLENDSHAPES), 4, 3), np.float32),
        {},
        np.zeros((3, 4, 4), np.float32),
    )


def frame_of(mesh, shift, size=32):
    camera = Camera(0, 7, 2, 1e6)
    vertices = mesh.vertices + np.array([shift, 0, 0], np.float32)
    points = camera.project(vertices, size * 2)
    depth, triangle, weights = rasterise(points, mesh.faces, size * 2, size * 2)
    return Frame(np.zeros((size, size, 3)), np.zeros((size, size)), vertices, points, depth, triangle, weights)


def test_exact_flow_of_a_shifted_sheet_is_the_shift():
    mesh = sheet_mesh()
    flow, visible = exact_flow(mesh, frame_of(mesh, 0.0), frame_of(mesh, 0.25))  # 2 pixels to the right
    assert np.allclose(flow[12:20, 14:22], [-2, 0], atol=0.02)
    assert visible[12:20, 14:22].all()
    assert np.allclose(flow[:4], 0)


def test_what_the_sheet_uncovers_is_not_visible_in_the_source():
    mesh = sheet_mesh()
    _, visible = exact_flow(mesh, frame_of(mesh, 0.0), frame_of(mesh, 0.25))
    assert not visible[16, 8]  # background now, sheet before
    assert visible[16, 2]


def test_vertices_of_a_layer():
    assert sheet_mesh().vertices_of(parts.SKIN).tolist() == [0, 1, 2, 3]
    assert len(sheet_mesh().vertices_of(parts.TONGUE)) == 0


def test_a_photograph_is_near_the_image():
    rgb = np.full((32, 32, 3), 0.5)
    for seed in range(5):
        image = photograph(rgb, np.random.default_rng(seed))
        assert image.dtype == np.uint8 and image.shape == (32, 32, 3)
        assert abs(image.mean() / 255 - 0.5) < 0.02


def test_code_that_numba_compiled_for_an_earlier_version_is_found_beside_the_source():
    """Its index holds the type's name of then; without it the first head after an update ended in an AttributeError."""
    assert pickle.loads(b"csadtalker_core.training.heads.person\nLook\n.") is Appearance
