"""`sadtalker train`: one command from a folder of videos to a file of ComfyUI's, and the same again from its TOML."""

from __future__ import annotations

import re
import shutil

import pytest
import torch

from sadtalker_core.__main__ import main as sadtalker
from sadtalker_core.errors import InputError, OptionError
from sadtalker_core.training import easy, prepare, rehearsal
from sadtalker_core.training.clips import read_clips
from sadtalker_core.training.export import load_base_model
from sadtalker_core.training.segmenting import Outcome
from sadtalker_core.training.toml_file import read_toml, write_toml

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return rehearsal.write_speakers(tmp_path_factory.mktemp("clips"), n_frames=110)


@pytest.fixture
def place(tmp_path, clips, monkeypatch):
    """A folder with videos, where somebody stands; its videos are the clips of drawn speakers already."""

    def prepared(videos, out, **how):
        shutil.copytree(clips, out, dirs_exist_ok=True)
        return [Outcome(clip.source, 1, (clip.name,), 4.4) for clip in read_clips(out)]

    monkeypatch.setattr(prepare, "prepare", prepared)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").touch()
    rehearsal.write_narrow_base(tmp_path / "narrow.safetensors", audio_width=2)
    return tmp_path


def same(one, other):
    """Whether both have the same PoseVAE."""
    tensors = [load_base_model(str(file.absolute())).nets["posevae"].state_dict() for file in (one, other)]
    return all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


WORDS = ["train", "head-motion", "videos", "--base", "narrow.safetensors", "--models", "models", "--steps", "6"]
MORE = ["--validate-every", "2", "--films-every", "0", "--device", "cpu"]


def test_one_command_makes_a_file_for_the_model_folder_and_states_whose_style_is_which(place, capsys):
    assert sadtalker([*WORDS, *MORE]) == 0
    printed = capsys.readouterr().out
    file = place / "models" / "videos_head-motion.safetensors"
    assert "posevae" in load_base_model(str(file)).nets and "Choose file/videos_head-motion.safetensors" in printed
    assert 'styles {"drawn 0": 0, "drawn 1": 1, "drawn 2": 2, "drawn 3": 3} (best state, step ' in printed
    assert "0.3 minutes. Begin: base, at most 6 steps" in printed and "held-out error" in printed
    assert (place / "runs" / "videos_head-motion" / "report.html").exists()
    alone = re.findall(r"^    python -m sadtalker_core\.training\.(\w+) (.+)$", printed, flags=re.MULTILINE)
    assert [program for program, _ in alone] == ["prepare", "posevae"] and "--init-from base" in alone[1][1]

    chosen = place / "runs" / "videos_head-motion" / easy.CHOSEN_FILE
    settings = {**read_toml(chosen), "out": "again", "export": "again.safetensors"}
    assert (settings["kind"], settings["begin"], settings["steps"], settings["threads"]) == (
        "head-motion",
        "base",
        6,
        1,
    )
    assert sadtalker(["train", "--from", str(write_toml(place / "again.toml", settings))]) == 0
    assert same(place / "again.safetensors", file)

    assert sadtalker([*WORDS, *MORE]) == 0  # goes on: its own file is replaced, nobody else's is
    assert [path.name for path in (place / "models").iterdir()] == [file.name]
    assert sadtalker([*WORDS, *MORE, "--out", "other", "--dry-run"]) == 0
    assert read_toml(place / "other" / easy.CHOSEN_FILE)["export"].endswith("videos_head-motion_2.safetensors")


def test_best_and_last_are_exported_at_any_time_without_training_on(place, capsys):
    words = ["--out", "run", "--steps", "6", "--export", "mine.safetensors"]
    assert sadtalker([*WORDS[:-2], *MORE, *words]) == 0
    alone = re.findall(r"training\.posevae (.+)$", capsys.readouterr().out, flags=re.MULTILINE)[0]
    before = (place / "run" / "log.jsonl").read_bytes()
    common = alone.replace("--export mine.safetensors", "").replace("--steps 6", "--steps 60").split()
    for which, words in (("best", ["best", "b.safetensors"]), ("last", ["last"])):
        easy.importlib.import_module("sadtalker_core.training.posevae").main([*common, "--export", *words])
        assert f"({which} state, step " in capsys.readouterr().out
    assert (place / "run" / "last.safetensors").exists()
    assert same(place / "b.safetensors", place / "mine.safetensors")
    assert (place / "run" / "log.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ([], "name what to train"),
        (["mouth", "nowhere"], "expected a folder of videos"),
        (["mapping", "videos"], "mapping needs --base"),
        (["mouth", "videos", "--export", "model.bin"], r"ends in \.safetensors"),
        (["mouth", "videos", "--export", "videos/a.mp4/b.safetensors"], "nothing can be written to"),
        (["mouth", "videos", "--device", "xpu:7"], "is not available on this machine"),
        (["--from", "videos/a.mp4"], "lacks kind"),
        (["--from", "nowhere.toml"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_a_sentence_before_the_work_begins(place, words, printed, monkeypatch):
    def never(*_, **__):
        raise AssertionError("the work began")

    monkeypatch.setattr(prepare, "prepare", never)
    with pytest.raises((InputError, OptionError), match=printed):
        easy.main(words)


def test_a_chosen_toml_with_a_wrong_line_is_named(place):
    assert sadtalker([*WORDS, *MORE, "--out", "run", "--dry-run"]) == 0
    good = read_toml(place / "run" / easy.CHOSEN_FILE)
    for wrong, printed in (
        ({"steps": "many"}, "wrong steps"),
        ({"colour": 1}, "unknown colour"),
        ({"kind": "x"}, "as kind"),
    ):
        with pytest.raises((InputError, OptionError), match=printed):
            easy.main(["--from", str(write_toml(place / "wrong.toml", {**good, **wrong}))])


def test_a_chosen_toml_of_an_earlier_version_is_the_same_run(place):
    assert sadtalker([*WORDS, *MORE, "--out", "run", "--dry-run"]) == 0
    chosen = place / "run" / easy.CHOSEN_FILE
    old = chosen.read_text(encoding="utf-8").replace("videos_every", "films_every")
    (place / "old.toml").write_text(old, encoding="utf-8")
    assert sadtalker(["train", "--from", str(place / "old.toml"), "--dry-run"]) == 0
    assert "films_every" in old and read_toml(chosen)["videos_every"] == 0


def test_the_minutes_decide_where_to_begin_and_how_far_to_go():
    few, more, many = (easy.choose("head-motion", minutes, gpu=False) for minutes in (1, 10, 100))
    assert (few.begin, more.begin, many.begin) == ("base", "base", "new")
    assert few.steps < more.steps < many.steps and few.rate_scale < 1 == many.rate_scale
    assert few.patience and few.threads == 1 and few.validate_every < few.steps / 10
    assert easy.choose("renderer", 10, gpu=True).steps == 100 * easy.choose("renderer", 10, gpu=False).steps
    assert easy.choose("renderer", 10, gpu=False).config == "narrow"
