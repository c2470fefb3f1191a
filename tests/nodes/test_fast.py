"""The nodes render with the fast arrangement of the released generator, where they can; ComfyUI knows its size."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.comfyui


def test_the_released_generator_is_adopted_fast_in_every_precision(in_process, inside):
    found = in_process(inside / "fast.py")
    for precision, seen in found.items():
        assert seen["class"] == "FastGenerator" and "FastGenerator" in seen["loaded"]
        assert seen["accounted"] == seen["bytes"] > 0
        assert seen["apart"] < (5e-5 if precision in ("auto", "fp32") else 0.1), precision


def test_where_an_operation_is_missing_face_render_runs_on_the_cpu_and_one_sentence_reports_it(in_process, inside):
    found = in_process(inside / "no_volumes.py")
    assert set(found["able"]["homes"].values()) == {"mps"} and found["able"]["said"] == []
    moved = {name for name, home in found["lacking"]["homes"].items() if home == "cpu"}
    assert moved == {"flow_renderer", "keypoint_detector"}
    assert len(found["lacking"]["said"]) == 2, "one sentence for each of the two models that were loaded"
    assert all("mps" in message and "Face Render runs on the CPU" in message for message in found["lacking"]["said"])
