"""3DMM from Video reads what the wire means: a file, bytes, a part of them or a batch; what is no video is told."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.comfyui


@pytest.fixture(scope="module")
def found(comfyui, voice, inside, tmp_path_factory):
    import shutil

    from tests.tools.comfyui.inprocess import run_inside
    from tests.tools.comfyui.layout import make_base

    base = make_base(tmp_path_factory.mktemp("clips") / "base")
    shutil.copy(voice, base / "input" / voice.name)
    return run_inside(comfyui, inside / "reference_video.py", base)


@pytest.mark.parametrize("kind", ["file", "bytes", "latin-1"])
def test_of_a_file_each_image_is_the_one_that_a_player_shows_then(found, kind):
    """Twelve images at 10 a second; the title of one is Latin-1."""
    assert found[kind]["fps"] == 25 and found[kind]["n_frames"] == 30
    assert found[kind]["levels"] == pytest.approx([20 * (k * 10 // 25) for k in range(30)], abs=3)


def test_a_changing_frame_rate_is_followed_by_time_stamps(found):
    """Six images at 50 a second, then six at 12.5."""
    assert found["changing.mp4"]["levels"][:13] == pytest.approx(
        [20 * i for i in (0, 2, 4, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10)], abs=3
    )


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv"])
def test_images_that_begin_after_their_sound_keep_their_time(found, name):
    assert found[name]["levels"][:20] == pytest.approx([0] * 15 + [0, 20, 40, 60, 80], abs=3)


def test_images_on_the_wire_come_as_they_are(found):
    """As core's Create Video puts them there: nothing is encoded for them."""
    assert found["pictures"]["fps"] == 10 and found["pictures"]["n_frames"] == 12
    assert found["pictures"]["levels"] == [20 * i for i in range(12)]


@pytest.mark.parametrize("kind", ["part", "part of bytes"])
def test_of_a_cut_video_only_the_part_is_read(found, kind):
    assert found[kind]["fps"] == 10 and found[kind]["n_frames"] == 4
    assert found[kind]["levels"] == pytest.approx([60, 80, 100, 120], abs=3)


def test_a_batch_has_the_rate_of_the_widget_and_loses_its_alpha(found):
    assert found["batch"] == [12.5, 3, [[64, 64, 3]] * 3]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("both", "exactly one of them"),
        ("words", "cannot be read"),
        ("half", "cannot be read"),
        ("half of the frames", "cannot be read"),
        ("a voice", "no video track"),
    ],
)
def test_what_is_no_video_gets_a_sentence(found, case, words):
    assert found[case].startswith("VideoError") and words in found[case]
