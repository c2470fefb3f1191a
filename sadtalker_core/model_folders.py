"""Where released models lie, with ComfyUI and without it.

They are looked for in this order: folders that were named, those of $SADTALKER_MODELS, `models/sadtalker` of the
ComfyUI around this pack, and the user's cache folder. A download goes into the first of them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

#: names folders with models, with the system's sign between them (":", on Windows ";")
VARIABLE = "SADTALKER_MODELS"
#: below ComfyUI's folder of models, and below the user's cache folder
NAME = "sadtalker"
#: as it was reached, and where it really lies: a pack may be linked into custom_nodes
CORES = tuple(dict.fromkeys((Path(__file__).absolute().parent, Path(__file__).resolve().parent)))


def model_folders(named: Iterable[Path | str] = ()) -> list[Path]:
    """The folders to search, in order; they need not exist. named: those that come first."""
    variable = os.environ.get(VARIABLE, "")
    folders = [*named, *filter(None, variable.split(os.pathsep)), *around_the_pack(), cache_folder() / "models"]
    return list(dict.fromkeys(Path(folder).expanduser().absolute() for folder in folders))


def add_models_option(parser: argparse._ActionsContainer, help: str) -> None:
    """--models FOLDER, as often as one likes."""
    parser.add_argument("--models", type=Path, action="append", default=[], metavar="FOLDER", help=help)


def around_the_pack(cores: Iterable[Path] = CORES) -> list[Path]:
    """models/sadtalker of the ComfyUI in whose custom_nodes this code lies; none where it lies elsewhere."""
    inside = [core.parents for core in cores if core.parent.parent.name == "custom_nodes"]
    return [parents[2] / "models" / NAME for parents in inside]


def cache_folder() -> Path:
    """What this system keeps for programs of this user: ~/.cache/sadtalker, ~/Library/Caches/sadtalker, ..."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / NAME
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / NAME
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / NAME


__all__ = ["VARIABLE", "around_the_pack", "cache_folder", "model_folders"]
