"""Mesh flow: what stays, what moves where, and the rasteriser against a loop one can read."""

import pytest
import torch

from sadtalker_core.canonical_face import HEAD_TO_PICTURE, INNER_LIPS, load_canonical_face, rotation_of_angles
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.render.meshwarp.mesh_flow import MAPS, MARGIN, STAGE, WINDOW, FaceRig, fit_head, rasterise

STILL = torch.eye(3)[None], torch.zeros(1, 2)


def stage_points(weights=None, pixels_per_decimetre=53.0):
    """The template itself, seen from the front in the middle of the stage, as the face network would give it."""
    canonical = load_canonical_face()
    points = canonical.mean - torch.tensor([0.0, 7.08, 0.6])
    if weights is not None:
        points = points + canonical.displacements(weights)
    return points * torch.tensor(HEAD_TO_PICTURE) * pixels_per_decimetre + torch.tensor([STAGE / 2, STAGE / 2, 0.0])


def unit(**weights):
    row = torch.zeros(1, 64)
    for name, amount in weights.items():
        row[0, BLENDSHAPE_INDEX[name]] = amount
    return row


def test_a_head_that_does_not_move_has_no_flow():
    flow = FaceRig(stage_points(), torch.zeros(64)).flow(unit(), *STILL)
    assert flow.displacement.abs().max() < 1e-3


def test_weights_count_from_those_of_the_source():
    smile = unit(mouthSmileLeft=0.6, mouthSmileRight=0.6, jawOpen=0.2)
    flow = FaceRig(stage_points(), smile[0]).flow(smile, *STILL)
    assert flow.displacement.abs().max() < 1e-3


def test_the_border_of_the_stage_never_moves():
    turn = rotation_of_angles(torch.tensor([[0.1, 0.3, 0.1]]))
    flow = FaceRig(stage_points(), torch.zeros(64)).flow(unit(jawOpen=1), turn, torch.tensor([[0.1, 0.1]]))
    d = flow.displacement[0]
    edge = torch.cat([d[:, 0], d[:, -1], d[:, :, 0], d[:, :, -1]], dim=1)
    assert edge.abs().max() < 0.6
    assert d.abs().max() > 5


def test_an_opening_jaw_brings_the_chin_from_above():
    rig = FaceRig(stage_points(), torch.zeros(64))
    driven, _ = rig.driven(unit(jawOpen=1), *STILL)
    x, y = driven[0, 152].long().tolist()
    flow = rig.flow(unit(jawOpen=1), *STILL)
    assert flow.displacement[0, 1, y - 2, x] < -5
    assert flow.displacement[0, 0, y - 2, x].abs() < 1


def test_only_an_open_mouth_shows_its_inside():
    rig = FaceRig(stage_points(), torch.zeros(64))
    mouth = [
        float(rig.flow(unit(jawOpen=amount), *STILL).maps[0, MAPS.index("mouth")].sum()) for amount in (0.0, 0.4, 0.8)
    ]
    assert mouth[0] + 50 < mouth[1] < mouth[2] - 50


def test_a_shift_is_in_decimetres_right_and_up():
    rig = FaceRig(stage_points(), torch.zeros(64))
    driven, _ = rig.driven(unit(), torch.eye(3)[None], torch.tensor([[0.1, 0.2]]))
    moved = driven[0, :468] - rig.source[:468]
    assert torch.allclose(moved, rig.scale * torch.tensor([0.1, -0.2]).expand(468, 2), atol=1e-3)


def test_the_head_turns_where_the_rotation_says():
    turn = rotation_of_angles(torch.tensor([[0.0, 0.2, 0.0]]))  # to the left of the picture
    flip = torch.tensor(HEAD_TO_PICTURE)
    driven, _ = (rig := FaceRig(stage_points(), torch.zeros(64))).driven(
        unit(), flip[:, None] * turn * flip, torch.zeros(1, 2)
    )
    assert driven[0, 1, 0] < rig.source[1, 0] - 5


@pytest.mark.parametrize("pitch, yaw, roll", [(0.0, 0.0, 0.0), (0.2, -0.3, 0.1), (-0.3, 0.5, -0.4)])
def test_fit_finds_the_turn_it_was_made_with(pitch, yaw, roll):
    canonical, flip = load_canonical_face(), torch.tensor(HEAD_TO_PICTURE)
    rotation = flip[:, None] * rotation_of_angles(torch.tensor([pitch, yaw, roll])) * flip
    points = ((canonical.mean - canonical.pivot) @ rotation.T * 41.0 + torch.tensor([3.0, -100.0, 7.0])) * flip
    fit = fit_head(points[None])
    assert torch.allclose(fit.rotation[0], rotation, atol=1e-4)
    assert float(fit.scale[0]) == pytest.approx(41.0, rel=1e-4)
    assert torch.allclose(fit.origin[0], torch.tensor([3.0, -100.0, 7.0]), atol=1e-2)


def test_a_frame_does_not_depend_on_its_batch():
    rig = FaceRig(stage_points(), torch.zeros(64))
    weights = torch.cat([unit(jawOpen=0.5), unit(eyeBlinkLeft=1.0, eyeBlinkRight=1.0), unit(mouthPucker=0.7)])
    turns, shifts = rotation_of_angles(torch.randn(3, 3) * 0.1), torch.randn(3, 2) * 0.03
    together = rig.flow(weights, turns, shifts)
    for k in range(3):
        alone = rig.flow(weights[k : k + 1], turns[k : k + 1], shifts[k : k + 1])
        assert torch.allclose(alone.displacement[0], together.displacement[k], atol=1e-3)
        assert torch.allclose(alone.maps[0], together.maps[k], atol=1e-3)


def test_the_teeth_are_in_the_open_mouth():
    flow = FaceRig(stage_points(), torch.zeros(64)).flow(unit(jawOpen=0.8), *STILL)
    inside = flow.maps[0, MAPS.index("mouth")] > 0
    upper = flow.maps[0, MAPS.index("upper teeth")]
    y, x = divmod(int(upper.argmax()), WINDOW)
    assert inside[y - 3 : y + 4, x - 3 : x + 4].any()


def test_rasterise_agrees_with_a_slow_loop():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, 30, 2, generator=generator) * 16 - 2
    depth = torch.randn(2, 30, generator=generator)
    triangles = torch.randint(30, (24, 3), generator=generator)
    triangle, weights = rasterise(points, depth, triangles, 12)
    for b in range(2):
        corners = [[(*points[b, i].tolist(), float(depth[b, i])) for i in t] for t in triangles.tolist()]
        for y in range(12):
            for x in range(12):
                expected = slow_front(corners, x + 0.5, y + 0.5)
                if expected is None:
                    assert float(weights[b, y, x].sum()) == 0
                else:
                    front, margin = expected
                    assert int(triangle[b, y, x]) == front or margin < 1e-3
                    assert float(weights[b, y, x].sum()) == pytest.approx(1, abs=1e-4)


def slow_front(triangles, x, y):
    """The nearest triangle at one place, and how clear that is: the distance to the next one or to its own edge."""
    found = []
    for k, ((ax, ay, az), (bx, by, bz), (cx, cy, cz)) in enumerate(triangles):
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-5:
            continue
        v = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
        w = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
        if min(1 - v - w, v, w) < 0:
            continue
        near = (1 - v - w) * az + v * bz + w * cz
        found.append((near, k, min(1 - v - w, v, w)))
    if not found:
        return None
    found.sort(reverse=True)
    gap = found[0][0] - found[1][0] if len(found) > 1 else 1.0
    return found[0][1], min(gap, found[0][2])


def test_the_mesh_of_the_basis_is_whole_and_symmetric():
    canonical = load_canonical_face()
    assert canonical.mean[:, 0].sum().abs() < 1e-2
    assert len(canonical.triangles) == 898
    used = torch.unique(canonical.triangles)
    assert len(used) == 468
    jaw = canonical.displacements(unit(jawOpen=1))[0]
    assert jaw[14, 1] < -0.15 and jaw[13, 1].abs() < 0.1
    lips = canonical.mean[list(INNER_LIPS)]
    assert lips[:, 1].amax() - lips[:, 1].amin() < 0.1


def test_the_window_is_the_middle_of_the_stage():
    assert 2 * MARGIN + WINDOW == STAGE


@pytest.mark.parametrize("opening", [0.5, 0.8, 1.1])
def test_a_full_blink_just_closes_eyes_of_any_size(opening):
    points = stage_points()
    upper, lower = [158, 159, 160], [153, 145, 144]
    points[upper, 1] = points[lower, 1] + (points[upper, 1] - points[lower, 1]) * opening
    rig = FaceRig(points, torch.zeros(64))
    open_now = points[lower, 1] - points[upper, 1]
    driven, _ = rig.driven(unit(eyeBlinkRight=1.0), *STILL)
    closed = driven[0, lower, 1] - driven[0, upper, 1]
    assert (closed.mean() / open_now.mean()).abs() < 0.2


def test_only_an_open_mouth_of_the_source_has_teeth_to_keep():
    closed, smiling = (
        FaceRig(stage_points(weights), torch.zeros(64)).own_teeth()
        for weights in (None, unit(jawOpen=0.4, mouthUpperUpLeft=0.5, mouthUpperUpRight=0.5)[0])
    )
    assert closed.amax() < 0.5 < smiling.amax()
