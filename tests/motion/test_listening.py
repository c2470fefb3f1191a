"""Who listens looks at who speaks: eyes first, the head after, and only then."""

from __future__ import annotations

import math

import pytest
import torch

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, RELEASED, Box, Expression, HeadPose, SpeechWindows
from sadtalker_core.errors import OptionError
from sadtalker_core.motion.listening import EYES_DEG, HEAD_DEG, direction_to, listening, look_at_speaker
from sadtalker_core.timeline import SAMPLES_PER_FRAME

T = 150
OUT_LEFT, IN_RIGHT, BLINK = (BLENDSHAPE_INDEX[name] for name in ("eyeLookOutLeft", "eyeLookInRight", "eyeBlinkLeft"))


def voice(*spans: tuple[int, int]) -> SpeechWindows:
    wave = torch.zeros(T * SAMPLES_PER_FRAME)
    for start, stop in spans:
        n = (stop - start) * SAMPLES_PER_FRAME
        wave[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME] = 0.2 * torch.sin(torch.arange(n) / 12)
    return SpeechWindows(torch.zeros(1, 80), T, wave)


@pytest.fixture
def looked():
    """The first 50 frames this one speaks, then the other one, at the right in the image."""
    expression = Expression(torch.zeros(T, 64), MINI)
    pose = HeadPose(torch.full((T, 6), 0.1), MINI)
    return look_at_speaker(expression, pose, voice((0, 50)), voice((60, 110)), (300.0, 0.0))


def test_one_listens_while_the_other_one_speaks_alone():
    both = listening(voice((0, 70)), voice((40, 110)))
    assert both[:70].sum() == 0 and both[71:109].min() == 1 and both[112:].sum() == 0


def test_the_eyes_leap_to_the_speaker_the_head_follows_and_both_come_back(looked):
    eyes, head = looked[0].coefficients, torch.rad2deg(looked[1].rotation - 0.1)
    assert eyes[:60].abs().max() == 0 and head[:60].abs().max() < 1e-4
    arrived = [int(torch.nonzero(track > 0.9 * track.max())[0]) for track in (eyes[:, OUT_LEFT], -head[:, 1])]
    assert 60 < arrived[0] < 75 and arrived[0] < arrived[1] < 95
    assert eyes[100, OUT_LEFT] * 21 == pytest.approx(EYES_DEG, abs=0.01)
    assert eyes[100, IN_RIGHT] * 22 == pytest.approx(EYES_DEG, abs=0.01)
    assert head[100, 1] == pytest.approx(-HEAD_DEG, abs=0.01), "yaw above 0 is to the left of the image"
    assert eyes[-10:].abs().max() == 0 and head[-3:].abs().max() < 0.3
    assert torch.equal(looked[1].translation, torch.full((T, 3), 0.1))


def test_what_the_eyes_do_besides_goes_on():
    rows = torch.zeros(T, 64)
    rows[90:95, BLINK], rows[:, OUT_LEFT] = 1.0, 0.1
    out, _ = look_at_speaker(Expression(rows, MINI), None, voice((0, 50)), voice((60, 110)), (-1.0, 0.0))
    assert torch.equal(out.coefficients[:, BLINK], rows[:, BLINK])
    assert torch.equal(out.coefficients[:60], rows[:60])
    assert out.coefficients[100, OUT_LEFT] == 0, "the eye does not look both ways at once"
    assert out.coefficients[100, BLENDSHAPE_INDEX["eyeLookInLeft"]] * 22 == pytest.approx(EYES_DEG - 2.1, abs=0.01)


def test_released_expressions_pass_and_heads_turn():
    expression, pose = Expression(torch.ones(T, 64), RELEASED), HeadPose(torch.zeros(T, 6), RELEASED)
    same, turned = look_at_speaker(expression, pose, voice((0, 50)), voice((60, 110)), (0.0, 5.0), amount=2.0)
    assert same is expression
    assert turned.rotation[105, 0] == pytest.approx(math.radians(HEAD_DEG), abs=1e-4), "down, half as far, twice"


def test_the_way_leads_from_face_to_face_and_one_face_is_no_pair():
    assert direction_to(Box(0, 0, 10, 10), Box(100, 20, 20, 20)) == (105.0, 25.0)
    with pytest.raises(OptionError, match="same face"):
        look_at_speaker(None, HeadPose(torch.zeros(T, 6), MINI), voice(), voice(), (0.0, 0.0))
