"""A model that somebody has trained, in the nodes of a real ComfyUI."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.tools.comfyui.inprocess import run_inside
from tests.tools.comfyui.layout import make_base

SCRIPT = Path(__file__).resolve().parent / "inside" / "own_model.py"


def in_the_nodes(comfyui, file: Path, portrait: Path, voice: Path, folder: Path) -> dict[str, Any]:
    """What inside/own_model.py finds when the file lies in models/sadtalker and the portrait says the voice."""
    base = make_base(folder / "base")
    for given in (portrait, voice):
        shutil.copy(given, base / "input" / given.name)
    models = base / "models" / "sadtalker" / "mine"
    models.mkdir(parents=True)
    shutil.copy(file, models)
    return run_inside(comfyui, SCRIPT, base, model=f"file/mine/{file.name}", voice=voice.name, portrait=portrait.name)
