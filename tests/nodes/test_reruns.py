"""Only what changed runs again, a seed gives the same video, and a stop stops."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.comfyui


@pytest.fixture(scope="module")
def found(comfyui, astronaut, voice, inside, tmp_path_factory):
    import shutil

    from tests.tools.comfyui.inprocess import run_inside
    from tests.tools.comfyui.layout import make_base

    base = make_base(tmp_path_factory.mktemp("reruns") / "base")
    shutil.copy(astronaut, base / "input" / "astronaut.png")
    return run_inside(comfyui, inside / "reruns.py", base)


def test_another_pose_style_runs_only_what_hangs_on_it(found):
    assert found["error"] is None
    assert {"extract", "expnet", "posevae", "mapping", "render", "video"} <= set(found["first"])
    assert set(found["after_another_style"]) == {"posevae", "mapping", "render", "video"}


def test_styles_and_seeds_move_the_head_differently(found):
    assert found["style_moves_the_head"] and found["seed_moves_the_head"]


def test_the_same_seed_gives_the_same_frames(found):
    assert found["same_seed_same_frames"]


def test_face_render_shows_an_image_for_every_batch(found):
    assert found["n_frames"] == 25
    assert found["pictures"] >= 3


def test_a_stop_is_honoured_between_batches_and_the_next_prompt_runs(found):
    assert found["stopped"] == "render"
    assert 3 <= found["rendered_before_the_stop"] < 100
    assert found["after_the_stop"] is None
    assert found["unfinished_files"] == []
