"""A table becomes jobs, or a sentence for every line that cannot be one."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from sadtalker_core.batch.jobs import FILES, read_jobs
from sadtalker_core.errors import JobListError
from sadtalker_core.options import OPTIONS, Options
from tests.batch.conftest import NOBODY, PORTRAIT, write_voice

NODES = json.loads((Path(__file__).parent.parent / "nodes" / "frozen_interface.json").read_text(encoding="utf-8"))
PIPELINE = ("LoadModel", "LoadPortrait", "3DMMExtract", "AudioEncode", "ExpNet", "PoseVAE", "MappingNet", "DubVideo",
            "RenderVideo")  # fmt: skip


def faults(path: Path) -> list[str]:
    with pytest.raises(JobListError) as caught:
        read_jobs(path)
    return str(caught.value).split("\n")


def fault_of(table, columns: str, cells: str, portrait: str = PORTRAIT, out: str = "one.mp4") -> str:
    """The one sentence about the one line of a table."""
    (sentence,) = faults(table("one.csv", f"portrait,out,{columns}", f"{portrait},{out},{cells}"))
    assert sentence.startswith("one.csv, line 2: ")
    return sentence.removeprefix("one.csv, line 2: ")


def test_a_line_becomes_a_job_with_the_options_it_names(table, folder):
    path = table(
        "jobs.csv",
        "portrait,voice,out,seed,still,crop_mode,yaw,blink_rate",
        f'{PORTRAIT},long voice.wav,videos/\u4f60.mp4,7,TRUE,extfull,"-20, 0, 20",',
    )
    (job,) = read_jobs(path)
    assert (job.line, job.portrait, job.voice) == (2, folder / PORTRAIT, folder / "long voice.wav")
    assert (job.out, job.n_frames) == (folder / "videos" / "\u4f60.mp4", 32)
    assert job.options == Options(seed=7, still=True, crop_mode="extfull", yaw="-20, 0, 20")


def test_columns_have_the_names_the_defaults_and_the_choices_of_the_nodes_inputs():
    inputs = {
        name: entry
        for node in PIPELINE
        for name, entry in NODES[f"SadTalker{node}"]["inputs"].items()
        if "default" in entry
    }  # what has none comes by a wire
    inputs["background"] = inputs["background_color"]  # a table names an image file where a node has a socket
    columns = asdict(Options())
    assert columns.pop("expression") == "", "all inputs of Set Expression in one text"
    for name, default in columns.items():
        assert default == inputs[name]["default"], name
        for value in inputs[name].get("values", ()):
            assert OPTIONS[name].read(value) == value


@pytest.mark.comfyui
def test_columns_have_the_limits_of_the_nodes_inputs(object_info):
    for node in PIPELINE:
        sections = object_info[f"SadTalker{node}"]["input"]
        for name, spec in (sections["required"] | sections.get("optional", {})).items():
            limits = spec[1] if len(spec) > 1 else {}
            if name in OPTIONS and "max" in limits:
                least = limits["min"] if OPTIONS[name].least is None else OPTIONS[name].least
                wanted = f"from {least:g} to {limits['max']:g}"
                if name == "seed":
                    wanted = f"from 0 to {limits['max']}"
                assert OPTIONS[name].expected.endswith(wanted), name


@pytest.mark.parametrize(("cells", "sentence"), [
    ("film.mp4,,short.wav", "film: there is no file"), ("film.mp4,a.png,short.wav", "it has a portrait and a film"),
    ("film.mp4,,", "its film has no voice to be dubbed with; set voice."),
    (",,short.wav", "portrait and film is empty."),
    ("short.wav,,short.wav", "film: the video has no video track."),
])  # fmt: skip
def test_a_line_has_a_portrait_or_a_video_and_a_video_has_a_voice(table, cells, sentence):
    found = faults(table("films.csv", "film,portrait,voice,out", f"{cells},x.mp4"))
    assert any(sentence in fault for fault in found)


def test_an_idle_clip_needs_no_voice(table):
    (job,) = read_jobs(table("idle.csv", "portrait,out,idle_seconds", f"{PORTRAIT},idle.mp4,2"))
    assert job.voice is None and job.n_frames == 50


def test_a_line_may_ask_for_the_originals_blinks(table):
    (job,) = read_jobs(table("blinks.csv", "portrait,out,idle_seconds,blink", f"{PORTRAIT},idle.mp4,2,original"))
    assert job.options.blink == "original"


def test_a_table_as_spreadsheets_write_it_can_be_read(folder):
    path = folder / "excel.csv"
    path.write_bytes(f"\ufeffportrait,voice,out\r\n{PORTRAIT},short.wav,x.mp4\r\n,,\r\n".encode())
    assert [job.line for job in read_jobs(path)] == [2]


@pytest.mark.parametrize(("columns", "cells", "sentence"), [
    ("idle_seconds", "", "it has no voice; set voice, or idle_seconds for a silent clip."),
    ("idle_seconds", "soon", "idle_seconds: expected a number from 0 to 36000, got 'soon'."),
    ("idle_seconds,crop_scale", "1,nan", "crop_scale: expected a number from 0.5 to 3, got 'nan'."),
    ("idle_seconds,pose_style", "1,46", "pose_style: expected a whole number from 0 to 45, got '46'."),
    ("idle_seconds,pose_style", "1,4.5", "pose_style: expected a whole number from 0 to 45, got '4.5'."),
    ("idle_seconds,still", "1,perhaps", "still: expected true or false, got 'perhaps'."),
    ("idle_seconds,quality", "1,nice", "quality: expected one of draft, high, best, got 'nice'."),
    ("idle_seconds,blink", "1,often", "blink: expected one of auto, off, original, got 'often'."),
    ("idle_seconds,yaw", "1,left", "yaw: expected degrees from -180 to 180, such as '-20, 0, 20', got 'left'."),
    ("idle_seconds,expression", "1,brows=0:0; smile=2",
     "expression: smile: expected a number from 0 to 1, or keyframes such as '0:0, 1.5:0.4, 3:0', got '2'."),
])  # fmt: skip
def test_a_wrong_cell_gets_a_sentence(table, columns, cells, sentence):
    assert fault_of(table, columns, cells) == sentence


def test_a_file_that_is_not_there_is_named_with_its_line(table, folder):
    assert fault_of(table, "voice", "gone.wav") == f"voice: there is no file {folder / 'gone.wav'}."


def test_files_of_the_wrong_kind_are_named(table, folder):
    assert fault_of(table, "voice", PORTRAIT).startswith("voice: it has no audio")
    sentence = faults(table("kind.csv", "portrait,voice,out", "short.wav,short.wav,x.mp4"))[0]
    assert sentence.startswith("kind.csv, line 2: portrait: it cannot be read as an image")


def test_a_file_is_known_by_what_it_holds_and_not_by_the_end_of_its_name(table, folder):
    shutil.copy(folder / PORTRAIT, folder / "FACE.JPG")
    shutil.copy(folder / "short.wav", folder / "voice")
    (job,) = read_jobs(table("names.csv", "portrait,voice,out", "FACE.JPG,voice,names.mp4"))
    assert job.n_frames == 16


def test_a_model_that_is_not_there_is_named_with_what_it_needs(table):
    sentence = fault_of(table, "idle_seconds,model", "1,SadTalker 256")
    assert sentence.startswith("model: SadTalker 256 needs files") and "SadTalker_V0.0.2_256.safetensors" in sentence
    assert fault_of(table, "idle_seconds,model", "1,huge").startswith("model: there is no model 'huge'")


@pytest.mark.parametrize(("portrait", "reason"), [
    ("x\0y.png", "portrait: 'x\\x00y.png' is not the name of a file ("),
    ("~nobody_of_that_name/x.png", "portrait: '~nobody_of_that_name/x.png' is not the name of a file ("),
    ("a" * 300 + ".png", "portrait: "), ("short.wav/x.png", "portrait: there is no file "),
])  # fmt: skip
def test_a_name_that_no_file_can_have_gets_a_sentence(table, portrait, reason):
    message = fault_of(table, "idle_seconds", "1", portrait)
    assert message.startswith(reason) and len(message) < 600


@pytest.mark.parametrize(("out", "reason"), [
    ("x\0y.mp4", "is not the name of a file"), ("~nobody_of_that_name/x.mp4", "is not the name of a file"),
    ("\u4f60" * 80 + ".mp4", "its name is too long; use 215 bytes at most"),
    ("b" * 300 + "/x.mp4", "too long"), ("short.wav/x.mp4", "short.wav is no folder"),
])  # fmt: skip
def test_a_video_that_could_not_be_written_is_reported_before_it_is_made(table, out, reason):
    message = fault_of(table, "idle_seconds", "1", out=out)
    assert message.startswith("out: ") and reason in message and len(message) < 600


def test_a_folder_that_nobody_may_write_to_is_reported_before_anything_is_made(table, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert fault_of(table, "idle_seconds", "1").endswith(" cannot be written to).")


@pytest.mark.parametrize("column", ["portrait", "voice", "out", "seed", "model", "yaw"])
def test_a_cell_of_any_length_is_repeated_in_short(table, column):
    row = {"portrait": PORTRAIT, "voice": "short.wav", "out": "a.mp4"} | {column: "y" * 100_000}
    (message,) = faults(table("one.csv", ",".join(row), ",".join(row.values())))
    assert "yyyyyy" in message and len(message) < 600


def test_a_cell_longer_than_any_reader_takes_is_reported_with_its_line(table):
    message = fault_of(table, "seed", "1" * 200_000)
    assert message.startswith("it cannot be read as CSV (field larger than field limit (131072))")


def test_of_very_many_faults_the_first_are_reported(table):
    messages = faults(table("many.csv", "portrait,out", *["gone.png,a.avi"] * 200))
    assert len(messages) == 101 and messages[-1] == "many.csv has 300 more faults."


def test_every_wrong_line_is_reported_at_once(table):
    messages = faults(
        table("many.csv", "portrait,out,idle_seconds", f"{PORTRAIT},a.mp4,x", f"{PORTRAIT},b.mp4,1", "gone.png,c.avi,1")
    )
    assert [sentence.split(":")[0] for sentence in messages] == ["many.csv, line 2"] + 2 * ["many.csv, line 4"]


def test_no_video_is_written_twice(table, folder):
    messages = faults(
        table("twice.csv", "portrait,out,idle_seconds", f"{PORTRAIT},a.mp4,1", f"{PORTRAIT},x/../a.mp4,2")
    )
    assert messages == [f"twice.csv, line 3: out: {folder / 'x/../a.mp4'} is already written by line 2."]


@pytest.mark.parametrize("out", ["voice.mp4", "x/../voice.mp4"])
def test_no_input_is_written_over(table, folder, out):
    (folder / "voice.mp4").write_bytes((folder / "short.wav").read_bytes())
    (sentence,) = faults(table("over.csv", "portrait,voice,out", f"{PORTRAIT},voice.mp4,{out}"))
    assert sentence.endswith("is a portrait or voice of this table.")


@pytest.mark.parametrize(("head", "sentence"), [
    ("portrait,out,sed", "one.csv, line 1: unknown column 'sed'; known are portrait, voice, speakers, out, film, "),
    ("portrait;voice;out", "one.csv, line 1: unknown column 'portrait;voice;out'; known are portrait, "),
    ("portrait,out,seed,seed", "one.csv, line 1: the column seed appears twice."),
    ("voice,seed", "one.csv, line 1: the column portrait and out is missing."),
])  # fmt: skip
def test_the_first_line_is_looked_at_first(table, head, sentence):
    assert faults(table("one.csv", head, "a,b"))[0].startswith(sentence)


def test_a_comma_too_many_is_reported_with_its_line(table):
    path = table("one.csv", "portrait,out,yaw", f"{PORTRAIT},a.mp4,-20,20")
    assert faults(path) == ["one.csv, line 2: 4 cells below 3 columns; put quotes around text that contains commas."]


def test_a_table_of_nothing_and_one_that_is_not_there_get_a_sentence(table, folder):
    assert faults(table("empty.csv", "portrait,voice,out"))[0].startswith("empty.csv names no job")
    assert faults(folder / "nowhere.csv") == [f"there is no file {folder / 'nowhere.csv'}."]
    (folder / "latin.csv").write_bytes("portrait,out\nf\u00e4ce.png,a.mp4\n".encode("latin-1"))
    assert faults(folder / "latin.csv")[0].endswith("Save it as CSV in UTF-8.")


def test_the_id_follows_what_goes_in_and_nothing_else(table, folder):
    def ids(name, *lines):
        return [job.id for job in read_jobs(table(name, *lines))]

    write_voice(folder / "again.wav", 16 / 25)
    plain = ids("a.csv", "portrait,voice,out", f"{PORTRAIT},short.wav,a.mp4")
    assert plain == ids("b.csv", "seed,out,voice,portrait", "", f"0,a.mp4,again.wav,{PORTRAIT}"), "the same in the end"
    others = ids(
        "c.csv",
        "portrait,voice,out,seed",
        f"{PORTRAIT},short.wav,a.mp4,1",
        f"{PORTRAIT},short.wav,b.mp4,",
        f"{PORTRAIT},long voice.wav,c.mp4,",
    )
    assert len({*plain, *others}) == 4


def test_a_format_and_a_background_become_part_of_a_job(table, folder):
    lines = [
        f"{PORTRAIT},short.wav,a.webm,webm,",
        f"{PORTRAIT},short.wav,b.MOV,mov,#00ff00",
        f"{PORTRAIT},short.wav,c.mp4,,{NOBODY}",
        f"{PORTRAIT},short.wav,d.mp4,mp4,white",
    ]
    jobs = read_jobs(table("films.csv", "portrait,voice,out,format,background", *lines))
    assert [job.options.format for job in jobs] == ["webm", "mov", "mp4", "mp4"]
    assert [job.background for job in jobs] == [None, None, folder / NOBODY, None]
    assert len({job.id for job in jobs}) == 4


def test_the_image_of_a_background_counts_by_what_it_shows(table, folder):
    def id_of(name):
        (job,) = read_jobs(table("one.csv", "portrait,voice,out,background", f"{PORTRAIT},short.wav,a.mp4,{name}"))
        return job.id

    shutil.copy(folder / NOBODY, folder / "behind.png")
    before = id_of("behind.png")
    shutil.copy(folder / PORTRAIT, folder / "behind.png")
    assert id_of("behind.png") != before


@pytest.mark.parametrize(("columns", "cells", "out", "message"), [
    ("format", "webm", "a.mp4", "out: expected the name of a webm to write, got 'a.mp4'."),
    ("format", "avi", "a.mp4", "format: expected one of mp4, webm, mov, got 'avi'."),
    ("background", "grren", "a.mp4", "background: expected a colour such as #00ff00, or an image file; there is no "),
    ("background", "x" * 5000, "a.mp4", "background: "),
    ("background", "short.wav", "a.mp4", "background: it cannot be read as an image"),
])  # fmt: skip
def test_a_format_or_a_background_that_cannot_be_gets_a_sentence(table, columns, cells, out, message):
    lines = f"portrait,voice,out,{columns}", f"{PORTRAIT},short.wav,{out},{cells}"
    (sentence,) = faults(table("one.csv", *lines))
    assert sentence.startswith(f"one.csv, line 2: {message}")


def test_every_column_is_described(project):
    text = (project / "docs" / "BATCH.md").read_text(encoding="utf-8")
    assert [name for name in (*FILES, *OPTIONS) if f"`{name}`" not in text] == []


def test_who_speaks_when_is_a_file_of_the_line_and_part_of_its_name(table, folder):
    (folder / "lines.txt").write_text("0-1 anna\n1-2 ben\n")
    head, line = "portrait,voice,out,speakers", f"{PORTRAIT},long voice.wav,a.mp4,"
    (job,) = read_jobs(table("a.csv", head, f"{line}lines.txt"))
    (alone,) = read_jobs(table("b.csv", head, line))
    (before,) = read_jobs(table("c.csv", "portrait,voice,out", line.rstrip(",")))
    assert job.speakers == folder / "lines.txt" and alone.speakers is None
    assert job.id != alone.id == before.id


def test_speakers_that_cannot_be_read_and_those_without_a_voice_are_reported(table, folder):
    (folder / "lines.txt").write_text("hello\n")
    message = fault_of(table, "voice,speakers", "long voice.wav,lines.txt")
    assert "line 1: expected a start" in message and message.count("speakers:") == 1
    (folder / "lines.txt").write_text("0-1 anna\n")
    assert fault_of(table, "idle_seconds,speakers", "2,lines.txt").startswith("speakers: it has no voice")
