"""A workflow as the page saves it -> the prompt that the server runs (what the page's own "Export (API)" does).

In: the saved graph (nodes with positional `widgets_values`, links as rows) and the server's /object_info.
Out: {node id: {"class_type", "inputs"}}, where an input is a value or a link [node id, output index].

The page stores the widgets of a node by position, in the order of its schema, with additions that belong to the page:
after a seed how to change it, after the required inputs an upload button, in a sound loader a player.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MUTED, BYPASSED = 2, 4
ONLY_ON_THE_PAGE = {"Note", "MarkdownNote", "Reroute", "PrimitiveNode"}
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
SEED_CONTROLS = {"fixed", "increment", "decrement", "randomize", "increment-wrap"}
UPLOADS = ("image_upload", "video_upload", "audio_upload", "animated_image_upload", "file_upload")
SOUND_PLAYERS = {"LoadAudio", "SaveAudio", "SaveAudioMP3", "SaveAudioOpus", "PreviewAudio"}


class WorkflowError(Exception):
    """A workflow file that cannot be turned into a prompt, with the node and the reason."""


def load(path: Path) -> dict[str, Any]:
    """Reads a workflow file, either as the page saves it or in API form."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WorkflowError(f"there is no workflow file {path}") from None
    except (UnicodeDecodeError, ValueError) as error:
        raise WorkflowError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict) or not data:
        raise WorkflowError(f"{path} is not a ComfyUI workflow: expected an object with nodes")
    return data


def is_api(workflow: dict[str, Any]) -> bool:
    """Whether it is in API form already."""
    return all(isinstance(node, dict) and "class_type" in node for node in workflow.values())


def to_prompt(workflow: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """The API prompt of a saved graph; one that is in API form comes back as it is."""
    if is_api(workflow):
        return workflow
    if not isinstance(workflow.get("nodes"), list):
        raise WorkflowError("this is neither a saved workflow (no list of nodes) nor an API prompt")
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: link for link in map(_as_row, workflow.get("links") or [])}
    prompt: dict[str, Any] = {}
    for node in sorted(nodes.values(), key=lambda node: node.get("order", 0)):
        kind = node["type"]
        if kind in ONLY_ON_THE_PAGE or node.get("mode", 0) in (MUTED, BYPASSED):
            continue
        if kind not in object_info:
            raise WorkflowError(f"node {node['id']} is a {kind}, which this server does not have")
        inputs = widget_values(node, object_info[kind])
        for socket in node.get("inputs") or []:
            if socket.get("link") is None:
                continue
            source = _source(socket["link"], nodes, links)
            if source is None:
                if "widget" not in socket:
                    inputs.pop(socket["name"], None)
            elif source[0] == "value":
                inputs[socket["name"]] = source[1]
            else:
                inputs[socket["name"]] = [str(source[1]), source[2]]
        prompt[str(node["id"])] = {
            "class_type": kind,
            "inputs": inputs,
            "_meta": {"title": node.get("title") or object_info[kind].get("display_name", kind)},
        }
    if not prompt:
        raise WorkflowError("nothing in this workflow can run: every node is muted, bypassed or a note")
    return prompt


def widget_values(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The values of a node's widgets by name, from the positional list in which the page saves them."""
    saved = node.get("widgets_values")
    widgets = _widgets(node["type"], schema)
    if isinstance(saved, dict):
        known = {name for name, _ in widgets if name}
        return {name: value for name, value in saved.items() if name in known}
    left = list(saved or [])
    values: dict[str, Any] = {}
    for name, default in widgets:
        if name is None:  # an addition of the page: taken when it is there
            if left and default(left[0]):
                left.pop(0)
        elif left:
            values[name] = left.pop(0)
        elif default is not None:
            values[name] = default
    if any(value is not None for value in left):
        raise WorkflowError(
            f"node {node['id']} ({node['type']}) saves {len(saved or [])} widget values, and {left} "
            f"are more than its widgets {[name for name, _ in widgets if name]}"
        )
    return values


def uploads(prompt: dict[str, Any], object_info: dict[str, Any], kind: str) -> list[tuple[str, str]]:
    """The inputs of a prompt that name an uploaded file of a kind ("image", "audio", "video"): (node id, input)."""
    found = []
    for node_id, node in prompt.items():
        for name, spec in _specs(object_info.get(node["class_type"], {})):
            if _options(spec).get(f"{kind}_upload") and not isinstance(node["inputs"].get(name), list):
                found.append((node_id, name))
    return found


def _widgets(kind: str, schema: dict[str, Any]) -> list[tuple[Any, Any]]:
    """The widgets in the page's order: (name, default), or (None, test) for the page's own additions."""
    required, optional = _specs(schema, "required"), _specs(schema, "optional")
    widgets: list[tuple[Any, Any]] = []
    for name, spec in required:
        widgets += _widget(name, spec)
    if any(_options(spec).get(flag) for _, spec in required for flag in UPLOADS):
        if kind in SOUND_PLAYERS:
            widgets.append((None, _is_page_value))
        widgets.append((None, _is_page_value))
    elif kind in SOUND_PLAYERS:
        widgets.append((None, _is_page_value))
    for name, spec in optional:
        widgets += _widget(name, spec)
    return widgets


def _widget(name: str, spec: list) -> list[tuple[Any, Any]]:
    options = _options(spec)
    is_widget = isinstance(spec[0], list) or spec[0] in WIDGETS
    if not is_widget or options.get("forceInput"):
        return []
    choices = spec[0] if isinstance(spec[0], list) else options.get("options") or []
    default = options.get("default", choices[0] if choices else None)
    widgets: list[tuple[Any, Any]] = [(name, default)]
    controlled = options.get("control_after_generate")
    if controlled or (controlled is None and spec[0] == "INT" and name in ("seed", "noise_seed")):
        widgets.append((None, lambda value: value in SEED_CONTROLS))
    return widgets


def _is_page_value(value: Any) -> bool:
    return value is None or value in ("", "image", "video", "audio", "upload")


def _specs(schema: dict[str, Any], *groups: str) -> list[tuple[str, list]]:
    """A schema's inputs in the order in which the page shows them."""
    specs: list[tuple[str, list]] = []
    for group in groups or ("required", "optional"):
        inputs = (schema.get("input") or {}).get(group) or {}
        order = (schema.get("input_order") or {}).get(group) or list(inputs)
        specs += [(name, inputs[name]) for name in order if name in inputs]
    return specs


def _options(spec: list) -> dict[str, Any]:
    return spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}


def _as_row(link: Any) -> list:
    if isinstance(link, dict):
        return [
            link["id"],
            link["origin_id"],
            link["origin_slot"],
            link["target_id"],
            link["target_slot"],
            link.get("type"),
        ]
    return link


def _source(link_id: int, nodes: dict, links: dict) -> tuple | None:
    """Where a link really comes from: through reroutes and bypassed nodes, or None when that end is muted.

    ("node", node id, output index), or ("value", value) from a primitive.
    """
    for _ in range(len(links) + 1):
        if link_id not in links:
            raise WorkflowError(f"the workflow names link {link_id}, which it does not have")
        _, origin_id, slot, _, _, link_type = links[link_id][:6]
        origin = nodes.get(origin_id)
        if origin is None:
            raise WorkflowError(f"link {link_id} comes from node {origin_id}, which the workflow does not have")
        if origin.get("mode", 0) == MUTED:
            return None
        if origin["type"] == "PrimitiveNode":
            return ("value", (origin.get("widgets_values") or [None])[0])
        if origin["type"] == "Reroute":
            onward = next((s.get("link") for s in origin.get("inputs") or []), None)
        elif origin.get("mode", 0) == BYPASSED:
            onward = _through(origin, slot, link_type)
        else:
            return ("node", origin_id, slot)
        if onward is None:
            return None
        link_id = onward
    raise WorkflowError(f"link {link_id} leads in a circle")


def _through(node: dict, slot: int, link_type: str | None) -> int | None:
    """A bypassed node hands on the input of the output's type: the one in the same place if it fits, else the first."""
    sockets = node.get("inputs") or []
    outputs = node.get("outputs") or []
    wanted = outputs[slot].get("type") if slot < len(outputs) else link_type
    same_place = sockets[slot : slot + 1]
    for socket in [*same_place, *sockets]:
        if socket.get("type") == wanted and socket.get("link") is not None:
            return socket["link"]
    return None
