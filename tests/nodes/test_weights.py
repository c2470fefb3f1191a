"""Weights where people have them, and the networks on the wire as newer ComfyUIs ask for them."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.comfyui


def test_weights_are_offered_and_found_where_people_have_them_and_the_wire_hands_out_its_patchers(in_process, inside):
    found = in_process(inside / "weights.py")
    assert found["offered_before"] == ["mini", "SadTalker 256", "SadTalker 512"]
    assert found["offered"] == [*found["offered_before"], "file/mine.safetensors"], "neither sd nor wav2lip"
    assert found["folders"] == ["sadtalker", "elsewhere", "SadTalker"], "each once"
    assert [name.rpartition("/")[0] for name in found["found"]] == ["SadTalker/checkpoints"] * 3
    assert found["use_mmap"] == [True, False], "--disable-mmap is passed on"
    nets = [
        "ExpNet",
        "FaceDetector",
        "FaceMesh",
        "FlowRenderer",
        "Linear3DMM",
        "MappingNet",
        "PersonSegmenter",
        "PoseVAE",
    ]
    assert found["models"] == nets and found["patchers"]
    assert found["lacking"] == "crop modes full need it."
