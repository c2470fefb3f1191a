"""The nodes render with the fast arrangement of the released generator, and ComfyUI knows its size."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.comfyui


def test_the_released_generator_is_adopted_fast_in_every_precision(in_process, inside):
    found = in_process(inside / "fast.py")
    for precision, seen in found.items():
        assert seen["class"] == "FastGenerator" and "FastGenerator" in seen["loaded"]
        assert seen["accounted"] == seen["bytes"] > 0
        assert seen["apart"] < (5e-5 if precision in ("auto", "fp32") else 0.1), precision
