"""Named tensors and the plans of the nets come in, nets that are ready to run go out.

A file of weights says which nets it holds, by the prefix of its tensor names; `PLANS` says in which room each of them
is drawn. Nothing here knows a released key: by the time tensors come here they carry our names.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .errors import CheckpointMismatch


@dataclass(frozen=True)
class Plan:
    """Where a net is drawn.  room: its module;  net, config: names in there;  released: name of the released config."""

    room: str
    net: str
    config: str
    released: str | None = None

    def config_class(self) -> type:
        return getattr(self._module(), self.config)

    def released_config(self) -> Any:
        if self.released is None:
            raise ValueError(f"{self.net} belongs to the mini family and has no released config")
        return getattr(self._module(), self.released)

    def build(self, config: Any, ops=nn) -> nn.Module:
        """The net on the meta device: shapes without numbers, so that nothing is drawn only to be thrown away."""
        with torch.device("meta"):
            return getattr(self._module(), self.net)(config, ops=ops)

    def _module(self):
        return importlib.import_module(f".{self.room}", __package__)


#: our name of a net = prefix of its tensor names
PLANS: Mapping[str, Plan] = {
    "face_recon": Plan("face.recon", "FaceReconNet", "FaceReconConfig", "RELEASED_FACE_RECON"),
    "expnet": Plan("motion.expnet", "ExpNet", "ExpNetConfig", "RELEASED_EXPNET"),
    "posevae": Plan("motion.posevae", "PoseVAE", "PoseVAEConfig", "RELEASED_POSEVAE"),
    "mapping": Plan("render.mapping", "MappingNet", "MappingConfig", "RELEASED_MAPPING"),
    "mapping_full": Plan("render.mapping", "MappingNet", "MappingConfig", "RELEASED_MAPPING_FULL"),
    "keypoint_detector": Plan("render.keypoints", "KeypointDetector", "KeypointConfig", "RELEASED_KEYPOINTS"),
    "generator": Plan("render.generator", "Generator", "GeneratorConfig", "RELEASED_GENERATOR"),
}


def build_released(name: str, ops=nn) -> nn.Module:
    """A net of the released family with its released widths, on the meta device; `fill` it before use."""
    plan = PLANS[name]
    return plan.build(plan.released_config(), ops)


def fill(net: nn.Module, tensors: Mapping[str, Tensor], source: str) -> nn.Module:
    """Pour tensors into a net, every parameter and buffer exactly once, and still it: eval mode, no gradients, float32.

    tensors: by the net's own paths;  source: what the user knows them by, a file's name.
    Raises CheckpointMismatch naming the tensors that lack, are too many or have another shape.
    """
    wanted = net.state_dict()
    lacking = [name for name in wanted if name not in tensors]
    too_many = [name for name in tensors if name not in wanted]
    misshapen = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    faults = (("lacks", lacking), ("does not know", too_many), ("has", misshapen))
    sentences = [f"it {verb} {_some(names)}" for verb, names in faults if names]
    if sentences:
        raise CheckpointMismatch(f"{source} does not fit {type(net).__name__}: {'; '.join(sentences)}.")
    ready = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    net.load_state_dict(ready, strict=True, assign=True)
    _keep_computed_buffers(net)
    return net.eval().requires_grad_(False)


def _keep_computed_buffers(net: nn.Module) -> None:
    unfilled = [name for name, buffer in net.named_buffers() if buffer.is_meta]
    if unfilled:
        raise RuntimeError(f"{type(net).__name__} computes {unfilled} in its constructor; make them persistent instead")


def _some(names: list[str], shown: int = 4) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


__all__ = ["PLANS", "Plan", "asdict", "build_released", "fill"]
