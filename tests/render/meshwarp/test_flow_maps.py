"""Mesh flow: what stays, what moves where, and what the maps say of it."""

import torch

from sadtalker_core.canonical_face import N_POINTS, rotation_of_angles
from sadtalker_core.render.meshwarp.flow_maps import MAPS, mesh_flow, rigid_flow
from sadtalker_core.render.meshwarp.placement import STAGE
from tests.render.heads import STILL, noise_crop, weights
from tests.render.heads import rig as make_rig


def test_a_head_that_does_not_move_has_no_flow():
    flow = mesh_flow(make_rig(), weights(), *STILL)
    assert flow.displacement.abs().max() < 1e-3


def test_weights_count_from_those_of_the_source():
    smile = weights(mouthSmileLeft=0.6, mouthSmileRight=0.6, jawOpen=0.2)
    flow = mesh_flow(make_rig(source=smile[0]), smile, *STILL)
    assert flow.displacement.abs().max() < 1e-3


def test_an_opening_jaw_brings_the_chin_from_above():
    rig = make_rig()
    driven, _ = rig.driven(weights(jawOpen=1), *STILL)
    x, y = driven[0, 152].long().tolist()
    flow = mesh_flow(rig, weights(jawOpen=1), *STILL)
    assert flow.displacement[0, 1, y - 2, x] < -5
    assert flow.displacement[0, 0, y - 2, x].abs() < 1


def test_only_an_open_mouth_shows_its_inside():
    rig = make_rig()
    mouth = [
        float(mesh_flow(rig, weights(jawOpen=amount), *STILL).maps[0, MAPS.index("mouth")].sum())
        for amount in (0.0, 0.4, 0.8)
    ]
    assert mouth[0] + 50 < mouth[1] < mouth[2] - 50


def test_a_frame_does_not_depend_on_its_batch():
    rig = make_rig()
    rows = torch.cat([weights(jawOpen=0.5), weights(eyeBlinkLeft=1.0, eyeBlinkRight=1.0), weights(mouthPucker=0.7)])
    turns, shifts = rotation_of_angles(torch.randn(3, 3) * 0.1), torch.randn(3, 2) * 0.03
    together = mesh_flow(rig, rows, turns, shifts)
    for k in range(3):
        alone = mesh_flow(rig, rows[k : k + 1], turns[k : k + 1], shifts[k : k + 1])
        assert torch.allclose(alone.displacement[0], together.displacement[k], atol=1e-3)
        assert torch.allclose(alone.maps[0], together.maps[k], atol=1e-3)


def test_a_spot_that_follows_the_head_alone_follows_the_rigid_flow():
    crop = noise_crop(STAGE)
    rig = make_rig(crop.landmarks)
    turn = rotation_of_angles(torch.tensor([[0.15, 0.2, -0.1]])) * 1.1
    shift = torch.tensor([[0.1, -0.05]])
    driving, depth = (moved[:, :N_POINTS] for moved in rig.driven(torch.zeros(1, 64), turn, shift))
    places = torch.cat([driving, torch.ones(1, N_POINTS, 1), depth[..., None]], dim=-1)
    back = crop.landmarks[:, :2] - driving
    assert back.abs().amax() > 10
    assert torch.allclose(places @ rigid_flow(rig, turn, shift), back, atol=1e-3)
