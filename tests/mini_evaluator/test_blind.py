"""Pairs of videos for a blind choice."""

import re
import subprocess

import pytest

from tests.tools.mini_evaluator import blind


@pytest.fixture
def folders(tmp_path):
    """Two folders of three videos of two frames each, and one video that only one of them has."""
    import imageio_ffmpeg

    for folder, colour, names in (("before", "red", "abc"), ("now", "blue", "abcd")):
        (tmp_path / folder).mkdir()
        for name in names:
            line = [
                imageio_ffmpeg.get_ffmpeg_exe(),
                "-v",
                "error",
                "-f",
                "lavfi",
                "-i",
                f"color={colour}:s=16x16:d=0.08",
            ]
            line += ["-metadata", f"comment=made {folder}", str(tmp_path / folder / f"{name}.mp4")]
            subprocess.run(line, check=True)
    return tmp_path / "before", tmp_path / "now", tmp_path / "blind"


def test_videos_of_both_folders_stand_side_by_side_without_a_mark(folders):
    before, now, out = folders
    key = blind.make_pairs(before, now, out, seed=1)
    assert {entry["film"] for entry in key.values()} == {"a.mp4", "b.mp4", "c.mp4"}
    assert all({entry["a"], entry["b"]} == {str(before), str(now)} for entry in key.values())
    assert sorted(file.name for file in out.iterdir()) == sorted(
        ["films.html", *(f"{number}{letter}.mp4" for number in ("01", "02", "03") for letter in "ab")]
    )
    for video in out.glob("*.mp4"):
        assert b"made before" not in video.read_bytes() and b"made now" not in video.read_bytes()
    shown = re.findall(r'<video src="([^"]+)"', (out / "films.html").read_text())
    assert shown == ["01a.mp4", "01b.mp4", "02a.mp4", "02b.mp4", "03a.mp4", "03b.mp4"]


def test_a_seed_draws_the_order_and_another_one_another(folders):
    before, now, out = folders
    first = blind.make_pairs(before, now, out, seed=1)
    assert blind.make_pairs(before, now, out, seed=1) == first
    assert any(blind.make_pairs(before, now, out, seed=seed) != first for seed in range(2, 6))


def test_choices_are_counted_by_folder(folders):
    before, now, out = folders
    key = blind.make_pairs(before, now, out)
    words = [f"{int(number)}{'a' if entry['a'] == str(now) else 'b'}" for number, entry in key.items()]
    assert blind.score(out, words) == {str(now): 3}
    other = {"a": "b", "b": "a"}[words[0][-1]]
    assert blind.score(out, [words[0][:-1] + other, *words[1:]]) == {str(now): 2, str(before): 1}


@pytest.mark.parametrize("word", ["", "a", "4a", "1c", "one"])
def test_a_word_that_is_no_choice_is_named(folders, word):
    before, now, out = folders
    blind.make_pairs(before, now, out)
    with pytest.raises(ValueError, match="expected a pair and a letter"):
        blind.score(out, [word])


def test_folders_without_common_videos_get_a_sentence(tmp_path, capsys):
    assert blind.main([str(tmp_path), str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "expected .mp4 files of the same names" in capsys.readouterr().err
