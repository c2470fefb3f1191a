"""Lids that close: they meet along the whole eye, whatever its size, and none passes the other."""

import pytest
import torch

from sadtalker_core.canonical_face import LEFT_EYE, RIGHT_EYE
from sadtalker_core.render.meshwarp.lid_contact import eye_closure, without_lid_rims
from tests.render.heads import STILL, driven, row, stage_points, weights
from tests.render.heads import rig as make_rig


@pytest.mark.parametrize("opening", [0.5, 0.8, 1.1])
def test_a_full_blink_just_closes_eyes_of_any_size(opening):
    points = stage_points()
    upper, lower = [158, 159, 160], [153, 145, 144]
    points[upper, 1] = points[lower, 1] + (points[upper, 1] - points[lower, 1]) * opening
    rig = make_rig(points)
    open_now = points[lower, 1] - points[upper, 1]
    driven, _ = rig.driven(weights(eyeBlinkRight=1.0), *STILL)
    closed = driven[0, lower, 1] - driven[0, upper, 1]
    assert (closed.mean() / open_now.mean()).abs() < 0.2


def test_a_full_blink_brings_the_lids_together_along_the_whole_eye():
    mesh = driven(make_rig(), torch.stack([row({}), row({"eyeBlink": 1.0})]))
    for ring in (LEFT_EYE, RIGHT_EYE):
        upper, lower = mesh[:, list(ring[1:8])], mesh[:, list(ring[:8:-1])]
        was, now = (lower - upper).norm(dim=-1)
        assert (now < 0.05 * was.max()).all()


def test_no_lid_passes_the_other():
    mesh = driven(make_rig(), weights(eyeBlink=0.9, eyeSquint=1.0, cheekSquint=1.0))[0]
    for ring in (LEFT_EYE, RIGHT_EYE):
        assert (mesh[list(ring[:8:-1]), 1] >= mesh[list(ring[1:8]), 1] - 1e-2).all()


def test_an_eye_closes_from_where_it_was_in_the_portrait():
    face = make_rig(source=row({"eyeBlinkLeft": 0.5})).face
    closure = eye_closure(face, torch.stack([row({}), row({"eyeBlinkLeft": 0.75}), row({"eyeBlink": 1.0})]))
    assert torch.allclose(closure, torch.tensor([[0.0, 0.0], [0.5, 0.0], [1.0, 1.0]]))


def test_open_lids_are_taken_from_where_they_are():
    rig = make_rig()
    source = rig.source[None]
    assert torch.equal(without_lid_rims(rig.face, source, torch.zeros(1, 2)), source)
    shut = without_lid_rims(rig.face, source, torch.ones(1, 2))
    assert shut[0, 159, 1] < source[0, 159, 1] and shut[0, 145, 1] > source[0, 145, 1]
