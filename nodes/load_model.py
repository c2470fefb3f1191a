"""Load SadTalker Model: a name in, the networks of one family out, resident under ComfyUI's memory management."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import comfy.ops
import folder_paths
from comfy.cli_args import args
from comfy_api.latest import io

from ..sadtalker_core.checkpoint.catalog import BY_NAME, MINI_MODEL, RELEASED_MODELS, find_files
from ..sadtalker_core.checkpoint.glance import could_be_model
from ..sadtalker_core.errors import CheckpointMissing
from ..sadtalker_core.model import load_model
from ..sadtalker_core.options import OPTIONS
from . import residency, widgets, wires
from .progress import Progress

FOLDER = "sadtalker"
_OTHER_KEYS = {FOLDER, "sadtalker_checkpoints", "sadtalker-checkpoints", "sad_talker"}
_EXTENSIONS = {".safetensors", ".pth", ".tar", ".pt", ".ckpt"}


def register_folder() -> None:
    """Add models/sadtalker to ComfyUI's folders, beside whatever extra_model_paths.yaml has already named; then the
    same folder and key in other cases of letters: the original's extension and other packs use SadTalker.
    """
    default = Path(folder_paths.models_dir) / FOLDER
    folder_paths.add_model_folder_path(FOLDER, str(default))
    theirs = [
        path
        for key in list(folder_paths.folder_names_and_paths)
        if key != FOLDER and key.lower() in _OTHER_KEYS
        for path in folder_paths.get_folder_paths(key)
    ]
    siblings = sorted(default.parent.iterdir()) if default.parent.is_dir() else []
    theirs += [str(path) for path in siblings if path.name.lower() == FOLDER and path.is_dir()]
    for path in theirs:
        if os.path.realpath(path) not in map(os.path.realpath, folder_paths.get_folder_paths(FOLDER)):
            folder_paths.add_model_folder_path(FOLDER, path)
    paths, extensions = folder_paths.folder_names_and_paths[FOLDER][:2]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, set(extensions) | _EXTENSIONS)


def model_folders() -> list[Path]:
    """Where model files may lie, in ComfyUI's order."""
    return [Path(folder) for folder in folder_paths.get_folder_paths(FOLDER)]


def model_choices() -> list[str]:
    """The built-in and the released models, always listed, then the user's own files as file/<posix path>: those that
    could be a model.
    """
    own = [name for name in folder_paths.get_filename_list(FOLDER) if Path(name).name not in BY_NAME]
    could_be = (name for name in own if could_be_model(Path(folder_paths.get_full_path(FOLDER, name) or name)))
    return [MINI_MODEL, *RELEASED_MODELS, *(f"file/{Path(name).as_posix()}" for name in could_be)]


class SadTalkerLoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerLoadModel",
            display_name="Load SadTalker Model",
            category=wires.CATEGORY,
            description="Loads the networks of one SadTalker model. 'mini' is built in (preview quality) and needs no "
            "download; 'SadTalker 256' and 'SadTalker 512' are the released weights in models/sadtalker.",
            inputs=[
                io.Combo.Input("model", options=model_choices(), default=MINI_MODEL, tooltip=OPTIONS["model"].help),
                widgets.option("precision"),
                *widgets.own("LoadModel"),
            ],
            outputs=[
                wires.Model.Output(
                    "loaded_model",
                    display_name="model",
                    tooltip="The networks. Connect the same loader to every stage.",
                )
            ],
        )

    @classmethod
    def execute(cls, model: str, precision: str, allow_download: bool) -> io.NodeOutput:
        loaded = load_model(
            model,
            model_folders(),
            ops=comfy.ops.manual_cast,
            allow_download=allow_download,
            on_progress=Progress(),
            use_mmap=not args.disable_mmap,
        )
        if model == MINI_MODEL:
            logging.info(
                "SadTalker: mini (built-in, preview quality). For the released quality choose 'SadTalker 256' in "
                "Load SadTalker Model and switch allow_download on, or put its files into models/sadtalker."
            )
        return io.NodeOutput(residency.wrap_in_patchers(loaded, precision))

    @classmethod
    def fingerprint_inputs(cls, model: str, precision: str, allow_download: bool) -> Any:
        """A file that was replaced since the last run is read again."""
        if model == MINI_MODEL:
            return []
        try:
            found = find_files(model, model_folders())
        except CheckpointMissing:
            return []
        return [(str(file.path), file.path.stat().st_size, file.path.stat().st_mtime_ns) for file in found]
