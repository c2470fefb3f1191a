"""Render Video shows what the three nodes show, a batch at a time, and leaves nothing that only looks finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.comfyui import media

pytestmark = pytest.mark.comfyui


@pytest.fixture(scope="module")
def found(comfyui, astronaut, voice, inside, tmp_path_factory):
    import shutil

    from tests.tools.comfyui.inprocess import run_inside
    from tests.tools.comfyui.layout import make_base

    base = make_base(tmp_path_factory.mktemp("films") / "base")
    shutil.copy(astronaut, base / "input" / "astronaut.png")
    shutil.copy(voice, base / "input" / voice.name)
    return run_inside(comfyui, inside / "render_video.py", base)


def test_the_video_shows_the_frames_of_face_render(found):
    assert found["error"] is None
    assert found["n_frames"] == found["n_filmed"] == 15 and found["on_the_wire"]
    assert found["difference"] < 3.0, "levels of 255, through 4:2:0 colours"
    assert found["files"] == ["film_00001_.mp4"]


def test_every_batch_moves_the_bar_and_shows_an_image(found):
    assert found["pictures"] == 8


def test_with_paste_back_the_image_stands_still_around_the_head(found):
    assert found["pasted_error"] is None
    assert found["pasted_size"]
    assert found["outside"] < 3.0, "levels of 255, through 4:2:0 colours"


def test_the_voice_is_cut_to_the_motion_and_the_file_carries_the_graph(found, comfyui):
    record = media.probe(comfyui, Path(found["file"]))[0]
    assert media.complaints(record, voice_seconds=0.6) == []
    assert found["pasted_frames"] == 15
    assert '"SadTalkerRenderVideo"' in record["metadata"]["prompt"]


def test_a_stopped_run_leaves_no_file(found):
    assert found["stopped_at"] == "film"
    assert found["left_without_wish"] == []


def test_a_stopped_run_leaves_a_playable_partial_when_asked(found):
    assert found["left_with_wish"] == ["film_00001_partial.mp4"]
    assert 4 <= found["partial_frames"][0] < 15


def test_the_next_run_finishes_beside_the_partial(found):
    assert found["after_the_stop"] is None
    assert found["left_in_the_end"] == ["film_00001_partial.mp4", "film_00002_.mp4"]


def test_another_frame_rate_takes_the_same_time(found):
    """15 frames are 0.6 s: 18 of Video Combine at 30 fps, 30 of Render Video at 50."""
    assert found["n_at_30"] == 18 and found["n_at_50"] == 30


def test_an_alpha_that_is_asked_for_comes_also_where_one_of_two_people_is_opaque(found):
    assert found["alpha_of_two"] == [2, 1.0]


def test_a_certificate_that_is_not_there_is_reported_and_nothing_unsigned_is_written(found):
    half, unsigned = found["not_signed"]
    assert "both SADTALKER_SIGN_CERTIFICATES and SADTALKER_SIGN_KEY" in half
    assert "no file with the certificates at" in unsigned and "chain.pem" in unsigned
    assert found["left_unsigned"] == []
