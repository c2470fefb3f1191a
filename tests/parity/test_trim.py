"""The small copy keeps what it says and still means the same."""

from __future__ import annotations

import numpy as np
import pytest

from tests.parity import trim
from tests.parity.harness import Vectors, compare_stored


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A made-up stage and its trimmed copy; the case "b" goes, and with it the image that only it refers to."""
    rng = np.random.default_rng(20)
    image, other = (rng.integers(0, 256, (10, 12, 3), np.uint8) for _ in range(2))
    entries = {
        "stage": "paste",
        "in/mine": image,
        "in/others": other,
        "in/a/image": "@mine",
        "in/b/image": "@others",
        "out/a/frames": np.stack([image, other]),
        "out/a/map_ds2": rng.random((4, 6, 8)),
        "out/a/numbers": np.arange(5),
        "out/b/frames": np.stack([other]),
    }
    (tmp_path / "all").mkdir()
    np.savez(tmp_path / "all" / "made.npz", **entries)
    monkeypatch.setitem(trim.KEEP, "made", trim.Keep(("a",), {"frames": 3, "map_ds2": 4}))
    trim.trim(tmp_path / "all", tmp_path / "few")
    return Vectors(tmp_path / "all" / "made.npz"), Vectors(tmp_path / "few" / "made.npz")


def test_only_the_kept_case_and_what_it_refers_to_stay(copy):
    _, few = copy
    assert few.cases == ["a"]
    assert set(few.inputs("a")) == {"mine", "image"}


def test_images_that_go_in_stay_as_they_are(copy):
    whole, few = copy
    np.testing.assert_array_equal(few.inputs("a")["image"], whole.inputs("a")["image"])


def test_images_that_came_out_are_thinned_and_marked(copy):
    whole, few = copy
    assert few.outputs("a")["frames_ds3"].shape == (2, 4, 4, 3)
    assert few.outputs("a")["map_ds8"].shape == (4, 2, 2)
    np.testing.assert_array_equal(few.outputs("a")["numbers"], np.arange(5))
    assert compare_stored("s", "a", "frames", whole.outputs("a")["frames"], few.outputs("a"), 0).ok


def test_a_thinned_image_still_notices_a_difference(copy):
    whole, few = copy
    changed = whole.outputs("a")["frames"].copy()
    changed[0, 3, 6, 1] ^= 255
    assert not compare_stored("s", "a", "frames", changed, few.outputs("a"), 100).ok


def test_the_command_line_names_the_bytes(copy, tmp_path, capsys):
    assert trim.main([str(tmp_path / "all"), str(tmp_path / "again")]) == 0
    assert "bytes in" in capsys.readouterr().out
