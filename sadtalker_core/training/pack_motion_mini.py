"""Four finished runs -> assets/mini_motion.safetensors: ExpNet, whose two networks are trained by themselves, PoseVAE
and MappingNet of the built-in family.

    python -m sadtalker_core.training.pack_motion_mini --expnet runs/expnet_mini --temporal runs/temporal_mini \
        --posevae runs/posevae_mini --mapping runs/mapping_mini --note "4 hours of speech, seed 1, one core of a CPU"

A network whose run is not named stays as it is in the file that is there: `--posevae runs/posevae_mini` alone packs a
new PoseVAE beside the others. In the place of a run another packed file will do. An ExpNet that was trained on top of
another (`expnet_mini --on-top-of FILE`) may be packed as the mean of both: `--mean-with FILE`; a second network that
was trained on top of another run likewise: `--temporal-mean-with RUN`.

The weights are rounded to half precision. The metadata holds each network's config, which is all that loading needs,
and under "recipe" how it was made.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ..checkpoint.reading import METADATA_KEY, Metadata, read_tensors
from ..checkpoint.tensor_file import TensorFile
from ..datatypes import MINI
from ..families.networks import NETWORKS
from ..model import load_weights
from ..motion.expnet import ExpNet
from ..motion.temporal import TemporalNet
from ..saving import save_tensors
from . import expnet_mini, mapping_mini, posevae_mini, temporal_mini
from .engine import steps_done, trained
from .expnet import pretrained_net

ASSET = Path(__file__).resolve().parent.parent / "assets" / "mini_motion.safetensors"
IMAGE_SIZE = 256
NAMES = ("expnet", "posevae", "mapping")
#: and the runs that they come from
RUNS = ("expnet", "temporal", "posevae", "mapping")

Net = TypeVar("Net", ExpNet, TemporalNet)


def rounded(net: nn.Module) -> dict[str, torch.Tensor]:
    """The network's tensors, weights in half precision."""
    kept = {name for name, _ in net.named_buffers()}
    return {name: t if name in kept else t.half() for name, t in net.state_dict().items()}


def packed(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a packed file holds: {"expnet": ..., "posevae": ..., "mapping": ...}, and the recipe."""
    read, nets = read_tensors(file), {}
    assert read.metadata is not None  # `pack` writes it
    for name, tensors in read.nets().items():
        plan = NETWORKS[name]
        nets[name] = load_weights(plan.build(plan.read_config(read.metadata.configs[name], name)), tensors, name)
    return nets, json.loads(TensorFile(file).metadata.get("recipe", "{}"))


def mean_of(one: Net, other: Net) -> Net:
    """The network half way between two of which one was trained on top of the other. Such a mean is better
    on new voices than either, as averaged weights often are, and costs no more than one (Wortsman et al., CVPR 2022).

    Raises RuntimeError where the two are not of one shape. What the norms have counted is averaged like the weights.
    """
    theirs = other.state_dict()
    halves = {
        name: torch.lerp(tensor, theirs[name], 0.5) if tensor.is_floating_point() else tensor
        for name, tensor in one.state_dict().items()
    }
    net = type(one)(one.config)
    net.load_state_dict(halves)
    return net.eval()


def joined(net: ExpNet, temporal: TemporalNet | None) -> ExpNet:
    """An ExpNet of windows and the second network, which may be none -> the ExpNet of both."""
    if temporal is None:
        return net
    whole = ExpNet(replace(net.config, temporal=temporal.config))
    second = {f"temporal.{name}": tensor for name, tensor in temporal.state_dict().items()}
    whole.load_state_dict({**net.state_dict(), **second})
    return whole.eval()


def apart(nets: dict[str, Any]) -> dict[str, Any]:
    """What `packed` gives, the two networks of ExpNet by themselves: {"expnet": ..., "temporal": ..., ...}."""
    return {**nets, "expnet": pretrained_net(nets["expnet"]).eval(), "temporal": nets["expnet"].temporal}


def pack(nets: dict[str, Any], recipe: dict[str, Any], file: Path) -> Path:
    """nets: {"expnet": ..., "posevae": ..., "mapping": ...} -> one file; it appears whole or not at all."""
    metadata = Metadata(MINI, "mini", IMAGE_SIZE, {name: asdict(net.config) for name, net in nets.items()})
    tensors = {f"{name}.{path}": t.contiguous() for name, net in nets.items() for path, t in rounded(net).items()}
    about = {"format": "pt", METADATA_KEY: metadata.to_json(), "recipe": json.dumps(recipe, sort_keys=True)}
    return save_tensors(file, tensors, about)


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in RUNS:
        parser.add_argument(f"--{name}", type=Path, help=f"run of {name}_mini, or a file (default: as it is)")
    parser.add_argument("--mean-with", type=Path, metavar="FILE", help="ExpNet: the mean with that of a packed file")
    parser.add_argument("--temporal-mean-with", type=Path, metavar="RUN", help="the same of the second network")
    parser.add_argument("--note", default="", help="hours of speech, seeds, kind of machine")
    parser.add_argument("--out", type=Path, default=ASSET)
    options = parser.parse_args(arguments)
    runs = {name: folder for name in RUNS if (folder := getattr(options, name))}
    earlier = options.out if options.out.exists() else ASSET
    nets, recipe = packed(earlier) if len(runs) < len(RUNS) else ({}, {})
    nets = apart(nets) if nets else {}
    audio_encoder = expnet_mini.new_net(0).audio  # of the right shape; a run holds its own
    new: dict[str, Callable[[], nn.Module]] = {
        "expnet": lambda: expnet_mini.new_net(0),
        "temporal": lambda: temporal_mini.new_net(0),
        "posevae": lambda: posevae_mini.new_net(0, audio_encoder),
        "mapping": lambda: mapping_mini.new_net(0),
    }
    steps = recipe.get("steps", {})
    for name, run in runs.items():
        if run.is_file():
            theirs, about = packed(run)
            nets[name], steps[name] = apart(theirs)[name], about["steps"][name]
        else:
            nets[name], steps[name] = trained(new[name](), run, name), steps_done(run)
            if name == "expnet":
                expnet_mini.with_wider_jaw(nets[name].head, expnet_mini.JAW_GAIN)
    if options.temporal_mean_with:
        earlier_run = trained(new["temporal"](), options.temporal_mean_with, "temporal")
        nets["temporal"] = mean_of(nets["temporal"], earlier_run)
    if options.mean_with:
        nets["expnet"] = mean_of(nets["expnet"], pretrained_net(packed(options.mean_with)[0]["expnet"]))
    nets["expnet"] = joined(nets["expnet"], nets.pop("temporal"))
    recipe = {
        "made by": "sadtalker_core.training: voices.speech_set, expnet_mini, temporal_mini, posevae_mini, mapping_mini",
        "steps": steps,
        "note": options.note or recipe.get("note", ""),
    }
    file = pack({name: nets[name] for name in NAMES}, recipe, options.out)
    print(f"{file}: {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
