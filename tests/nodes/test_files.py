"""What the nodes write gets a name that nobody has, and what cannot be written is said before the work."""

from __future__ import annotations

import shutil
import time

import pytest

pytestmark = pytest.mark.comfyui


@pytest.fixture(scope="module")
def found(comfyui, astronaut, inside, tmp_path_factory):
    from tests.tools.comfyui.inprocess import run_inside
    from tests.tools.comfyui.layout import make_base

    base = make_base(tmp_path_factory.mktemp("files") / "base")
    shutil.copy(astronaut, base / "input" / "astronaut.png")
    return run_inside(comfyui, inside / "files.py", base)


@pytest.mark.parametrize(
    ("prefix", "stem"),
    [
        ("slash/", "slash"),
        ("", "talking"),
        ("back\\slash", "back/slash"),
        ("a:b", "a_b"),
        ("%date:yyyy%_%SadTalkerPoseVAE.pose_style%_%width%", f"{time.localtime().tm_year}_0_256"),
    ],
)
def test_every_run_writes_a_file_of_its_own(found, prefix, stem):
    assert found["names"][prefix] == [[f"{stem}_0000{n}_.mp4"] for n in (1, 2)]


def test_a_prefix_that_names_nothing_replaces_nothing(found):
    assert found["names"]["x/.."] == [["talking_00003_.mp4"], ["talking_00004_.mp4"]]


@pytest.mark.parametrize(
    ("case", "words"),
    [("long", "shorten it to 200 characters"), ("outside", "outside ComfyUI's output folder"), ("nul", "NUL")],
)
@pytest.mark.parametrize("node", ["", "track, "])
def test_a_name_that_cannot_be_is_refused_before_anything_runs(found, node, case, words):
    message, ran = found["refused"][node + case]
    assert words in message and not ran


def test_a_name_that_its_parts_would_make_too_long_is_refused_before_anything_runs(found):
    message, ran = found["refused"]["track, by its parts"]
    assert "shorten it to 200 characters" in message and not ran


@pytest.mark.parametrize("case", ["read-only track", "read-only video"])
def test_a_read_only_folder_gets_a_sentence(found, case):
    assert "nothing can be written to" in found[case] and "Read-only file system" in found[case]


def test_frames_have_even_sides_that_every_video_node_takes(found):
    error, (height, width), shape = found["odd"]
    assert error is None and height == 341
    assert shape == [3, 342, width, 3]


def test_paste_back_takes_the_doubled_row_away(found):
    assert found["pasted as without the row"] == 0


def test_an_encoder_that_hangs_is_stopped_and_leaves_nothing(found):
    node, seconds, left = found["hanging"]
    assert node == "video" and left == []
    print(f"hung encoder: {seconds:.2f} s")  # docs/BENCH.md has it
    assert seconds < 10, "two seconds, on a machine with other work"


def test_a_wrong_ffmpeg_is_named_and_not_the_output_folder(found):
    assert "IMAGEIO_FFMPEG_EXE" in found["wrong ffmpeg"] and "nowhere" in found["wrong ffmpeg"]
    assert "cannot be written to" not in found["wrong ffmpeg"]
