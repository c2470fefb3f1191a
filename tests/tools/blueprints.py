"""Writes subgraphs/*.json, the boxes that hold all stages as one node, workflows/*.app.json, the apps, some other
workflows, and docs/talking_portrait.api.json out of the lists below.

python -m tests.tools.blueprints

An app is a workflow of which a newer page shows a few inputs, a button and the result, also on a phone; an older page
shows its graph.

What a node's sockets and widgets are is read from tests/nodes/frozen_interface.json, so that an input that was
appended to a node stands in the boxes, too. Letters in a wire: node.input <- node.output, IN.name for a socket of
the box.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "subgraphs"
API_FILE = PROJECT / "docs" / "talking_portrait.api.json"
FROZEN = json.loads((PROJECT / "tests" / "nodes" / "frozen_interface.json").read_text(encoding="utf-8"))
PACK = "sadtalker-nodes"
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
#: what a box uses of core: inputs with their types and defaults, outputs
CORE = {
    "LoadVideo": ({"file": {"type": "COMBO", "required": True, "default": ""}}, [["VIDEO", "VIDEO"]]),
    "LoadAudio": ({"audio": {"type": "COMBO", "required": True, "default": ""}}, [["AUDIO", "AUDIO"]]),
}
#: what the page saves behind a node's own widgets: an upload button, a player
ADDED_BY_THE_PAGE = {"SadTalkerLoadPortrait": ["image"], "LoadAudio": [None, None], "LoadVideo": ["image"]}
COLUMN, ROW = 360, 430
#: "lip sync" in the other languages of the locales
LIP_SYNC = (
    "\u5bf9\u53e3\u578b",
    "\u30ea\u30c3\u30d7\u30b7\u30f3\u30af",
    "\ub9bd\uc2f1\ud06c",
    "synchronisation labiale",
    "sincronizaci\u00f3n labial",
    "Lippensynchronisation",
    "\u043b\u0438\u043f\u0441\u0438\u043d\u043a",
)


@dataclass(frozen=True)
class Box:
    """One blueprint.

    sockets: name -> type;  nodes: key -> (node, place in the grid, values);  wires: "key.input" -> "key.output"
    outputs: name -> "key.output";  shown: widgets on the box, "key.widget"
    """

    name: str
    description: str
    aliases: tuple[str, ...]
    sockets: Mapping[str, str]
    nodes: Mapping[str, tuple[str, tuple[float, float], dict[str, Any]]]
    wires: Mapping[str, str]
    outputs: Mapping[str, str]
    shown: tuple[str, ...]
    titles: Mapping[str, str] = field(default_factory=dict)


def stages(
    k: str = "",
    *,
    at: float = 0.0,
    face: int = 0,
    order: str = "largest",
    crop: str = "crop",
    still: bool = False,
    style: int = 0,
    seed: int = 0,
) -> tuple[dict[str, Any], dict[str, str]]:
    """The nodes from an image and speech to the motion, and their wires; k: what follows their keys."""
    nodes = {
        f"portrait{k}": ("PortraitFromImage", (0, at + 0.5), {"face_index": face, "face_order": order}),
        f"extract{k}": ("3DMMExtract", (1, at), {"crop_mode": crop}),
        f"speech{k}": ("AudioEncode", (1, at + 1), {}),
        f"expnet{k}": ("ExpNet", (2, at), {"seed": seed}),
        f"posevae{k}": ("PoseVAE", (2, at + 1), {"pose_style": style, "seed": seed}),
        f"gate{k}": ("SilenceGate", (3, at + 1), {"rest_in_pauses": False}),
        f"mapping{k}": ("MappingNet", (3, at), {"still": still}),
    }
    wires = {
        f"portrait{k}.image": "IN.image",
        f"extract{k}.model": "model.model",
        f"extract{k}.portrait": f"portrait{k}.portrait",
        f"expnet{k}.model": "model.model",
        f"expnet{k}.speech": f"speech{k}.speech",
        f"expnet{k}.coefficients": f"extract{k}.coefficients",
        f"posevae{k}.model": "model.model",
        f"posevae{k}.speech": f"speech{k}.speech",
        f"posevae{k}.coefficients": f"extract{k}.coefficients",
        f"gate{k}.expression": f"expnet{k}.expression",
        f"gate{k}.speech": f"speech{k}.speech",
        f"gate{k}.coefficients": f"extract{k}.coefficients",
        f"mapping{k}.model": "model.model",
        f"mapping{k}.coefficients": f"extract{k}.coefficients",
        f"mapping{k}.expression": f"gate{k}.expression",
        f"mapping{k}.pose": f"posevae{k}.pose",
    }
    return nodes, wires


def talking_portrait() -> Box:
    nodes, wires = stages()
    return Box(
        "Talking Portrait",
        "A portrait and speech become a talking head: the eight stages of SadTalker in one box. Open it to see and "
        "change them.",
        ("sadtalker", "talking head", "lip sync", "avatar", "\u6570\u5b57\u4eba", "\u5bf9\u53e3\u578b"),
        {"image": "IMAGE", "audio": "AUDIO"},
        {
            "model": ("LoadModel", (0, 0), {}),
            **nodes,
            "render": ("FaceRender", (4, 0), {}),
            "combine": ("VideoCombine", (5, 0), {}),
        },
        {
            **wires,
            "speech.audio": "IN.audio",
            "render.model": "model.model",
            "render.portrait": "extract.portrait",
            "render.motion": "mapping.motion",
            "combine.frames": "render.frames",
            "combine.fps": "render.fps",
            "combine.audio": "IN.audio",
        },
        {"frames": "render.frames", "video": "combine.video"},
        (
            "model.model", "extract.crop_mode", "speech.loudness", "expnet.blink", "gate.rest_in_pauses",
            "posevae.pose_style", "posevae.seed", "mapping.expression_scale", "mapping.still",
            "combine.filename_prefix", "combine.quality",
        ),
    )  # fmt: skip


def talking_full_body() -> Box:
    nodes, wires = stages(crop="full", still=True)
    return Box(
        "Talking Full Body",
        "An image and audio become a video of the whole image: the head is animated and pasted back. Of any "
        "length; no more than a few frames are in memory.",
        ("sadtalker", "full body", "talking photo", "lip sync", "avatar", "\u5168\u8eab", "\u6570\u5b57\u4eba"),
        {"image": "IMAGE", "audio": "AUDIO"},
        {
            "model": ("LoadModel", (0, 0), {}),
            **nodes,
            "video": ("RenderVideo", (4, 0), {"paste_back": True, "filename_prefix": "sadtalker/full_body"}),
        },
        {
            **wires,
            "speech.audio": "IN.audio",
            "video.model": "model.model",
            "video.portrait": "extract.portrait",
            "video.motion": "mapping.motion",
            "video.audio": "IN.audio",
        },
        {"video": "video.video"},
        (
            "model.model", "speech.loudness", "expnet.blink", "gate.rest_in_pauses", "posevae.pose_style",
            "posevae.seed", "mapping.expression_scale", "mapping.still", "video.feather", "video.filename_prefix",
            "video.quality",
        ),
    )  # fmt: skip


def two_people(crop: str = "full") -> tuple[dict[str, Any], dict[str, str]]:
    """The nodes from one recording and two faces to two motions, and their wires, for Render Video, too."""
    nodes: dict[str, Any] = {"split": ("SplitSpeakers", (0, 1.4), {})}
    wires: dict[str, str] = {}
    for k, other, at, style in (("1", "2", 0.0, 0), ("2", "1", 2.2, 20)):
        more, their_wires = stages(
            k, at=at, face=int(k) - 1, order="left to right", crop=crop, style=style, seed=int(k)
        )
        del more[f"gate{k}"]
        nodes |= {**more, f"look{k}": ("LookAtSpeaker", (3, at + 1), {})}
        wires |= {target: source for target, source in their_wires.items() if not target.startswith("gate")}
        wires |= {
            f"speech{k}.audio": f"split.speaker {k}",
            f"look{k}.portrait": f"extract{k}.portrait",
            f"look{k}.speech": f"speech{k}.speech",
            f"look{k}.other_portrait": f"extract{other}.portrait",
            f"look{k}.other_speech": f"speech{other}.speech",
            f"look{k}.expression": f"expnet{k}.expression",
            f"look{k}.pose": f"posevae{k}.pose",
            f"mapping{k}.expression": f"look{k}.expression",
            f"mapping{k}.pose": f"look{k}.pose",
        }
    video = ("RenderVideo", (5, 0.8), {"paste_back": True, "filename_prefix": "sadtalker/two_speakers"})
    wires |= {
        "video.model": "model.model",
        "video.portrait": "extract1.portrait",
        "video.motion": "mapping1.motion",
        "video.other_portrait": "extract2.portrait",
        "video.other_motion": "mapping2.motion",
    }
    return {**nodes, "video": video}, wires


def two_speakers() -> Box:
    nodes, wires = two_people()
    return Box(
        "Two Speakers",
        "An image of two people, one recording and the lines that say who speaks when become a video of the whole "
        "image: the first to speak is the person on the left; who listens blinks, moves a little and looks at the "
        "speaker.",
        ("sadtalker", "two people", "conversation", "interview", "dialogue", "podcast", "\u53cc\u4eba\u5bf9\u8bdd"),
        {"image": "IMAGE", "audio": "AUDIO"},
        {"model": ("LoadModel", (0, -0.6), {}), **nodes},
        {"split.audio": "IN.audio", "video.audio": "IN.audio", **wires},
        {"video": "video.video"},
        (
            "model.model", "split.lines", "split.speakers", "posevae1.pose_style", "posevae2.pose_style",
            "video.filename_prefix", "video.quality",
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class App:
    """One app, or a workflow that is only a graph.

    title, text: its note;  nodes, wires: as in a box;  inputs: what it shows, "key.widget"; nothing: it is no app
    output: the key of a node
    """

    name: str
    title: str
    text: str
    nodes: Mapping[str, tuple[str, tuple[float, float], dict[str, Any]]]
    wires: Mapping[str, str]
    inputs: tuple[str, ...]
    output: str
    titles: Mapping[str, str] = field(default_factory=dict)


def app(name: str, title: str, text: str, crop: str, values: dict[str, Any], *, still: bool = False) -> App:
    """From an image file and an audio file to the video, with Render Video."""
    nodes, wires = stages(crop=crop, still=still)
    del wires["portrait.image"]
    return App(
        name,
        title,
        text,
        {
            "model": ("LoadModel", (0, -0.5), {}),
            **nodes,
            "portrait": ("LoadPortrait", (0, 0), {"image": ""}),
            "voice": ("=LoadAudio", (0, 1.2), {"audio": ""}),
            "video": ("RenderVideo", (4, 0), values),
        },
        {
            **wires,
            "speech.audio": "voice.AUDIO",
            "video.model": "model.model",
            "video.portrait": "extract.portrait",
            "video.motion": "mapping.motion",
            "video.audio": "voice.AUDIO",
        },
        ("portrait.image", "voice.audio", "model.model", "posevae.pose_style"),
        "video",
    )


def talking_portrait_app() -> App:
    return app(
        "1_talking_portrait.app",
        "Talking portrait",
        "1. **image**: a face that looks at the camera.\n2. **audio**: the speech.\n3. Run. The video is in the output "
        "folder, too.\n\n*mini* is built in (preview quality). For the released quality choose **SadTalker 256** in "
        "Load SadTalker Model and switch *allow_download* on, or put its files into *models/sadtalker*.\n\nUse "
        "portraits and voices only of people who have agreed.",
        "crop",
        {},
    )


def full_body_app() -> App:
    return app(
        "2_full_body.app",
        "Talking full body",
        "1. **image**: an image of a person, head to feet if you like.\n2. **audio**: the speech.\n3. Run. The head "
        "talks inside the whole image.\n\nUse portraits and voices only of people who have agreed.",
        "full",
        {"paste_back": True, "filename_prefix": "sadtalker/full_body"},
        still=True,
    )


def dub_video_app() -> App:
    return App(
        "3_dub_video.app",
        "Dub a video",
        "1. **file**: a video of a person.\n2. **audio**: the new speech.\n3. Run. Jaw and lips follow it; "
        "everything else stays as recorded.\n\nDub only videos of people who have agreed, for the face and for the "
        "voice.",
        {
            "model": ("LoadModel", (0, -0.5), {}),
            "film": ("=LoadVideo", (0, 0), {"file": ""}),
            "voice": ("=LoadAudio", (0, 0.6), {"audio": ""}),
            "video": ("DubVideo", (1, 0), {}),
        },
        {"video.model": "model.model", "video.video": "film.VIDEO", "video.audio": "voice.AUDIO"},
        ("film.file", "voice.audio", "video.original_volume", "video.keep_mouth"),
        "video",
    )


#: the end of the note of a graph whose loaders name files that are not there yet
WAITS = (
    "Use portraits and voices only of people who have agreed.\n\nNewer pages mark a loader (*issues found*) until you "
    "have chosen a file of your own in it."
)


def two_speakers_in_turns() -> App:
    nodes, wires = two_people()
    for k in "12":
        del wires[f"portrait{k}.image"]
        place = nodes[f"portrait{k}"][1]
        face = {"image": "two_people.png", "face_index": int(k) - 1, "face_order": "left to right"}
        nodes[f"portrait{k}"] = ("LoadPortrait", place, face)
    return App(
        "two_speakers_in_turns",
        "Two speakers in turns",
        "1. **image** of both Load Portraits: an image with two people; *face_index* 0 is the left one.\n"
        "2. **audio**: one recording with both speakers.\n"
        "3. **lines**: who speaks when, `0:00-0:03 anna`, a turn a line; or paste SRT, WebVTT, RTTM or Audacity "
        "labels.\n"
        "4. Run. Who listens blinks, moves a little and looks at the speaker.\n\n"
        f"The blueprint *Two Speakers* is all of this as one box.\n\n{WAITS}",
        {
            "model": ("LoadModel", (0, -0.6), {}),
            "voice": ("=LoadAudio", (-1, 1.4), {"audio": "speech.wav"}),
            **nodes,
        },
        {"split.audio": "voice.AUDIO", "video.audio": "voice.AUDIO", **wires},
        (),
        "video",
    )


def blendshapes_in_and_out() -> App:
    nodes, wires = stages()
    for key in ("portrait", "gate"):
        del nodes[key]
    wires = {
        target: source for target, source in wires.items() if not target.startswith(("gate.", "portrait.", "mapping.e"))
    }
    return App(
        "blendshapes_in_and_out",
        "Blendshapes in and out",
        "**Export Blendshapes** writes what ExpNet and PoseVAE predict as ARKit blendshapes: Live Link Face CSV for "
        "Unreal and Blender, JSON for glTF and VRM avatars.\n\n"
        "**Import Blendshapes** reads a file in the input folder: a Live Link Face CSV, Azure visemes, Rhubarb mouths "
        "(as here, *speech.rhubarb.tsv*) or phonemes with times. "
        "The mouth of the video follows the file; blinks and gaze, which it does not contain, come from ExpNet.\n\n"
        f"Both are for *mini*.\n\n{WAITS}",
        {
            "model": ("LoadModel", (0, -0.5), {}),
            "portrait": ("LoadPortrait", (0, 0), {"image": "portrait.png"}),
            "voice": ("=LoadAudio", (0, 1.2), {"audio": "speech.wav"}),
            **nodes,
            "export": ("ExportBlendshapes", (3, 1.65), {}),
            "import": ("ImportBlendshapes", (3, 1.05), {"file": "speech.rhubarb.tsv"}),
            "video": ("RenderVideo", (4, 0), {"filename_prefix": "sadtalker/imported"}),
        },
        {
            **wires,
            "speech.audio": "voice.AUDIO",
            "export.expression": "expnet.expression",
            "export.pose": "posevae.pose",
            "import.speech": "speech.speech",
            "import.expression": "expnet.expression",
            "import.coefficients": "extract.coefficients",
            "mapping.expression": "import.expression",
            "video.model": "model.model",
            "video.portrait": "extract.portrait",
            "video.motion": "mapping.motion",
            "video.audio": "voice.AUDIO",
        },
        (),
        "video",
    )


APPS = (talking_portrait_app, full_body_app, dub_video_app, two_speakers_in_turns, blendshapes_in_and_out)
BOXES = (talking_portrait, talking_full_body, two_speakers)


# --------------------------------------------------------------------------------------------------- into page's form


def written(box: Box) -> dict[str, Any]:
    """The file of a box, as the page would save it."""
    numbers = {key: number for number, key in enumerate(box.nodes, start=2)}
    names = list(box.sockets)
    links: list[dict[str, Any]] = []
    at_sockets: dict[str, list[int]] = {name: [] for name in names}
    nodes = [_node(box, key, numbers[key]) for key in box.nodes]
    by_key = dict(zip(box.nodes, nodes, strict=True))

    def link(source: str, target_id: int, target_slot: int) -> int:
        key, name = source.split(".", 1)
        number = len(links) + 1
        if key == "IN":
            origin_id, origin_slot, kind = -10, names.index(name), box.sockets[name]
            at_sockets[name].append(number)
        else:
            outputs = by_key[key]["outputs"]
            origin_id, origin_slot = numbers[key], [output["name"] for output in outputs].index(name)
            kind = outputs[origin_slot]["type"]
            outputs[origin_slot]["links"] = [*(outputs[origin_slot]["links"] or []), number]
        ends = {"target_id": target_id, "target_slot": target_slot, "type": kind}
        links.append({"id": number, "origin_id": origin_id, "origin_slot": origin_slot, **ends})
        return number

    for target, source in box.wires.items():
        key, name = target.split(".", 1)
        slot = [socket["name"] for socket in by_key[key]["inputs"]].index(name)
        by_key[key]["inputs"][slot]["link"] = link(source, numbers[key], slot)
    outputs = []
    for slot, (name, source) in enumerate(box.outputs.items()):
        number = link(source, -20, slot)
        outputs.append(_socket(box, "output", slot, name, links[-1]["type"], [number], 20))
    width = max(place[0] for _, place, _ in box.nodes.values())
    least = min(place[0] for _, place, _ in box.nodes.values())
    inside = {
        "id": _id(box, "inside"),
        "version": 1,
        "state": {
            "lastGroupId": 0, "lastNodeId": max(numbers.values()), "lastLinkId": len(links), "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": box.name,
        "category": "SadTalker",
        "description": box.description,
        "inputNode": {"id": -10, "bounding": [COLUMN * least - 180, 277, 120, 80]},
        "outputNode": {"id": -20, "bounding": [COLUMN * (width + 1) + 20, 277, 120, 80]},
        "inputs": [
            _socket(box, "input", slot, name, kind, at_sockets[name], 55)
            for slot, (name, kind) in enumerate(box.sockets.items())
        ],
        "outputs": outputs,
        "widgets": [],
        "nodes": nodes,
        "groups": [],
        "links": links,
        "extra": {},
    }  # fmt: skip
    outside = {
        "id": 1,
        "type": inside["id"],
        "pos": [0, 0],
        "size": [320, 100 + 30 * len(box.shown)],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [{"name": name, "type": kind, "link": None} for name, kind in box.sockets.items()],
        "outputs": [{"name": output["name"], "type": output["type"], "links": []} for output in outputs],
        "properties": {
            "proxyWidgets": [[str(numbers[key]), name] for key, name in (way.split(".") for way in box.shown)],
            "cnr_id": PACK,
        },
        "widgets_values": [],
        "title": box.name,
    }
    return {
        "id": _id(box, "file"),
        "revision": 0,
        "last_node_id": 1,
        "last_link_id": 0,
        "nodes": [outside],
        "links": [],
        "groups": [],
        "definitions": {"subgraphs": [inside]},
        "config": {},
        "extra": {
            "BlueprintDescription": box.description,
            "BlueprintSearchAliases": list(dict.fromkeys(box.aliases + LIP_SYNC)),
        },
        "version": 0.4,
    }


def _id(box: Box, what: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PACK}/{box.name}/{what}"))


def _socket(box: Box, side: str, slot: int, name: str, kind: str, links: list[int], x: int) -> dict[str, Any]:
    return {"id": _id(box, f"{side} {name}"), "name": name, "type": kind, "linkIds": links, "pos": [x, 20 * (slot + 1)]}


def _node(box: Box | App, key: str, number: int) -> dict[str, Any]:
    kind, (column, row), values = box.nodes[key]
    core = kind.startswith("=")
    name = kind[1:] if core else f"SadTalker{kind}"
    inputs, outputs = CORE[name] if core else (FROZEN[name]["inputs"], FROZEN[name]["outputs"])
    unknown = set(values) - set(inputs)
    if unknown:
        raise ValueError(f"{name} has no {sorted(unknown)}")
    sockets = [
        {"name": id, **({} if given["required"] else {"shape": 7}), "type": given["type"], "link": None}
        for id, given in inputs.items()
        if given["type"] not in WIDGETS
    ]
    widgets: list[dict[str, Any]] = []
    saved: list[Any] = []
    for id, given in inputs.items():
        if given["type"] in WIDGETS:
            widgets.append({"name": id, "type": given["type"], "widget": {"name": id}, "link": None})
            saved.append(values.get(id, given.get("default")))
            saved += ["fixed"] if given.get("control_after_generate") else []
    saved += ADDED_BY_THE_PAGE.get(name, [])
    title = box.titles.get(key)
    return {
        "id": number,
        "type": name,
        "pos": [COLUMN * column, ROW * row],
        "size": [310, 60 + 26 * (len(widgets) + max(len(sockets), len(outputs)))],
        "flags": {},
        "order": number - 2,
        "mode": 0,
        "inputs": [*sockets, *widgets],
        "outputs": [{"name": name, "type": kind, "links": None} for kind, name in outputs],
        "properties": {"Node name for S&R": name, "cnr_id": "comfy-core" if core else PACK},
        "widgets_values": saved,
        **({"title": title} if title else {}),
    }


def written_app(app: App) -> dict[str, Any]:
    """The file of an app, as the page would save it."""
    numbers = {key: number for number, key in enumerate(app.nodes, start=2)}
    nodes = {key: _node(app, key, numbers[key]) for key in app.nodes}
    links: list[list[Any]] = []
    for target, source in app.wires.items():
        (to, socket), (of, output) = target.split("."), source.split(".")
        slots = [given["name"] for given in nodes[to]["inputs"]], [given["name"] for given in nodes[of]["outputs"]]
        taken, given = slots[0].index(socket), nodes[of]["outputs"][slots[1].index(output)]
        number = len(links) + 1
        links.append([number, numbers[of], slots[1].index(output), numbers[to], taken, given["type"]])
        nodes[to]["inputs"][taken]["link"] = number
        given["links"] = [*(given["links"] or []), number]
    note = {
        "id": 1,
        "type": "MarkdownNote",
        "pos": [-400, 0],
        "size": [340, 420],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {},
        "widgets_values": [f"## {app.title}\n{app.text}"],
        "title": "Read me",
        "color": "#432",
        "bgcolor": "#653",
    }
    shown = [[numbers[key], name] for key, name in (way.split(".") for way in app.inputs)]
    linear = {"linearData": {"inputs": shown, "outputs": [numbers[app.output]]}, "linearMode": True}
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PACK}/{app.name}")),
        "revision": 0,
        "last_node_id": max(numbers.values()),
        "last_link_id": len(links),
        "nodes": [note, *nodes.values()],
        "links": links,
        "groups": [],
        "config": {},
        "extra": {
            "ds": {"scale": 0.6, "offset": [550, 313]},
            **(linear if shown else {}),
        },
        "version": 0.4,
    }


def written_api(app: App) -> dict[str, Any]:
    """The same graph as ComfyUI's API takes it, with the names of files that docs/WORKFLOWS.md uploads."""
    files = {"portrait": {"image": "face.png"}, "voice": {"audio": "hello.wav"}}
    prompt = {}
    for key, (kind, _, values) in app.nodes.items():
        core = kind.startswith("=")
        name = kind[1:] if core else f"SadTalker{kind}"
        inputs = CORE[name][0] if core else FROZEN[name]["inputs"]
        given = {id: entry["default"] for id, entry in inputs.items() if "default" in entry}
        prompt[key] = {"class_type": name, "inputs": {**given, **values, **files.get(key, {})}}
    for target, source in app.wires.items():
        (to, socket), (of, output) = target.split("."), source.split(".")
        kind = app.nodes[of][0]
        outputs = CORE[kind[1:]][1] if kind.startswith("=") else FROZEN[f"SadTalker{kind}"]["outputs"]
        prompt[to]["inputs"][socket] = [of, [name for _, name in outputs].index(output)]
    return {"prompt": prompt}


def api_text() -> str:
    return json.dumps(written_api(talking_portrait_app()), indent=1) + "\n"


def text_of(made: Box | App) -> str:
    graph = written(made) if isinstance(made, Box) else written_app(made)
    return json.dumps(graph, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    for make in BOXES:
        box = make()
        (FOLDER / f"{box.name}.json").write_text(text_of(box), encoding="utf-8")
        print(f"{box.name}.json")
    for begin in APPS:
        app = begin()
        (PROJECT / "workflows" / f"{app.name}.json").write_text(text_of(app), encoding="utf-8")
        print(f"{app.name}.json")
    API_FILE.write_text(api_text(), encoding="utf-8")
    print(API_FILE.name)


if __name__ == "__main__":
    main()
