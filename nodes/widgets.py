"""What several nodes ask for: the same names, ranges and words, each written down once."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..sadtalker_core.options import NODE_OPTIONS, OPTIONS
from . import wires


def option(name: str, tooltip: str = "", *, node: str = "", condition: str = "", **more: Any) -> io.Input:
    """The input of an option of sadtalker_core/options.py: its type, default, range, choices and help.

    tooltip: instead of the help;  node: whose own option it is;  condition: words that the tooltip begins with
    """
    spec = NODE_OPTIONS[node][name] if node else OPTIONS[name]
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


def model() -> io.Input:
    """The socket for the networks."""
    return wires.Model.Input("model", tooltip="From Load SadTalker Model.")


def speech() -> io.Input:
    """The socket for the encoded audio."""
    return wires.Speech.Input("speech", tooltip="From Audio Encode.")


def coefficients() -> io.Input:
    """The socket for the portrait's coefficients."""
    return wires.Coefficients.Input("coefficients", tooltip="The portrait's, from 3DMM Extract.")


def seed(tooltip: str = "") -> io.Input:
    """A seed that the page counts on after each run."""
    return option("seed", tooltip, control_after_generate=True)


def own(node: str) -> list[io.Input]:
    """The inputs of all options that a node has for itself."""
    return [option(name, node=node) for name in NODE_OPTIONS[node]]


def reference(node: str) -> list[io.Input]:
    """What a connected reference gives, how it is made to fit, and the socket for its coefficients."""
    return [*own(node), wires.Coefficients.Input("reference", optional=True, tooltip="From 3DMM from Video.")]


def seam(condition: str = "") -> list[io.Input]:
    """How the head gets back into its image. condition: words that each tooltip begins with."""
    return [option(name, condition=condition) for name in ("feather", "colour_match")]


def mask(condition: str = "") -> io.Mask.Input:
    """Where a head may be pasted back; `condition` begins the tooltip."""
    tooltip = "The head shows only where it is white; same size as the image."
    return io.Mask.Input("mask", optional=True, tooltip=_sentence(condition, tooltip))


def face_hints(where: str) -> list[io.Input]:
    """Where other nodes have found faces. where: which of them count"""
    tip = f"selects the face instead of the detector; face_index counts the faces of {where}."
    return [
        wires.FaceLandmarks.Input(
            "face_landmarks", optional=True, tooltip=f"From ComfyUI's Detect Face Landmarks (MediaPipe): {tip}"
        ),
        wires.BoundingBox.Input(
            "bounding_box",
            optional=True,
            tooltip=f"From a node that finds boxes: {tip}",
            extra_dict={"forceInput": True},  # newer pages would draw a widget for it
        ),
    ]


def audio() -> io.Audio.Input:
    """The sound of the file, which may be left out."""
    return io.Audio.Input(
        "audio", optional=True, tooltip="The audio; cut or padded with silence to the length of the video."
    )


def output_fps() -> io.Input:
    """Frames per second of the file; 0 keeps those of the track."""
    return option("output_fps", optional=True)


def file_format() -> list[io.Input]:
    """The format of the file, and what a cut-out is laid on: a colour, or the images of a socket."""
    return [
        option("format", optional=True),
        option("background_color", node="VideoCombine", optional=True),
        io.Image.Input(
            "background",
            optional=True,
            tooltip="Image or frames that a cut-out portrait is laid on, instead of the colour: fills the frame, "
            "and what reaches beyond is cut off. A shorter clip holds its last frame.",
        ),
    ]


def _sentence(condition: str, words: str) -> str:
    """The words, or the condition and the words, which then go on in it."""
    return f"{condition} {words[0].lower()}{words[1:]}" if condition else words
