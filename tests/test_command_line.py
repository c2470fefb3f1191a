"""sadtalker make, models and batch: what they take, say and return."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from sadtalker_core import __main__ as command
from sadtalker_core.__main__ import DUBBED_BY, DUBBING, GROUPS, main
from sadtalker_core.checkpoint.catalog import RELEASED_MODELS
from sadtalker_core.errors import CheckpointMissing, FaceNotFound, VideoError
from sadtalker_core.options import OPTIONS, Options
from tests.waves import write_wave


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A portrait of nobody and a voice, in the current folder."""
    import torch

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (128, 128), "grey").save("face.png")
    write_wave(tmp_path / "hello.wav", torch.zeros(16_000), 16_000)
    return tmp_path


class Pretender:
    """Stands where a model stands; `asked` is what it was asked for."""

    def __init__(self):
        self.asked: list = []

    def load(self, name, **how):
        self.asked.append((name, how))
        return self

    def animate(self, portrait, voice, options, **more):
        self.asked.append((portrait, voice, options, *more.values()))
        return self

    n_frames, fps, size = 4, 25.0, (256, 256)

    def save(self, path, *, overwrite, on_progress):
        for done in (1, 2, 3, 4):
            on_progress(done, 4)
        path.write_bytes(b"film")
        return path


@pytest.fixture
def pretender(files, monkeypatch):
    model = Pretender()
    monkeypatch.setattr(command, "load", model.load)
    return model


def refused(capsys, *arguments: str) -> str:
    """What it says on stderr, in one line, when it begins nothing."""
    try:
        status = main(list(arguments))
    except SystemExit as ended:
        status = ended.code
    output = capsys.readouterr()
    assert status == 2 and output.out == "" and output.err.count("\n") == 1, output.err
    return output.err


@pytest.mark.parametrize("command_word", [(), ("make",)])
def test_a_portrait_and_a_voice_become_a_video_with_the_options_that_are_named(pretender, capsys, command_word):
    arguments = [
        "face.png",
        "hello.wav",
        "-o",
        "talk.mp4",
        "--seed",
        "7",
        "--still",
        "--yaw",
        "-20,0,20",
        "--expression",
        "smile=0.3; brows=0:0,1:0.4",
        "--blink-rate",
        "9",
        "--models",
        "here",
        "--device",
        "cpu",
        "--batch-size",
        "2",
    ]
    assert main([*command_word, *arguments]) == 0
    (name, how), (portrait, voice, options) = pretender.asked
    assert name == "mini" and how["models"] == [Path("here")] and how["allow_download"] is False
    assert (how["device"], how["precision"], how["batch_size"]) == ("cpu", "auto", 2)
    assert (portrait, voice) == (Path("face.png"), Path("hello.wav"))
    assert options == Options(seed=7, still=True, yaw="-20,0,20", blink_rate=9, expression="smile=0.3; brows=0:0,1:0.4")
    printed = capsys.readouterr()
    assert printed.out == f"{Path('talk.mp4').absolute()}: 4 frames of 256 x 256, 0.16 s\n"
    assert "4/4" in printed.err


def test_without_tqdm_the_bar_is_plain_text_and_quiet_has_none(pretender, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    main(["face.png", "hello.wav", "-o", "a.mp4"])
    assert capsys.readouterr().err.splitlines()[-1] == "render: 100 % (4 of 4)"
    main(["face.png", "hello.wav", "-o", "b.mp4", "--quiet"])
    assert capsys.readouterr().err == ""


def test_an_output_that_exists_is_refused_before_the_work_unless_overwriting_is_asked_for(pretender, capsys):
    Path("talk.mp4").write_bytes(b"mine")
    assert "talk.mp4 cannot be written: it exists" in refused(capsys, "face.png", "hello.wav", "-o", "talk.mp4")
    assert pretender.asked == [] and Path("talk.mp4").read_bytes() == b"mine"
    assert main(["face.png", "hello.wav", "-o", "talk.mp4", "--overwrite"]) == 0


def test_no_input_is_written_over_whatever_is_asked_for(pretender, capsys):
    Path("voice.mp4").write_bytes(b"voice")
    sentence = refused(capsys, "face.png", "voice.mp4", "-o", "./voice.mp4", "--overwrite")
    assert "it is one of the input files" in sentence and pretender.asked == []


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("gone.png", "hello.wav", "-o", "a.mp4"), "portrait: there is no file gone.png."),
    (("face.png", "gone.wav", "-o", "a.mp4"), "audio: there is no file gone.wav."),
    (("face.png", "-o", "a.mp4"), "name an audio file, or give --idle-seconds"),
    (("face.png", "hello.wav"), "the following arguments are required: -o/--out; see sadtalker make --help."),
    (("face.png", "hello.wav", "-o", "a.avi"), "expected a file name that ends in .mp4"),
    (("face.png", "hello.wav", "-o", "a.webm"), "expected a file name that ends in .mp4; or set the format to webm"),
    (("face.png", "hello.wav", "-o", "a.mp4", "--format", "mov"), "expected a file name that ends in .mov; or set the"),
    (("face.png", "hello.wav", "-o", "a.mp4", "--format", "avi"), "expected one of mp4, webm, mov, got 'avi'"),
    (("face.png", "hello.wav", "-o", "a.mp4", "--background", "grren"), "background: expected a colour such as"),
    (("face.png", "hello.wav", "-o", "a.mp4", "--background", "hello.wav"), "background: hello.wav cannot be read as"),
    (("face.png", "hello.wav", "-o", "no/a.mp4"), "its folder does not exist"),
    (("face.png", "hello.wav", "-o", "a.mp4", "--seed", "x"), "argument --seed: expected a whole number from 0"),
    (("face.png", "hello.wav", "-o", "a.mp4", "--pose-style", "46"), "a whole number from 0 to 45, got 46; see"),
    (("face.png", "hello.wav", "-o", "a.mp4", "--blink", "often"), "expected one of auto, off, original, got 'often'"),
    (("face.png", "hello.wav", "-o", "a.mp4", "--yaw", "left"), "expected degrees from -180 to 180"),
    (("face.png", "hello.wav", "-o", "a.mp4", "--expression", "brows=0:0,1:4"),
     "argument --expression: brows, keyframe 2 of 2 ('1:4'): expected a number from -1 to 1, got '4'; see"),
    (("face.png", "hello.wav", "-o", "a.mp4", "--batch-size", "-1"), "expected 0 or more"),
    (("face.png", "hello.wav", "-o", "a.mp4", "--what"), "unrecognized arguments: --what"),
    (("models", "--download", "huge"), "invalid choice: 'huge'"),
])  # fmt: skip
def test_what_cannot_be_used_gets_one_sentence_and_begins_nothing(pretender, capsys, arguments, sentence):
    assert sentence in refused(capsys, *arguments) and pretender.asked == []


def test_a_device_that_is_not_there_and_an_image_of_nobody_are_inputs(files, capsys):
    made = "face.png", "hello.wav", "-o", "a.mp4"
    assert "device: expected auto, cpu" in refused(capsys, *made, "--device", "cuda:99")
    assert "no face found" in refused(capsys, *made)
    assert not Path("a.mp4").exists()


@pytest.mark.parametrize(("error", "status"), [
    (FaceNotFound("no face."), 2), (CheckpointMissing("no weights."), 1), (OSError("no disk."), 1),
    (KeyboardInterrupt(), 130), (RuntimeError("DefaultCPUAllocator: not enough memory: x"), 1),
])  # fmt: skip
def test_every_end_has_its_status_and_one_sentence(pretender, monkeypatch, capsys, error, status):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(pretender, "animate", fail)
    assert main(["face.png", "hello.wav", "-o", "a.mp4"]) == status
    output = capsys.readouterr().err
    assert output.startswith("sadtalker: ") and output.count("\n") == 1 and "Traceback" not in output


def test_an_encoder_that_fails_is_no_fault_of_what_came_in(pretender, monkeypatch, capsys):
    def fail(*_, **__):
        raise VideoError("ffmpeg could not write the video.")

    monkeypatch.setattr(pretender, "save", fail)
    assert main(["face.png", "hello.wav", "-o", "a.mp4"]) == 1
    assert capsys.readouterr().err.endswith("sadtalker: ffmpeg could not write the video.\n")


@pytest.mark.parametrize(("model", "sentence"), [
    ("SadTalker 256", "allow_download is --allow-download."), ("huge", "there is no model 'huge'"),
    ("file/gone.safetensors", "gone.safetensors is in none of the folders searched"),
])  # fmt: skip
def test_a_model_that_is_not_there_is_an_argument_that_cannot_be_used(files, monkeypatch, capsys, model, sentence):
    monkeypatch.setattr("sadtalker_core.model_folders.around_the_pack", list)
    monkeypatch.setenv("XDG_CACHE_HOME", str(files / "cache"))
    refusal = refused(
        capsys, "face.png", "hello.wav", "-o", "a.mp4", "--model", model, "--models", str(files / "empty")
    )
    assert sentence in refusal


@pytest.mark.parametrize("command", ["make", "dub"])
def test_help_names_every_option_with_its_default_and_range(capsys, command):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    output = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert [name for names in GROUPS.values() for name in names] == list(OPTIONS)
    named = DUBBED_BY if command == "dub" else [name for name in OPTIONS if name not in GROUPS[DUBBING]]
    for name, option in OPTIONS.items():
        if name not in named:
            assert f"--{name.replace('_', '-')} " not in output
            continue
        assert f"--{name.replace('_', '-')}" in output
        if option.type is float:
            assert f"({option.min:g} to {option.max:g}" in output and f"default: {option.default:g})" in output


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_without_a_command_the_four_are_named(capsys, arguments):
    try:
        status = main(list(arguments))
    except SystemExit as ended:
        status = ended.code
    output = capsys.readouterr().out
    assert status == (0 if arguments else 2)
    assert all(word in output for word in ("sadtalker make", "sadtalker dub", "sadtalker batch", "sadtalker models"))
    assert "Exit status" in output


def test_batch_is_the_other_command(monkeypatch):
    monkeypatch.setattr("sadtalker_core.batch.__main__.main", lambda arguments: arguments)
    assert main(["batch", "jobs.csv", "--workers", "2"]) == ["jobs.csv", "--workers", "2"]


@pytest.fixture
def models(tmp_path, monkeypatch):
    """An empty folder for models, and what was fetched into it."""
    fetched = []
    monkeypatch.setattr(command, "fetch_model", lambda name, folders, on_progress: fetched.append((name, folders[0])))
    return SimpleNamespace(folder=tmp_path / "models", fetched=fetched)


def test_models_lists_what_is_there_and_what_is_missing_with_its_size(models, capsys):
    models.folder.mkdir()
    for file in RELEASED_MODELS["SadTalker 256"].sets[0]:
        (models.folder / file.name).touch()
    assert main(["models", "--models", str(models.folder)]) == 0
    output = capsys.readouterr().out
    assert "mini: built in\n" in output and "SadTalker 256: ready\n" in output
    assert "SadTalker 512: missing 725 MB\n    SadTalker_V0.0.2_512.safetensors, 725 MB, is missing\n" in output
    assert str(models.folder) in output and models.fetched == []


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("", 1), ("no", 1), (EOFError(), 1)])
def test_a_download_is_asked_for_with_its_size_and_begins_only_with_a_yes(models, monkeypatch, capsys, answer, status):
    asked = []

    def reply(question):
        asked.append(question)
        if isinstance(answer, EOFError):
            raise answer
        return answer

    monkeypatch.setattr("builtins.input", reply)
    assert main(["models", "--models", str(models.folder), "--download", "SadTalker 256"]) == status
    assert asked == [f"Download 1,036 MB into {models.folder}? [y/N] "]
    assert models.fetched == ([("SadTalker 256", models.folder)] if answer == "y" else [])
    assert "SadTalker_V0.0.2_256.safetensors, 725 MB, from https://" in capsys.readouterr().out


def test_yes_asks_nothing_and_both_models_are_fetched_when_none_is_named(models, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda question: pytest.fail("it asked"))
    assert main(["models", "--download", "--yes", "--models", str(models.folder)]) == 0
    assert models.fetched == [(name, models.folder) for name in RELEASED_MODELS]


def test_a_list_of_speakers_is_read_and_handed_on(pretender):
    Path("lines.txt").write_text("0-1 anna\n1-2 ben\n")
    assert main(["face.png", "hello.wav", "-o", "a.mp4", "--speakers", "lines.txt", "--quiet"]) == 0
    assert [turn.speaker for turn in pretender.asked[-1][3]] == ["anna", "ben"]


def test_speakers_that_cannot_be_read_or_have_no_voice_are_refused(pretender, capsys):
    Path("lines.txt").write_text("hello\n")
    rest = ("-o", "a.mp4", "--speakers", "lines.txt")
    assert "lines.txt: line 1: expected a start" in refused(capsys, "face.png", "hello.wav", *rest)
    assert "no audio to divide" in refused(capsys, "face.png", "--idle-seconds", "2", *rest)
    assert "speakers: there is no file" in refused(capsys, "face.png", "hello.wav", "-o", "a.mp4", "--speakers", "no")
    assert pretender.asked == []
