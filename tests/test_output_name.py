"""A filename_prefix names the same file on every system, or is refused before anything is made."""

from __future__ import annotations

import random
import re
from datetime import datetime

import pytest

from sadtalker_core.errors import OptionError
from sadtalker_core.output_name import check, fault_on_windows, fill_in, place

NOW = datetime(2026, 3, 7, 9, 5, 2)
PROMPT = {
    "4": {"class_type": "KSampler", "inputs": {"seed": 7, "cfg": 8.0, "name": "a/b:c", "on": True, "model": ["1", 0]}},
    "5": {"class_type": "KSampler", "inputs": {"seed": 9}, "_meta": {"title": "second pass"}},
    "8:3": {"class_type": "PoseVAE", "inputs": {"seed": 11}},
}
BOX = "6a0e6e30-0000-4000-8000-000000000000"
WORKFLOW = {
    "nodes": [
        {"id": 5, "type": "KSampler", "properties": {"Node name for S&R": "Sampler"}},
        {"id": 4, "type": "KSampler", "title": "Sampler"},
        {"id": 8, "type": BOX},
    ],
    "definitions": {"subgraphs": [{"id": BOX, "nodes": [{"id": 3, "type": "PoseVAE", "title": "pose"}]}]},
}


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("%date:yyyy-MM-dd%/talk", "2026-03-07/talk"),
        ("%date:yy-M-d_hh.mm.ss%", "26-3-7_09.05.02"),
        ("%date:hh:mm%", "09:05"),
        ("%year%%month%%day%_%hour%%minute%%second%_%width%x%height%", "20260307_090502_640x480"),
        ("%Sampler.seed%", "9"),
        ("%second pass.seed%", "9"),
        ("%KSampler.seed%", "7"),
        ("%pose.seed%", "11"),
        ("%KSampler.name%_%KSampler.cfg%_%KSampler.on%", "a_b_c_8_true"),
        ("50%_%date:yyyy%", "50%_2026"),
        ("%nobody.seed%%KSampler.model%%KSampler.none%%odd%", "%nobody.seed%%KSampler.model%%KSampler.none%%odd%"),
    ],
)
def test_placeholders_are_filled_in_as_by_the_page(prefix, name):
    assert fill_in(prefix, NOW, (640, 480), PROMPT, WORKFLOW) == name


@pytest.mark.parametrize("workflow", [None, "text", {"nodes": 3}, {"nodes": [1, None]}, {"definitions": []}])
def test_without_a_drawn_graph_titles_and_kinds_name_a_node(workflow):
    assert fill_in("%second pass.seed%-%KSampler.seed%", NOW, (1, 1), PROMPT, workflow) == "9-7"


@pytest.mark.parametrize(
    ("prefix", "subfolder", "stem"),
    [
        ("sadtalker/talking", "sadtalker", "talking"),
        ("a\\b\\c", "a/b", "c"),
        ("a/", "", "a"),
        ("", "", "fallback"),
        ("x/..", "", "fallback"),
        ("x/../y", "", "y"),
        ('09:05 *?"<>|', "", "09_05 ______"),
        ("a\nb\tc", "", "a_b_c"),
        ("dots. /aux/con.x/nul", "dots/aux_/con_.x", "nul"),
        ("falcon/bacon.x/silicon.y", "falcon/bacon.x", "silicon.y"),
        ("con.x", "", "con_.x"),
        ("ü\u4e2d\U0001f600", "", "ü\u4e2d\U0001f600"),
    ],
)
def test_a_prefix_names_the_same_file_on_every_system(tmp_path, prefix, subfolder, stem):
    name = place(prefix, tmp_path, "fallback", "_00001_.mp4")
    assert (name.subfolder, name.stem) == (subfolder, stem)
    assert name.folder == tmp_path / subfolder


def test_a_full_path_inside_the_output_folder_is_one(tmp_path):
    assert place(str(tmp_path / "a" / "b"), tmp_path, "x", "").subfolder == "a"


@pytest.mark.parametrize(
    ("prefix", "sentence"),
    [
        ("../x", "outside ComfyUI's output folder"),
        ("..\\x", "outside ComfyUI's output folder"),
        ("/etc/x", "outside ComfyUI's output folder"),
        ("a/../../x", "outside ComfyUI's output folder"),
        ("..", "outside ComfyUI's output folder"),
        ("n\0l", "NUL"),
        ("\ud800", "half a character"),
        ("a" * 300, "longer than this disk allows"),
        ("\u4e2d" * 90, "longer than this disk allows"),
        ("a" * 300 + "/b", "longer than this disk allows"),
        ("/".join(["a" * 200] * 30), "longer than this disk allows"),
        ("a/" * 101 + "b", "has 101 nested folders; at most 100 are possible"),
        ("file/b", "a folder that is a file"),
    ],
)
def test_what_no_disk_takes_is_refused_before_anything_runs(tmp_path, prefix, sentence):
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match=sentence) as refusal:
        check(prefix, tmp_path, "_00001_.mp4")
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("C:\\a b\\ü.x\\talk.mp4", ""),
        ("\\\\server\\share\\console\\talk.mp4", ""),
        ("C:\\a\\12:30.mp4", "Windows forbids ':' in a name"),
        ("C:\\what?\\a.mp4", "Windows forbids '?' in a name"),
        ("C:\\a\\nul.mp4", "Windows reserves the name nul.mp4"),
        ("C:\\a.\\a.mp4", "Windows drops spaces and dots at the end of a name"),
    ],
)
def test_what_windows_does_not_take_as_a_path_is_known_before(path, fault):
    assert fault_on_windows(path) == fault


def test_a_placeholder_does_not_count_by_its_own_length(tmp_path):
    check(f"%{'a' * 250}.b%", tmp_path, "_00001_.mp4")


def test_any_text_is_refused_or_names_a_file_inside_the_output_folder(tmp_path):
    output, generator = tmp_path / "output", random.Random(9)
    output.mkdir()
    pieces = ["..", ".", "/", "\\", "a", "ü", "\u4e2d" * 40, "x" * 120, " ", "%", "%date:", "yyyy", "%width%", "%a.b%",
              ":", "*", "con", "nul.",
              "~", "\n", "\0", "\ud800", "\x7f", "-", "'", '"', "C:", str(output), "\U0001f600"]  # fmt: skip
    n_named = 0
    for _ in range(400):
        prefix = "".join(generator.choices(pieces, k=generator.randint(0, 6)))
        try:
            check(prefix, output, "_00001_.mp4")
            name = place(fill_in(prefix, NOW, (640, 480), PROMPT), output, "x", "_00001_.mp4")
        except OptionError as refusal:
            assert len(str(refusal)) < 600
            continue
        file = name.folder / f"{name.stem}_00001_.mp4"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        assert file.resolve().is_relative_to(output) and (output / name.subfolder / file.name).exists()
        assert not re.search(r'[:*?"<>|\\\x00-\x1f\x7f]', str(file.relative_to(output)))
        n_named += 1
    assert n_named > 100
