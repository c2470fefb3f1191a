"""Faces out of coefficients: the 68 points of both families against plain loops, the eyes, the grey mouth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sadtalker_core.canonical_face import load_canonical_face
from sadtalker_core.coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, RELEASED, CropMode, FaceCoefficients
from sadtalker_core.errors import CheckpointDamaged, CheckpointMismatch, CheckpointMissing, OptionError
from sadtalker_core.face.landmarks import MESH_TO_68
from sadtalker_core.training.faces import (
    BLINK_BLENDSHAPES,
    MOUTH_POINTS,
    BfmFace,
    MiniFace,
    eye_openness,
    face_of,
    mouth_images,
)

VERTICES = 80


def rows_of(n, family=MINI, seed=0, scale=0.2):
    rows = scale * torch.randn(n, 257, generator=torch.Generator().manual_seed(seed))
    return FaceCoefficients.from_full_rows(
        rows, torch.zeros(n, 3), family=family, pic_size=256, crop_mode=CropMode.CROP
    )


@pytest.fixture(scope="module")
def bfm_file(tmp_path_factory):
    """A made-up model of 80 vertices in the layout of BFM_model_front.mat."""
    from scipy.io import savemat

    draw = np.random.default_rng(0)
    file = tmp_path_factory.mktemp("bfm") / "BFM_model_front.mat"
    savemat(
        file,
        {
            "meanshape": draw.normal(0, 1, (1, 3 * VERTICES)),
            "idBase": draw.normal(0, 0.1, (3 * VERTICES, 80)),
            "exBase": draw.normal(0, 0.1, (3 * VERTICES, 64)),
            "meantex": draw.uniform(50, 200, (1, 3 * VERTICES)),
            "texBase": draw.normal(0, 1, (3 * VERTICES, 80)),
            "tri": draw.integers(1, VERTICES + 1, (30, 3)),
            "keypoints": draw.permutation(VERTICES)[None, :68] + 1,
        },
    )
    return file


def test_the_points_of_the_mini_face_are_those_of_a_plain_loop():
    who, canonical = rows_of(2), load_canonical_face()
    expression = torch.rand(2, 64, generator=torch.Generator().manual_seed(1))
    points = MiniFace().points(who, expression)
    for b in range(2):
        pitch, yaw, roll = who.rotation[b].tolist()
        about_x = np.array([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
        about_y = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
        about_z = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
        for i, vertex in enumerate(MESH_TO_68):
            place = (canonical.mean[vertex] - canonical.pivot).double().numpy()
            for unit in range(len(ARKIT_BLENDSHAPES)):
                place = place + expression[b, unit].item() * canonical.blendshapes[unit, vertex].double().numpy()
            x, y, _ = about_x @ about_y @ about_z @ (place * [1, -1, -1])
            assert points[b, i].tolist() == pytest.approx([112 + 102 * x, 112 + 102 * y], abs=1e-3)


def test_the_points_of_the_bfm_face_are_those_of_a_plain_loop(bfm_file):
    from scipy.io import loadmat

    table, who = loadmat(bfm_file), rows_of(2, RELEASED)
    expression = torch.rand(2, 64, generator=torch.Generator().manual_seed(1))
    points = BfmFace(bfm_file).points(who, expression)
    middle = table["meanshape"].reshape(-1, 3).mean(axis=0)
    for b in range(2):
        x, y, z = who.rotation[b].tolist()
        about_x = np.array([[1, 0, 0], [0, math.cos(x), -math.sin(x)], [0, math.sin(x), math.cos(x)]])
        about_y = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
        about_z = np.array([[math.cos(z), -math.sin(z), 0], [math.sin(z), math.cos(z), 0], [0, 0, 1]])
        for i, vertex in enumerate(table["keypoints"].ravel() - 1):
            place = table["meanshape"].reshape(-1, 3)[vertex] - middle
            for axis in range(3):
                place[axis] += table["idBase"][3 * vertex + axis] @ who.identity[b].numpy()
                place[axis] += table["exBase"][3 * vertex + axis] @ expression[b].numpy()
            right, up, near = about_z @ about_y @ about_x @ place + who.translation[b].numpy()
            wanted = [112 + 1015 * right / (10 - near), 112 - 1015 * up / (10 - near)]
            assert points[b, i].tolist() == pytest.approx(wanted, abs=2e-2, rel=1e-4)


def test_both_faces_hand_gradients_to_the_expression(bfm_file):
    for face, family in ((MiniFace(), MINI), (BfmFace(bfm_file), RELEASED)):
        expression = torch.zeros(1, 64, requires_grad=True)
        face.points(rows_of(1, family), expression).square().sum().backward()
        assert expression.grad.abs().max() > 0


def test_how_open_eyes_are_is_that_of_a_plain_loop(bfm_file):
    who, expression = rows_of(2, RELEASED), torch.zeros(2, 64)
    face = BfmFace(bfm_file)
    for points, openness in zip(face.points(who, expression).tolist(), face.openness(who, expression), strict=True):
        heights, widths = [], []
        for a, b, pairs in ((36, 39, ((37, 41), (38, 40))), (42, 45, ((43, 47), (44, 46)))):
            width = math.dist(points[a], points[b])
            right, down = ((q - p) / width for p, q in zip(points[a], points[b], strict=True))
            widths.append(width)
            for above, below in pairs:
                dx, dy = (q - p for p, q in zip(points[above], points[below], strict=True))
                heights.append(right * dy - down * dx)
        assert openness.item() == pytest.approx(sum(heights) / 4 / (sum(widths) / 2), rel=1e-4)


def test_eyes_close_with_the_lids_and_lids_that_cross_are_not_open_again():
    face, who = MiniFace(), rows_of(6, scale=0.0)
    lids = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0, 1.25])
    expression = torch.zeros(6, 64)
    expression[:, BLINK_BLENDSHAPES] = lids[:, None]
    seen, openness = eye_openness(face.points(who, expression)), face.openness(who, expression)
    assert seen[0].item() == pytest.approx(openness[0].item(), abs=0.01)
    assert (seen.diff() < 0).all() and (openness.diff() < 0).all() and openness[4] == 0


def test_how_open_an_eye_is_does_not_change_when_the_image_is_turned():
    points = MiniFace().points(rows_of(1, scale=0.0), torch.zeros(1, 64))
    turn = torch.tensor([[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]])
    torch.testing.assert_close(eye_openness(points @ turn.T), eye_openness(points))


def test_a_jaw_that_opens_darkens_the_grey_mouth_and_images_hand_gradients_on():
    face, who = MiniFace(), rows_of(2, scale=0.0)
    expression = torch.zeros(2, 64)
    expression[1, BLENDSHAPE_INDEX["jawOpen"]] = 0.6
    expression.requires_grad_(True)
    centre = face.points(who, expression)[:, MOUTH_POINTS].mean(dim=1)
    images = mouth_images(face.mesh(who, expression), centre, 88)
    assert images.shape == (2, 88, 88) and images.min() >= 0 and images.max() <= 1
    dark = (images[:, 24:64, 20:68] < 0.2).float().mean(dim=(1, 2))
    assert dark[1] > dark[0] + 0.1
    images.mean().backward()
    assert expression.grad[:, BLENDSHAPE_INDEX["jawOpen"]].abs().min() > 0


def test_the_grey_mouth_of_a_bfm_face_has_an_image(bfm_file):
    face, who = BfmFace(bfm_file), rows_of(1, RELEASED, scale=0.1)
    mesh = face.mesh(who, torch.zeros(1, 64))
    images = mouth_images(mesh, torch.tensor([[112.0, 112.0]]), 64)
    assert images.shape == (1, 64, 64) and images.isfinite().all() and images.max() > 0.1


def test_a_released_face_without_its_file_states_how_to_get_one_or_do_without():
    with pytest.raises(OptionError, match="--bfm BFM_model_front.mat .* --coefficients-only"):
        face_of(RELEASED, None)


def test_a_file_that_is_no_face_model_is_refused(tmp_path):
    from scipy.io import savemat

    with pytest.raises(CheckpointMissing, match="no face model gone.mat"):
        BfmFace(tmp_path / "gone.mat")
    (tmp_path / "text.mat").write_text("this is no MATLAB file, and it is longer than a header of 128 bytes " * 5)
    with pytest.raises(CheckpointDamaged, match="text.mat in .* cannot be read as a MATLAB file"):
        BfmFace(tmp_path / "text.mat")
    savemat(tmp_path / "other.mat", {"meanshape": np.zeros((1, 9)), "exBase": np.zeros((9, 29))})
    with pytest.raises(CheckpointMismatch, match="other.mat in .* is not BFM_model_front.mat: idBase, exBase"):
        BfmFace(tmp_path / "other.mat")
