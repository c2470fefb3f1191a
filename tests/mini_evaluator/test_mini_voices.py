"""What is asked of the voice network: measures on made-up tracks, damages and sounds that training does not have."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from sadtalker_core.coefficients import BLENDSHAPE_INDEX, EXPRESSION
from sadtalker_core.motion.visemes import SPEECH_BLENDSHAPES, Phone
from sadtalker_core.training.voices import texts
from sadtalker_core.training.voices.speech_set import FLITE, HELD_OUT_FLITE, HELD_OUT_VARIANTS, VARIANTS
from sadtalker_core.training.voices.synthesis import Utterance
from tests.tools.mini_evaluator import damages, measures, rows, voices
from tests.tools.mini_evaluator.trial import QUICK
from tests.tools.mini_evaluator.voices import Spoken

JAW = BLENDSHAPE_INDEX["jawOpen"]
PRESSES = [BLENDSHAPE_INDEX["mouthPressLeft"], BLENDSHAPE_INDEX["mouthPressRight"]]


def bumps(at: np.ndarray) -> np.ndarray:
    """A track that opens and shuts at irregular times."""
    return 0.3 + 0.2 * np.sin(at * 0.5) + 0.1 * np.sin(at * 1.3 + 1)


@pytest.mark.parametrize("frames", [-1.5, 0.0, 1.0, 1.4, 3.0])
def test_how_far_a_track_is_ahead_is_read_between_frames(frames):
    t = np.arange(200.0)
    found, r = measures.ahead(bumps(t + frames), bumps(t))
    assert found == pytest.approx(frames, abs=0.2)
    assert r > 0.85


def test_a_track_that_does_not_move_agrees_with_nothing():
    assert measures.ahead(np.zeros(100), bumps(np.arange(100.0)))[1] == 0


def test_moving_counts_the_frames_in_which_any_unit_moves():
    track = np.zeros((101, 3))
    track[50:, 1] = 0.1
    track[80:, 2] = 0.015
    assert measures.moving(track) == pytest.approx(0.01)


def test_lips_are_shut_when_they_are_not_apart_or_pressed():
    track = np.zeros((4, EXPRESSION))
    track[1, JAW] = 0.3
    track[2, JAW], track[2, PRESSES] = 0.3, 0.4
    track[3, JAW], track[3, PRESSES] = 0.3, 0.05
    np.testing.assert_array_equal(measures.commanded_shut(track), [True, False, True, False])


class Obedient:
    """Predicts what the rules ask for, so many frames late, whatever the audio is."""

    def __init__(self, track: np.ndarray, late: int = 0):
        self.track, self.late = torch.from_numpy(track), late

    def predict(self, clip):
        frames = (torch.arange(len(clip.units)) - self.late).clamp(min=0)
        return torch.nn.functional.pad(self.track[frames], (0, EXPRESSION - self.track.shape[1]))


@pytest.fixture(autouse=True)
def obeyed(monkeypatch):
    monkeypatch.setattr(rows, "predict_clip", lambda net, clip: net.predict(clip))


@pytest.fixture
def spoken() -> Spoken:
    sounds = "p\u0251\u0279\u0259me\u026asin\u0259k\u026at\u00e6n\u00f0\u0259\u00e6ns\u0259v\u025bni\u00e6k\u0259lz" * 2
    phones = tuple(Phone(0.2 + 0.08 * k, 0.28 + 0.08 * k, ipa) for k, ipa in enumerate(sounds))
    n = int((phones[-1].end + 0.2) * 25) * 640
    return Spoken("made up", Utterance(np.full(n, 0.1, np.float32), phones))


def test_whoever_does_what_the_labels_ask_meets_the_bars_of_a_kind_of_voice(spoken):
    net = Obedient(spoken.units(len(spoken.utterance.wave) // 640))
    found = {row.what: row for row in rows._of_kind(net, "real speech", [spoken])}
    verdicts = {what: row.verdict() for what, row in found.items() if row.target}
    assert verdicts == dict.fromkeys(verdicts, "met") and len(verdicts) == 4


def test_lips_that_come_late_or_do_not_close_are_noticed(spoken):
    track = spoken.units(len(spoken.utterance.wave) // 640)
    late = {row.what: row.verdict() for row in rows._of_kind(Obedient(track, 2), "real speech", [spoken])}
    assert late["voice to jaw, real speech, ahead of the sounds by frames"].startswith("missed")
    track[:, PRESSES] = 0
    track[:, JAW] += 0.2
    open_ = {row.what: row.verdict() for row in rows._of_kind(Obedient(track), "real speech", [spoken])}
    assert open_["voice to lips, real speech, closed on p, b, m, share of frames"].startswith("missed")


def test_a_mouth_that_moves_without_a_voice_is_noticed():
    trial = replace(QUICK, no_voice_seconds=2.0)
    track = np.zeros((50, 52), np.float32)
    still = rows._of_no_voice(Obedient(track), trial)
    assert all(row.verdict() == "met" for row in still if row.target) and len(still) == 4
    track[::2, JAW] = 0.1
    moved = rows._of_no_voice(Obedient(track), trial)
    assert all(row.verdict().startswith("missed") for row in moved if row.target)


@pytest.mark.parametrize("name", damages.DAMAGES)
def test_a_damage_keeps_the_moments_and_repeats(spoken, name):
    one, again = (spoken.damaged(damages.DAMAGES[name]) for _ in range(2))
    np.testing.assert_array_equal(one.mel, again.mel)
    np.testing.assert_array_equal(one.units, spoken.clip().units)
    assert one.units.shape[1] == len(SPEECH_BLENDSHAPES)
    assert one.mel.shape == spoken.clip().mel.shape and not np.array_equal(one.mel, spoken.clip().mel)


def test_sounds_without_a_voice_are_as_long_and_as_loud_as_requested():
    for name, wave in damages.silences(2.0).items():
        assert wave.shape == (32000,) and wave.dtype == np.float32, name
        assert np.sqrt(np.square(wave).mean()) < 10 ** (-44 / 20), name
    for name, wave in damages.sounds_without_voice(2.0).items():
        assert wave.shape == (32000,) and 0.04 < np.sqrt(np.square(wave).mean()) < 0.2, name


def test_a_mirrored_room_begins_with_the_direct_sound_and_decays():
    response = damages.mirrored_room((6.1, 4.7, 2.9), (2.0, 1.5, 1.5), (3.4, 2.6, 1.3), 0.86)
    direct = int(np.abs(response).argmax())
    assert response[direct] == 1.0 and not response[:direct].any()
    early, late = (float(np.square(response[a : a + 1600]).sum()) for a in (direct + 1, direct + 6400))
    assert early > 30 * late > 0


def test_languages_and_timbres_of_the_trial_are_not_those_of_training():
    unheard = json.loads(voices._UNHEARD.read_text(encoding="utf-8"))
    assert len(unheard) >= 6 and not set(unheard) & set(texts.OTHER_LANGUAGES)
    assert not set(HELD_OUT_VARIANTS) & set(VARIANTS) and not set(HELD_OUT_FLITE) & set(FLITE)


def test_hurrying_counts_the_frames_that_cross_a_quarter_of_the_range():
    slow = np.linspace(0.0, 1.0, 101)
    assert measures.hurrying(slow) == 0.0
    jump = np.concatenate([np.zeros(50), np.ones(51)])
    assert measures.hurrying(jump) == pytest.approx(0.01)
