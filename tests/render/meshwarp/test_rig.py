"""The rig: points go where blendshapes, turn and shift say, and making it or moving it changes nothing in it."""

import torch

from sadtalker_core.canonical_face import HEAD_TO_IMAGE, rotation_of_angles
from tests.render.heads import STILL, weights
from tests.render.heads import rig as make_rig


def test_a_shift_is_in_decimetres_right_and_up():
    rig = make_rig()
    driven, _ = rig.driven(weights(), torch.eye(3)[None], torch.tensor([[0.1, 0.2]]))
    moved = driven[0, :468] - rig.source[:468]
    assert torch.allclose(moved, rig.face.fit.scale * torch.tensor([0.1, -0.2]).expand(468, 2), atol=1e-3)


def test_the_head_turns_by_the_rotation():
    turn = rotation_of_angles(torch.tensor([[0.0, 0.2, 0.0]]))  # to the left of the image
    flip = torch.tensor(HEAD_TO_IMAGE)
    driven, _ = (rig := make_rig()).driven(weights(), flip[:, None] * turn * flip, torch.zeros(1, 2))
    assert driven[0, 1, 0] < rig.source[1, 0] - 5


def test_moving_a_rig_leaves_it_as_it_was():
    rig = make_rig()
    before = rig.source.clone()
    first = rig.driven(weights(jawOpen=0.8, eyeBlink=1.0), *STILL)[0]
    rig.driven(weights(mouthPress=1.0), *STILL)
    assert torch.equal(rig.source, before)
    assert torch.equal(rig.driven(weights(jawOpen=0.8, eyeBlink=1.0), *STILL)[0], first)
