"""The page and this harness turn the same saved graph into the same prompt."""

from __future__ import annotations

import json

import pytest

from tests.tools.comfyui import workflow
from tests.tools.comfyui.layout import PROJECT
from tests.tools.comfyui.page import CLICKS, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Every addition of the page in one graph: upload buttons, players, seeds, linked widgets.
CORE = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "astronaut.png"}},
    "2": {"class_type": "LoadAudio", "inputs": {"audio": "hello.flac"}},
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 77,
            "steps": 5,
            "cfg": 6.5,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 0.75,
            "model": ["6", 0],
            "positive": ["4", 0],
            "negative": ["4", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "a portrait", "clip": ["6", 1]}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 640, "batch_size": 1}},
    "6": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "any.safetensors"}},
    "7": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["6", 2]}},
    "8": {"class_type": "SaveImage", "inputs": {"images": ["7", 0], "filename_prefix": "x"}},
    "9": {"class_type": "SaveAudioMP3", "inputs": {"audio": ["2", 0], "filename_prefix": "a/b", "quality": "V0"}},
    "10": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
}


@pytest.fixture(scope="module")
def page(server, client):
    with Page(server.url) as page:
        yield page


def plain(prompt: dict) -> dict:
    """Without titles and the page's own extras (an upload button's value, a player)."""
    ours = {"audioUI", "upload", "is_changed", "video-preview"}
    return {
        node_id: (node["class_type"], {k: v for k, v in node["inputs"].items() if k not in ours})
        for node_id, node in prompt.items()
    }


def test_a_graph_of_core_nodes_becomes_the_pages_own_prompt(page, object_info):
    page.load_api(CORE)
    saved = page.serialize()
    assert plain(workflow.to_prompt(saved, object_info)) == plain(page.prompt()) == plain(CORE)


@pytest.mark.parametrize("file", sorted((PROJECT / "workflows").glob("*.json")), ids=lambda file: file.stem)
def test_a_shipped_workflow_opens_whole_and_becomes_the_pages_own_prompt(page, object_info, file):
    graph = workflow.load(file)
    page.load(graph)
    saved = page.serialize()
    missing = [
        node["type"]
        for node in saved["nodes"]
        if node["type"] not in object_info and node["type"] not in workflow.ONLY_ON_THE_PAGE
    ]
    assert missing == []
    assert len(saved["nodes"]) == len(graph["nodes"]) and len(saved["links"]) == len(graph["links"])
    sent = page.prompt()
    if file.stem.endswith(".app"):
        graph = saved  # an app names no file, and this page then takes the first one there is
    assert plain(workflow.to_prompt(graph, object_info)) == plain(json.loads(json.dumps(sent)))
    assert page.errors == []


def test_a_graph_stored_before_there_was_a_size_keeps_the_one_it_had(page):
    graph = workflow.load(PROJECT / "workflows" / "talking_portrait.json")
    (extract,) = (node for node in graph["nodes"] if node["type"] == "SadTalker3DMMExtract")
    assert extract["inputs"].pop()["name"] == "render_size" and extract["widgets_values"].pop() == 0
    page.load(graph)
    (prompt,) = (node for node in page.prompt().values() if node["class_type"] == "SadTalker3DMMExtract")
    assert prompt["inputs"]["render_size"] == 256
    new = "() => LiteGraph.createNode('SadTalker3DMMExtract').widgets.find(one => one.name === 'render_size').value"
    assert page.page.evaluate(new) == 0
    assert page.errors == []


def test_a_click_that_a_busy_page_swallowed_is_repeated_but_not_for_ever():
    from playwright.sync_api import TimeoutError

    clicks: list[str] = []

    def wait(_: float) -> None:
        if len(clicks) < 3:
            raise TimeoutError("nothing came")

    def in_vain(_: float) -> None:
        raise TimeoutError("nothing comes")

    Page("http://127.0.0.1").click_until(lambda: clicks.append("click"), wait)
    assert len(clicks) == 3
    with pytest.raises(TimeoutError):
        Page("http://127.0.0.1").click_until(lambda: clicks.append("click"), in_vain)
    assert len(clicks) == 3 + CLICKS
