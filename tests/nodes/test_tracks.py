"""Tracks that are seen, edited, saved and loaded inside a real ComfyUI, in one graph."""

from __future__ import annotations

import math
import shutil

import pytest

pytestmark = pytest.mark.comfyui

#: the case -> words of its sentence
SENTENCES = {
    "a pose that was not saved": ("holds no pose",),
    "a track that is not there": ("nothing.track.safetensors", "Save Track"),
    "a track outside the folders": ("input or output folder",),
    "a file that is no track": ("foreign.track.safetensors", "cannot be read as a track"),
    "a blend with half a pair": ("other pose",),
    "a fourth speaker": ("speaker 4 is empty: the lines name 2",),
    "a bad line": ("line 2: expected a start, an end and a name",),
    "a pose that a file has not": ("mouths.tsv holds no head movement",),
    "a file outside the folders": ("../secret.csv", "input or output folder"),
    "a wrong keyframe": ("smile, keyframe 2 of 2 ('0.2:3')", "a number from 0 to 1"),
}


@pytest.fixture(scope="module")
def found(comfyui, astronaut, inside, tmp_path_factory):
    from tests.tools.comfyui.inprocess import run_inside
    from tests.tools.comfyui.layout import make_base

    base = make_base(tmp_path_factory.mktemp("tracks") / "base")
    shutil.copy(astronaut, base / "input" / "astronaut.png")
    return run_inside(comfyui, inside / "tracks.py", base)


def test_the_whole_graph_runs(found):
    assert found["error"] is None
    assert found["frames"] == [10, 10, 10, 16, 6]


def test_the_edited_pose_holds_one_axis_and_turns_it(found):
    expected = found["yaw_at_first"] + math.radians(5)
    assert found["yaw_held_and_turned"] == pytest.approx([expected] * 10, abs=1e-6)


def test_the_preview_and_the_plot_are_images(found):
    assert found["preview"] == [6, 96, 96, 3] and found["preview_fps"] == 25.0
    assert found["preview_shows"] > 0.5
    assert found["plot"] == [1, 240, 320, 3]
    assert found["label_changed"]


def test_a_set_expression_follows_its_keyframes_and_is_plotted(found):
    at_first, later = found["set"]
    assert 0.1 <= at_first < 0.3 and later - at_first == pytest.approx(0.5, abs=0.1)
    assert found["set_plot"] == [1, 480, 768, 3]


def test_a_saved_track_comes_back(found):
    assert found["file"] == "tracks/test_00001_.track.safetensors [output]"
    assert found["error_of_loading"] is None
    assert found["came_back"]


def test_one_recording_becomes_two_voices_and_states_which_is_whose(found):
    assert found["error of a conversation"] is None
    assert found["who"] == "1: ben, speaks 0.6 s\n2: anna, speaks 0.4 s"
    assert found["shapes"] == [[1, 1, 16_000]] * 2
    (ben_first, ben_then), (anna_first, anna_then) = found["parts"]
    assert ben_first < 0.3 * anna_first and anna_then == 0 < ben_then


def test_who_listens_looks_to_where_the_speaker_is(found):
    looks = found["looks"]
    # the network's own gaze is up to 2e-4 beside 0, and what would be below 0 is 0
    assert looks[0] == 0 and max(looks[8:12]) == pytest.approx(10 / 21, abs=1e-3), "the eyes, to the right of the image"


def test_exported_blendshapes_come_back_to_the_digits_of_the_file(found):
    assert found["written"] == "faces/test_00001_.csv [output]"
    assert found["error of importing"] is None and max(found["apart"]) < 1e-7


@pytest.mark.parametrize("case", sorted(SENTENCES))
def test_what_cannot_work_gives_the_reason(case, found):
    missing = [words for words in SENTENCES[case] if words not in found[case]]
    assert not missing, found[case]
