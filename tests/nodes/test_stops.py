"""Stop, in every stage that takes long: it ends inside that stage, not behind it."""

from __future__ import annotations

import shutil

import pytest

pytestmark = pytest.mark.comfyui

STAGES = ["speech", "expnet", "posevae", "mapping", "render", "paste", "label", "preview", "video_reference", "dub"]


@pytest.fixture(scope="module")
def found(comfyui, astronaut, inside, tmp_path_factory):
    from tests.tools.comfyui.inprocess import run_inside
    from tests.tools.comfyui.layout import make_base

    base = make_base(tmp_path_factory.mktemp("stops") / "base")
    shutil.copy(astronaut, base / "input" / "astronaut.png")
    return run_inside(comfyui, inside / "stops.py", base)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stop_ends_the_stage_in_which_it_was_pressed(stage, found):
    ended_in, pressed_at, seconds = found[stage]
    assert ended_in == stage and pressed_at is not None
    print(f"{stage}: {seconds:.2f} s")  # docs/BENCH.md has them
    assert seconds < 10, "two seconds, on a machine with other work"


@pytest.mark.parametrize("stage", ["speech", "expnet", "posevae", "render", "paste", "label", "preview", "dub"])
def test_it_could_be_pressed_before_the_stage_was_done(stage, found):
    done, total = found[stage][1]
    assert done < total


def test_every_net_looks_at_the_button_before_every_layer(found):
    assert found["layers"] and set(found["layers"].values()) == {0}
