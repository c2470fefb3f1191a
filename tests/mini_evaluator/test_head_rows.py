"""From a head that moves to the rows of the table."""

from __future__ import annotations

import numpy as np

from sadtalker_core.training.voices.synthesis import Utterance
from tests.tools.mini_evaluator import head_rows
from tests.tools.mini_evaluator.table import Row
from tests.tools.mini_evaluator.trial import TARGETS
from tests.tools.mini_evaluator.voices import Spoken


def verdicts(degrees: np.ndarray, loudness: np.ndarray) -> dict[str, str]:
    found = head_rows.measured(degrees, loudness)
    return {name: Row(f"head, {name}", "motion", {"x": value}).verdict() for name, value in found.items()}


def test_every_measure_has_a_bar_and_videos_are_named_as_the_rows_are():
    names = set(verdicts(np.zeros((400, 3)), np.zeros(400)))
    assert {f"head, {name}" for name in names} < set(TARGETS)
    assert set(head_rows.VIDEOS) < names


def test_a_head_on_a_stand_meets_no_bar_of_movement():
    missed = {name for name, verdict in verdicts(np.zeros((400, 3)), np.zeros(400)).items() if verdict != "met"}
    assert {name for name in missed if name.startswith(("range", "speed"))} == {
        name for name in verdicts(np.zeros((400, 3)), np.zeros(400)) if name.startswith(("range", "speed"))
    }
    assert "distance from the start at block seams, by elsewhere" in missed


def test_readings_follow_one_another_with_pauses_between_them():
    tone = np.sin(np.arange(16000) * 0.3).astype(np.float32) * 0.3
    speech = head_rows.end_to_end([Spoken("a", Utterance(tone, ())), Spoken("b", Utterance(tone, ()))])
    assert speech.n_frames == round((1 + 0.6 + 1 + 1.2) * 25)
    degrees = head_rows.measured_degrees(speech, head_rows.CALM, seed=0)
    assert degrees.shape == (speech.n_frames, 3) and np.ptp(degrees, axis=0).min() > 0.5
    assert np.abs(degrees[0]).max() < 1
