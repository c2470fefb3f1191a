"""What docs/WORKFLOWS.md tells a program of one's own to do: its lines are run as they stand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time

import pytest

from tests.tools.blueprints import API_FILE, api_text
from tests.tools.comfyui import media
from tests.tools.comfyui.layout import PROJECT

pytestmark = [pytest.mark.comfyui, pytest.mark.slow]

GUIDE = (PROJECT / "docs" / "WORKFLOWS.md").read_text(encoding="utf-8")


def block(language: str, url: str) -> str:
    (code,) = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert "http://127.0.0.1:8188" in code
    return code.replace("http://127.0.0.1:8188", url)


@pytest.fixture
def files(comfyui, astronaut, tmp_path):
    shutil.copy(astronaut, tmp_path / "face.png")
    media.beginning(comfyui, media.VOICE, 0.4, tmp_path / "hello.wav")
    shutil.copy(API_FILE, tmp_path)
    return tmp_path


def test_the_prompt_is_that_of_the_app():
    """Mended by `python -m tests.tools.blueprints`."""
    assert API_FILE.read_text(encoding="utf-8") == api_text()


def test_the_python_of_the_docs_makes_a_video(client, comfyui, files):
    done = subprocess.run(
        [sys.executable, "-c", block("python", client.url)], cwd=files, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert media.complaints(media.probe(comfyui, files / "talk.mp4")[0], 0.4) == []


def test_the_curl_lines_of_the_docs_make_a_video(client, comfyui, files):
    *lines, fetch = block("bash", client.url).strip().splitlines()
    assert [line.split()[0] for line in lines] == ["curl"] * 4

    def answer(line: str) -> dict:
        return json.loads(subprocess.run(line, shell=True, cwd=files, capture_output=True, check=True).stdout)

    answers = [answer(line) for line in lines[:-1]]
    assert answers[-1]["node_errors"] == {}
    job = answers[-1]["prompt_id"]
    for _ in range(300):
        history = answer(lines[-1])
        if job in history:
            break
        time.sleep(1)
    (video,) = history[job]["outputs"]["video"]["images"]
    assert video["subfolder"] == "sadtalker" and "talking_00001_.mp4" in fetch
    subprocess.run(fetch.replace("talking_00001_.mp4", video["filename"]), shell=True, cwd=files, check=True)
    assert media.complaints(media.probe(comfyui, files / "talk.mp4")[0], 0.4) == []
