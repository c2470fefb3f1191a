"""What the page may translate of our nodes, taken from a running server; as a script it writes the English locale.

python -m tests.tools.locale_of http://127.0.0.1:8188        (a running server with the pack, see `make serve`)
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

LOCALES = Path(__file__).resolve().parents[2] / "locales"


def locale_of(info: dict[str, Any]) -> dict[str, Any]:
    """One node of /object_info -> its entry of nodeDefs.json: what inputs (by id) and outputs (by place) are called."""
    inputs = {
        name: {"name": name, "tooltip": (spec[1] if len(spec) > 1 else {}).get("tooltip", "")}
        for section in ("required", "optional")
        for name, spec in info["input"].get(section, {}).items()
    }
    outputs = {
        str(place): {"name": name, "tooltip": tip}
        for place, (name, tip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
    }
    words = {"display_name": info["display_name"], "description": info["description"]}
    return {**words, "inputs": inputs, "outputs": outputs}


def locales_of(object_info: dict[str, Any]) -> dict[str, Any]:
    """All of ours, in the order of their names."""
    return {name: locale_of(object_info[name]) for name in sorted(object_info) if name.startswith("SadTalker")}


def main(url: str) -> None:
    with urllib.request.urlopen(f"{url}/object_info") as answer:
        written = locales_of(json.load(answer))
    file = LOCALES / "en" / "nodeDefs.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{file}: {len(written)} nodes")


if __name__ == "__main__":
    main(sys.argv[1])
