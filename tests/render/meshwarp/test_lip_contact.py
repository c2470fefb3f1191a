"""Lips that close, however the portrait holds them: they meet, and the skin follows without a fold."""

import pytest
import torch

from sadtalker_core.canonical_face import INNER_LIPS, MOUTH, N_POINTS, OUTER_LIPS, load_canonical_face
from sadtalker_core.render.meshwarp.lip_contact import spread_of_lips
from sadtalker_core.render.meshwarp.rasterizer import signed_areas
from tests.render.heads import GRIN, NOTHING, SMILE, TALKING, A, M, driven, portrait_head, rig, row, transition, weights

UPPER, LOWER = list(INNER_LIPS[1:10]), list(INNER_LIPS[:10:-1])
SPOKEN = [
    NOTHING,
    M,
    A,
    {"jawOpen": 0.4, "mouthPucker": 0.4, "mouthFunnel": 0.5},
    {"mouthPucker": 0.85},
    {"mouthRollLower": 0.65, "mouthUpperUp": 0.2},
    {"mouthStretch": 0.5, "mouthSmile": 0.3},
]
PORTRAITS = pytest.mark.parametrize("portrait", [SMILE, GRIN, TALKING], ids=["smile", "grin", "talking"])


def gap(rig, points):
    """(B,) the largest distance between facing points of the inner lips, in decimetres."""
    return (points[..., LOWER, :] - points[..., UPPER, :]).norm(dim=-1).amax(-1) / rig.face.fit.scale


@PORTRAITS
def test_lips_that_press_meet_whatever_the_portrait_shows(portrait):
    rig = portrait_head(portrait).rig
    assert gap(rig, rig.source) > 0.1
    assert gap(rig, driven(rig, row(M)[None])) < 1e-3


def test_lips_part_over_two_frames_from_a_b_to_a_vowel():
    """A press that shuts a jaw hardly open leaves one that falls ajar, neither shut nor as if nothing pressed."""
    head = rig()
    shut, ajar, free = (
        float(gap(head, driven(head, weights(jawOpen=jaw, mouthPress=press)))[0])
        for jaw, press in ((0.12, 0.18), (0.4, 0.18), (0.4, 0.0))
    )
    assert shut < 1e-3
    assert 0.2 * free < ajar < 0.7 * free


@PORTRAITS
def test_a_face_at_rest_has_nearly_closed_lips(portrait):
    rig = portrait_head(portrait).rig
    assert gap(rig, driven(rig, row(NOTHING)[None])) < 0.1 * gap(rig, rig.source)


@PORTRAITS
def test_the_portraits_own_face_is_the_portraits_own_mesh(portrait):
    rig = portrait_head(portrait).rig
    assert (driven(rig, row(portrait[0])[None])[0] - rig.source[:N_POINTS]).abs().amax() < 1e-4


def middle_gap(points):
    """(B,) how far the middle of the lips is apart, in pixels of the stage."""
    return (points[..., LOWER, 1] - points[..., UPPER, 1])[..., 2:7].mean(-1)


@PORTRAITS
def test_a_mouth_that_is_wide_open_is_left_to_the_jaw(portrait):
    rig = portrait_head(portrait).rig
    rows = torch.stack([row(portrait[0] | {"jawOpen": jaw}) for jaw in torch.linspace(0.85, 1.0, 4).tolist()])
    moved = rig.face.canonical.displacements(rows) - rig.face.canonical.displacements(rig.face.weights)
    expected = rig.source[:N_POINTS] + moved[..., :2] * torch.tensor([1.0, -1.0]) * rig.face.fit.scale
    found = driven(rig, rows)
    # lips of the template that would run through each other at the corners meet instead
    assert (middle_gap(found) - middle_gap(expected)).abs().amax() < 0.2
    outside = torch.ones(N_POINTS, dtype=torch.bool)
    outside[list(INNER_LIPS + OUTER_LIPS)] = False
    assert (found - expected)[:, outside].abs().amax() < 0.5  # corners taper, and take some skin along


@pytest.mark.parametrize("face", [{}, {"mouthSmile": 1.0}], ids=str)
def test_lips_part_from_the_middle_and_the_opening_grows_to_the_corners(face):
    rig = portrait_head(SMILE).rig
    points = driven(rig, torch.stack([row(face | {"jawOpen": jaw}) for jaw in torch.linspace(0.0, 1.0, 21).tolist()]))
    apart = (points[:, LOWER] - points[:, UPPER]).norm(dim=-1)
    parted, height = apart > 0.05 * rig.face.fit.scale / 10, apart[:, 2:7].mean(1) / rig.face.fit.scale
    just, wide = (height > 0.005) & (height < 0.02), height > 0.12
    assert just.any() and wide.any()
    assert (parted[just].sum(1) <= 7).all() and parted[wide].all()
    assert (parted.sum(1)[height > 0.005].diff() >= 0).all()


@PORTRAITS
def test_a_jaw_that_falls_never_closes_the_lips(portrait):
    rig = portrait_head(portrait).rig
    for face in (portrait[0], {}):
        fallen = gap(rig, driven(rig, transition(face | {"jawOpen": 0.0}, face | {"jawOpen": 1.0})))
        assert (fallen.diff() > -1e-3).all()


@PORTRAITS
def test_lips_go_from_shape_to_shape_without_a_jump(portrait):
    rig = portrait_head(portrait).rig
    points = driven(rig, transition(portrait[0], M, A, NOTHING, portrait[0]))
    steps = points.diff(dim=0).norm(dim=-1).amax(1) / rig.face.fit.scale  # decimetres
    assert steps.max() < 0.04  # forty steps lead from shape to shape; the mouth of A is a third of a decimetre wide
    assert (steps.diff().abs()).max() < 0.03


def test_lips_keep_their_thickness_and_the_nose_its_place():
    rig = portrait_head(GRIN).rig
    closed = driven(rig, row(GRIN[0] | {"mouthPress": 0.45})[None])[0]
    moved = (closed - rig.source[:N_POINTS]) / rig.face.fit.scale
    pressed = load_canonical_face().displacements(row({"mouthPress": 0.45}))[:, :2] * torch.tensor([1.0, -1.0])
    moved = moved - pressed
    for inner, outer in ((13, 0), (14, 17)):
        assert moved[inner].norm() > 0.04
        assert (moved[inner] - moved[outer]).norm() < 0.3 * moved[inner].norm()
    assert moved[[1, 4, 6]].norm(dim=-1).amax() < 0.01


@PORTRAITS
@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_skin_around_the_mouth_never_folds(portrait, share):
    canonical, rig = load_canonical_face(), portrait_head(portrait).rig
    own = row(portrait[0])
    rows = torch.stack([own + share * (row(units) - own) for units in SPOKEN])
    near = torch.isin(canonical.triangles, torch.tensor(OUTER_LIPS + INNER_LIPS)).any(1) & (canonical.kind != MOUTH)
    was = signed_areas(rig.source[canonical.triangles[near]])
    now = signed_areas(driven(rig, rows)[:, canonical.triangles[near]])
    facing = was < -1.0  # square pixels of the stage; smaller ones are the rims that a closed mouth hides
    assert facing.sum() > 80
    assert (now[:, facing] < 0).all()


def test_each_point_follows_both_lips_by_a_share():
    spread = spread_of_lips(torch.device("cpu"))
    assert spread.min() > -1e-6 and spread.sum(1).max() < 1 + 1e-5
    assert torch.equal(spread[UPPER + LOWER], torch.eye(18))
    upper, lower = spread[:, :9].sum(1), spread[:, 9:].sum(1)
    assert lower[152] > 0.5 > upper[152]  # the chin goes with the lower lip
    assert spread[[33, 263, 10]].sum(1).max() < 0.05  # eyes and forehead stay
