"""The nets live under ComfyUI's memory management, and leave with the graph."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.comfyui


def test_nets_are_accounted_for_make_room_and_leave(in_process, inside):
    found = in_process(inside / "memory.py")
    assert found["error"] is None and found["error_again"] is None
    assert found["before"] == []
    expected = {"FaceDetector", "FaceMesh", "Linear3DMM", "ExpNet", "PoseVAE", "MappingNet", "FlowRenderer"}
    assert set(found["after_a_run"]) == expected
    assert found["after_another_needed_the_room"] == []
    assert {"PoseVAE", "MappingNet", "FlowRenderer"} <= set(found["after_the_second_run"])
    assert found["after_the_graph_is_gone"] == []
