"""Where the networks compute and in which precision: chosen here, for the library, the batch and the nodes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from .choices import one_of
from .errors import OptionError, shorten
from .model import SadTalkerModel
from .options import PRECISIONS
from .render.estimate import half_precision_cost
from .render.facevid2vid.fast import accelerate
from .render.facevid2vid.generator import Generator
from .render.frames import can_render_on

#: the networks that make pixels, which may compute in half precision. Landmarks, coefficients and tracks stay in fp32
PIXEL_NETWORKS = ("generator", "flow_renderer")
#: those of Face Render, which compute in one place
RENDERERS = ("keypoint_detector", *PIXEL_NETWORKS)
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
AUTO = "auto"
#: of the precisions, the one in which the released decoder alone is narrowed; mini has none, and stays in fp32
BF16_DECODER = "bf16 decoder"
#: on a CPU, where the released renderer is half as fast again at least
PAYS = 0.7


def chosen_device(device: str | torch.device = AUTO) -> torch.device:
    """The device of that name, when it is there; "auto" is the fastest kind. Raises OptionError."""
    if device == AUTO:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()  # "meta" makes tensors that hold no numbers
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:  # torch's, for a bad device
        reason = shorten(str(error).split("\n")[0])
        raise OptionError(
            f"device: expected auto, cpu or a device of this machine, got {shorten(repr(device))} ({reason})."
        ) from error
    return chosen


def to_device(loaded: SadTalkerModel, device: torch.device, precision: str) -> SadTalkerModel:
    """The model with its networks on their device; those that render are rearranged for speed, in that precision."""
    one_of("precision", precision, PRECISIONS)
    rendering = rendering_device(device)
    nets = {}
    for name, net in loaded.nets.items():
        home = rendering if name in RENDERERS else device
        nets[name] = in_precision(name, net, precision, home).to(home)
    return replace(loaded, nets=nets)


def in_precision(
    name: str,
    net: nn.Module,
    precision: str,
    device: torch.device,
    fastest: Callable[[torch.device], torch.dtype] = lambda device: torch.float16,
) -> nn.Module:
    """The network as it will compute on that device: one that makes pixels in this precision, any other as it is.

    fastest: what "auto" takes on a device that is not the CPU
    """
    precision = one_of("precision", precision, PRECISIONS)
    if name not in PIXEL_NETWORKS:
        return net
    released = isinstance(net, Generator)
    if precision == BF16_DECODER:
        dtype = torch.bfloat16 if released else torch.float32
    elif precision == AUTO:
        dtype = torch.float32 if device.type == "cpu" else fastest(device)
    else:
        dtype = DTYPES[precision]
    if not isinstance(net, Generator):
        return net.to(dtype)
    if device.type == "cpu" and (precision == AUTO or dtype != torch.float32):
        _log_half_precision(torch.bfloat16 if precision == AUTO else dtype, chosen=precision != AUTO)
    return accelerate(net, dtype, device=device)


def _log_half_precision(dtype: torch.dtype, *, chosen: bool) -> None:
    """One line of the log: whether the renderer gains by it on this CPU. Where nobody asked for it, only if it does."""
    cost = half_precision_cost(dtype)
    measured = f"in {NAMES[dtype]} a convolution of the renderer takes {cost:.2g} times as long as in fp32 on this CPU"
    if cost > PAYS and chosen:
        logging.info("SadTalker: %s: fp32 is %s.", measured, "faster" if cost > 1 else "about as fast, and exact")
    elif cost <= PAYS and chosen:
        logging.info("SadTalker: %s: this precision pays here.", measured)
    elif cost <= PAYS:
        logging.info("SadTalker: %s: the precision '%s' would render faster than fp32 here.", measured, BF16_DECODER)


def rendering_device(device: torch.device) -> torch.device:
    """Where the renderers compute: on the device, or on the CPU when the device lacks one of their operations."""
    if can_render_on(device):
        return device
    logging.info(
        "SadTalker: %s does not support an operation of the renderer (grid_sample): Face Render runs on the CPU.",
        device,
    )
    return torch.device("cpu")
