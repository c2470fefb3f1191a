"""A person at the page: a workflow is dropped, runs, shows what it makes, and comes back out of the video."""

from __future__ import annotations

import urllib.parse

import pytest

from tests.tools.comfyui import media, shipped, workflow
from tests.tools.comfyui.client import Client
from tests.tools.comfyui.layout import home
from tests.tools.comfyui.page import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCREENSHOTS = home() / "screenshots"
SECONDS = 0.4
NEEDS_A_CHECKPOINT = "stable_diffusion_to_talking"
#: the video of these comes out of a node that others show in both modes
RUN_ONCE = ("two_speakers_in_turns", "blendshapes_in_and_out")


@pytest.fixture(scope="module")
def inputs(server, client, comfyui, tmp_path_factory) -> dict[str, str]:
    return shipped.provide(comfyui, server, client, SECONDS, tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def browser(server, client):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with Page(server.url) as page:
        yield page


@pytest.fixture(scope="module")
def page(request, browser) -> Page:
    """The page in a mode: "classic" draws the nodes, in "nodes_2" they are parts of the page ("Nodes 2.0")."""
    browser.open(**{"Comfy.VueNodes.Enabled": request.param == "nodes_2"})
    return browser


BOTH_MODES = pytest.mark.parametrize("page", ["classic", "nodes_2"], indirect=True)
CLASSIC = pytest.mark.parametrize("page", ["classic"], indirect=True)


def drop_workflow(page: Page, name: str) -> None:
    page.clear()
    page.drop(f"{name}.json", shipped.FILES[name].read_bytes())
    nodes = workflow.load(shipped.FILES[name])["nodes"]
    page.page.wait_for_function("n => app.graph.nodes.length === n", arg=len(nodes))
    client = Client(page.url)
    named = [model for node in nodes for model in node.get("properties", {}).get("models", [])]
    absent = [model for model in named if model["name"] not in client.get(f"/models/{model['directory']}")]
    if absent:
        decline_the_download(page, absent)


def missing(page: Page) -> list[str]:
    """The types of nodes that the page does not know, and what its dialogs say about them.

    A newer page also marks a node whose file is not there, which its graph says (tests/nodes/test_finding.py).
    """
    types = page.page.evaluate(
        """loaders => {
        const known = node => node.type in LiteGraph.registered_node_types
        const namesFiles = node => loaders.includes(node.type) || node.properties.models
        const waits = node => namesFiles(node) && !node.widgets[0].options.values.includes(node.widgets[0].value)
        return app.graph.nodes.filter(node => !known(node) || (node.has_errors && !waits(node))).map(node => node.type)
    }""",
        list(shipped.LOADERS),
    )
    return types + page.page.locator(".p-dialog, [role=dialog]:visible").all_inner_texts()


def decline_the_download(page: Page, models: list[dict[str, str]]) -> None:
    """The page names the models that the graph needs and that are not there, and offers to fetch them: an old one in a
    dialog, a newer one in a panel behind its "errors found".
    """
    details = page.page.locator('[data-testid="error-overlay-see-errors"]:visible')
    offer = page.page.locator('.p-dialog:has-text("Missing Models"), [data-testid="error-group-missing-model"]')
    details.or_(offer).first.wait_for()
    newer = details.is_visible()
    if newer:
        details.click()
        offer.wait_for()
    said = offer.inner_text()
    assert "Download" in said
    assert all(model["directory"] in said and model["name"] in said for model in models)
    if newer:
        page.page.get_by_label("Toggle properties panel").click()
    else:
        page.page.keyboard.press("Escape")
    offer.wait_for(state="hidden")


def what_it_does(graph: dict) -> dict:
    """A graph's nodes with their values, and its links, wherever they are drawn."""
    nodes = {node["id"]: (node["type"], node.get("widgets_values")) for node in graph["nodes"]}
    return {"nodes": nodes, "links": sorted(link[1:6] for link in graph["links"])}


@BOTH_MODES
@pytest.mark.parametrize("name", shipped.GRAPHS)
def test_a_dropped_workflow_is_whole(page, name):
    drop_workflow(page, name)
    mode = "nodes_2" if page.settings["Comfy.VueNodes.Enabled"] else "classic"
    if mode == "nodes_2":
        page.page.locator("[data-node-id]").first.wait_for()
    page.screenshot(SCREENSHOTS / f"{mode}_{name}.png")
    assert missing(page) == []
    assert page.errors == page.complaints == []


LIVE_IMAGES_LEFT = """() => app.graph.nodes.filter(node =>
    ["SadTalkerRenderVideo", "SadTalkerDubVideo"].includes(node.comfyClass)
    && (node.imgs?.length || node.widgets?.some(widget => widget.name === "$$canvas-image-preview"))
).map(node => node.comfyClass)"""


def run_and_bring_back(page: Page, client: Client, name: str) -> None:
    """Runs the open graph as a person does, looks at what it shows, and drops the saved video on an empty canvas."""
    asked = what_it_does(page.serialize())
    ended, images = page.run()
    assert ended == "execution_success"
    assert images >= (2 if name == "dub_video" else 3), "a live image of every piece of four frames"
    (video,) = (video for video in page.playing() if "type=output" in video["url"])
    # an image that arrived just before the video is decoded after it, and removed then
    page.page.wait_for_function(f"() => ({LIVE_IMAGES_LEFT})().length === 0")
    assert video["seconds"] == pytest.approx(SECONDS * (2 if name == "two_speakers" else 1), abs=0.06)
    assert video["shown"] > 100 and min(video["width"], video["height"]) >= 256
    page.screenshot(SCREENSHOTS / f"{name}_after_its_run.png")
    assert page.errors == page.complaints == []
    content = client.download(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(video["url"]).query)))
    page.clear()
    page.drop("talking.mp4", content)
    page.page.wait_for_function("() => app.graph.nodes.length > 0")
    assert what_it_does(page.serialize()) == asked


RUNS = [
    (mode, name)
    for mode in ("classic", "nodes_2")
    for name in shipped.GRAPHS
    if name != NEEDS_A_CHECKPOINT and (mode == "nodes_2" or name not in RUN_ONCE)
]


@pytest.mark.parametrize(("page", "name"), RUNS, indirect=["page"])
def test_a_dropped_workflow_runs_shows_its_video_and_comes_back_out_of_it(page, client, inputs, name):
    drop_workflow(page, name)
    style = 20 if page.settings["Comfy.VueNodes.Enabled"] else 7  # a run like the last one would be remembered
    others = {"idle_portrait": {"idle_seconds": SECONDS}, "dub_video": {"length": "cut", "strength": 0.5 + style / 100}}
    page.set_values(inputs, pose_style=style, **others.get(name, {}))
    run_and_bring_back(page, client, name)


#: what only an app shows, in an old and in a newer page
APP = 'button:has-text("Open Workflow"):visible, button:has([data-testid="linear-run-button-icon"]):visible'


@CLASSIC
def test_an_app_opens_and_makes_its_video(page, inputs):
    """An old page shows the widgets of all nodes, in an early view; test_newer.py looks at a newer one."""
    drop_workflow(page, "1_talking_portrait.app")
    page.page.locator(APP).first.wait_for()
    page.screenshot(SCREENSHOTS / "app.png")
    page.set_values(inputs, pose_style=13)
    ended, images = page.run()
    assert ended == "execution_success" and images
    assert page.errors == page.complaints == []


@BOTH_MODES
def test_render_video_shows_images_while_it_works_and_then_its_video(page, client, inputs):
    prompt = workflow.to_prompt(workflow.load(shipped.FILES["talking_portrait"]), client.object_info())
    (render,) = (node for node in prompt.values() if node["class_type"] == "SadTalkerFaceRender")
    (combine,) = (node for node in prompt.values() if node["class_type"] == "SadTalkerVideoCombine")
    combine["class_type"] = "SadTalkerRenderVideo"
    wires = {name: render["inputs"][name] for name in ("model", "portrait", "motion")}
    combine["inputs"] = {**wires, "audio": combine["inputs"]["audio"], "filename_prefix": "render"}
    page.clear()
    page.load_api({node_id: node for node_id, node in prompt.items() if node is not render})
    page.set_values(inputs, pose_style=3 + page.settings["Comfy.VueNodes.Enabled"])
    ended, images = page.run()
    assert ended == "execution_success" and images >= 3
    (video,) = page.playing()
    assert "type=output" in video["url"] and video["shown"] > 100
    page.screenshot(SCREENSHOTS / "render_video_after_its_run.png")
    assert page.errors == page.complaints == []


@pytest.fixture
def page_with_a_checkpoint(browser, server, new_server, comfyui, astronaut, tmp_path):
    """The page of a server with stand-ins for a checkpoint's networks: what they paint is not in our hands anyway."""
    other = new_server(**shipped.stand_in_checkpoint(tmp_path / "base", astronaut))
    Client(other.url).upload(media.beginning(comfyui, media.VOICE, SECONDS, tmp_path / "speech.wav"))
    browser.open(other.url, **{"Comfy.VueNodes.Enabled": False})
    yield browser
    browser.open(server.url)


def test_from_a_prompt_to_a_talking_head(page_with_a_checkpoint):
    page = page_with_a_checkpoint
    drop_workflow(page, NEEDS_A_CHECKPOINT)
    run_and_bring_back(page, Client(page.url), NEEDS_A_CHECKPOINT)


STAGES = ("PortraitFromImage", "3DMMExtract", "AudioEncode", "ExpNet", "PoseVAE", "SilenceGate", "MappingNet")
BOXES = {
    "Talking Portrait": (*STAGES, "FaceRender", "VideoCombine"),
    "Talking Full Body": (*STAGES, "RenderVideo"),
    "Two Speakers": (
        *(stage for stage in STAGES if stage != "SilenceGate"), "SplitSpeakers", "LookAtSpeaker", "RenderVideo",
    ),
}  # fmt: skip


def test_the_server_lists_the_boxes(client):
    listed = client.get("/global_subgraphs").values()
    ours = {entry["name"] for entry in listed if entry["info"]["node_pack"] == "custom_nodes.sadtalker-nodes"}
    assert ours == set(BOXES)


@CLASSIC
@pytest.mark.parametrize("name", BOXES)
def test_a_blueprint_is_found_added_opened_and_run(page, inputs, name):
    """A box, found by its name as a person finds it, holds all the stages."""
    page.clear()
    page.search(name, "Subgraph Blueprints")
    page.page.wait_for_function("() => app.graph.nodes.length === 1")
    page.click_until(
        lambda: page.page.mouse.click(900, 500),  # a newer page puts it down where the next click is
        lambda patience: page.page.wait_for_function("() => !app.graph.nodes[0].flags.ghost", timeout=patience),
    )
    image = "two_people.png" if name == "Two Speakers" else inputs["portrait.png"]
    page.page.evaluate(CONNECT, [image, inputs["speech.wav"]])
    kinds = {node["class_type"] for node in page.prompt().values()}
    assert {f"SadTalker{stage}" for stage in BOXES[name]} <= kinds
    ended, images = page.run()
    assert ended == "execution_success" and images >= 3
    page.screenshot(SCREENSHOTS / f"blueprint_{name}.png")
    page.page.evaluate("""() => {
        const box = app.graph.nodes.find(node => node.subgraph)
        app.canvas.openSubgraph(box.subgraph, box)
    }""")
    page.page.wait_for_function("() => app.canvas.graph.nodes.length >= 9")
    page.screenshot(SCREENSHOTS / f"blueprint_{name}_opened.png")
    # the page's own search box complains in the console when something is chosen in it
    assert page.errors == [words for words in page.complaints if "sadtalker" in words.lower()] == []


#: an image, and a voice for each socket of the box that was added
CONNECT = """([picture, voice]) => {
    const box = app.graph.nodes[0]
    const files = {IMAGE: ["LoadImage", picture], AUDIO: ["LoadAudio", voice]}
    box.inputs.filter(socket => socket.type in files && !socket.widget).forEach((socket, k) => {
        const [kind, file] = files[socket.type]
        const loader = LiteGraph.createNode(kind)
        loader.pos = [box.pos[0] - 360, box.pos[1] + 420 * k]
        app.graph.add(loader)
        loader.widgets[0].value = file
        loader.connect(0, box, box.inputs.indexOf(socket))
    })
}"""
