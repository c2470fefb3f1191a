"""Reference videos: as long as the clip, at its frame rate, and only as much of them as was wished for."""

from types import SimpleNamespace

import pytest
import torch

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.errors import OptionError, VideoError
from sadtalker_core.families import FAMILIES
from sadtalker_core.motion.expression import run_expnet
from sadtalker_core.motion.reference import (
    ReferenceLength,
    eyelids_by_blendshapes,
    eyelids_by_expnet,
    fit_length,
    follow,
    plan_fit,
    reenact,
    take_rows,
)
from sadtalker_core.pipeline import predict_expression


def order_of(fitted, original):
    """Which row of the original each row is."""
    return [int((original.expression == row).all(dim=1).nonzero()) for row in fitted.expression]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("loop", [0, 1, 2, 0, 1, 2, 0, 1]),
        ("ping-pong", [0, 1, 2, 1, 0, 1, 2, 1]),
        ("hold", [0, 1, 2, 2, 2, 2, 2, 2]),
        ("cut", [0, 1, 2]),
    ],
)
def test_a_short_reference_goes_on_as_requested(make_face, how, expected):
    face = make_face(3)
    fitted = fit_length(face, 8, how)
    assert order_of(fitted, face) == expected
    assert torch.equal(fitted.pose, face.pose[expected]) and torch.equal(fitted.crop, face.crop[expected])


@pytest.mark.parametrize("how", list(ReferenceLength))
def test_a_long_reference_loses_its_end(make_face, how):
    face = make_face(9)
    assert order_of(fit_length(face, 4, how), face) == [0, 1, 2, 3]


@pytest.mark.parametrize("how", list(ReferenceLength))
@pytest.mark.parametrize("n_rows", [1, 2, 5])
def test_every_reference_fits_every_clip(make_face, how, n_rows):
    face = make_face(n_rows, found=torch.ones(n_rows, dtype=torch.bool))
    for n_frames in (1, 2, 3, 17):
        fitted = fit_length(face, n_frames, how, blend=2)
        expected = min(n_rows, n_frames) if how is ReferenceLength.CUT else n_frames
        assert len(fitted) == len(fitted.pose) == len(fitted.found) == expected
        assert torch.isfinite(fitted.full_rows()).all()


def test_a_blended_loop_does_not_jump(make_face):
    """A ramp that jumps back by 30 at the end of a plain loop takes 11 steps for the way when blended over 10."""
    ramp = take_rows(make_face(1), torch.zeros(30, dtype=torch.long))
    ramp.expression[:] = torch.arange(30.0)[:, None]
    plain = fit_length(ramp, 90, "loop").expression[:, 0].diff().abs().max()
    blended = fit_length(ramp, 90, "loop", blend=10).expression[:, 0].diff().abs().max()
    assert plain == 29 and blended < 2.5


def test_a_blended_loop_that_need_not_loop_is_the_reference_itself():
    """Its last rows were melted into its first ones, though no second round came."""
    for n_frames in (30, 49, 50):
        row, melting = plan_fit(50, n_frames, ReferenceLength.LOOP, blend=10)
        assert row.tolist() == list(range(n_frames)) and melting is None


def test_a_blended_loop_repeats_its_rounds(make_face):
    fitted = fit_length(make_face(20), 75, "loop", blend=5).full_rows()
    torch.testing.assert_close(fitted[15:30], fitted[30:45])
    torch.testing.assert_close(fitted[5:15], fitted[20:30])


def test_a_blend_longer_than_half_the_reference_is_shortened(make_face):
    assert torch.isfinite(fit_length(make_face(3), 20, "loop", blend=50).full_rows()).all()


def test_a_blended_row_is_found_when_both_rows_that_it_is_mixed_from_were(make_face):
    face = make_face(4, found=torch.tensor([True, True, False, True]))
    assert fit_length(face, 8, "loop", blend=2).found.tolist() == [True, True, *[False, True] * 3]


def test_an_empty_reference_gets_a_sentence(make_face):
    with pytest.raises(VideoError, match="at least one frame"):
        fit_length(make_face(0), 5, "loop")
    with pytest.raises(OptionError, match="blend"):
        fit_length(make_face(3), 5, "loop", blend=-1)


def test_lids_of_a_mini_face_are_its_two_units(make_mini_face):
    face = make_mini_face(3)
    face.expression[:, BLENDSHAPE_INDEX["eyeBlinkLeft"]] = torch.tensor([0.0, 0.5, 1.4])
    face.expression[:, BLENDSHAPE_INDEX["eyeBlinkRight"]] = torch.tensor([0.0, 0.7, 1.4])
    torch.testing.assert_close(eyelids_by_blendshapes(face), torch.tensor([0.0, 0.6, 1.0]))


def test_lids_of_a_released_face_are_measured_along_the_nets_own_blink(make_face, small_expnet):
    """A face that the network made with a blink track gives that track back, whatever else the face is like."""
    track = torch.tensor([0, 0, 0, 0.5, 0.9, 1, 0.9, 0.5, 0, 0, 0, 0])
    face = take_rows(make_face(), torch.zeros(12, dtype=torch.long))
    closing = small_expnet.head.weight[:, -1].detach()
    face.expression[:] = face.expression + track[:, None] * closing
    torch.testing.assert_close(eyelids_by_expnet(face, small_expnet), track, rtol=0, atol=1e-5)


def test_a_mouth_that_moves_across_the_blink_does_not_shut_the_eyes(make_face, small_expnet):
    face = take_rows(make_face(), torch.zeros(20, dtype=torch.long))
    closing = small_expnet.head.weight[:, -1].detach()
    mouth = torch.randn(64, generator=torch.Generator().manual_seed(3))
    mouth -= (mouth @ closing) / closing.square().sum() * closing
    face.expression[:] = face.expression + torch.sin(torch.arange(20.0))[:, None] * mouth
    assert eyelids_by_expnet(face, small_expnet).max() < 1e-4


def test_a_blink_reference_lends_its_lids_and_not_its_mouth(make_speech, make_face, small_expnet):
    """The original puts the whole expression of the reference in place of the portrait's."""
    blink = torch.tensor([0, 0, 0, 0.5, 0.9, 1, 0.9, 0.5, 0, 0, 0, 0])
    closing = small_expnet.head.weight[:, -1].detach()
    mouth = torch.randn(64, generator=torch.Generator().manual_seed(3))
    mouth -= (mouth @ closing) / closing.square().sum() * closing
    reference = take_rows(make_face(seed=2), torch.zeros(12, dtype=torch.long))
    reference.expression[:] += blink[:, None] * closing + torch.sin(torch.arange(12.0))[:, None] * mouth
    nets = SimpleNamespace(family=FAMILIES["released"], use=lambda name: [small_expnet])
    speech, portrait = make_speech(12), make_face()

    lent = predict_expression(nets, speech, portrait, reference=reference, reference_length="hold")
    own = run_expnet(small_expnet, speech, portrait, blink)
    torch.testing.assert_close(lent.coefficients, own.coefficients, rtol=0, atol=1e-5)


def test_reenactment_takes_everything(make_face):
    reference = make_face(4)
    expression, pose = reenact(reference)
    assert torch.equal(expression.coefficients, reference.expression)
    assert torch.equal(pose.coefficients, reference.pose)
    expression.coefficients.zero_()
    assert reference.expression.any()


def test_reenactment_can_begin_where_the_portrait_is(make_face):
    reference, source = make_face(4), make_face(1, seed=9)
    _, pose = reenact(reference, source)
    torch.testing.assert_close(pose.coefficients[0], source.pose[0])
    torch.testing.assert_close(pose.coefficients.diff(dim=0), reference.pose.diff(dim=0))
    torch.testing.assert_close(follow(reference)[0], torch.zeros(6))
