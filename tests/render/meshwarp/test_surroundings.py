"""Hair, ears and neck follow the head part way, the border of the stage not at all."""

import torch

from sadtalker_core.canonical_face import FACE_OUTLINE, N_POINTS, rotation_of_angles
from sadtalker_core.render.meshwarp.flow_maps import mesh_flow
from sadtalker_core.render.meshwarp.placement import STAGE
from sadtalker_core.render.meshwarp.rig import FaceRig
from sadtalker_core.render.meshwarp.surroundings import RINGS, cosine_sum, surrounding_triangles, surroundings_of
from tests.render.heads import rig as make_rig
from tests.render.heads import stage_points, weights

ABOVE_THE_EARS, BELOW_THE_CHIN = [3, 6, 30, 33], [14, 18, 22]  #: of FACE_OUTLINE


def test_the_border_of_the_stage_never_moves():
    turn = rotation_of_angles(torch.tensor([[0.1, 0.3, 0.1]]))
    flow = mesh_flow(make_rig(), weights(jawOpen=1), turn, torch.tensor([[0.1, 0.1]]))
    d = flow.displacement[0]
    edge = torch.cat([d[:, 0], d[:, -1], d[:, :, 0], d[:, :, -1]], dim=1)
    assert edge.abs().max() < 0.6
    assert d.abs().max() > 5


def test_rings_follow_a_shift_by_their_share():
    rig = make_rig()
    driven, _ = rig.driven(weights(), torch.eye(3)[None], torch.tensor([[0.1, 0.0]]))
    moved = (driven[0] - rig.source)[N_POINTS:, 0].view(len(RINGS) + 1, len(FACE_OUTLINE))
    assert torch.allclose(moved[:-1], rig.around.head_share * 0.1 * rig.face.fit.scale, atol=1e-3)
    assert not moved[-1].any()


def test_the_neck_goes_half_of_the_way_and_what_is_near_the_shoulders_hardly():
    rig = make_rig()
    chin = rig.face.points[FACE_OUTLINE[18]]
    below = (rig.around.rings - chin) @ rig.face.down_on_stage / rig.face.down_on_stage.square().sum()  # decimetres
    share = rig.around.head_share
    low, neck = below > 0.45, (below > 0.25) & (below < 0.33)
    assert low.any() and share[low].abs().max() < 0.25
    assert neck.any() and 0.4 < share[neck].min() and share[neck].max() < 0.75
    as_fitted = torch.stack([cosine_sum(ring.head_share) for ring in RINGS])
    torch.testing.assert_close(share[below < 0], as_fitted[below < 0])


def test_triangles_lead_from_the_outline_to_the_border():
    triangles = surrounding_triangles()
    assert len(triangles) == 2 * len(FACE_OUTLINE) * (len(RINGS) + 1)
    used = torch.unique(triangles)
    ours = torch.arange(N_POINTS, N_POINTS + len(FACE_OUTLINE) * (len(RINGS) + 1))
    assert used.tolist() == sorted(FACE_OUTLINE) + ours.tolist()


def test_rings_end_where_the_head_ends_and_turn_with_it_as_one():
    """A head that is a disc 1.5 times as large as the face: hair goes all the way with a shift, the neck as before."""
    face = make_rig().face
    outline = face.points[list(FACE_OUTLINE)]
    middle = (outline.amin(0) + outline.amax(0)) / 2
    line = torch.arange(STAGE) + 0.5
    away = ((line - middle[0]) ** 2 + (line[:, None] - middle[1]) ** 2).sqrt()
    radius = 1.5 * float((outline - middle).norm(dim=-1).mean())
    blind, seen = (surroundings_of(face, person) for person in (None, (away < radius).float()[None, None]))
    ends = (seen.rings[-1] - middle).norm(dim=-1)[ABOVE_THE_EARS]
    assert ((ends > radius) & (ends < 1.15 * radius)).all()
    assert (seen.head_share[:, ABOVE_THE_EARS] == 1).all()
    assert (seen.depth[-1, ABOVE_THE_EARS] < seen.depth[0, ABOVE_THE_EARS]).all()
    assert torch.equal(seen.head_share[:, BELOW_THE_CHIN], blind.head_share[:, BELOW_THE_CHIN])
    assert torch.equal(seen.rings[:, BELOW_THE_CHIN], blind.rings[:, BELOW_THE_CHIN])
    assert not blind.border_share.any()
    assert (seen.border_share[ABOVE_THE_EARS] == 1).all() and not seen.border_share[BELOW_THE_CHIN].any()


def test_what_is_beyond_a_head_that_is_known_goes_along_up_to_the_border_of_the_stage():
    """A tuft of hair there would be drawn out otherwise."""
    person = torch.ones(1, 1, STAGE, STAGE)
    known = FaceRig.from_points(stage_points(), torch.zeros(64), person=person * (torch.arange(STAGE) > 8)[:, None])
    turn = rotation_of_angles(torch.tensor([[0.26, 0.0, 0.0]]))
    above = mesh_flow(known, weights(), turn, torch.zeros(1, 2)).displacement[
        0, :, :10, STAGE // 2 - 20 : STAGE // 2 + 20
    ]
    assert above[1].amax() < -3
    assert (above[1].amax(0) - above[1].amin(0)).max() < 1.5


def test_an_ear_close_beside_the_face_is_not_drawn_out_when_a_turn_brings_it_into_view():
    """A head that ends a tenth beyond its face: in a turn of 23 degrees it gets at most 1.5 times as wide, not 1.9,
    and on the other side, where it is covered, its end stays where it would be.
    """
    face = make_rig().face
    outline = face.points[list(FACE_OUTLINE)]
    middle = (outline.amin(0) + outline.amax(0)) / 2
    line = torch.stack(torch.meshgrid(*2 * [torch.arange(STAGE) + 0.5], indexing="xy"), dim=-1) - middle
    away = (line / ((outline.amax(0) - outline.amin(0)) / 2)).norm(dim=-1)
    person = (away < 1.1).float()[None, None]
    rig = FaceRig.from_points(stage_points(), torch.zeros(64), person=person)
    turned, _ = rig.driven(weights(), rotation_of_angles(torch.tensor([[0.0, 0.4, 0.0]])), torch.zeros(1, 2))
    edge, n = list(FACE_OUTLINE), len(FACE_OUTLINE)
    last = torch.arange(N_POINTS + n, N_POINTS + 2 * n)
    wide = [(places[last] - places[edge])[:, 0] for places in (rig.source, turned[0])]
    towards = (turned[0] - rig.source)[edge[7:10], 0].mean()
    left, right = ((wide[1] / wide[0])[beside] for beside in ([7, 8, 9], [27, 28, 29]))
    into_view, covered = (left, right) if towards * wide[0][8] < 0 else (right, left)
    assert 1.1 < into_view.min() and into_view.max() < 1.5
    assert covered.max() < 1
