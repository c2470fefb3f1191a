"""An expression track comes in, the same with controls added goes out: smile, brows, gaze, winks, moods.

Each control is a number or keyframes (keyframes.py). What it adds is combined with the expression of the speech:

    brows, cheeks, lids     added, up to 1; a lid closes by a share of what a blink has left open
    gaze                    added in degrees, each eye separately
    jaw and lips            added around speech: less where lips are pressed together (p, b, m), and where a smile would
                            bring open lips together they are held as far apart as the speech has them

The basis of the released family has no blendshapes; only how its ExpNet shuts both eyes is known.
Letters: `T` frames, `P` 64 coefficients of an expression.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..canonical_face import (
    DOWN_DEG,
    LOWER_INNER_LIP,
    OUT_DEG,
    UP_DEG,
    UPPER_INNER_LIP,
    add_gaze,
    load_canonical_face,
)
from ..choices import number_in, of_kind, one_of
from ..coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX, EXPRESSION
from ..datatypes import Expression, OnProgress
from ..easing import smoothstep
from ..errors import OptionError, shorten
from ..timeline import FRAMES_PER_SECOND
from .edit import MOUTH_GROUP, blendshapes_of
from .keyframes import Course, Keyframes, parse_keyframes
from .upper_face import wandering_gaze_angles

SIDES = ("Left", "Right")
NO_PRESET, STRENGTH = "none", "strength"
#: full-width variants, as some keyboards write them
_PLAIN = str.maketrans({"\N{FULLWIDTH SEMICOLON}": ";", "\N{FULLWIDTH EQUALS SIGN}": "="})


def _both(**weights: float) -> dict[str, float]:
    """The same on both sides."""
    return {f"{name}{side}": weight for name, weight in weights.items() for side in SIDES}


# What controls and presets do at 1, in blendshape weights. Tuned by eye on photographs, a painting and generated heads:
# `python -m tests.tools.mini_evaluator.acting`.
_SMILE = _both(mouthSmile=0.7, cheekSquint=0.5, eyeSquint=0.2)
_BROWS_UP = {"browInnerUp": 1.0, **_both(browOuterUp=1.0)}
_BROWS_DOWN = _both(browDown=1.0)
_FROWN = {**_both(mouthFrown=1.0, browDown=0.3), "mouthShrugLower": 0.4}
_SQUINT = _both(eyeSquint=1.0, cheekSquint=0.4)
_WIDE = _both(eyeWide=0.8)
_JAW = {"jawOpen": 0.8}
_PUCKER = {"mouthPucker": 1.0, "mouthFunnel": 0.15}
_CORNER_UP, _CORNER_DOWN, _WINK = 0.7, 1.0, {"cheekSquint": 0.4, "eyeSquint": 0.4}


@dataclass(frozen=True)
class Control:
    """low, high: its range;  up, down: the blendshape weights that it adds at 1 and at -1."""

    low: float
    high: float
    up: Mapping[str, float] = field(default_factory=dict)
    down: Mapping[str, float] = field(default_factory=dict)


GAZE_X, GAZE_Y, WINKS = "gaze_x", "gaze_y", ("wink_left", "wink_right")
SQUINT = "squint"
#: by name, in the order of the node. Left and right are the person's, as in the names of blendshapes.
CONTROLS: Mapping[str, Control] = {
    "smile": Control(0, 1, _SMILE),
    "brows": Control(-1, 1, _BROWS_UP, _BROWS_DOWN),
    "frown": Control(0, 1, _FROWN),
    SQUINT: Control(0, 1, _SQUINT),
    "wide_eyes": Control(0, 1, _WIDE),
    GAZE_X: Control(-1, 1),
    GAZE_Y: Control(-1, 1),
    **{
        name: Control(0, 1, {f"{shape}{side}": weight for shape, weight in {"eyeBlink": 1.0, **_WINK}.items()})
        for name, side in zip(WINKS, SIDES, strict=True)
    },
    "jaw": Control(0, 1, _JAW),
    **{
        f"lip_corner_{side.lower()}": Control(
            -1, 1, {f"mouthSmile{side}": _CORNER_UP}, {f"mouthFrown{side}": _CORNER_DOWN}
        )
        for side in SIDES
    },
    "pucker": Control(0, 1, _PUCKER),
}

#: blendshape weights at strength 1; below, degrees by which the gaze is lowered
PRESETS: Mapping[str, Mapping[str, float]] = {
    NO_PRESET: {},
    "happy": {**_both(mouthSmile=0.5, cheekSquint=0.5, eyeSquint=0.25, browOuterUp=0.15), "browInnerUp": 0.15},
    "sad": {
        **_both(browDown=0.25, mouthFrown=0.75, eyeBlink=0.12),
        "browInnerUp": 1.0,
        "mouthShrugLower": 0.4,
    },
    "stern": {**_both(browDown=1.0, eyeSquint=0.5, mouthFrown=0.35, noseSneer=0.2), "mouthShrugLower": 0.2},
    "surprised": {**_both(browOuterUp=1.0, eyeWide=0.8), "browInnerUp": 1.0, "jawOpen": 0.12},
    "tired": {**_both(eyeBlink=0.38, mouthFrown=0.3, cheekSquint=0.1), "browInnerUp": 0.25},
    "sceptical": {
        "browOuterUpLeft": 1.0,
        "browInnerUp": 0.35,
        "browDownRight": 0.8,
        "eyeSquintRight": 0.5,
        "mouthFrownRight": 0.4,
        "mouthDimpleLeft": 0.4,
    },
}
_GAZE_LOWERED_DEG = {"tired": 4.0, "sad": 4.0}

#: blendshapes that suppress their opposites: a face that smiles in its portrait stops when `frown` is set
_SUPPRESSES: Mapping[str, Mapping[str, float]] = {
    **{
        f"{name}{side}": {f"{other}{side}": share for other, share in others.items()}
        for side in SIDES
        for name, others in {
            "mouthFrown": {"mouthSmile": 1.0, "mouthUpperUp": 0.7, "cheekSquint": 0.7},
            "mouthSmile": {"mouthFrown": 1.0},
            "browDown": {"browOuterUp": 1.0},
            "browOuterUp": {"browDown": 1.0},
            "eyeWide": {"eyeSquint": 1.0},
            "eyeSquint": {"eyeWide": 1.0},
        }.items()
    },
    "mouthPucker": _both(mouthSmile=1.0, mouthStretch=1.0, mouthDimple=1.0),
}

_LIDS = ("eyeBlinkLeft", "eyeBlinkRight")
_MOUTH = torch.zeros(EXPRESSION, dtype=torch.bool)
_MOUTH[blendshapes_of(MOUTH_GROUP)] = True
_PRESSES = [BLENDSHAPE_INDEX[f"mouthPress{side}"] for side in SIDES]
#: lips pressed by this much more than usual are shut (render/meshwarp/lip_contact.py); the quantile that is usual
_PRESSED, _USUAL = 0.18, 0.2
#: the blendshapes that hold lips apart which a smile would bring together
_PARTING = [BLENDSHAPE_INDEX[f"{name}{side}"] for name in ("mouthUpperUp", "mouthLowerDown") for side in SIDES]
#: decimetres; lips less apart than this are held together while they change shape
_HARDLY_OPEN = 0.03
#: frames processed at once, so that a track of hours needs little extra memory
_AT_ONCE = 4096
#: a squint of the released family, as a share of a blink
_SQUINT_BY_LIDS = 0.4

# Micro-expressions: a slight one every few seconds, half a second long; times in frames but for the first.
_EVERY_S, _RISE, _HOLD, _FALL, _SIZE = (1.5, 5.0), (2.0, 4.0), (1.0, 5.0), (4.0, 8.0), (0.3, 0.8)
_MICRO: tuple[Mapping[str, float], ...] = (
    {"browInnerUp": 0.7, **_both(browOuterUp=0.5)},
    _both(browDown=0.6, eyeSquint=0.3),
    _both(eyeSquint=0.6, cheekSquint=0.4),
    {"mouthSmileLeft": 0.35, "cheekSquintLeft": 0.3},
    {"mouthSmileRight": 0.35, "cheekSquintRight": 0.3},
    _both(mouthDimple=0.5),
    _both(mouthFrown=0.4) | {"mouthShrugLower": 0.3},
    _both(noseSneer=0.5),
    {"browOuterUpLeft": 0.8},
    {"browOuterUpRight": 0.8},
)


@dataclass(frozen=True)
class Acting:
    """The settings of Set Expression: a number or keyframes for each control that is used, by the names of CONTROLS.

    preset: one of PRESETS;  strength: its amount, 0..1, a number or keyframes
    wandering_gaze, micro_expressions: 0..1, the amount of these random movements, drawn from `seed`
    Raises OptionError for an unknown name and for a value out of range.
    """

    controls: Mapping[str, Course] = field(default_factory=dict)
    preset: str = NO_PRESET
    strength: Course = 1.0
    wandering_gaze: float = 0.0
    micro_expressions: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("preset", self.preset, tuple(PRESETS))
        of_kind("controls", self.controls, Mapping)
        for name, share in (("wandering_gaze", self.wandering_gaze), ("micro_expressions", self.micro_expressions)):
            number_in(name, share, 0, 1)
        of_kind("seed", self.seed, int)
        self.keyframes()

    def keyframes(self) -> dict[str, Keyframes]:
        """Those of each control that is not 0 throughout, and of "strength"."""
        parsed = {
            name: parse_keyframes(name, course, control.low, control.high)
            for name, control in CONTROLS.items()
            if (course := self.controls.get(name)) is not None
        }
        if unknown := [name for name in self.controls if name not in CONTROLS]:
            raise OptionError(f"there is no control {shorten(repr(unknown[0]))}; known are {', '.join(CONTROLS)}.")
        used = {name: keys for name, keys in parsed.items() if not keys.is_zero}
        return used | {STRENGTH: parse_keyframes(STRENGTH, self.strength, 0, 1)}

    def courses(self, n_frames: int) -> dict[str, Tensor]:
        """(T,) of each control that is not 0 throughout, and the strength of the preset under the preset's name."""
        keys = self.keyframes()
        strength = keys.pop(STRENGTH)
        tracks = {name: course.at_frames(n_frames) for name, course in keys.items()}
        return tracks if self.preset == NO_PRESET else {self.preset: strength.at_frames(n_frames), **tracks}


def read_acting(text: str, seed: int = 0) -> Acting:
    """Text such as "smile=0.3; brows=0:0,1:0.4; preset=happy; strength=0.5" -> the settings; an empty
    text sets nothing.

    Besides the controls it may set preset, strength, wandering_gaze and micro_expressions.
    Raises OptionError, which names the wrong part.
    """
    known = (*CONTROLS, "preset", STRENGTH, "wandering_gaze", "micro_expressions")
    of_kind("expression", text, str)
    assigned: dict[str, str] = {}
    for part in text.translate(_PLAIN).split(";"):
        if not part.strip():
            continue
        name, equals, course = (word.strip() for word in part.partition("="))
        if not equals:
            raise OptionError(f"expected name=value, such as smile=0.3, got {shorten(repr(part.strip()))}.")
        if name not in known:
            raise OptionError(f"there is no control {shorten(repr(name))}; known are {', '.join(known)}.")
        if name in assigned:
            raise OptionError(f"{name} is set twice.")
        assigned[name] = course
    shares = {
        name: parse_keyframes(name, assigned[name], 0, 1)
        for name in ("wandering_gaze", "micro_expressions")
        if name in assigned
    }
    for name, keys in shares.items():
        if len(keys.values) > 1:
            raise OptionError(f"{name}: expected one number from 0 to 1, got {shorten(repr(assigned[name]))}.")
    return Acting(
        {name: course for name, course in assigned.items() if name in CONTROLS},
        assigned.get("preset", NO_PRESET),
        assigned.get(STRENGTH, 1.0),
        **{name: keys.values[0] for name, keys in shares.items()},
        seed=seed,
    )


def set_expression(
    expression: Expression, acting: Acting, *, closing: Tensor | None = None, on_progress: OnProgress | None = None
) -> Expression:
    """The track with these settings added to it; the track itself when they add nothing.

    closing: (P,) how a blink moves the coefficients of a basis without blendshapes (reference.closing_of_expnet)
    on_progress: called with (frames done, of how many); may raise to stop
    A basis without blendshapes takes `squint`, and equal `wink_left` and `wink_right`. Raises OptionError for the
    others there.
    """
    of_kind("expression", expression, Expression)
    keys = of_kind("acting", acting, Acting).keyframes()
    strength = keys.pop(STRENGTH)
    preset = {} if strength.is_zero else PRESETS[acting.preset]
    if not keys and not preset and not acting.wandering_gaze and not acting.micro_expressions:
        return expression
    n_frames = len(expression)
    courses = {name: course.at_frames(n_frames) for name, course in keys.items()}
    if not expression.blendshapes:
        return _with_lids(expression, acting, courses, preset, closing)
    seeds = torch.randint(2**62, (2,), generator=torch.Generator().manual_seed(acting.seed)).tolist()
    moments, glances = (torch.Generator().manual_seed(seed) for seed in seeds)
    courses[STRENGTH] = strength.at_frames(n_frames)
    across, up = _gaze(acting, courses, glances, bool(preset))
    events = list(_micro_expressions(n_frames, moments)) if acting.micro_expressions else []
    closures = _closures(expression.coefficients)
    after = torch.empty_like(expression.coefficients)
    for start in range(0, n_frames, _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, n_frames))
        rows = expression.coefficients[part]
        added = _added({name: course[part] for name, course in courses.items()}, preset)
        for event in events:
            event.add_to(added, start, acting.micro_expressions)
        gone = _suppressed(rows, added)
        rows = _with_face(add_gaze(rows, across[part], up[part]), added, gone)
        after[part] = _with_mouth(rows, added, gone, closures[part])
        if on_progress is not None:
            on_progress(part.stop, n_frames)
    return replace(expression, coefficients=after)


# ------------------------------------------------------------------------------------------------ with blendshapes


def _row(named: Mapping[str, float]) -> Tensor:
    """Blendshape weights by name -> (P,)."""
    weights = torch.zeros(EXPRESSION)
    for name, weight in named.items():
        weights[BLENDSHAPE_INDEX[name]] = weight
    return weights


def _added(courses: Mapping[str, Tensor], preset: Mapping[str, float]) -> Tensor:
    """(T,) of each control and of the strength -> (T, P) what they add, without gaze, which `_gaze` gives in
    degrees.
    """
    added = courses[STRENGTH][:, None] * _row(preset)
    for name, control in CONTROLS.items():
        if name in courses:
            added += courses[name].clamp(min=0)[:, None] * _row(control.up)
            added += (-courses[name]).clamp(min=0)[:, None] * _row(control.down)
    return added


def _gaze(
    acting: Acting, courses: Mapping[str, Tensor], generator: torch.Generator, lowered: bool
) -> tuple[Tensor, Tensor]:
    """Two (T,), degrees to the left of the person, and up, to add to the gaze."""
    strength = courses[STRENGTH]
    nothing = torch.zeros_like(strength)
    across, up = OUT_DEG * courses.get(GAZE_X, nothing), courses.get(GAZE_Y, nothing)
    up = torch.where(up > 0, up * UP_DEG, up * DOWN_DEG)
    if lowered:
        up = up - _GAZE_LOWERED_DEG.get(acting.preset, 0.0) * strength
    if acting.wandering_gaze:
        drawn = wandering_gaze_angles(len(strength), generator)
        across, up = (a + acting.wandering_gaze * b for a, b in zip((across, up), drawn, strict=True))
    return across, up


def _suppressed(rows: Tensor, added: Tensor) -> Tensor:
    """rows, added (T, P) -> (T, P) what is taken from each weight of the track because its opposite is added."""
    gone = torch.zeros_like(rows)
    for name, others in _SUPPRESSES.items():
        share = added[:, BLENDSHAPE_INDEX[name]].clamp(max=1)
        for other, most in others.items():
            k = BLENDSHAPE_INDEX[other]
            gone[:, k] = torch.maximum(gone[:, k], most * share * rows[:, k].clamp(min=0))
    return gone


def _with_face(rows: Tensor, added: Tensor, gone: Tensor) -> Tensor:
    """rows, added, gone (T, P) -> rows with brows, cheeks and lids changed, the mouth as it was."""
    rows, face = torch.where(_MOUTH, rows, rows - gone), ~_MOUTH
    lids = [BLENDSHAPE_INDEX[name] for name in _LIDS]
    shut = rows[:, lids] + added[:, lids].clamp(max=1) * (1 - rows[:, lids]).clamp(min=0)
    rows[:, face] = (rows + added)[:, face].clamp(max=1).maximum(rows[:, face])
    rows[:, lids] = shut
    return rows


def _with_mouth(rows: Tensor, added: Tensor, gone: Tensor, closures: Tensor) -> Tensor:
    """rows, added, gone (T, P), closures (T,) -> rows with what is added to jaw and lips, around the movements of
    speech.
    """
    if not bool(added[:, _MOUTH].any()):
        return rows
    gaps = _gap_of_blendshapes()
    was_open = (rows @ gaps).clamp(min=0)
    wanted = added * _MOUTH
    # lips pressed together stay shut: only what changes their shape is added there
    opens = gaps > 0.01
    wanted = torch.where(opens, wanted * (1 - closures)[:, None], wanted)
    less = rows - gone
    after = torch.where(_MOUTH, (less + wanted).clamp(max=1).maximum(less), rows)
    # a smile or a pucker brings lips together: hold them as far apart as before
    shapes = torch.where(opens, torch.zeros(()), after - rows)
    lost = (was_open + (shapes @ gaps)).clamp(min=0) - was_open
    parting = (-lost).clamp(min=0) / gaps[_PARTING].sum()
    after[:, _PARTING] = (after[:, _PARTING] + parting[:, None]).clamp(max=1).maximum(after[:, _PARTING])
    # lips that are closed stay closed in another shape
    shaped = torch.where(opens | ~_MOUTH, torch.zeros(()), wanted).amax(dim=1).clamp(max=1)
    held = _PRESSED * shaped * (1 - (was_open + wanted @ gaps.clamp(min=0)) / _HARDLY_OPEN).clamp(min=0)
    after[:, _PRESSES] = after[:, _PRESSES].maximum((rows[:, _PRESSES] + held[:, None]).clamp(max=1))
    return after


def _closures(rows: Tensor) -> Tensor:
    """(T, P) -> (T,) in 0..1: how far lips are pressed together, relative to the rest of the track."""
    press = rows[:, _PRESSES].mean(dim=1)
    excess = ((press - press.quantile(_USUAL)) / _PRESSED).clamp(0, 1) if len(press) else press
    # widened by a frame on each side, because MappingNet reads neighbouring frames
    return F.max_pool1d(excess[None, None], 3, 1, 1)[0, 0] if len(press) else excess


def _gap_of_blendshapes() -> Tensor:
    """(P,) decimetres by which each blendshape parts the lips in their middle."""
    moves = load_canonical_face().blendshapes[..., 1]
    upper, lower = list(UPPER_INNER_LIP[2:7]), list(LOWER_INNER_LIP[::-1][2:7])
    return F.pad((moves[:, upper] - moves[:, lower]).mean(dim=1), (0, EXPRESSION - len(ARKIT_BLENDSHAPES)))


class _MicroExpression(NamedTuple):
    """first: its first frame;  shape: (n,) its amount in each frame;  weights: (P,) what it moves."""

    first: int
    shape: Tensor
    weights: Tensor

    def add_to(self, added: Tensor, start: int, amount: float) -> None:
        """Add it to the rows (n, P) from frame `start` on, where it lies within them."""
        first, last = max(self.first - start, 0), min(self.first - start + len(self.shape), len(added))
        if first < last:
            shape = self.shape[first + start - self.first : last + start - self.first]
            added[first:last] += amount * shape[:, None] * self.weights


def _micro_expressions(n_frames: int, generator: torch.Generator) -> Iterator[_MicroExpression]:
    """Yields the micro-expressions of a track; a longer track begins like a shorter one."""
    frame = 0.0
    while True:
        gap, kind, size, *times = torch.rand(6, generator=generator).tolist()
        frame += FRAMES_PER_SECOND * _between(_EVERY_S, gap)
        if frame >= n_frames:
            return
        rise, hold, fall = (_between(ends, time) for ends, time in zip((_RISE, _HOLD, _FALL), times, strict=True))
        first, last = int(frame), int(frame + rise + hold + fall) + 1
        t = torch.arange(first, last) - frame
        shape = _between(_SIZE, size) * smoothstep(t / rise) * smoothstep((rise + hold + fall - t) / fall)
        yield _MicroExpression(first, shape, _row(_MICRO[min(int(kind * len(_MICRO)), len(_MICRO) - 1)]))
        frame += rise + hold + fall


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share


# --------------------------------------------------------------------------------------------- without blendshapes


def _with_lids(
    expression: Expression,
    acting: Acting,
    courses: Mapping[str, Tensor],
    preset: Mapping[str, float],
    closing: Tensor | None,
) -> Expression:
    winks = [courses.get(name, torch.zeros(len(expression))) for name in WINKS]
    impossible: Iterable[str] = [name for name in courses if name not in (SQUINT, *WINKS)]
    if not torch.equal(*winks):
        impossible = [*impossible, *(name for name in WINKS if name in courses)]
    others = {"preset": preset, "wandering_gaze": acting.wandering_gaze, "micro_expressions": acting.micro_expressions}
    impossible = [*impossible, *(name for name, used in others.items() if used)]
    if impossible:
        raise OptionError(
            f"{', '.join(impossible)}: a {expression.family} expression cannot do this: each of its coefficients "
            "moves mouth, eyes and brows together. It can squint, and shut both eyes (wink_left and wink_right alike). "
            "Set the others to 0, or choose the mini model."
        )
    if closing is None:
        raise OptionError(
            f"{', '.join(courses)}: connect the model: how a {expression.family} expression shuts its eyes is taken "
            "from its ExpNet."
        )
    lids = torch.maximum(winks[0], _SQUINT_BY_LIDS * courses.get(SQUINT, torch.zeros(len(expression))))
    return replace(expression, coefficients=expression.coefficients + lids[:, None] * closing)


__all__ = ["CONTROLS", "NO_PRESET", "PRESETS", "Acting", "Control", "read_acting", "set_expression"]
