"""Where teeth and tongue are: upper teeth on the skull, lower teeth and tongue on the jaw."""

import torch

from sadtalker_core.canonical_face import INNER_LIPS, rotation_of_angles
from sadtalker_core.render.meshwarp.flow_maps import MAPS, mesh_flow
from sadtalker_core.render.meshwarp.mouth_anchors import own_mouth, skull_affine
from sadtalker_core.render.meshwarp.placement import WINDOW
from tests.render.heads import STILL, posed_head, rows, stage_points, weights
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


def test_only_an_open_mouth_of_the_source_has_teeth_to_keep():
    closed, smiling = (
        own_mouth(make_rig(stage_points(weights)).face)
        for weights in (None, weights(jawOpen=0.4, mouthUpperUpLeft=0.5, mouthUpperUpRight=0.5)[0])
    )
    assert closed.amax() < 0.5 < smiling.amax()


def test_the_skull_takes_a_lip_that_does_not_speak_back_to_where_it_was():
    rig, turn, shift = make_rig(), rotation_of_angles(torch.tensor([[0.05, 0.1, -0.1]])), torch.tensor([[0.1, -0.05]])
    lips = list(INNER_LIPS)
    driven = rig.driven(weights(), turn, shift)[0][0, lips]
    back = torch.cat([driven, torch.ones(len(lips), 1)], dim=1) @ skull_affine(rig.face, turn, shift)[0]
    assert (driven - rig.source[lips]).norm(dim=1).min() > 3
    assert (back - rig.source[lips]).norm(dim=1).max() < 0.5
