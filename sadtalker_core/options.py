"""Every option that a user can set, in one table: name, type, default, range, unit and help.

The nodes' inputs, the command line, the columns of a batch table and the library's `Options` are all made from it.
`OPTIONS` holds what makes a video, `Options` one choice of them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .assembly import LANDMARKS
from .checkpoint.catalog import MINI_MODEL
from .choices import one_of
from .compose.paste import FEATHER, WIDEST_FEATHER
from .compose.video import QUALITIES
from .datatypes import CropMode
from .errors import OptionError, shorten
from .face.landmarks import FACE_ORDERS
from .motion.blink import BLINKS, FASTEST_RATE, NATURAL_RATE, STRONGEST
from .render.driving import parse_degrees

#: how the networks that paint compute; "auto" chooses by the device
PRECISIONS = ("auto", "fp32", "fp16", "bf16")
LARGEST_SEED = 2**64 - 1
BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
DEGREES = "degrees"


@dataclass(frozen=True)
class Option:
    """One option.

    name:      as the nodes, the columns of a table and the fields of `Options` spell it
    type:      bool, int, float or str
    default:   what holds when nothing is said
    help:      what it does, in a sentence or two
    min, max:  the range, both ends included; None where there is none
    step:      of the arrows beside a number
    choices:   the words that are allowed; none where any text is
    unit:      of the number, for people; DEGREES marks a text that lists angles
    """

    name: str
    type: type
    default: Any
    help: str
    min: float | None = None
    max: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""

    @property
    def expected(self) -> str:
        """What a sentence says about the values that are allowed."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.type is bool:
            return "true or false"
        if self.unit == DEGREES:
            return "degrees from -180 to 180, such as '-20, 0, 20'"
        if self.type is int:
            return f"a whole number from {self.min} to {self.max}"
        if self.type is float:
            return f"a number from {self.min:g} to {self.max:g}"
        return "text"

    def read(self, text: str) -> Any:
        """The value that a text stands for, in a table or on the command line. Raises OptionError."""
        value: Any = text
        try:
            if self.type is bool:
                value = BOOLEANS[text.lower()]
            elif self.type in (int, float):
                value = self.type(text)
        except (KeyError, ValueError) as error:
            raise self._refusal(text) from error
        return self.check(value)

    def check(self, value: Any) -> Any:
        """The value in the type of this option, when it is allowed. Raises OptionError."""
        if self.choices:
            return one_of(self.name, value, self.choices)
        if self.type is bool:
            if not isinstance(value, bool):
                raise self._refusal(value)
            return value
        if self.unit == DEGREES:
            angles = parse_degrees(self.name, value)
            return value if isinstance(value, str) else ", ".join(f"{angle:g}" for angle in angles)
        if self.type in (int, float):
            number = whole_number(value) if self.type is int else real_number(value)
            if number is None or not self._in_range(number):
                raise self._refusal(value)
            return number
        if not isinstance(value, str):
            raise self._refusal(value)
        return value

    def _in_range(self, number: float) -> bool:
        return (self.min is None or number >= self.min) and (self.max is None or number <= self.max)

    def _refusal(self, value: Any) -> OptionError:
        return OptionError(f"{self.name}: expected {self.expected}, got {shorten(repr(value))}.")


def whole_number(value: Any) -> int | None:
    """The value as an int, also of 3.0; None for what is no whole number."""
    try:
        return operator.index(value)
    except TypeError:
        real = real_number(value)
        return int(real) if real is not None and real.is_integer() else None


def real_number(value: Any) -> float | None:
    """The value as a float; None for what is no number. Text is none, whatever it says."""
    if isinstance(value, str | bytes):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def _float(default: float, low: float, high: float, step: float, help: str, unit: str = "") -> Any:
    return _field(Option("", float, default, help, low, high, step, unit=unit))


def _int(default: int, low: int, high: int, help: str) -> Any:
    return _field(Option("", int, default, help, low, high))


def _bool(default: bool, help: str) -> Any:
    return _field(Option("", bool, default, help))


def _choice(default: str, choices: Iterable[str], help: str) -> Any:
    return _field(Option("", str, default, help, choices=tuple(choices)))


def _text(default: str, help: str, unit: str = "") -> Any:
    return _field(Option("", str, default, help, unit=unit))


def _field(option: Option) -> Any:
    return field(default=option.default, metadata={"option": option})


def _scale(axis: str) -> Any:
    return _float(1.0, 0.0, 3.0, 0.05, f"Makes the {axis} movement of the head larger or smaller; 0 holds it as in the "
                  "portrait.")  # fmt: skip


def _angles(what: str) -> Any:
    return _text("", f"Degrees that replace the predicted {what}: one number holds it, several are passed through in "
                 "turn at an even pace (for example -20, 0, 20). Empty: as predicted.", DEGREES)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How a video is made: one value for each option of the table, the nodes' defaults where nothing is said.

    Raises OptionError for a value that its option does not allow.
    """

    model: str = _text(
        MINI_MODEL,
        "mini: built in, preview quality, nothing to download. SadTalker 256 / 512: the released weights, looked for "
        "in models/sadtalker. file/...: a file of your own in that folder.",
    )
    precision: str = _choice(
        "auto",
        PRECISIONS,
        "How the renderer computes. auto: half precision where the GPU is fast with it, fp32 on a CPU. Landmarks and "
        "motion always stay in fp32.",
    )
    face_index: int = _int(0, 0, 99, "Which face, counted from 0 after ordering; 0 is the first.")
    face_order: str = _choice(
        FACE_ORDERS[0],
        FACE_ORDERS,
        "How the faces of the picture are counted: the largest first, or by place in the picture.",
    )
    crop_mode: str = _choice(
        CropMode.CROP.value,
        [mode.value for mode in CropMode],
        "crop: the head alone. extcrop: with more around it. resize: the whole picture is the face. full, extfull: "
        "the head, meant for Paste Back into the whole picture.",
    )
    crop_scale: float = _float(
        1.0, 0.5, 3.0, 0.05, "Makes the box around the head larger (hair, chin) or smaller."
    )
    crop_offset_x: float = _float(
        0.0, -1.0, 1.0, 0.01, "Moves the box to the right, as a part of its width.", "widths of the box"
    )
    crop_offset_y: float = _float(
        0.0, -1.0, 1.0, 0.01, "Moves the box down, as a part of its height.", "heights of the box"
    )
    landmarks: str = _choice(
        LANDMARKS[0],
        LANDMARKS,
        "auto: the face-alignment package when its two weight files are in models/sadtalker, else the built-in face "
        "mesh. The mini model always uses the built-in mesh.",
    )
    idle_seconds: float = _float(
        0.0, 0.0, 36_000.0, 0.1, "Length of an idle clip when no voice is connected. A voice wins.", "seconds"
    )
    blink: str = _choice(
        BLINKS[0],
        BLINKS,
        "auto: blinks at the rate below. off: none. original: as the original SadTalker draws them, about 34 a minute, "
        "whatever the rate.",
    )
    blink_rate: float = _float(
        NATURAL_RATE, 0.0, FASTEST_RATE, 1.0, "Blinks a minute; people blink 15 to 20 times.", "blinks per minute"
    )
    blink_strength: float = _float(
        1.0, 0.0, STRONGEST, 0.05, "How far the lids close: 1 shuts the eyes."
    )
    pose_style: int = _int(0, 0, 45, "One of the 46 manners of moving the head.")
    seed: int = _int(
        0, 0, LARGEST_SEED, "Another seed, another movement. The same seed gives the same video on every machine."
    )
    expression_scale: float = _float(
        1.0, 0.0, 3.0, 0.05, "Makes the expression stronger or weaker; 1 as predicted."
    )
    yaw_scale: float = _scale("yaw")
    pitch_scale: float = _scale("pitch")
    roll_scale: float = _scale("roll")
    still: bool = _bool(False, "The head stays as in the portrait; the face talks and blinks.")
    yaw: str = _angles("turn of the head")
    pitch: str = _angles("nod of the head")
    roll: str = _angles("tilt of the head")
    paste_back: bool = _bool(
        False, "On: the head is put back into the whole picture. Off: the video shows the head alone."
    )
    feather: float = _float(
        FEATHER,
        0.0,
        WIDEST_FEATHER,
        0.01,
        "How softly the head fades into the picture at the edge of its box, as a part of the box.",
        "sides of the box",
    )
    colour_match: float = _float(
        1.0, 0.0, 1.0, 0.05, "How far the head takes the colours of the picture around the seam; 0 = not at all."
    )
    quality: str = _choice(
        "high", QUALITIES, "draft: small and fast. high: looks like the frames. best: nearly lossless."
    )
    output_fps: float = _float(
        0.0,
        0.0,
        240.0,
        0.001,
        "Frames a second of the file, 30 for example; 0 = as many as come in. Frames are repeated or left out, so that "
        "the video lasts as long as before and the sound stays in step.",
        "frames per second",
    )

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            object.__setattr__(self, name, option.check(getattr(self, name)))


#: what makes a video, by name, in the order of the pipeline
OPTIONS: Mapping[str, Option] = {
    one.name: replace(one.metadata["option"], name=one.name) for one in fields(Options)
}


__all__ = ["OPTIONS", "PRECISIONS", "Option", "Options", "real_number", "whole_number"]
