"""What the embedded family does in its own way between expression and motion."""

import pytest
import torch

from sadtalker_core import pipeline
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, CropMode, Expression, FaceCoefficients, HeadPose
from sadtalker_core.model import assemble_mini

LID, LOOK = BLENDSHAPE_INDEX["eyeBlinkLeft"], BLENDSHAPE_INDEX["eyeLookOutRight"]


@pytest.fixture(scope="module")
def model():
    return assemble_mini()


def motion_of(model, rows, own=None, **options):
    source = torch.zeros(1, 73) if own is None else own
    face = FaceCoefficients.from_crop_rows(source, family=MINI, crop_mode=CropMode.CROP, pic_size=256)
    pose = HeadPose(torch.zeros(len(rows), 6), MINI)
    with torch.inference_mode():
        return pipeline.coefficients_to_motion(model, face, Expression(rows, MINI), pose, **options)


def test_a_blink_of_one_frame_is_as_deep_as_it_was_drawn_and_a_glance_as_quick(model):
    rows = torch.zeros(40, 64)
    rows[20, LID] = 1.0
    rows[25:, LOOK] = 0.4
    driving = motion_of(model, rows).driving.weights
    assert torch.equal(driving[:, [LID, LOOK]], rows[:, [LID, LOOK]])


def test_lids_and_gaze_stay_within_what_a_face_can_do_and_are_scaled(model):
    rows = torch.zeros(3, 64)
    rows[:, LID] = torch.tensor([-0.3, 0.4, 1.7])
    assert motion_of(model, rows).driving.weights[:, LID].tolist() == pytest.approx([0.0, 0.4, 1.0])
    doubled = motion_of(model, rows, expression_scale=2.0).driving.weights[:, LID]
    assert doubled.tolist() == pytest.approx([0.0, 0.8, 1.0])


def test_a_face_that_keeps_the_portraits_expression_does_not_move(model):
    own = torch.rand(1, 73, generator=torch.Generator().manual_seed(0)) * 0.5
    own[:, 52:] = 0
    motion = motion_of(model, own[:, :64].repeat(30, 1), own, still=True)
    torch.testing.assert_close(motion.driving.weights, motion.source.weights.expand(30, -1), rtol=0, atol=1e-5)
