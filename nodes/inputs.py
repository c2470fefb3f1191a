"""One check of the inputs of all our nodes: choices, numbers, text, audio and records.

The page offers the words of a combo and keeps numbers in their range; a prompt by the API, or a wire from another
node, can hold anything, and not every ComfyUI looks (0.3.75 looks at no combo of the V3 nodes, and at no wire).
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from comfy_api.latest import io

from ..sadtalker_core import datatypes
from ..sadtalker_core.audio.speech import checked_rate
from ..sadtalker_core.choices import one_of
from ..sadtalker_core.errors import AudioError, InputError, OptionError, shorten
from ..sadtalker_core.options import real_number, whole_number
from . import wires
from .residency import ManagedModel

#: combos that list files: these come and go while the server runs, and each node looks for its own
FILE_LISTS = frozenset({"image", "model", "track", "file"})
#: what travels on a wire
RECORDS = {
    str(wire.io_type): record
    for wire, record in (
        (io.Image, torch.Tensor),
        (io.Mask, torch.Tensor),
        (wires.Model, ManagedModel),
        (wires.Portrait, datatypes.Portrait),
        (wires.Coefficients, datatypes.FaceCoefficients),
        (wires.Speech, datatypes.SpeechWindows),
        (wires.Expression, datatypes.Expression),
        (wires.Pose, datatypes.HeadPose),
        (wires.Motion, datatypes.Motion),
        (wires.FaceLandmarks, dict),
        (wires.BoundingBox, (dict, list)),
    )
}


def with_checked_inputs(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The node itself; its `execute` now begins with the check.

    Raises OptionError for a word that a combo does not offer, for a number that is none, NaN or out of its range, and
    for text of another type; AudioError for AUDIO without samples or a rate; InputError for a wire that carries
    something else than it should.
    """
    execute = node.execute.__func__
    signature = inspect.signature(execute)
    passed_on = next((name for name, one in signature.parameters.items() if one.kind is one.VAR_KEYWORD), "")

    @functools.cache
    def declared() -> dict[str, Any]:
        return {socket.id: socket for socket in node.define_schema().inputs}

    @functools.wraps(execute)
    def checked(cls: Any, *args: Any, **kwargs: Any) -> Any:
        values = dict(signature.bind(cls, *args, **kwargs).arguments)
        values |= values.pop(passed_on, {})
        for name, value in values.items():
            if name in declared():
                values[name] = _checked(declared()[name], value)
        return execute(**values)

    node.execute = classmethod(checked)
    return node


def _checked(socket: Any, value: Any) -> Any:
    """The value as `execute` takes it."""
    if isinstance(socket, io.Combo.Input):
        return _text(socket.id, value) if socket.id in FILE_LISTS else one_of(socket.id, value, socket.options or ())
    if isinstance(socket, io.String.Input):
        return _text(socket.id, value)
    if isinstance(socket, (io.Int.Input, io.Float.Input)):
        return _number(socket, value)
    if socket.optional and value is None:
        return value
    if isinstance(socket, io.Audio.Input):
        return _audio(socket.id, value)
    record = RECORDS.get(str(socket.io_type))
    if record is not None and not isinstance(value, record):
        raise InputError(f"{socket.id}: expected a wire of {socket.io_type}, got {type(value).__name__}.")
    return value


def _audio(name: str, value: Any) -> Any:
    """AUDIO is whatever gives a waveform and a rate by these names; some packs read them from a file only now."""
    try:
        waveform, rate_hz = value["waveform"], value["sample_rate"]
    except (TypeError, KeyError, IndexError) as error:
        raise AudioError(
            f"{name}: expected AUDIO with a waveform and a sample_rate, got {type(value).__name__} without them."
        ) from error
    if not isinstance(waveform, torch.Tensor):
        raise AudioError(f"{name}: expected the waveform as a tensor, got {type(waveform).__name__}.")
    checked_rate(rate_hz)
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise OptionError(f"{name}: expected text, got {shorten(repr(value))}.")
    return value


def _number(socket: Any, value: Any) -> Any:
    whole = isinstance(socket, io.Int.Input)
    number = whole_number(value) if whole else real_number(value)
    low, high = socket.min, socket.max
    if number is None or (low is not None and not number >= low) or (high is not None and not number <= high):
        kind = "a whole number" if whole else "a number"
        raise OptionError(f"{socket.id}: expected {kind} from {low} to {high}, got {shorten(repr(value))}.")
    return number
