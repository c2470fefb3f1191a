"""Every node on a pretend GPU, under ComfyUI's own memory management: no devices are mixed, videos are the CPU's."""

from __future__ import annotations

import shutil

import pytest

from tests.device import talking
from tests.tolerances import ARRANGEMENTS
from tests.waves import write_wave

pytestmark = pytest.mark.comfyui

CASES = [
    ("mini", "fp32", "crop"),
    ("mini", "bf16", "full"),
    (talking.RELEASED, "fp32", "full"),
    (talking.RELEASED, "auto", "crop"),
    (talking.RELEASED, "bf16", "extfull"),
]
#: twice of what was measured, of images in 0..1: at most, on average
HALF_PRECISION = 3e-2, 3e-3


@pytest.fixture(scope="module", params=[False, True], ids=["offloading", "gpu-only"])
def found(request, comfyui, astronaut, inside, tmp_path_factory):
    from tests.tools.comfyui.inprocess import run_inside
    from tests.tools.comfyui.layout import make_base

    base = make_base(tmp_path_factory.mktemp("second") / "base")
    shutil.copy(astronaut, base / "input" / "astronaut.png")
    write_wave(base / "input" / "short.wav", *talking.VOICE)
    (base / "models" / "sadtalker").mkdir(parents=True, exist_ok=True)
    talking.write_narrow(base / "models" / "sadtalker")
    cases = CASES[1::2] if request.param else CASES
    return run_inside(comfyui, inside / "second_device.py", base, cases=cases, gpu_only=request.param)


def test_every_node_runs_and_shows_what_the_cpu_shows(found):
    for seen in found["cases"]:
        assert seen["error"] is None and seen["cpu_error"] is None, seen
        most, average = (ARRANGEMENTS, ARRANGEMENTS) if seen["case"][1] == "fp32" else HALF_PRECISION
        for name, (at_most, on_average) in seen["apart"].items():
            assert at_most < most and on_average < average, (seen["case"], name)
        assert len(seen["apart"]) == 5 and seen["peak"] > 1_000_000
    assert found["track"] is None


def test_no_node_is_left_out(found, object_info):
    ours = {name for name in object_info if name.startswith("SadTalker")}
    assert ours <= set(found["classes"])


def test_networks_are_offloaded_and_come_back(found):
    before, after = found["freed"]
    assert after < before or found["gpu_only"], "what is offloaded stays there, too"
    (error, roomy), (error_pressed, pressed) = found["again"], found["pressed"]
    assert error is None and error_pressed is None
    assert 0 < len(pressed) < len(roomy), "what the last node needed, and no more"
    assert found["left"] < 1_000_000
