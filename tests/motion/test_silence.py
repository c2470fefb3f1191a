"""The mouth rests where the voice is silent, and nowhere else."""

import pytest
import torch

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, RELEASED, Expression, SpeechWindows
from sadtalker_core.errors import OptionError, WrongFamily
from sadtalker_core.motion.edit import blendshapes_of
from sadtalker_core.motion.silence import loudness_db, silence_gate, speaking
from sadtalker_core.timeline import SAMPLES_PER_FRAME


def voice(*levels_db):
    """A tone whose loudness, frame by frame, is as given."""
    tone = torch.sin(torch.arange(SAMPLES_PER_FRAME) * (2 * torch.pi * 10 / SAMPLES_PER_FRAME)) * 2**0.5
    wave = torch.cat([tone * 10 ** (db / 20) for db in levels_db])
    return SpeechWindows(torch.zeros(8 * len(levels_db), 80), len(levels_db), wave)


def test_loudness_is_the_root_mean_square_of_every_frame():
    torch.testing.assert_close(loudness_db(voice(-10, -40, -200)), torch.tensor([-10.0, -40, -120]), atol=1e-3, rtol=0)


def test_a_gate_without_ramps_is_open_exactly_where_the_voice_is():
    gate = speaking(voice(*[-90] * 4, *[-12] * 5, *[-90] * 4), attack=0, release=0)
    assert gate.tolist() == [0] * 4 + [1] * 5 + [0] * 4


def test_a_voice_starts_higher_than_it_ends():
    between = -10 - 30 - 3
    gate = speaking(voice(-90, between, -10, between, -90), attack=0, release=0)
    assert gate.tolist() == [0, 0, 1, 1, 0]


def test_loudness_is_measured_against_the_voice_itself():
    levels = [-90, -10, -35, -60, -12]
    quiet = [level - 15 for level in levels]
    assert torch.equal(speaking(voice(*levels)), speaking(voice(*quiet)))


def test_a_hiss_alone_is_no_voice():
    assert speaking(voice(*[-70] * 6)).max() == 0


def test_an_idle_clip_is_silent():
    assert speaking(SpeechWindows(torch.zeros(80, 80), 25)).tolist() == [0] * 25


def test_the_mouth_starts_before_the_voice_and_rests_behind_it():
    gate = speaking(voice(*[-90] * 5, -10, *[-90] * 6), attack=0.08, release=0.12)
    expected = [0, 0, 0, 1 / 3, 2 / 3, 1, 3 / 4, 2 / 4, 1 / 4, 0, 0, 0]
    torch.testing.assert_close(gate, torch.tensor(expected))


def test_ramps_have_no_negative_length():
    with pytest.raises(OptionError, match="0 seconds or more"):
        speaking(voice(-10), attack=-1)


@pytest.fixture
def mini_track():
    return Expression(torch.full((6, 64), 0.5), MINI)


def test_only_the_mouth_of_a_mini_face_rests(make_mini_face, mini_track):
    source = make_mini_face()
    gated = silence_gate(mini_track, voice(*[-90] * 3, *[-10] * 3), source, attack=0, release=0).coefficients
    mouth = blendshapes_of("mouth")
    torch.testing.assert_close(gated[:3, mouth], source.expression[:, mouth].expand(3, -1))
    assert (gated[3:] == 0.5).all()
    lid = BLENDSHAPE_INDEX["eyeBlinkLeft"]
    assert (gated[:, lid] == 0.5).all()


def test_strength_goes_part_of_the_way(make_mini_face, mini_track):
    source = make_mini_face()
    gated = silence_gate(mini_track, voice(*[-90] * 6), source, strength=0.5).coefficients
    jaw = BLENDSHAPE_INDEX["jawOpen"]
    torch.testing.assert_close(gated[:, jaw], ((0.5 + source.expression[:, jaw]) / 2).expand(6))


def test_the_whole_released_face_rests(make_face):
    source = make_face()
    track = Expression(torch.ones(4, 64), RELEASED)
    gated = silence_gate(track, voice(*[-90] * 4), source).coefficients
    assert torch.equal(gated, source.expression.expand(4, -1))


def test_a_track_longer_than_the_voice_rests_behind_it(make_face):
    source = make_face()
    gated = silence_gate(Expression(torch.ones(5, 64), RELEASED), voice(-10, -10), source).coefficients
    assert (gated[:2] == 1).all() and torch.equal(gated[2:], source.expression.expand(3, -1))


def test_a_portrait_of_the_other_family_is_refused(make_face, mini_track):
    with pytest.raises(WrongFamily):
        silence_gate(mini_track, voice(-10), make_face())
