"""Where the networks live. ComfyUI owns the memory: every network sits in a patcher of its own, is brought to the
device when a node needs it, makes room for other models and is gone when the graph is gone. The only file that names
ModelPatcher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from comfy import model_management

try:
    from comfy.model_patcher import CoreModelPatcher as Patcher
except ImportError:
    from comfy.model_patcher import ModelPatcher as Patcher
try:
    from comfy.model_management import is_oom
except ImportError:
    from ..sadtalker_core.render.batches import memory_ran_out as is_oom

from ..sadtalker_core.device import RENDERERS, in_precision, rendering_device
from ..sadtalker_core.families import Family, Model
from ..sadtalker_core.model import SadTalkerModel, require_nets
from ..sadtalker_core.render.batches import memory_ran_out


@dataclass(frozen=True, eq=False)
class ManagedModel(Model):
    """What travels on a SADTALKER_MODEL wire: the assembled networks, each in its patcher.

    missing: {net: why it is not there}, as in SadTalkerModel
    """

    name: str
    family: Family
    image_size: int
    patchers: Mapping[str, Patcher]
    missing: Mapping[str, str] = field(default_factory=dict)

    def get_models(self) -> list[Patcher]:
        """All its patchers. Newer ComfyUIs ask what is on a wire for them, to keep them while a prompt needs it."""
        return list(self.patchers.values())

    def bring(self, names: Sequence[str], *, working_bytes: int = 0) -> list[torch.nn.Module]:
        """Load these networks whole to their device, with `working_bytes` free for activations; return them in order.

        Raises CheckpointMissing for one whose file is missing.
        """
        require_nets(names, self.missing)
        chosen = [self.patchers[name] for name in names]
        model_management.load_models_gpu(chosen, memory_required=working_bytes, force_full_load=True)
        return [patcher.model for patcher in chosen]

    def free_bytes(self, device: torch.device) -> int:
        """What ComfyUI takes for free there."""
        return model_management.get_free_memory(device)

    def is_out_of_memory(self, error: Exception) -> bool:
        """Whether ComfyUI or torch takes the error for a lack of memory; ComfyUI's cache is then emptied."""
        ran_out = is_oom(error) or memory_ran_out(error)
        if ran_out:
            model_management.soft_empty_cache()
        return ran_out


def wrap_in_patchers(model: SadTalkerModel, precision: str) -> ManagedModel:
    """Give every network of a freshly assembled model to ComfyUI's memory management."""
    device = model_management.get_torch_device()
    offload = model_management.unet_offload_device()
    rendering = rendering_device(device)
    patchers = {}
    for name, net in model.nets.items():
        home = rendering if name in RENDERERS else device
        net = in_precision(name, net, precision, home, _fastest_dtype)
        _make_stoppable(net)
        patchers[name] = Patcher(net, load_device=home, offload_device=offload, size=model_management.module_size(net))
    return ManagedModel(model.name, model.family, model.image_size, patchers, model.missing)


def _make_stoppable(net: torch.nn.Module) -> None:
    """Makes the network check the stop button between any two layers: a single frame may take many seconds."""

    def check_stop(layer: Any, inputs: Any) -> None:
        model_management.throw_exception_if_processing_interrupted()

    for layer in net.modules():
        layer.register_forward_pre_hook(check_stop)


def _fastest_dtype(device: torch.device) -> torch.dtype:
    """Half precision where ComfyUI holds the GPU for fast with it."""
    return model_management.unet_dtype(device=device, supported_dtypes=[torch.float16, torch.float32])
