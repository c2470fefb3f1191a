"""Tensors of a file become the weights of a network: each exactly once, and only sound ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

from ..errors import CheckpointDamaged, CheckpointMismatch, shorten
from .networks import LARGEST_WEIGHT, shorten_names

N = TypeVar("N", bound=nn.Module)


def load_weights(net: N, tensors: Mapping[str, Tensor], source: str, expected: str = "") -> N:
    """Load tensors into a network, every parameter and buffer exactly once, and freeze it: eval mode, no gradients,
    float32.

    tensors: by the network's own paths;  source: what the user knows them by, a file's name
    expected: what else the message adds about that file, beginning with a space
    Raises CheckpointMismatch naming the tensors that are missing, unexpected, or of another shape or kind, and
    CheckpointDamaged for numbers that no training has left: see `require_sound`.
    """
    wanted = net.state_dict()
    both = [name for name in wanted if name in tensors]
    missing = [name for name in wanted if name not in tensors]
    unexpected = [shorten(name, 60) for name in tensors if name not in wanted]
    misshapen = [
        f"{name} {_shape(tensors[name])} instead of {_shape(wanted[name])}"
        for name in both
        if tensors[name].shape != wanted[name].shape
    ]
    other_kind = [
        f"{name} in {tensors[name].dtype}"
        for name in both
        if tensors[name].is_floating_point() != wanted[name].is_floating_point()
    ]
    faults = (("lacks", missing), ("has too many:", unexpected), ("has", misshapen), ("has", other_kind))
    problems = [f"it {verb} {shorten_names(names)}" for verb, names in faults if names]
    if problems:
        raise CheckpointMismatch(f"{source} does not fit {type(net).__name__}: {'; '.join(problems)}.{expected}")
    ready = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    require_sound(ready, source, type(net).__name__, expected)
    net.load_state_dict(ready, strict=True, assign=True)
    unfilled = [name for name, buffer in net.named_buffers() if buffer.is_meta]
    if unfilled:
        raise RuntimeError(f"{type(net).__name__} computes {unfilled} in its constructor; make them persistent instead")
    return net.eval().requires_grad_(False)


def require_sound(tensors: Mapping[str, Tensor], source: str, net: str, expected: str = "") -> None:
    """Raises CheckpointDamaged for weights that are NaN or infinite, infinite, absurdly large or all zero, and for
    variances below zero. One look at each number: 0.05 s of one thread for a released model.
    """
    silent = True
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.is_meta or not tensor.numel():
            continue
        least, most = (float(value) for value in tensor.aminmax())
        if not -LARGEST_WEIGHT <= least <= most <= LARGEST_WEIGHT:  # false for what is no number, too
            what = f"{least:.3g} to {most:.3g}" if least == least else "values that are NaN"
            raise CheckpointDamaged(
                f"{source} cannot be used: {name} of {net} holds {what}. The file is damaged, or "
                f"its training diverged.{expected}"
            )
        if name.endswith("running_var") and least < 0:
            raise CheckpointDamaged(
                f"{source} cannot be used: {name} of {net}, a variance, is {least:.3g}. The file is damaged.{expected}"
            )
        silent = silent and (tensor.ndim < 2 or least == most == 0)
    if silent and any(tensor.ndim >= 2 for tensor in tensors.values()):
        raise CheckpointDamaged(f"{source} cannot be used: all weights of {net} are zero. Download it again.{expected}")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
