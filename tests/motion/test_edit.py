"""What a person at the canvas does to tracks: nothing by default, only what was asked for otherwise."""

import math

import pytest
import torch

from sadtalker_core.coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, RELEASED, Expression, HeadPose, PoseAngles
from sadtalker_core.errors import OptionError, WrongFamily
from sadtalker_core.motion.edit import (
    GROUPS,
    FitHow,
    blend,
    blendshapes_of,
    concatenate,
    edit_expression,
    edit_pose,
    resize,
)
from sadtalker_core.motion.smoothing import smooth


@pytest.fixture
def mini(generator):
    """12 frames of blendshape weights in 0..1."""
    rows = torch.zeros(12, 64)
    rows[:, :52] = torch.rand(12, 52, generator=generator)
    return Expression(rows, MINI)


@pytest.fixture
def released(generator):
    return Expression(torch.randn(12, 64, generator=generator), RELEASED)


@pytest.fixture
def pose(generator):
    return HeadPose(torch.randn(12, 6, generator=generator), MINI)


def test_every_face_unit_is_in_one_group():
    assert sorted(i for group in GROUPS for i in blendshapes_of(group)) == list(range(len(ARKIT_BLENDSHAPES)))


@pytest.mark.parametrize("smoothing", [0, 1, 2, 3])
def test_an_edit_of_nothing_changes_nothing(mini, released, pose, smoothing):
    assert torch.equal(edit_expression(mini, smoothing=smoothing).coefficients, mini.coefficients)
    assert torch.equal(edit_expression(released, smoothing=smoothing).coefficients, released.coefficients)
    torch.testing.assert_close(edit_pose(pose, smoothing=smoothing).coefficients, pose.coefficients)


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_a_group_scales_its_own_units_and_no_other(mini, group):
    edited = edit_expression(mini, **{group: 0.5}).coefficients
    own = torch.zeros(64, dtype=torch.bool)
    own[blendshapes_of(group)] = True
    torch.testing.assert_close(edited[:, own], mini.coefficients[:, own] / 2)
    assert torch.equal(edited[:, ~own], mini.coefficients[:, ~own])


def test_no_unit_is_driven_beyond_full(mini):
    edited = edit_expression(mini, overall=3.0).coefficients
    assert edited.max() == 1 and (edited >= mini.coefficients).all()


def test_a_unit_that_was_beyond_full_stays_there(mini):
    mini.coefficients[3, 24] = 1.3
    assert edit_expression(mini, mouth=2.0).coefficients[3, 24] == pytest.approx(1.3)


def test_a_released_expression_scales_as_a_whole_only(released):
    assert torch.equal(edit_expression(released, overall=1.5).coefficients, released.coefficients * 1.5)
    with pytest.raises(OptionError, match="mouth, eyes and brows together"):
        edit_expression(released, eyes=0.5)


def test_smoothing_calms_the_lips_and_leaves_the_blinks(mini):
    edited = edit_expression(mini, smoothing=9).coefficients
    lid, jaw = BLENDSHAPE_INDEX["eyeBlinkLeft"], BLENDSHAPE_INDEX["jawOpen"]
    assert torch.equal(edited[:, lid], mini.coefficients[:, lid])
    assert edited[:, jaw].diff().abs().mean() < mini.coefficients[:, jaw].diff().abs().mean() / 1.5
    assert edited.min() >= 0 and edited.max() <= 1


def test_an_even_window_is_the_next_odd_one(released):
    expected = smooth(released.coefficients, 7)
    assert torch.equal(edit_expression(released, smoothing=6).coefficients, expected)


def test_a_window_beyond_two_seconds_is_refused(pose):
    with pytest.raises(OptionError, match="0 to 51"):
        edit_pose(pose, smoothing=52)


def test_a_pose_scale_of_zero_holds_the_first_frame(pose):
    edited = edit_pose(pose, scales=PoseAngles(1.0, 0.0, 2.0), translation=0.0).coefficients
    rows = pose.coefficients
    torch.testing.assert_close(edited[:, 0], rows[:, 0])
    assert torch.equal(edited[:, 1], rows[:1, 1].expand(12))
    torch.testing.assert_close(edited[:, 2] - edited[0, 2], 2 * (rows[:, 2] - rows[0, 2]))
    assert torch.equal(edited[:, 3:], rows[:1, 3:].expand(12, 3))


def test_offsets_are_degrees_of_pitch_yaw_and_roll(pose):
    moved = edit_pose(pose, offsets_deg=PoseAngles(10.0, -20.0, 90.0)).coefficients - pose.coefficients
    expected = torch.tensor([math.radians(10), math.radians(-20), math.pi / 2, 0, 0, 0]).expand(12, 6)
    torch.testing.assert_close(moved, expected, atol=1e-6, rtol=0)


def test_an_edit_leaves_the_track_that_came_in_alone(mini, pose):
    before = mini.coefficients.clone(), pose.coefficients.clone()
    edit_expression(mini, overall=2.0, smoothing=5)
    edit_pose(pose, scales=PoseAngles(0, 0, 0), offsets_deg=PoseAngles(1, 1, 1), smoothing=5)
    resize(pose, 20, FitHow.LOOP, crossfade=3).coefficients.zero_()
    assert torch.equal(before[0], mini.coefficients) and torch.equal(before[1], pose.coefficients)


def test_a_blend_goes_from_one_track_to_the_other(mini):
    other = Expression(1 - mini.coefficients[:7], MINI)
    assert torch.equal(blend(mini, other, 0.0).coefficients, mini.coefficients[:7])
    assert torch.equal(blend(mini, other, 1.0).coefficients, other.coefficients)
    torch.testing.assert_close(blend(mini, other, 0.5).coefficients, torch.full((7, 64), 0.5))


def test_tracks_of_two_families_do_not_mix(mini, released):
    for join in (lambda: blend(mini, released, 0.5), lambda: concatenate(mini, released)):
        with pytest.raises(WrongFamily):
            join()


def test_one_track_follows_the_other(pose):
    later = HeadPose(pose.coefficients + 5, MINI)
    assert torch.equal(concatenate(pose, later).coefficients, torch.cat([pose.coefficients, later.coefficients]))


def test_a_crossfade_goes_straight_from_one_track_to_the_other():
    low, high = HeadPose(torch.zeros(6, 6), MINI), HeadPose(torch.ones(5, 6), MINI)
    joined = concatenate(low, high, crossfade=3).coefficients[:, 0]
    torch.testing.assert_close(joined, torch.tensor([0, 0, 0, 0.25, 0.5, 0.75, 1, 1]))
    assert len(concatenate(low, high, crossfade=99)) == 6


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (FitHow.LOOP, [0, 1, 2, 0, 1, 2, 0]),
        (FitHow.PING_PONG, [0, 1, 2, 1, 0, 1, 2]),
        (FitHow.HOLD, [0, 1, 2, 2, 2, 2, 2]),
        (FitHow.STRETCH, [0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2]),
        (FitHow.CUT, [0, 1, 2]),
    ],
)
@pytest.mark.parametrize(("kind", "width"), [(Expression, 64), (HeadPose, 6)])
def test_a_short_track_goes_on_as_requested(how, expected, kind, width):
    track = kind(torch.arange(3.0)[:, None].expand(3, width), MINI)
    resized = resize(track, 7, how)
    assert isinstance(resized, kind) and resized.family == MINI
    torch.testing.assert_close(resized.coefficients, torch.tensor(expected).float()[:, None].expand(-1, width))


@pytest.mark.parametrize("how", list(FitHow))
@pytest.mark.parametrize("n_rows", [1, 2, 9])
@pytest.mark.parametrize("n_frames", [1, 2, 5])
def test_every_track_fits_every_length(released, how, n_rows, n_frames):
    track = Expression(released.coefficients[:n_rows], RELEASED)
    resized = resize(track, n_frames, how, crossfade=4)
    assert len(resized) == (min(n_rows, n_frames) if how is FitHow.CUT else n_frames)
    assert torch.isfinite(resized.coefficients).all()


def test_no_frames_are_no_length(pose):
    with pytest.raises(OptionError, match="at least one frame"):
        resize(pose, 0, "loop")


@pytest.mark.parametrize(
    "edit",
    [
        lambda e, p: edit_expression(None),
        lambda e, p: edit_expression(p),
        lambda e, p: edit_expression(e, mouth="1"),
        lambda e, p: edit_expression(e, overall=math.nan),
        lambda e, p: edit_expression(e, smoothing=2.5),
        lambda e, p: edit_pose(e),
        lambda e, p: edit_pose(p, scales=(1.0, 2.0)),
        lambda e, p: edit_pose(p, scales=1.0),
        lambda e, p: edit_pose(p, offsets_deg=PoseAngles(0.0, None, 0.0)),
        lambda e, p: edit_pose(p, translation="far"),
        lambda e, p: blend(e, p, 0.5),
        lambda e, p: blend(e, e, None),
        lambda e, p: concatenate(e, None),
        lambda e, p: concatenate(e, e, -1),
        lambda e, p: resize(None, 3, "cut"),
        lambda e, p: resize(e, 2.5, "cut"),
        lambda e, p: resize(e, 3, "loop", crossfade="2"),
    ],
)
def test_what_is_no_track_and_no_number_is_refused_with_a_sentence(mini, pose, edit):
    with pytest.raises(OptionError, match="expected"):
        edit(mini, pose)
