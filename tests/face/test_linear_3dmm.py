from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sadtalker_core.canonical_face import angles_of_rotation, fit_similarity, rotation_of_angles
from sadtalker_core.checkpoint.reading import read_tensors
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, CropMode
from sadtalker_core.errors import FaceNotFound
from sadtalker_core.face.detector import detect_faces
from sadtalker_core.face.embedded import ASSETS
from sadtalker_core.face.linear_3dmm import Linear3DMM, read_meshes, turn_about
from sadtalker_core.face.mesh import face_mesh
from sadtalker_core.model import NETWORKS, load_weights
from tests.face.images import astronaut, turned


@pytest.fixture(scope="module")
def net() -> Linear3DMM:
    read = read_tensors(ASSETS / "linear_3dmm.safetensors")
    plan = NETWORKS["linear_3dmm"]
    built = plan.build(plan.read_config(read.metadata.configs["linear_3dmm"], read.source))
    return load_weights(built, read.nets()["linear_3dmm"], read.source)


@pytest.fixture(scope="module")
def template_mesh(net):
    """A mesh that is exactly the mean one, in a square of 256 pixels."""

    def place(angles, scale=80.0, origin=(140.0, 190.0, 0.0)):
        return scale * (net.template @ rotation_of_angles(torch.tensor(angles)).T) + torch.tensor(origin)

    return place


@pytest.fixture(scope="module")
def astronaut_points(detector, mesh_net):
    return face_mesh(mesh_net, astronaut(), detect_faces(detector, astronaut())[0]).points


def test_a_similarity_is_found_again(generator):
    template = torch.rand(40, 3, generator=generator)
    rotation = rotation_of_angles(torch.tensor([[0.3, -0.4, 0.2], [0.0, 0.7, -0.1]]))
    scale, origin = torch.tensor([3.0, 0.5]), torch.tensor([[1.0, 2, 3], [-4, 5, 6]])
    points = scale[:, None, None] * (template @ rotation.transpose(1, 2)) + origin[:, None]
    for found, truth in zip(fit_similarity(points, template, torch.ones(40)), (rotation, scale, origin), strict=True):
        torch.testing.assert_close(found, truth, atol=1e-5, rtol=1e-5)


def test_a_mirrored_face_is_not_explained_by_a_reflection(generator):
    template = torch.rand(40, 3, generator=generator)
    rotation, _, _ = fit_similarity((template * torch.tensor([-1.0, 1, 1]))[None], template, torch.ones(40))
    assert torch.linalg.det(rotation[0]) == pytest.approx(1, abs=1e-5)


def test_turning_about_an_axis_turns_by_its_length():
    turn = turn_about(torch.tensor([[0.0, 0.0, 0.3], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(turn[0], rotation_of_angles(torch.tensor([0.0, 0.0, 0.3])))
    torch.testing.assert_close(turn[1], torch.eye(3))


def test_units_do_not_depend_on_where_how_large_and_how_turned_the_mesh_is(net, template_mesh):
    readings = [
        net(mesh[None])
        for mesh in (
            template_mesh((0.0, 0.0, 0.0)),
            template_mesh((0.2, -0.4, 0.3), scale=31.0, origin=(20.0, 70.0, 5.0)),
        )
    ]
    torch.testing.assert_close(readings[0].blendshapes, readings[1].blendshapes, atol=1e-4, rtol=0)


@pytest.mark.parametrize("axis, angle", [(0, 0.2), (1, 0.3), (2, -0.4)])
def test_turning_the_mesh_turns_the_reading_by_as_much(net, template_mesh, axis, angle):
    angles = [0.0, 0.0, 0.0]
    angles[axis] = angle
    still, moved = net(template_mesh((0.0, 0.0, 0.0))[None]), net(template_mesh(tuple(angles))[None])
    change = angles_of_rotation(moved.rotation @ still.rotation.transpose(1, 2))[0]
    torch.testing.assert_close(change, torch.tensor(angles), atol=0.02, rtol=0)


def test_the_row_holds_where_the_head_is_and_how_large(net, template_mesh):
    near = read_meshes(net, template_mesh((0.0, 0.0, 0.0))[None], 256, CropMode.CROP)
    reading = net(template_mesh((0.0, 0.0, 0.0))[None])
    assert near.family == MINI and near.pic_size == 256
    torch.testing.assert_close(near.crop, torch.cat([reading.scale[:, None], reading.origin], dim=1))
    torch.testing.assert_close((near.translation[:, :2] + 1) * 128, reading.origin)
    assert near.translation[0, 2] == pytest.approx(math.log(float(reading.scale) / (0.35 * 256)), abs=1e-5)
    twice = read_meshes(net, 2 * template_mesh((0.0, 0.0, 0.0))[None], 512, CropMode.CROP)
    torch.testing.assert_close(twice.translation, near.translation, atol=1e-4, rtol=0)


def test_rows_have_the_shapes_of_the_wire(net, template_mesh):
    rows = read_meshes(net, template_mesh((0.0, 0.0, 0.0)).expand(3, -1, -1), 256, CropMode.FULL)
    assert rows.crop_rows().shape == (3, 73) and rows.full_rows().shape == (3, 257)
    assert rows.expression[:, 52:].abs().max() == 0 and rows.identity.abs().max() == 0
    assert rows.expression.min() >= 0 and rows.expression.max() <= 1


def test_the_astronaut_smiles_and_looks_straight_ahead(net, astronaut_points):
    row = read_meshes(net, astronaut_points[None], 512, CropMode.RESIZE)
    units = row.expression[0]
    assert units[[BLENDSHAPE_INDEX["mouthSmileLeft"], BLENDSHAPE_INDEX["mouthSmileRight"]]].min() > 0.6
    assert units[[BLENDSHAPE_INDEX["eyeBlinkLeft"], BLENDSHAPE_INDEX["eyeBlinkRight"]]].max() < 0.3
    assert units[BLENDSHAPE_INDEX["jawOpen"]] < 0.4
    pitch, yaw, roll = torch.rad2deg(row.rotation[0]).tolist()
    assert abs(pitch) < 8 and abs(yaw) < 5 and 0 < roll < 8


def test_tilting_the_image_clockwise_adds_to_the_roll(net, detector, mesh_net, astronaut_points):
    image = turned(astronaut(), 30)
    points = face_mesh(mesh_net, image, detect_faces(detector, image)[0]).points
    both = read_meshes(net, torch.stack([astronaut_points, points]), 512, CropMode.RESIZE)
    rolls = torch.rad2deg(both.rotation[:, 2])
    assert rolls[1] - rolls[0] == pytest.approx(30, abs=2)


def test_a_mirror_changes_sides(net, detector, mesh_net, astronaut_points):
    image = turned(astronaut(), 20).flip(1)
    points = face_mesh(mesh_net, image, detect_faces(detector, image)[0]).points
    there = read_meshes(net, astronaut_points[None], 512, CropMode.RESIZE)
    here = read_meshes(net, points[None], 300, CropMode.RESIZE)
    assert torch.rad2deg(here.rotation[0, 2] + there.rotation[0, 2] + math.radians(20)).abs() < 3
    assert (here.expression - there.expression).abs().max() < 0.25


@pytest.fixture(scope="module")
def held_out():
    """90 generated heads that the fit has not seen, and what was true of them, in images of 224 pixels; stored by

    seen = look_at_people(work, 1200)   # training/fit_linear_3dmm.py; every third image of the last 100 people
    """
    with np.load(Path(__file__).parent / "data" / "held_out_meshes.npz") as arrays:
        heads = {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}
    heads["points"] = heads.pop("points_64ths") / 64
    return heads


@pytest.mark.parametrize(
    "name, least",
    [(unit + side, 0.75) for unit in ("mouthSmile", "eyeBlink") for side in ("Left", "Right")] + [("jawOpen", 0.75)],
)
def test_blendshapes_are_predicted_on_unseen_heads(net, held_out, name, least):
    predicted, truth = (
        net(held_out["points"]).blendshapes[:, BLENDSHAPE_INDEX[name]],
        held_out["weights"][:, BLENDSHAPE_INDEX[name]],
    )
    assert torch.corrcoef(torch.stack([predicted, truth]))[0, 1] > least


def test_a_unit_at_rest_is_read_as_nearly_nothing_and_a_full_one_as_most(net, held_out):
    predicted, truth = (
        t[:, BLENDSHAPE_INDEX["eyeBlinkLeft"]] for t in (net(held_out["points"]).blendshapes, held_out["weights"])
    )
    assert predicted[truth == 0].mean() < 0.12
    assert predicted[truth == 1].mean() > 0.6


def test_the_pose_is_predicted_on_unseen_heads(net, held_out):
    reading = net(held_out["points"])
    wrong = torch.rad2deg(angles_of_rotation(reading.rotation) - angles_of_rotation(held_out["rotation"])).abs().mean(0)
    assert wrong[0] < 4 and wrong[1] < 2 and wrong[2] < 1.5  # pitch, yaw, roll
    assert (reading.scale / held_out["scale"] - 1).abs().mean() < 0.05
    assert ((reading.origin - held_out["origin"]).norm(dim=1) / held_out["scale"]).mean() < 0.12


def test_what_is_no_mesh_is_refused(net):
    with pytest.raises(FaceNotFound, match="68"):
        read_meshes(net, torch.zeros(1, 68, 2), 256, CropMode.CROP)
    with pytest.raises(FaceNotFound, match="NaN"):
        read_meshes(net, torch.full((1, 468, 3), float("nan")), 256, CropMode.CROP)


def test_gradients_reach_the_points_of_the_reading(net, template_mesh):
    points = template_mesh((0.1, 0.1, 0.0))[None].requires_grad_()
    net.residual(points)[0].square().sum().backward()
    assert points.grad.abs().sum() > 0
