"""Brows and gaze of a clip: heights and looks as they are drawn, told against the clip's own rest."""

import math

import pytest
import torch

from sadtalker_core.canonical_face import HEAD_TO_IMAGE, LEFT_EYE, RIGHT_EYE, load_canonical_face
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, CropMode, FaceCoefficients
from sadtalker_core.face.brows_and_gaze import UpperFaceMeasurement, brow_heights, gaze_across, with_brows_and_gaze
from sadtalker_core.face.iris import Eye
from sadtalker_core.face.linear_3dmm import Linear3DMM
from tests.render.heads import head_points, row


@pytest.fixture(scope="module")
def net():
    net = Linear3DMM()
    canonical = load_canonical_face()
    net.template.copy_((canonical.mean - canonical.pivot) * torch.tensor(HEAD_TO_IMAGE))
    net.rigidity_weights.copy_(1 / (1 + (canonical.blendshapes.norm(dim=-1).amax(0) / 0.05) ** 2))
    return net


def rows(n, yaw=0.0):
    values = torch.zeros(n, 73)
    values[:, 65] = yaw
    return FaceCoefficients.from_crop_rows(values, family=MINI, crop_mode=CropMode.CROP, pic_size=256)


def test_heights_are_those_of_the_mesh(net):
    faces = [{}, {"browInnerUp": 1.0}, {"browDownLeft": 1.0}, {"jawOpen": 1.0}]
    heights = brow_heights(net, torch.stack([head_points(row(face)) for face in faces]))
    rest = heights[0]
    assert (heights[1] - rest > 0.012).all()
    assert heights[2, 0] - rest[0] < -0.03 and abs(heights[2, 1] - rest[1]) < 0.01
    assert (heights[3] - rest).abs().max() < 0.004


@pytest.mark.parametrize("away", [-0.1, 0.0, 0.08])
@pytest.mark.parametrize("degrees", [0.0, 35.0])
def test_a_look_is_where_the_irises_are_between_the_corners(away, degrees):
    """away: to the left of the person, right in the image, in widths of the eye"""
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = head_points()[:, :2] @ turn.T
    irises = []
    for ring in (LEFT_EYE, RIGHT_EYE):
        eye = Eye.of(points, ring)
        irises.append(torch.cat([eye.middle + away * eye.along, torch.tensor([5.0])]))
    assert gaze_across(torch.stack(irises), points) == pytest.approx(away, abs=1e-4)


def test_what_is_usual_is_rest():
    seen = UpperFaceMeasurement(torch.full((9, 2), -0.07), torch.full((9,), 0.2))
    assert not with_brows_and_gaze(rows(9), seen).expression.any()


def test_brows_go_up_and_down_each_for_itself():
    brows = torch.zeros(9, 2)
    brows[4] = torch.tensor([0.02, -0.015])
    expression = with_brows_and_gaze(rows(9), UpperFaceMeasurement(brows + 0.1, torch.zeros(9))).expression
    up, down = (expression[:, BLENDSHAPE_INDEX[n]] for n in ("browOuterUpLeft", "browDownRight"))
    assert up[4] > 0.5 and down[4] > 0.3
    assert not up[[3, 5]].any() and not down[[3, 5]].any()
    assert not expression[4, BLENDSHAPE_INDEX["browOuterUpRight"]]


def test_a_head_that_turns_and_looks_on_into_the_camera_looks_the_other_way():
    """The corners turn with the head, the irises hardly."""
    turned = torch.cat([torch.zeros(5), torch.full((4,), 0.2)])
    seen = UpperFaceMeasurement(torch.zeros(9, 2), torch.zeros(9))
    look = with_brows_and_gaze(rows(9, turned), seen).expression[:, BLENDSHAPE_INDEX["eyeLookOutLeft"]]
    assert not look[:5].any() and look[-1] > 0.1


def test_what_was_never_visible_is_not_read():
    seen = UpperFaceMeasurement(torch.zeros(4, 2), torch.full((4,), math.nan))
    expression = with_brows_and_gaze(rows(4, 0.1), seen).expression
    assert expression.isfinite().all() and not expression.any()


def test_a_leap_of_one_frame_and_trembling_are_no_looks():
    looks = 0.002 * torch.randn(30, generator=torch.Generator().manual_seed(0))
    looks[10] = 0.2
    expression = with_brows_and_gaze(rows(30), UpperFaceMeasurement(torch.zeros(30, 2), looks)).expression
    assert expression[:, BLENDSHAPE_INDEX["eyeLookOutLeft"]].max() < 0.05
