"""What several nodes ask for: the same names, ranges and words, each written down once."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..sadtalker_core.motion.reference import ReferenceLength
from ..sadtalker_core.options import OPTIONS
from . import wires


def option(name: str, tooltip: str = "", *, condition: str = "", **more: Any) -> io.Input:
    """The input of an option of sadtalker_core/options.py: its type, default, range, choices and help.

    tooltip: instead of the help;  condition: words that the tooltip begins with
    """
    spec = OPTIONS[name]
    tip = _sentence(condition, tooltip or spec.help)
    if spec.choices:
        return io.Combo.Input(name, options=list(spec.choices), default=spec.default, tooltip=tip, **more)
    if spec.type is bool:
        return io.Boolean.Input(name, default=spec.default, tooltip=tip, **more)
    if spec.type is str:
        return io.String.Input(name, default=spec.default, tooltip=tip, **more)
    kind = io.Int.Input if spec.type is int else io.Float.Input
    limits = {key: value for key in ("min", "max", "step") if (value := getattr(spec, key)) is not None}
    return kind(name, default=spec.default, tooltip=tip, **limits, **more)


def seed(tooltip: str = "") -> io.Input:
    return option("seed", tooltip, control_after_generate=True)


def reference(modes: tuple[str, ...], tooltip: str) -> list[io.Input]:
    """A socket for a reference video's coefficients, what it gives, and how it is made to fit; the first mode is the
    default."""
    return [
        io.Combo.Input("reference_mode", options=list(modes), default=modes[0], tooltip=tooltip),
        io.Combo.Input(
            "reference_length",
            options=ReferenceLength,
            default=ReferenceLength.LOOP,
            tooltip="When the reference is shorter or longer than the voice: loop it, play it to and fro, hold its "
            "last frame, or cut the clip to it.",
        ),
        wires.Coefficients.Input("reference", optional=True, tooltip="From 3DMM from Video."),
    ]


def scale(name: str, tooltip: str) -> io.Float.Input:
    """How much of a movement is kept: 0 none, 1 as it is."""
    return io.Float.Input(name, default=1.0, min=0.0, max=3.0, step=0.05, tooltip=tooltip)


def batch_size(tooltip: str) -> io.Int.Input:
    return io.Int.Input("batch_size", default=0, min=0, max=64, tooltip=tooltip)


def seam(condition: str = "") -> list[io.Input]:
    """How the head gets back into its picture. condition: words that each tooltip begins with."""
    return [option(name, condition=condition) for name in ("feather", "colour_match")]


def mask(condition: str = "") -> io.Mask.Input:
    tooltip = "Only where it is white the head replaces the picture; in the size of the picture."
    return io.Mask.Input("mask", optional=True, tooltip=_sentence(condition, tooltip))


def filename_prefix() -> io.String.Input:
    return io.String.Input(
        "filename_prefix",
        default="sadtalker/talking",
        tooltip="Folder and beginning of the file's name inside the output folder; %date:yyyy-MM-dd% and the like are "
        "filled in.",
    )


def audio() -> io.Audio.Input:
    return io.Audio.Input(
        "audio", optional=True, tooltip="The voice; cut or filled with silence to the length of the video."
    )


def output_fps() -> io.Input:
    return option("output_fps", optional=True)


def _sentence(condition: str, words: str) -> str:
    """The words, or the condition and the words, which then go on in it."""
    return f"{condition} {words[0].lower()}{words[1:]}" if condition else words
