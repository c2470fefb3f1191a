"""The networks live under ComfyUI's memory management, and leave with the graph."""

from __future__ import annotations

import pytest

from tests.tolerances import ARRANGEMENTS

pytestmark = pytest.mark.comfyui


def test_nets_are_accounted_for_make_room_and_leave(in_process, inside):
    found = in_process(inside / "memory.py")
    assert found["error"] is None and found["error_again"] is None
    assert found["before"] == []
    expected = {
        "FaceDetector",
        "FaceMesh",
        "PersonSegmenter",
        "Linear3DMM",
        "ExpNet",
        "PoseVAE",
        "MappingNet",
        "FlowRenderer",
    }
    assert set(found["after_a_run"]) == expected
    assert found["after_another_needed_the_room"] == []
    assert {"PoseVAE", "MappingNet", "FlowRenderer"} <= set(found["after_the_second_run"])
    assert found["after_the_graph_is_gone"] == []


def test_a_full_device_gets_smaller_batches_and_gives_the_same_frames(in_process, inside):
    found = in_process(inside / "full_device.py")
    assert found["error"] is None
    assert found["asked"] == [7, 3, 1] + [1] * 9, "halved where memory ran out, and no larger again"
    assert found["emptied"] == [1, 2]
    assert found["same_shape"] and found["apart"] < ARRANGEMENTS
    assert "not for lack of room" in str(found["broken"]) and found["asked_of_the_broken"] == [6]
