"""The published face of the nodes, in a form that can be compared; run as a script it writes frozen_interface.json.

python -m tests.tools.freeze http://127.0.0.1:8188        (a running server with the pack, see `make serve`)
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

#: lists of files that differ from machine to machine are no part of the interface
OPEN_LISTS = {
    ("SadTalkerLoadPortrait", "image"),
    ("SadTalkerLoadTrack", "track"),
    ("SadTalkerImportBlendshapes", "file"),
}


def interface_of(info: dict[str, Any]) -> dict[str, Any]:
    """One node of /object_info -> {display_name, inputs: {name: {type, required, default, values, ...}}, outputs}."""
    inputs = {}
    for section in ("required", "optional"):
        for name, spec in info["input"].get(section, {}).items():
            options = spec[1] if len(spec) > 1 else {}
            values = spec[0] if isinstance(spec[0], list) else options.get("options")
            entry: dict[str, Any] = {
                "type": "COMBO" if values is not None else spec[0],
                "required": section == "required",
            }
            if "default" in options:
                entry["default"] = options["default"]
            # a wish for control_after_generate puts a second value behind the first one in saved workflows
            entry.update({word: options[word] for word in ("min", "max", "control_after_generate") if word in options})
            if values is not None and (info["name"], name) not in OPEN_LISTS:
                entry["values"] = [value for value in values if not str(value).startswith("file/")]
            inputs[name] = entry
    outputs = [list(pair) for pair in zip(info["output"], info["output_name"], strict=True)]
    return {"display_name": info["display_name"], "inputs": inputs, "outputs": outputs}


def main(url: str) -> None:
    with urllib.request.urlopen(f"{url}/object_info") as answer:
        info = json.load(answer)
    frozen = {name: interface_of(info[name]) for name in sorted(info) if name.startswith("SadTalker")}
    file = Path(__file__).resolve().parents[1] / "nodes" / "frozen_interface.json"
    file.write_text(json.dumps(frozen, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{file.name}: {len(frozen)} nodes")


if __name__ == "__main__":
    main(sys.argv[1])
