"""The persons of the tables have the habits that they are named after, and a row is measured once."""

from __future__ import annotations

import pytest
import torch

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.training.clips import read_clips
from sadtalker_core.training.renderer import head_degrees
from tests.tools import what_to_expect
from tests.tools.what_to_expect import PERSONS, write_person
from tests.training.toy_voices import voices

COLUMN = {"wide jaw": "jawOpen", "one-sided smile": "mouthSmileLeft"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return written(tmp_path_factory.mktemp("plain"), None)


def written(folder, habit):
    write_person(folder, voices(40), 1, 0.02, habit)
    return read_clips(folder)[0].coefficients()


@pytest.mark.parametrize("person", COLUMN)
def test_a_mouth_s_habit_shows_in_its_blendshape_alone(plain, tmp_path, person):
    odd = written(tmp_path, PERSONS[person][1])
    change = (odd.expression - plain.expression).abs().amax(dim=0)
    column = BLENDSHAPE_INDEX[COLUMN[person]]
    assert change[column] > 0.05 and change.sum() == change[column] and torch.equal(odd.pose, plain.pose)


@pytest.mark.parametrize(("person", "axis"), [("nodder", 0), ("shaker", 1)])
def test_a_head_s_habit_shows_in_its_axis(plain, tmp_path, person, axis):
    odd = written(tmp_path, PERSONS[person][1])
    spread = head_degrees(odd).std(dim=0)
    assert spread.argmax() == axis and spread[axis] > 2 * spread[[i for i in range(3) if i != axis]].max()
    assert torch.equal(odd.expression, plain.expression)


def test_a_row_that_was_measured_is_read_and_a_table_has_all_columns(tmp_path):
    made = []
    for error in (0.5, 0.7):
        row = what_to_expect.measured(tmp_path, {"steps": 3}, lambda e=error: made.append(e) or {"best_error": e})
        assert row == {"steps": 3, "best_error": 0.5}
    assert made == [0.5]
    table = what_to_expect.markdown([row, {"mouth r": 0.25}]).splitlines()
    assert table[0] == "| steps | best_error | mouth r |" and table[3] == "|  |  | 0.25 |"


def test_the_course_names_the_error_after_parts_of_the_training():
    held = [{"step": step, what_to_expect.HELD_OUT_ERROR: 1 - step / 100} for step in range(0, 90, 10)]
    assert what_to_expect.course(held) == "10: 0.900, 20: 0.800, 40: 0.600, 80: 0.200"


def test_who_knows_the_rules_of_the_speakers_foretells_their_heads_best(tmp_path):
    write_person(tmp_path, 3 * voices(80), 1, 0.2)
    errors = {
        row["who draws"].split()[1]: row[what_to_expect.HELD_OUT_ERROR] for row in what_to_expect.bounds(tmp_path)
    }
    assert set(errors) == {"built-in", "rules,", "blocks"} and 0.5 < errors["rules,"] < errors["blocks"] < 1.1
