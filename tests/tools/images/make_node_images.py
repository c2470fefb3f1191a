"""Makes those of web/pictures that show nodes at work, and the templates: a graph runs in ComfyUI's page, and they are
cut out of it.

    python -m tests.tools.images.make_node_images [name ...]        (needs the tests' tools, see `make test`)
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.tools.comfyui import environment, media, shipped
from tests.tools.comfyui.client import Client
from tests.tools.comfyui.layout import PACK_NAME, PROJECT, make_base
from tests.tools.comfyui.page import Page
from tests.tools.comfyui.server import Server
from tests.tools.images.saving import save_small

FOLDER = PROJECT / "web" / "pictures"
#: image -> its nodes, from left to right, and how large they are drawn
IMAGES: dict[str, dict[str, tuple[int, int]]] = {
    "node_load_model": {"1": (330, 146), "3": (310, 242)},
    "node_audio_encode": {"4": (310, 184), "5": (310, 116), "15": (380, 330)},
    "node_reference_video": {"6": (310, 420), "7": (310, 242), "8": (310, 316), "11": (310, 448)},
    "node_tracks": {"8": (310, 316), "16": (310, 146), "17": (360, 146), "18": (310, 342)},
    "node_speakers": {"19": (340, 330), "20": (310, 116), "21": (330, 240)},
    "node_blendshapes": {"8": (310, 316), "22": (360, 190), "23": (350, 170), "24": (310, 342)},
    "node_video_combine": {"11": (310, 448), "12": (310, 504)},
    "node_render_video": {"10": (310, 342), "13": (330, 700)},
}
#: the image of the template browser
TEMPLATES = "page_templates"
#: a file that Import Blendshapes lists
MOUTHS = "hello.rhubarb.tsv"
SHOW = """([sizes]) => {
    for (const node of app.graph.nodes) node.pos = [0, -5000]
    let [x, bottom] = [0, 0]
    for (const [id, size] of sizes) {
        const node = app.graph.nodes.find(node => String(node.id) === id)
        node.pos = [x, 0]
        node.size = size
        x += size[0] + 50
        bottom = Math.max(bottom, size[1])
    }
    app.canvas.deselectAll()
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [150, 180]
    app.canvas.setDirty(true, true)
    const corner = app.canvas.canvas.getBoundingClientRect()
    return {x: corner.left + 130, y: corner.top + 130, width: x - 10, height: bottom + 65}
}"""


def graph(track: str, inputs: dict[str, str]) -> dict[str, Any]:
    """Everything that the images show, in one API prompt."""
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "1": ("SadTalkerLoadModel", {"model": "mini"}),
        "2": ("SadTalkerLoadPortrait", {"image": inputs["portrait.png"]}),
        "3": ("SadTalker3DMMExtract", {"model": ["1", 0], "portrait": ["2", 0]}),
        "4": ("LoadAudio", {"audio": inputs["speech.wav"]}),
        "5": ("SadTalkerAudioEncode", {"audio": ["4", 0]}),
        "6": ("LoadVideo", {"file": "reference.mp4"}),
        "7": ("SadTalkerReferenceVideo", {"model": ["1", 0], "video": ["6", 0]}),
        "8": ("SadTalkerExpNet", {"model": ["1", 0], "speech": ["5", 0], "coefficients": ["3", 1],
                                  "reference": ["7", 0]}),
        "9": ("SadTalkerPoseVAE", {"model": ["1", 0], "speech": ["5", 0], "coefficients": ["3", 1],
                                   "reference": ["7", 0]}),
        "10": ("SadTalkerMappingNet", {"model": ["1", 0], "coefficients": ["3", 1], "expression": ["8", 0],
                                       "pose": ["9", 0]}),
        "11": ("SadTalkerFaceRender", {"model": ["1", 0], "portrait": ["3", 0], "motion": ["10", 0]}),
        "12": ("SadTalkerVideoCombine", {"frames": ["11", 0], "fps": ["11", 1], "audio": ["4", 0]}),
        "13": ("SadTalkerRenderVideo", {"model": ["1", 0], "portrait": ["3", 0], "motion": ["10", 0],
                                        "audio": ["4", 0], "paste_back": True}),
        "14": ("SadTalkerMotionPlot", {"speech": ["5", 0], "width": 720, "height": 480}),
        "15": ("PreviewImage", {"images": ["14", 0]}),
        "16": ("SadTalkerSaveTrack", {"expression": ["8", 0], "pose": ["9", 0]}),
        "17": ("SadTalkerLoadTrack", {"track": track}),
        "18": ("SadTalkerMappingNet", {"model": ["1", 0], "coefficients": ["3", 1], "expression": ["17", 0],
                                       "pose": ["17", 1]}),
        "19": ("SadTalkerSplitSpeakers", {
            "audio": ["4", 0], "lines": "# who speaks when\n0:00-0:12.4 anna\n0:12.4-0:31 ben\n0:30-1:50 anna"}),
        "20": ("SadTalkerAudioEncode", {"audio": ["19", 0]}),
        "21": ("SadTalkerLookAtSpeaker", {
            "portrait": ["3", 0], "speech": ["20", 0], "other_portrait": ["3", 0], "other_speech": ["5", 0],
            "expression": ["8", 0], "pose": ["9", 0]}),
        "22": ("SadTalkerExportBlendshapes", {"expression": ["8", 0], "pose": ["9", 0], "fps": 60.0}),
        "23": ("SadTalkerImportBlendshapes", {"file": MOUTHS, "speech": ["5", 0], "expression": ["8", 0]}),
        "24": ("SadTalkerMappingNet", {"model": ["1", 0], "coefficients": ["3", 1], "expression": ["23", 0],
                                       "pose": ["9", 0]}),
    }  # fmt: skip
    return {node_id: {"class_type": kind, "inputs": values} for node_id, (kind, values) in kinds.items()}


def main() -> None:
    host = environment.find()
    with tempfile.TemporaryDirectory() as scratch, Server(host, make_base(Path(scratch) / "base")) as server:
        client = Client(server.url)
        client.upload(media.default_portrait(host), "astronaut.png")
        inputs = shipped.provide(host, server, client, 2.0, Path(scratch))
        folder = server.base / "input"
        saved = {
            key: node
            for key, node in graph("", inputs).items()
            if key in ("1", "2", "3", "4", "5", "6", "7", "8", "9", "16")
        }
        info = client.object_info()
        for node in saved.values():
            node["inputs"] = {**defaults(info[node["class_type"]]), **node["inputs"]}
        client.run(saved)
        (track,) = (server.base / "output").rglob("*.track.safetensors")
        track.rename(folder / track.name)
        (folder / MOUTHS).write_text("0.00\tX\n0.20\tB\n0.45\tX\n", encoding="utf-8")
        wanted = sys.argv[1:] or [*IMAGES, TEMPLATES]
        with Page(server.url) as page:
            page.clear()
            page.load_api(graph(track.name, inputs))
            page.set_values({}, seed=0, control_after_generate="fixed")
            print(page.run())
            for name, nodes in IMAGES.items():
                if name not in wanted:
                    continue
                clip = page.page.evaluate(SHOW, [[[node_id, list(size)] for node_id, size in nodes.items()]])
                page.page.wait_for_timeout(3000)  # a video comes into its node when that is drawn
                save(name, page.page.screenshot(clip=clip))
            if TEMPLATES in wanted:
                save(TEMPLATES, templates(page), width=900)


def templates(page: Page) -> bytes:
    """The template browser, open at our workflows, as a PNG."""
    page.clear()
    page.page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.page.get_by_text(PACK_NAME).first.click()
    page.page.wait_for_timeout(5000)
    return page.page.locator(".p-dialog").first.screenshot()


def defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """The values that the page shows in a new node."""
    values = {}
    for name, (_, *options) in schema["input"].get("required", {}).items():
        if options and "default" in options[0]:
            values[name] = options[0]["default"]
    return values


def save(name: str, png: bytes, width: int | None = None) -> None:
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    if width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    save_small(image, FOLDER / f"{name}.jpg")


if __name__ == "__main__":
    main()
