"""Every option that a user can set, in one table: name, type, default, range, unit and help.

The nodes' inputs, the command line, the columns of a batch table and the library's `Options` are all made from it.
`OPTIONS` holds what makes a video, `Options` one choice of them; `NODE_OPTIONS` what single nodes ask for beside that.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .audio.loudness import LOUDNESS
from .checkpoint.catalog import MINI_MODEL
from .choices import one_of
from .compose.formats import FORMATS, QUALITIES
from .compose.label import CORNERS, DEFAULT_TEXT
from .compose.paste import FEATHER, WIDEST_FEATHER
from .compose.plot import SMALLEST
from .datatypes import CropMode
from .dub.schedule import DubLength
from .errors import OptionError, shorten
from .face.crop import BY_THE_FACE, FIXED_RENDER, LARGEST_RENDER
from .face.landmarks import FACE_ORDERS
from .face.reference_video import MissingFace
from .model import LANDMARKS
from .motion.blendshape_layout import EXPORT_FORMS, HIGHEST_FPS, LOWEST_FPS
from .motion.blink import BLINKS, FASTEST_RATE, NATURAL_RATE, STRONGEST
from .motion.edit import JOIN_MODES, LONGEST_SMOOTHING, FitHow
from .motion.keyframes import parse_keyframes
from .motion.reference import ReferenceLength
from .motion.set_expression import CONTROLS, PRESETS, read_acting
from .motion.track_file import TRACK_ENDING
from .pipeline import EXPRESSION_REFERENCE, POSE_REFERENCE
from .render.driving import parse_degrees

#: how the networks that make pixels compute; "auto" chooses by the device
PRECISIONS = ("auto", "fp32", "fp16", "bf16", "bf16 decoder")
LARGEST_SEED = 2**64 - 1
BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
DEGREES = "degrees"
#: the unit of a text that sets controls of the expression
ACTING = "controls of Set Expression"


@dataclass(frozen=True)
class Option:
    """One option.

    name:      as the nodes, the columns of a table and the fields of `Options` spell it
    type:      bool, int, float or str
    default:   the value if none is set
    help:      what it does, in a sentence or two
    min, max:  the range, both ends included; None where there is none
    step:      increment of the widget
    choices:   the allowed values of a text; empty if any text is allowed
    unit:      of the value, or of the values that a text lists
    least:     the smallest value beside `min`, which then stands for a choice of ours; None where all are alike
    course:    the lowest and the highest value of a text that is a number or keyframes, see motion/keyframes.py
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
    least: float | None = None
    course: tuple[float, float] | None = None

    @property
    def lists_angles(self) -> bool:
        """Whether it is a text such as "-20, 0, 20"."""
        return self.type is str and self.unit == DEGREES

    @property
    def expected(self) -> str:
        """The allowed values, as an error message words them."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.type is bool:
            return "true or false"
        if self.lists_angles:
            return "degrees from -180 to 180, such as '-20, 0, 20'"
        if self.course:
            low, high = self.course
            return f"a number from {low:g} to {high:g}, or keyframes such as '0:0, 1.5:{high / 2:g}, 3:0'"
        if self.unit == ACTING:
            return "controls of Set Expression, such as 'smile=0.3; brows=0:0,1:0.4'"
        if self.type is int and self.least is not None:
            return f"{self.min} or a whole number from {self.least} to {self.max}"
        if self.type is int:
            return f"a whole number from {self.min} to {self.max}"
        if self.type is float:
            return f"a number from {self.min:g} to {self.max:g}"
        return "text"

    def read(self, text: str) -> Any:
        """Parse the text of a table cell or a command line argument. Raises OptionError."""
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
        """The value in the type of this option. Raises OptionError if it is not allowed."""
        if self.choices:
            return one_of(self.name, value, self.choices)
        if self.type is bool:
            if not isinstance(value, bool):
                raise self._refusal(value)
            return value
        if self.lists_angles:
            angles = parse_degrees(self.name, value)
            return value if isinstance(value, str) else ", ".join(f"{angle:g}" for angle in angles)
        if self.type in (int, float):
            number = whole_number(value) if self.type is int else real_number(value)
            if number is None or not self._in_range(number):
                raise self._refusal(value)
            return number
        if self.course and isinstance(value, (int, float)) and not isinstance(value, bool):
            value = f"{value:g}"
        if not isinstance(value, str):
            raise self._refusal(value)
        if self.course:
            parse_keyframes(self.name, value, *self.course)
        if self.unit == ACTING:
            try:
                read_acting(value)
            except OptionError as error:
                raise OptionError(f"{self.name}: {error}") from error
        return value

    def _in_range(self, number: float) -> bool:
        if self.least is not None and self.min is not None and self.min < number < self.least:
            return False
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
    """The value as a float; None for what is no number. Text is none, whatever its content."""
    if isinstance(value, str | bytes):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def _float(default: float, low: float, high: float, step: float, help: str, unit: str = "", name: str = "") -> Option:
    return Option(name, float, default, help, low, high, step, unit=unit)


def _int(
    default: int, low: int, high: int, help: str, unit: str = "", name: str = "", step: float | None = None
) -> Option:
    return Option(name, int, default, help, low, high, step, unit=unit)


def _bool(default: bool, help: str, name: str = "") -> Option:
    return Option(name, bool, default, help)


def _choice(choices: Iterable[str], help: str, default: str = "", name: str = "") -> Option:
    """The first choice is the default where none is named."""
    words = tuple(str(getattr(choice, "value", choice)) for choice in choices)
    return Option(name, str, default or words[0], help, choices=words)


def _text(default: str, help: str, unit: str = "", name: str = "") -> Option:
    return Option(name, str, default, help, unit=unit)


def _field(option: Option) -> Any:
    return field(default=option.default, metadata={"option": option})


def _scale(help: str, name: str = "") -> Option:
    """How much of a movement is kept: 0 none, 1 as it is."""
    return _float(1.0, 0.0, 3.0, 0.05, help, name=name)


def _axis(axis: str) -> Option:
    return _scale(f"Scales the {axis} movement of the head; 0 keeps it as in the portrait.")


def _angles(axis: str) -> Option:
    return _text(
        "",
        f"Replaces the predicted {axis}, in degrees. One value is held; several are interpolated evenly "
        "over the clip (for example -20, 0, 20). Empty: as predicted.",
        DEGREES,
    )


@dataclass(frozen=True)
class Options:
    """How a video is made: one value per option, by default those of the nodes.

    Raises OptionError for a value that its option does not allow.
    """

    model: str = _field(
        _text(
            MINI_MODEL,
            "mini: built in, preview quality, no download. SadTalker 256 / 512: the released weights, searched for in"
            " models/sadtalker and its subfolders. file/...: your own file there; a renamed released file is treated "
            "as 512 if its name contains 512, otherwise as 256.",
        )
    )
    precision: str = _field(
        _choice(
            PRECISIONS,
            "Precision of the renderer. auto: half precision if the GPU is fast with it, fp32 on a CPU. bf16 decoder: "
            "bf16 in the released decoder, fp32 elsewhere; about twice as fast on CPUs that are built for "
            "bf16 (the log reports whether yours is). Landmarks and motion always use fp32.",
        )
    )
    face_index: int = _field(_int(0, 0, 99, "Which face, counted from 0 in the chosen order."))
    face_order: str = _field(
        _choice(
            FACE_ORDERS,
            "Order in which faces are counted: largest first, or by position in the image.",
        )
    )
    crop_mode: str = _field(
        _choice(
            CropMode,
            "crop: the head. extcrop: with more around it. resize: the whole image, resized. full, extfull: the same "
            "boxes as crop and extcrop, for Paste Back.",
        )
    )
    crop_scale: float = _field(
        _float(1.0, 0.5, 3.0, 0.05, "Scales the box around the head: above 1 includes more hair and chin.")
    )
    crop_offset_x: float = _field(
        _float(0.0, -1.0, 1.0, 0.01, "Moves the box to the right, as a fraction of its width.", "widths of the box")
    )
    crop_offset_y: float = _field(
        _float(0.0, -1.0, 1.0, 0.01, "Moves the box down, as a fraction of its height.", "heights of the box")
    )
    landmarks: str = _field(
        _choice(
            LANDMARKS,
            "auto: the face-alignment package if its two weight files are in models/sadtalker, otherwise the built-in"
            " face mesh. mini always uses the built-in mesh.",
        )
    )
    render_size: int = _field(
        Option(
            "",
            int,
            BY_THE_FACE,
            "mini only: side of the rendered head, 256 to 1024 pixels. 0: as large as the head is in the image. 256: "
            "as in workflows saved before this input, softer. As an IMAGE batch a minute weighs 1.2 GB at 256, 4.7 GB "
            "at 512, 19 GB at 1024; Render Video holds a few frames.",
            min=BY_THE_FACE,
            max=LARGEST_RENDER,
            step=FIXED_RENDER,
            unit="pixels",
            least=FIXED_RENDER,
        )
    )
    idle_seconds: float = _field(
        _float(
            0.0,
            0.0,
            36_000.0,
            0.1,
            "Length of the idle clip that is made when there is no audio; not used when there is.",
            "seconds",
        )
    )
    blink: str = _field(
        _choice(
            BLINKS,
            "auto: blinks at the rate below. off: no blinks. original: as the original SadTalker draws them, about 34"
            " per minute, ignoring the rate.",
        )
    )
    blink_rate: float = _field(
        _float(
            NATURAL_RATE, 0.0, FASTEST_RATE, 1.0, "Blinks per minute; people blink 15 to 20 times.", "blinks per minute"
        )
    )
    blink_strength: float = _field(_float(1.0, 0.0, STRONGEST, 0.05, "How far the eyelids close; 1 closes the eyes."))
    pose_style: int = _field(_int(0, 0, 45, "One of 46 styles of head movement."))
    seed: int = _field(
        _int(
            0,
            0,
            LARGEST_SEED,
            "Another seed gives another movement. The same seed gives the same video on every machine.",
        )
    )
    expression_scale: float = _field(_scale("Scales the expression; 1 is as predicted."))
    yaw_scale: float = _field(_axis("yaw"))
    pitch_scale: float = _field(_axis("pitch"))
    roll_scale: float = _field(_axis("roll"))
    still: bool = _field(_bool(False, "Keeps the head as in the portrait; the face still talks and blinks."))
    yaw: str = _field(_angles("yaw"))
    pitch: str = _field(_angles("pitch"))
    roll: str = _field(_angles("roll"))
    paste_back: bool = _field(
        _bool(False, "On: the head is pasted back into the whole image. Off: the video shows the head alone.")
    )
    feather: float = _field(
        _float(
            FEATHER,
            0.0,
            WIDEST_FEATHER,
            0.01,
            "How softly the head fades into the image at the edge of its box, as a fraction of the box.",
            "sides of the box",
        )
    )
    colour_match: float = _field(
        _float(1.0, 0.0, 1.0, 0.05, "How far the head takes the colours of the image around the seam; 0: not at all.")
    )
    quality: str = _field(
        _choice(QUALITIES, "draft: small and fast. high: looks like the frames. best: nearly lossless.", default="high")
    )
    output_fps: float = _field(
        _float(
            0.0,
            0.0,
            240.0,
            0.001,
            "Frame rate of the file, for example 30; 0: as the input. Frames are repeated or dropped, so that "
            "duration and sync stay the same.",
            "frames per second",
        )
    )

    loudness: str = _field(
        _choice(
            LOUDNESS,
            "Loudness of the speech for the networks; the audio of the video stays as it is. off: as recorded. auto: "
            "brought to -23 LUFS, so that whispers and shouts move the mouth alike.",
        )
    )

    expression: str = _field(
        _text(
            "",
            "Sets the expression: controls of the node Set Expression with a number or keyframes each, for example "
            "'smile=0.3; brows=0:0,1:0.4; preset=happy; strength=0.5'. Empty: the expression of the speech alone.",
            ACTING,
        )
    )
    format: str = _field(
        _choice(
            FORMATS,
            "mp4: H.264, plays everywhere, no transparency. webm: VP9, mov: ProRes 4444; both keep the transparency of "
            "a cut-out portrait. Browsers do not play mov; it is for video editors, and large.",
        )
    )
    background: str = _field(
        _text(
            "",
            "What a cut-out portrait is laid on: a colour (#00ff00, white) or an image file. Empty: nothing; webm and "
            "mov then stay transparent.",
        )
    )
    length: str = _field(
        _choice(
            DubLength,
            "When audio and video differ in length. Shorter audio is followed by silence. For longer audio: hold stays "
            "on the last frame, loop starts the video again, bounce plays it backwards and forwards, silence ends with "
            "the video. cut: as long as the shorter of the two.",
        )
    )
    strength: float = _field(_float(1.0, 0.0, 1.0, 0.05, "How far the mouth is replaced; 0 leaves the video as it is."))
    keep_mouth: float = _field(
        _float(0.0, 0.0, 1.0, 0.05, "In pauses of the speech: 0 the mouth rests, 1 it moves as recorded.")
    )
    original_volume: float = _field(
        _float(0.0, 0.0, 2.0, 0.05, "Volume of the video's own audio under the new one; 1 as it was, 0 none.")
    )

    label: str = _field(
        _text("", "Text in a corner of every frame of a dubbed video, such as AI-generated; empty: none.")
    )

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            object.__setattr__(self, name, option.check(getattr(self, name)))


#: what makes a video, by name, in the order of the pipeline
OPTIONS: Mapping[str, Option] = {one.name: replace(one.metadata["option"], name=one.name) for one in fields(Options)}


def _table(*options: Option) -> Mapping[str, Option]:
    return {option.name: option for option in options}


_BATCH_SIZE = _int(
    0,
    0,
    64,
    "Frames per batch. 0: chosen by free memory; on a CPU 1, with mini one per core, up to 4. The frames do not depend "
    "on it.",
    name="batch_size",
)
_BACKGROUND_COLOR = _text(
    "",
    "Colour that a cut-out portrait is laid on, for example #00ff00 or white. Empty: none; webm and mov then stay "
    "transparent.",
    name="background_color",
)
_FILE = _text(
    "sadtalker/talking",
    "Subfolder and start of the file name, inside the output folder; %date:yyyy-MM-dd% and the like are filled in.",
    name="filename_prefix",
)
_REFERENCE_LENGTH = _choice(
    ReferenceLength,
    "If the reference is shorter than the audio: loop it, ping-pong it, hold its last frame, or cut the clip to it. A"
    " longer reference loses its end.",
    name="reference_length",
)
_CROSSFADE = _int(10, 0, 250, "Frames (25 fps) of crossfade from one track into the next.", "frames", "crossfade")
_SMOOTHING = _int(
    0,
    0,
    LONGEST_SMOOTHING,
    "Smoothing window in frames (25 fps). 0 to 3: none; 25 is one second.",
    "frames",
    "smoothing",
)


def _side(name: str, default: int) -> Option:
    return _int(default, SMALLEST, 4096, f"{name.capitalize()} of the image, in pixels.", "pixels", name, 8)


def _edge(name: str, help: str) -> Option:
    return _int(0, 0, 16_384, help, "pixels", name)


def _turn(axis: str, where: str) -> Option:
    return _float(
        0.0, -45.0, 45.0, 0.5, f"Degrees added to every frame; above 0 the head {where}.", "degrees", f"{axis}_offset"
    )


def _course(name: str, help: str) -> Option:
    """A control of the expression: a number or keyframes."""
    control = CONTROLS[name]
    return Option(name, str, "0", help, course=(control.low, control.high))


def _fraction(
    name: str, default: float, step: float, help: str, low: float = 0.0, high: float = 1.0, unit: str = ""
) -> Option:
    return _float(default, low, high, step, help, unit, name)


#: what only one node or another asks for beside these: its name without SadTalker -> name -> option
NODE_OPTIONS: Mapping[str, Mapping[str, Option]] = {
    "LoadModel": _table(
        _bool(False, "Off: if a released model is missing, the error lists the files to get. On: they (about 1 GB) "
                     "are downloaded once to models/sadtalker and checked by SHA-256.", "allow_download"),
    ),
    "PortraitFromImage": _table(
        _int(0, 0, 4095, "Which image of the batch, counted from 0.", name="batch_index"),
        _edge("x", "Left edge of a box around the face, in pixels."),
        _edge("y", "Top edge of the box, in pixels."),
        _edge("width", "Width of the box; 0: detect the face."),
        _edge("height", "Height of the box; 0: detect the face."),
    ),
    "ReferenceVideo": _table(
        _fraction("fps", 25.0, 0.001, "Frame rate of the image batch. A connected video has its own.", 1.0,
                  240.0, "frames per second"),
        _choice(MissingFace, "Frames without a face: hold repeats the previous one, skip drops the frame, error "
                             "stops.",
                name="missing_face"),
    ),
    "ExpNet": _table(
        _choice(EXPRESSION_REFERENCE, "What to take from a connected reference. blink: its blinks. all: its whole "
                                      "expression; the audio is then ignored.", name="reference_mode"),
        _REFERENCE_LENGTH,
    ),
    "PoseVAE": _table(
        _choice(POSE_REFERENCE, "What to take from a connected reference. pose: its head movement, added to the "
                                "predicted one. all: its head movement alone.", name="reference_mode"),
        _REFERENCE_LENGTH,
    ),
    "FaceRender": _table(_BATCH_SIZE),
    "VideoCombine": _table(
        _fraction("fps", 25.0, 0.001, "Frame rate of the frames, from Face Render.", 1.0, 240.0, "frames per second"),
        _FILE,
        _BACKGROUND_COLOR,
    ),
    "RenderVideo": _table(
        replace(_BATCH_SIZE, help="Frames per batch. 0: chosen by free memory; on a CPU 1, with mini one per core, up"
                                  " to 4. The video does not depend on it."),
        _FILE,
        _bool(False, "If the run is stopped or fails, keep the frames so far as a playable file whose name ends in "
                     "_partial.mp4. Off: nothing is kept.", "keep_partial"),
        _BACKGROUND_COLOR,
        _bool(False, "On: the alpha output carries the alpha of every frame, a MASK batch in memory (a minute at 512: "
                     "1.6 GB). Off: none for a cut-out portrait; the file has its alpha either way.", "alpha_output"),
    ),
    "DubVideo": _table(
        _fraction("fps", 25.0, 0.001, "Frame rate of connected frames. A connected video has its own.", 1.0, 240.0,
                  "frames per second"),
        replace(_FILE, default="sadtalker/dubbed"),
        _bool(False, "If the run is stopped or fails, keep the frames so far as a playable file whose name ends in "
                     "_partial.mp4. Off: nothing is kept.", "keep_partial"),
    ),
    "MotionPlot": _table(_side("width", 1024), _side("height", 640)),
    "MotionPreview": _table(
        _int(384, 64, 2048, "Side of the square frames, in pixels.", "pixels", "size", 8),
        _bool(False, "On: drawn over the darkened portrait. Off: on black.", "over_portrait"),
    ),
    "EditExpression": _table(
        _scale("Scales the whole expression; 1 leaves it unchanged. The only scale for the released models.",
               "overall"),
        _scale("Scales jaw, lips, cheeks and nose. mini only: each coefficient of the released models moves mouth, "
               "eyes and brows together; leave it at 1 there.", "mouth"),
        _scale("Scales blinks, gaze and squints; 0 keeps the eyes open. mini only, see mouth.", "eyes"),
        _scale("Scales the brows. mini only, see mouth.", "brows"),
        replace(_SMOOTHING, help="Smoothing window in frames (25 fps). 0 to 3: none; 7 removes jitter; above 13 blurs"
                                 " speech. Blinks of mini stay sharp."),
    ),
    "SetExpression": _table(
        _choice(PRESETS, "A whole expression to begin with; the controls below come on top. mini only.", name="preset"),
        Option("strength", str, "1", "How much of the preset: 0 to 1, or keyframes such as 0:0, 1:0.8.",
               course=(0.0, 1.0)),
        _course("smile", "0 to 1, or keyframes as seconds:value, for example 0:0, 1.5:0.4, 3:0. Between keyframes the "
                         "value is eased. mini only."),
        _course("brows", "1: up. -1: down and knit. A number or keyframes. mini only."),
        _course("frown", "0 to 1: corners of the mouth down, chin up; it undoes a smile. mini only."),
        _course("squint", "0 to 1: narrowed eyes."),
        _course("wide_eyes", "0 to 1: eyes opened wide. mini only."),
        _course("gaze_x", "Looks to the right of the image (1, 21 degrees) or to the left (-1). mini only."),
        _course("gaze_y", "Looks up (1, 10 degrees) or down (-1, 15 degrees). mini only."),
        _course("wink_left", "0 to 1: shuts the person's left eye, on the right of the image. Released models: only "
                             "together with wink_right."),
        _course("wink_right", "0 to 1: shuts the person's right eye. Released models: only together with wink_left."),
        _course("jaw", "0 to 1: opens the mouth, except where speech closes the lips (p, b, m). mini only."),
        _course("lip_corner_left", "The left corner of the person's mouth: 1 up, -1 down. mini only."),
        _course("lip_corner_right", "The right corner of the person's mouth: 1 up, -1 down. mini only."),
        _course("pucker", "0 to 1: rounded lips. mini only."),
        _fraction("wandering_gaze", 0.0, 0.05, "Lets the eyes wander by the seed, on top of what ExpNet does. mini "
                                               "only."),
        _fraction("micro_expressions", 0.0, 0.05, "Slight movements of brows, eyes and mouth every few seconds, by the "
                                                  "seed. mini only."),
    ),
    "EditPose": _table(
        _scale("Scales pitch (nodding) relative to the first frame; 0 freezes it.", "pitch_scale"),
        _scale("Scales yaw (turning) relative to the first frame; 0 freezes it.", "yaw_scale"),
        _scale("Scales roll (tilting) relative to the first frame; 0 freezes it.", "roll_scale"),
        _scale("Scales translation relative to the first frame; 0 freezes it.", "translation_scale"),
        _turn("pitch", "looks down"),
        _turn("yaw", "looks to the left of the image"),
        _turn("roll", "tilts clockwise"),
        _SMOOTHING,
    ),
    "BlendTracks": _table(
        _choice(JOIN_MODES, "blend: both mixed by weight, as long as the shorter track. one after the other: the "
                            "other track follows the first.", name="mode"),
        _fraction("weight", 0.5, 0.05, "For blend: 0 is the first track, 1 the other one."),
        replace(_CROSSFADE, help="For one after the other: frames (25 fps) of crossfade; the result is that much "
                                 "shorter."),
    ),
    "ResizeTrack": _table(
        _int(125, 1, 900_000, "New length of the tracks, in frames (25 fps). Ignored when speech is connected.",
             "frames", "frames"),
        _choice(FitHow, "loop: start again. ping-pong: forwards and backwards. hold: stay on the last frame. stretch:"
                        " slower or faster. cut: shorten only. A longer track loses its end, except with stretch.",
                name="method"),
        replace(_CROSSFADE, help="For loop: frames of crossfade from the end of a loop into the next, so that nothing"
                                 " jumps."),
    ),
    "SilenceGate": _table(
        _fraction("threshold", -30.0, 1.0, "Level below which it counts as silence, in dB relative to the loud "
                                           "passages. Closer to 0 closes the mouth more often; with background noise "
                                           "try -20.", -80.0, 0.0, "dB"),
        _fraction("attack", 0.08, 0.02, "Seconds over which the mouth starts to move before the speech.", 0.0, 2.0,
                  "seconds"),
        _fraction("release", 0.2, 0.02, "Seconds over which the mouth comes to rest after the speech.", 0.0, 2.0,
                  "seconds"),
        _fraction("strength", 1.0, 0.05, "How far the mouth rests: 1 fully, 0 not at all."),
        _bool(True, "On: the mouth rests in pauses. Off: the expression passes unchanged.", "rest_in_pauses"),
    ),
    "SaveTrack": _table(
        replace(_FILE, default="sadtalker/track", help="Subfolder and start of the file name, inside the output "
                f"folder; a counter and {TRACK_ENDING} are added."),
    ),
    "SplitSpeakers": _table(
        _text("0:00-0:03 anna\n0:03-0:06 ben", "Who speaks when, one turn a line: start, end, name. Or paste SRT, "
              "WebVTT, RTTM or Audacity labels; the form is detected.", name="lines"),
        _text("", "Names with commas between: whose speech comes out first, second and so on. Empty: in the order in "
                  "which they begin to speak.", name="speakers"),
    ),
    "LookAtSpeaker": _table(
        _fraction("amount", 1.0, 0.05, "How far the listener looks towards the speaker: at 1 the eyes turn by 10 "
                                       "degrees, the head by 5. 0: not at all.", 0.0, 2.0),
    ),
    "ExportBlendshapes": _table(
        _choice(EXPORT_FORMS, "Live Link Face CSV: for Unreal, MetaHuman, Blender, Maya. JSON: names and weights for "
                              "morph targets of glTF (ARKit names) or VRM 1.0 avatars.", name="format"),
        _fraction("fps", 25.0, 0.001, "Frames per second of the file. At 25 every frame is written as it is; else they"
                                      " are interpolated.", LOWEST_FPS, HIGHEST_FPS, "frames per second"),
        replace(_FILE, default="sadtalker/blendshapes", help="Subfolder and start of the file name, inside the output "
                "folder; a counter and .csv or .json are added."),
    ),
    "ImportBlendshapes": _table(
        _fraction("fps", 0.0, 0.001, "Frames per second of the file. 0: by its timecodes or the file itself.",
                  0.0, HIGHEST_FPS, "frames per second"),
    ),
    "VisibleLabel": _table(
        _text(DEFAULT_TEXT, "Text of the label, one line. Chinese and other scripts need a font on the computer that "
                            "runs ComfyUI.", name="text"),
        _choice(CORNERS, "Corner of the image for the label.", name="corner"),
        _fraction("size", 0.05, 0.01, "Text height as a fraction of the shorter side of the image.", 0.01,
                  0.25),
        _fraction("opacity", 0.8, 0.05, "1 hides what is behind the label.", 0.1),
    ),
}  # fmt: skip


__all__ = ["NODE_OPTIONS", "OPTIONS", "PRECISIONS", "Option", "Options", "real_number", "whole_number"]
