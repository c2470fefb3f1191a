"""Both ends of a training: the model it starts from comes in, one file with the networks it made goes out.

The file holds every network of the model, the trained ones and those of the base, with their configs as metadata. In
ComfyUI's models/sadtalker it is listed by Load SadTalker Model as file/NAME, and works in every node.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from ..checkpoint.catalog import FILE_PREFIX, MINI_MODEL, RELEASED_MODELS
from ..errors import OptionError, shorten
from ..model import SadTalkerModel, load_model, save_model
from ..model_folders import add_models_option
from .states import BEST as BEST_WORD
from .states import LAST as LAST_WORD

#: networks that a file may hold besides those of its model, for the next training
CARRIED = ("motion_estimator",)


def load_base_model(base: str, folders: Sequence[Path] = ()) -> SadTalkerModel:
    """The model to start from: a name that the loader node knows, or the path of a file of ours.

    folders: where released files lie. Raises what `load_model` raises.
    """
    if base == MINI_MODEL or base in RELEASED_MODELS:
        model = load_model(base, folders)
    else:
        file = Path(base)
        model = load_model(f"{FILE_PREFIX}{file.name}", [file.parent, *folders])
    model.bring(model.family.networks.names())  # raises now for one that is missing, not at the end
    return model


def export(file: Path, base: SadTalkerModel, nets: Mapping[str, nn.Module]) -> Path:
    """Write the base with these networks in the place of its own: {"posevae": net}. Raises OptionError."""
    file = require_target(Path(file))
    unknown = sorted(set(nets) - set(base.nets) - set(CARRIED))
    if unknown:
        raise OptionError(f"a {base.family.name} model has no network {unknown[0]!r}; it has {', '.join(base.nets)}.")
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = [*base.family.networks.names(), *(name for name in CARRIED if name in nets)]
    return save_model(file, replace(base, name=file.stem, nets={**base.nets, **nets}), whole)


def require_target(file: Path) -> Path:
    """Raises OptionError for a place that a file cannot be exported to."""
    if file.suffix != ".safetensors":
        raise OptionError(f"expected a file name that ends in .safetensors to export to, got {shorten(file.name)}.")
    if file.is_dir():
        raise OptionError(f"expected a file to export to, and {shorten(file)} is a folder.")
    existing = next((folder for folder in file.absolute().parents if folder.exists()), None)
    if existing is None or not existing.is_dir() or not os.access(existing, os.W_OK):
        raise OptionError(f"nothing can be written to {shorten(file.parent)}: name another --export.")
    return file


@dataclass(frozen=True)
class Ends:
    """base: the model to start from;  models: folders with released files
    init_from: whether the network itself starts from the base's, or as a new one;  export: the file to write, or None
    only: "best" or "last": export that state of the run, and do not train on
    """

    base: str
    models: tuple[Path, ...]
    init_from: str
    export: Path | None
    only: str | None = None

    def require_export(self) -> None:
        """Raises OptionError where the file could not be written in the end."""
        if self.export is not None:
            require_target(self.export)

    def load_base(self) -> SadTalkerModel:
        return load_base_model(self.base, self.models)


NEW, BASE = "new", "base"


def add_base_options(parser: argparse.ArgumentParser, task: str = "brings all other networks") -> None:
    """--base and --models, as `load_base_model` takes them."""
    parser.add_argument(
        "--base",
        default=MINI_MODEL,
        help=f"the model that {task}: mini (default), "
        "'SadTalker 256', 'SadTalker 512', or a file that was exported before",
    )
    add_models_option(parser, "where released weights lie, for such a base; can be repeated")


def add_end_options(parser: argparse.ArgumentParser) -> None:
    """The options of `Ends`, the same for every trainer."""
    add_base_options(parser)
    parser.add_argument(
        "--init-from",
        "--begin",
        dest="init_from",
        choices=(NEW, BASE),
        default=NEW,
        help="new: a randomly initialised network as wide as --config; base: continue from the base's",
    )
    parser.add_argument(
        "--export",
        nargs="+",
        metavar="FILE.safetensors",
        help="write the base with what was learnt (its best state), for models/sadtalker of ComfyUI. 'best' or 'last', "
        "alone or before FILE: write that state of the run now, and do not train on",
    )


def ends_of(options: argparse.Namespace) -> Ends:
    """What a command line with `add_end_options` asks for. Raises OptionError for an --export that cannot be."""
    words = list(options.export or [])
    only = words.pop(0) if words and words[0] in (BEST_WORD, LAST_WORD) else None
    if len(words) > 1:
        raise OptionError(f"expected one file behind --export, got {' '.join(words)}.")
    file = Path(words[0]) if words else options.out / f"{only}.safetensors" if only else None
    ends = Ends(options.base, tuple(options.models), options.init_from, file, only)
    ends.require_export()
    return ends


__all__ = [
    "BASE",
    "NEW",
    "Ends",
    "add_base_options",
    "add_end_options",
    "load_base_model",
    "ends_of",
    "export",
    "require_target",
]
