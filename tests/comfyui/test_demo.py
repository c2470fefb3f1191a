"""`make demo`, from bad arguments to the finished video."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.tools.comfyui import media
from tests.tools.comfyui.client import Client, ClientError
from tests.tools.comfyui.layout import PROJECT
from tests.tools.comfyui.server import free_port

pytestmark = pytest.mark.comfyui


def make_demo(**variables) -> subprocess.CompletedProcess:
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PORTRAIT", "VOICE", "OUT", "WORKFLOW", "REFERENCE")
    }
    return subprocess.run(
        [sys.executable, "-m", "tests.comfyui", "demo"],
        cwd=PROJECT,
        text=True,
        encoding="utf-8",
        capture_output=True,
        env={**env, "PYTHONUTF8": "1", **variables},
    )


@pytest.mark.parametrize(
    ("variable", "content", "sentence"),
    [
        ("PORTRAIT", None, "there is no such file"),
        ("PORTRAIT", b"this is no picture", "cannot be read as an image"),
        ("VOICE", None, "there is no such file"),
        ("VOICE", b"this is no sound", "cannot be read as audio"),
        ("WORKFLOW", b"{not json", "is not JSON"),
        ("WORKFLOW", None, "there is no workflow file"),
    ],
)
def test_a_bad_argument_gets_a_sentence_before_the_server_starts(tmp_path, variable, content, sentence):
    file = tmp_path / "my f\u00efle.dat"
    if content is not None:
        file.write_bytes(content)
    done = make_demo(**{variable: str(file)})
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and sentence in done.stderr and "my f\u00efle.dat" in done.stderr
    assert "Traceback" not in done.stderr and "starting ComfyUI" not in done.stdout


def test_the_video_is_an_mp4_or_nothing_starts():
    done = make_demo(OUT="talk.avi")
    assert done.returncode == 1 and "let the name end in .mp4" in done.stderr


def test_the_shipped_voice_is_small_and_short(comfyui, voice):
    sound = media.probe(comfyui, voice)[0]["audio"]
    assert sound["rate"] == 16000 and sound["channels"] == 1 and 4 < sound["seconds"] < 6
    assert voice.stat().st_size <= 300_000


def test_what_is_wrong_with_a_video_is_reported():
    good = {
        "video": {"codec": "h264", "fps": 25.0, "frames": 100, "seconds": 4.0},
        "audio": {"codec": "aac", "rate": 16000, "seconds": 4.032},
    }
    assert media.complaints(good, 4.01) == []
    assert media.complaints({**good, "audio": None}, None) == []
    assert media.complaints({**good, "video": {**good["video"], "seconds": 3.9}}, 4.01) == [
        "shows 3.900 s for 4.010 s of voice"
    ]
    assert media.complaints({"video": {**good["video"], "codec": "mpeg4", "fps": 24.0}}, 4.0) == [
        "is mpeg4, not H.264",
        "runs at 24 fps, not 25",
        "has no sound",
    ]


@pytest.mark.slow
def test_the_demo_makes_a_video_as_long_as_the_voice(tmp_path, comfyui, voice):
    out = tmp_path / "out \u00e4" / "talk.mp4"
    done = make_demo(OUT=str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    record, speech = media.probe(comfyui, out, voice)
    assert media.complaints(record, speech["audio"]["seconds"]) == []
    assert str(out) in done.stdout and f"{record['video']['frames']} frames" in done.stdout
    assert "What next:" in done.stdout and "Face Render" in done.stdout


@pytest.mark.slow
def test_the_message_of_a_node_is_what_the_user_reads(tmp_path, astronaut):
    moon = astronaut.with_name("moon.png")
    done = make_demo(PORTRAIT=str(moon), OUT=str(tmp_path / "talk.mp4"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: 3DMM Extract: the portrait 'demo_image.png': no face found in the image")


@pytest.mark.slow
def test_the_server_stays_up_until_it_is_stopped_even_in_the_background():
    was = signal.signal(signal.SIGINT, signal.SIG_IGN)  # what a shell does to a job in the background, children inherit
    try:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "tests.comfyui", "serve", "--port", str(free_port())],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
    finally:
        signal.signal(signal.SIGINT, was)
    output = ""
    while "Ctrl-C" not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    url = re.search(r"http://127.0.0.1:\d+", output)[0]
    inputs = Client(url).object_info()["SadTalkerLoadPortrait"]["input"]["required"]["image"]
    assert "portrait.png" in str(inputs)  # the shipped workflows find their image
    process.send_signal(signal.SIGINT)
    process.wait(30)
    process.stdout.close()
    with pytest.raises(ClientError, match="no answer"):
        Client(url).object_info()
