"""What several nodes ask for: the same names, ranges and words, each written down once."""

from __future__ import annotations

from comfy_api.latest import io

from ..sadtalker_core.compose.paste import FEATHER, WIDEST_FEATHER
from ..sadtalker_core.compose.video import QUALITIES
from ..sadtalker_core.motion.reference import ReferenceLength
from . import wires


def seed(tooltip: str) -> io.Int.Input:
    """A seed that the page counts on after each run."""
    return io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True, tooltip=tooltip)


def reference(modes: tuple[str, ...], tooltip: str) -> list[io.Input]:
    """A socket for a reference video's coefficients, what it gives, and how it is made to fit; the first mode is the
    default.
    """
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
    """Frames at a time; 0 lets the node choose."""
    return io.Int.Input("batch_size", default=0, min=0, max=64, tooltip=tooltip)


def seam(condition: str = "") -> list[io.Input]:
    """How the head gets back into its picture. condition: words that each tooltip begins with."""
    return [
        io.Float.Input(
            "feather",
            default=FEATHER,
            min=0.0,
            max=WIDEST_FEATHER,
            step=0.01,
            tooltip=_sentence(
                condition,
                "how softly the head fades into the picture at the edge of its box, as a part of the box.",
            ),
        ),
        io.Float.Input(
            "colour_match",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip=_sentence(
                condition, "how far the head takes the colours of the picture around the seam; 0 = not at all."
            ),
        ),
    ]


def mask(condition: str = "") -> io.Mask.Input:
    """Where a head may be pasted back; `condition` begins the tooltip."""
    tooltip = "only where it is white the head replaces the picture; in the size of the picture."
    return io.Mask.Input("mask", optional=True, tooltip=_sentence(condition, tooltip))


def quality() -> io.Combo.Input:
    """How closely the encoder keeps the frames."""
    return io.Combo.Input(
        "quality",
        options=list(QUALITIES),
        default="high",
        tooltip="draft: small and fast. high: looks like the frames. best: nearly lossless.",
    )


def filename_prefix() -> io.String.Input:
    """The folder and the beginning of a name, inside ComfyUI's output folder."""
    return io.String.Input(
        "filename_prefix",
        default="sadtalker/talking",
        tooltip="Folder and beginning of the file's name inside the output folder; %date:yyyy-MM-dd% and the like are "
        "filled in.",
    )


def audio() -> io.Audio.Input:
    """The sound of the file, which may be left out."""
    return io.Audio.Input(
        "audio", optional=True, tooltip="The voice; cut or filled with silence to the length of the video."
    )


def output_fps() -> io.Float.Input:
    """Frames per second of the file; 0 keeps those of the track."""
    return io.Float.Input(
        "output_fps",
        default=0.0,
        min=0.0,
        max=240.0,
        step=0.001,
        optional=True,
        tooltip="Frames per second of the file, 30 for example; 0 = as many as come in. Frames are repeated or left "
        "out, "
        "so that the video lasts as long as before and the sound stays in step.",
    )


def _sentence(condition: str, words: str) -> str:
    whole = f"{condition} {words}".strip()
    return whole[0].upper() + whole[1:]
