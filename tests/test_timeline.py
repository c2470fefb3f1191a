"""How samples, mel steps and video frames count."""

from __future__ import annotations

from sadtalker_core.timeline import window_start


def test_a_window_start_is_cut_toward_zero():
    """3.2 mel steps a frame, from two frames before it: -6.4, -3.2, 0, 3.2, 6.4. A floor would give -7 and -4."""
    assert [window_start(frame) for frame in range(5)] == [-6, -3, 0, 3, 6]
