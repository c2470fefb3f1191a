"""Three finished runs -> assets/mini_motion.safetensors: ExpNet, PoseVAE and MappingNet of the built-in family.

    python -m sadtalker_core.training.pack_motion_mini --expnet runs/expnet_mini --posevae runs/posevae_mini \
        --mapping runs/mapping_mini --note "4 hours of speech, seed 1, one core of a CPU"

A net without a run stays as it is in the file that `--base` names. The weights are rounded to half precision. The
metadata holds each net's config, which is all that loading needs, and under "recipe" how it was made.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from ..checkpoint.reading import METADATA_KEY, Metadata, read_tensors
from ..datatypes import MINI
from ..errors import CheckpointMismatch
from ..families.networks import NETWORKS
from ..saving import save_tensors
from . import expnet_mini, mapping_mini, posevae_mini
from .engine import steps_done, trained

ASSET = Path(__file__).resolve().parent.parent / "assets" / "mini_motion.safetensors"
IMAGE_SIZE = 256


def rounded(net: nn.Module) -> dict[str, torch.Tensor]:
    """The net's tensors, weights in half precision."""
    kept = {name for name, _ in net.named_buffers()}
    return {name: t if name in kept else t.half() for name, t in net.state_dict().items()}


def pack(nets: dict[str, Any], recipe: dict[str, Any], file: Path) -> Path:
    """nets: {"expnet": ..., "posevae": ..., "mapping": ...} -> one file; it appears whole or not at all."""
    metadata = Metadata(MINI, "mini", IMAGE_SIZE, {name: asdict(net.config) for name, net in nets.items()})
    tensors = {f"{name}.{path}": t.contiguous() for name, net in nets.items() for path, t in rounded(net).items()}
    about = {"format": "pt", METADATA_KEY: metadata.to_json(), "recipe": json.dumps(recipe, sort_keys=True)}
    return save_tensors(file, tensors, about)


def kept(file: Path, name: str) -> Any:
    """A net of a file as it is there, to be packed again."""
    read = read_tensors(file)
    if read.metadata is None:
        raise CheckpointMismatch(f"{file} says nothing about its networks; expected a file of the mini family.")
    plan = NETWORKS[name]
    net = plan.kind(plan.read_config(read.metadata.configs[name], file.name))
    net.load_state_dict(read.nets()[name])
    return net


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("expnet", "posevae", "mapping"):
        parser.add_argument(f"--{name}", type=Path, help=f"folder of the run of {name}_mini")
    parser.add_argument("--base", type=Path, default=ASSET, help="the file whose nets stay where no run is named")
    parser.add_argument("--note", default="", help="hours of speech, seeds, kind of machine")
    parser.add_argument("--out", type=Path, default=ASSET)
    options = parser.parse_args(arguments)
    runs = {name: getattr(options, name) for name in ("expnet", "posevae", "mapping")}
    new: dict[str, Callable[[], nn.Module]] = {
        "expnet": lambda: expnet_mini.new_net(0),
        "posevae": lambda: posevae_mini.new_net(0, expnet_mini.new_net(0).audio),
        "mapping": lambda: mapping_mini.new_net(0),
    }
    nets = {name: trained(new[name](), run, name) if run else kept(options.base, name) for name, run in runs.items()}
    recipe = {
        "made by": "sadtalker_core.training: voices.speech_set, expnet_mini, posevae_mini, mapping_mini",
        "steps": {name: steps_done(run) for name, run in runs.items() if run},
        "note": options.note,
    }
    if not all(runs.values()):
        recipe["the others"] = earlier_recipe(options.base)
    file = pack(nets, recipe, options.out)
    print(f"{file}: {file.stat().st_size / 1e6:.2f} MB")


def earlier_recipe(file: Path) -> Any:
    """What a file says about how it was made."""
    with safe_open(file, "pt") as stored:
        return json.loads((stored.metadata() or {}).get("recipe", "null"))


if __name__ == "__main__":
    main()
