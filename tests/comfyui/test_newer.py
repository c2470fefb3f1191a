"""A newer ComfyUI (environment.NEWER_CORE) with the newest page (NEWER_PAGE), beside the oldest one of all other tests:
workflows by the API, memory, the page in Nodes 2.0, the apps on a desk and on a phone.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.tools.comfyui import environment, media, shipped, workflow
from tests.tools.comfyui.client import Client
from tests.tools.comfyui.inprocess import run_inside
from tests.tools.comfyui.layout import PROJECT, home, make_base, remove_base
from tests.tools.comfyui.page import Page
from tests.tools.comfyui.server import Server

pytestmark = [pytest.mark.comfyui, pytest.mark.browser, pytest.mark.slow]

SCREENSHOTS = home() / "screenshots"
SECONDS = 0.4
APPS = {"1_talking_portrait.app": (1400, 900), "2_full_body.app": (420, 880), "3_dub_video.app": (1400, 900)}
PLAYED = """() => [...document.querySelectorAll('video')].some(
    film => film.src.includes('type=output') && film.videoWidth > 0 && film.currentTime > 0)"""
SETTINGS = {"Comfy.VueNodes.Enabled": True}


@pytest.fixture(scope="module")
def newer():
    return environment.find_newer()


@pytest.fixture(scope="module")
def server(newer, tmp_path_factory):
    base = make_base(tmp_path_factory.mktemp("newer") / "base")
    with Server(newer, base, cpu=True) as server:
        yield server
    remove_base(base)


@pytest.fixture(scope="module")
def client(server, astronaut) -> Client:
    client = Client(server.url)
    client.upload(astronaut, "astronaut.png")
    return client


@pytest.fixture(scope="module")
def inputs(comfyui, server, client, tmp_path_factory) -> dict[str, str]:
    return shipped.provide(comfyui, server, client, SECONDS, tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def page(server, inputs):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with Page(server.url, settings=SETTINGS) as page:
        yield page


def test_the_pack_is_loaded_without_a_complaint(server, client):
    assert client.get("/system_stats")["system"]["comfyui_version"] == server.environment.version == "0.30.0"
    assert "IMPORT FAILED" not in server.log
    assert {name for name in client.object_info() if name.startswith("SadTalker")} == set(
        json.loads((PROJECT / "tests" / "nodes" / "frozen_interface.json").read_text(encoding="utf-8"))
    )


def test_the_page_gets_the_words_by_which_a_node_is_found_and_what_to_fold(client):
    aliases = json.loads((PROJECT / "nodes" / "search_aliases.json").read_text(encoding="utf-8"))
    info = client.object_info()
    served = {node: info[node]["search_aliases"] for node in aliases}
    assert served == {node: [word for each in words.values() for word in each] for node, words in aliases.items()}
    mapping = info["SadTalkerMappingNet"]["input"]["required"]
    assert [name for name, spec in mapping.items() if spec[1].get("advanced")] == ["yaw", "pitch", "roll"]


@pytest.mark.parametrize("name", ["talking_portrait", "full_body_paste_back", "reference_video", "2_full_body.app"])
def test_a_shipped_workflow_makes_a_video(client, comfyui, inputs, tmp_path, name):
    run = shipped.run(client, name, inputs)
    file = tmp_path / "video.mp4"
    file.write_bytes(client.download(run.files(".mp4")[0]))
    record = media.probe(comfyui, file)[0]
    assert media.complaints(record, SECONDS) == []
    assert record["video"]["frames"] == round(25 * SECONDS)


def test_a_box_of_cores_own_chooses_the_face(client, inputs):
    """The person on the right of the image of two, by a node of this ComfyUI."""
    prompt = {
        "image": ("LoadImage", {"image": "two_people.png"}),
        "box": ("PrimitiveBoundingBox", {"x": 480, "y": 40, "width": 80, "height": 110}),
        "portrait": ("SadTalkerPortraitFromImage", {
            "image": ["image", 0], "bounding_box": ["box", 0], "face_index": 0, "face_order": "largest",
            "batch_index": 0, "x": 0, "y": 0, "width": 0, "height": 0}),
        "model": ("SadTalkerLoadModel", {"model": "mini", "precision": "auto", "allow_download": False}),
        "extract": ("SadTalker3DMMExtract", {
            "model": ["model", 0], "portrait": ["portrait", 0], "crop_mode": "crop", "crop_scale": 1.0,
            "crop_offset_x": 0.0, "crop_offset_y": 0.0, "landmarks": "auto"}),
        "show": ("SaveImage", {"images": ["extract", 2], "filename_prefix": "face"}),
    }  # fmt: skip
    made = {key: {"class_type": kind, "inputs": given} for key, (kind, given) in prompt.items()}
    assert client.run(made).files(".png")
    made["box"]["inputs"]["x"] = 5000
    with pytest.raises(Exception, match="leaves nothing of the 680 x 512 image"):
        client.run(made)


def test_networks_are_accounted_for_and_leave_with_the_graph(newer, astronaut, tmp_path):
    base = make_base(tmp_path / "inside")
    (base / "input" / "astronaut.png").write_bytes(astronaut.read_bytes())
    found = run_inside(newer, PROJECT / "tests" / "nodes" / "inside" / "memory.py", base)
    assert found["error"] is None and found["error_again"] is None
    assert {"FaceDetector", "FaceMesh", "ExpNet", "PoseVAE", "FlowRenderer"} <= set(found["after_a_run"])
    assert found["after_another_needed_the_room"] == []
    assert found["after_the_graph_is_gone"] == []


def test_a_dropped_workflow_runs_in_the_newest_page(page, inputs):
    page.clear()
    file = shipped.FILES["talking_portrait"]
    page.drop("talking_portrait.json", file.read_bytes())
    n_nodes = len(workflow.load(file)["nodes"])
    page.page.wait_for_function("n => app.graph.nodes.length === n", arg=n_nodes)
    page.set_values(inputs, pose_style=11)
    ended, images = page.run()
    assert ended == "execution_success" and images >= 3
    (video,) = (video for video in page.playing() if "type=output" in video["url"])
    assert video["shown"] > 100
    page.screenshot(SCREENSHOTS / "newest_page.png")
    assert page.errors == page.complaints == []


@pytest.mark.parametrize("name", APPS)
def test_an_app_opens_clean_and_makes_its_video(page, inputs, name):
    """As a person sees it: a few inputs, Run and the video, and nothing to mend before a file is chosen."""
    width, height = APPS[name]
    page.page.set_viewport_size({"width": width, "height": height})
    page.clear()
    page.drop(f"{name}.json", shipped.FILES[name].read_bytes())
    on_a_phone = width < 600
    if on_a_phone:
        page.page.get_by_text("Edit & Run").click()
    page.page.locator('button:has([data-testid="linear-run-button-icon"]):visible').wait_for()
    assert page.page.locator('[data-testid="linear-validation-warning"]:visible').count() == 0
    page.screenshot(SCREENSHOTS / f"{name}_opened.png")
    page.set_values(inputs, pose_style=12)
    ended, _ = page.run()
    assert ended == "execution_success"
    if on_a_phone:
        page.page.get_by_text("Outputs", exact=True).click()
    player = page.page.locator('video[src*="type=output"]:visible').first
    player.wait_for()
    player.evaluate("film => { film.muted = true; film.play().catch(() => null) }")
    page.page.wait_for_function(PLAYED)
    page.screenshot(SCREENSHOTS / f"{name}_after_its_run.png")
    assert page.errors == page.complaints == []


def test_the_page_calls_our_nodes_as_the_locale_of_its_language_does(server):
    """The oldest page takes the locales of packs too early, and shows English in every language."""

    def title() -> str:
        with Page(server.url, settings={**SETTINGS, "Comfy.Locale": "ja"}) as page:
            return page.page.evaluate("() => LiteGraph.createNode('SadTalkerFaceRender').title")

    with ThreadPoolExecutor(1) as beside:  # the other page of this file is open yet
        shown = beside.submit(title).result()
    locale = json.loads((PROJECT / "locales" / "ja" / "nodeDefs.json").read_text(encoding="utf-8"))
    assert shown == locale["SadTalkerFaceRender"]["display_name"]
