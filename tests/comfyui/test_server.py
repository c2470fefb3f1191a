"""A real server, started and asked."""

from __future__ import annotations

import pytest

from tests.tools.comfyui.client import PromptRefused
from tests.tools.comfyui.server import ServerError

pytestmark = pytest.mark.comfyui

PROMPT = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": 9}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "test"}},
}


def test_a_prompt_runs_and_its_image_comes_back(client):
    run = client.run(PROMPT)
    assert run.executed == ["1", "2"]
    assert client.download(run.files(".png")[0]).startswith(b"\x89PNG")


def test_the_same_prompt_again_runs_nothing_but_what_changed(client):
    client.run(PROMPT)
    changed = {**PROMPT, "2": {**PROMPT["2"], "inputs": {"images": ["1", 0], "filename_prefix": "other"}}}
    run = client.run(changed)
    assert run.executed == ["2"] and run.cached == {"1"}


def test_a_wrong_value_is_refused_in_the_servers_words(client):
    wrong = {
        **PROMPT,
        "1": {"class_type": "EmptyImage", "inputs": {"width": -1, "height": 32, "batch_size": 1, "color": 9}},
    }
    with pytest.raises(PromptRefused, match=r"EmptyImage \(node 1\): Value -1 smaller than min of 1"):
        client.run(wrong)


def test_a_server_in_a_folder_with_spaces_and_other_scripts_saves_its_files(new_server, tmp_path):
    from tests.tools.comfyui.client import Client

    base = tmp_path / "My \u4f60\u597d files"
    server = new_server(base=base)
    Client(server.url).run(PROMPT)
    assert len(list((base / "output").glob("test_*.png"))) == 1


def test_a_server_that_cannot_start_shows_the_end_of_its_log(new_server):
    with pytest.raises(ServerError, match="unrecognized arguments: --no-such-switch"):
        new_server(extra=("--no-such-switch",))
