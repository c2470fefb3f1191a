"""What a sentence repeats of the user's own text."""

from __future__ import annotations

from sadtalker_core.errors import shorten


def test_short_text_stays_as_it_is():
    assert shorten("face.png") == "face.png"
    assert shorten("x" * 300) == "x" * 300


def test_long_text_keeps_its_beginning_and_its_end():
    got = shorten("begin" + "x" * 5000 + "end.png")
    assert len(got) == 300
    assert got.startswith("begin") and got.endswith("end.png") and "…" in got


def test_other_things_are_reported_as_text():
    assert shorten(["a"]) == "['a']"
