"""Where teeth and tongue are: upper teeth on the skull, lower teeth and tongue on the jaw."""

import pytest
import torch

from sadtalker_core.canonical_face import INNER_LIPS, LOWER_INNER_LIP, rotation_of_angles
from sadtalker_core.render.meshwarp.flow_maps import MAPS, mesh_flow
from sadtalker_core.render.meshwarp.mouth_anchors import LOWER_TEETH, TONGUE, UPPER_TEETH, skull_affine
from sadtalker_core.render.meshwarp.placement import WINDOW
from tests.render.heads import ON_STAGE, STILL, posed_head, rows, stage_points, weights
from tests.render.heads import rig as make_rig


def test_teeth_turn_with_the_head():
    placed = posed_head()
    driving = rows(2, jawOpen=0.8)
    driving.yaw[1] = 15.0  # to the left of the image
    still, turned = mesh_flow(placed.rig, driving.weights, *placed.pose(driving)).mouth_anchors.anchors[:, 0]
    assert turned[0] < still[0] - 3


def test_the_jaw_takes_the_lower_teeth_along_and_not_the_upper():
    placed = posed_head()
    driving = rows(2, jawOpen=torch.tensor([0.0, 0.8]))
    closed, opened = mesh_flow(placed.rig, driving.weights, *placed.pose(driving)).mouth_anchors.anchors
    assert (opened[0] - closed[0]).abs().amax() < 1e-3
    assert opened[1, 1] > closed[1, 1] + 5


def test_the_teeth_are_in_the_open_mouth():
    flow = mesh_flow(make_rig(), weights(jawOpen=0.8), *STILL)
    inside = flow.maps[0, MAPS.index("mouth")] > 0
    upper = flow.maps[0, MAPS.index("upper teeth")]
    y, x = divmod(int(upper.argmax()), WINDOW)
    assert inside[y - 3 : y + 4, x - 3 : x + 4].any()


@pytest.mark.parametrize("apart", [0.0, 0.06])
@pytest.mark.parametrize("pitch", [-15.0, 0.0, 15.0])
def test_teeth_lie_by_the_portraits_own_lips(pitch, apart):
    """Whether a portrait looks up or down, and though its mouth is ajar where the template's is not."""
    tilt = rotation_of_angles(torch.tensor([[pitch, 0.0, 0.0]]).deg2rad())[0]
    points = stage_points()
    points[list(LOWER_INNER_LIP), 1] += apart * ON_STAGE
    middle = points.mean(0)
    rig = make_rig((points - middle) @ tilt.T + middle)
    flow = mesh_flow(rig, weights(), *STILL)
    down = rig.face.down_on_stage
    seam = flow.mesh[0, [13, 14]].mean(0)
    below = (flow.mouth_anchors.anchors[0] - seam) @ down / down.square().sum() * 100  # millimetres
    assert 2 < below[UPPER_TEETH] < 4
    assert -1.5 < below[LOWER_TEETH] < 0.5
    assert below[TONGUE] > below[LOWER_TEETH] + 1


def test_the_lower_row_appears_once_the_jaw_has_opened():
    flow = mesh_flow(make_rig(), weights(jawOpen=0.3, mouthLowerDownLeft=0.18, mouthLowerDownRight=0.18), *STILL)
    above_the_lip = flow.mesh[0, 14, 1] - flow.mouth_anchors.anchors[0, LOWER_TEETH, 1]
    assert above_the_lip / ON_STAGE * 100 > 1.0  # millimetres


def test_the_jaw_shows_how_far_the_lower_teeth_have_gone():
    rig = make_rig()
    resting, opened = (mesh_flow(rig, weights(jawOpen=jaw), *STILL).mouth_anchors for jaw in (0.0, 0.5))
    gone = opened.anchors[0, LOWER_TEETH] - resting.anchors[0, LOWER_TEETH]
    assert torch.allclose(opened.jaw[0] - resting.jaw[0], gone, atol=1e-3) and gone[1] > 5


def test_the_skull_takes_a_lip_that_does_not_speak_back_to_where_it_was():
    rig, turn, shift = make_rig(), rotation_of_angles(torch.tensor([[0.05, 0.1, -0.1]])), torch.tensor([[0.1, -0.05]])
    lips = list(INNER_LIPS)
    driven = rig.driven(weights(), turn, shift)[0][0, lips]
    back = torch.cat([driven, torch.ones(len(lips), 1)], dim=1) @ skull_affine(rig.face, turn, shift)[0]
    assert (driven - rig.source[lips]).norm(dim=1).min() > 3
    assert (back - rig.source[lips]).norm(dim=1).max() < 0.5
