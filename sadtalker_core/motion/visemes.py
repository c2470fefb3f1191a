"""Phonemes with times -> the movement of the mouth, in training and on import: (T, 52) ARKit blendshapes at 25 fps.

Three steps, each a table or one small calculation:

    phoneme (IPA)             -> one mouth shape, or two for a diphthong, an affricate
    shapes on a 200 Hz line   -> nine gestures (jaw, press, bite, ...), smoothed as in
                                 coarticulation: a consonant that does not need the lips leaves them to its neighbours,
                                 lips lead the sound a little
    gestures on video frames  -> blendshapes, left as right

Smoothing is a weighted mean, sum(g * w * v) / sum(g * w): v the shape's value, w its dominance (Cohen and
Massaro 1993), g a Gaussian. A closure is short (60 ms) and must be visible: it is smoothed least, and a frame takes its
maximum.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX
from ..datatypes import OnProgress
from ..timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ


class Phone(NamedTuple):
    """One sound of an utterance: when (seconds) and what, in IPA; silence is an empty string."""

    start: float
    end: float
    ipa: str


#: the gestures; each moves one or a few blendshapes, see `GESTURE_BLENDSHAPES`
GESTURES = ("jaw", "press", "bite", "pucker", "funnel", "stretch", "lower", "upper")

#: shape -> (gesture -> value). What is not named is 0. Open vowels widen and rounded ones open less, so that the width
#: of the mouth goes along with its opening, as in recorded speakers (r .6 to .8; of these shapes in speech .35).
SHAPES: dict[str, dict[str, float]] = {
    "rest": {},
    "closed": {"press": 1.0},
    "bite": {"jaw": 0.05, "bite": 1.0, "upper": 0.18},
    "tongue": {"jaw": 0.14, "stretch": 0.05, "lower": 0.28, "upper": 0.1},
    "alveolar": {"jaw": 0.11, "stretch": 0.08, "lower": 0.22, "upper": 0.1},
    "lateral": {"jaw": 0.16, "stretch": 0.08, "lower": 0.22, "upper": 0.1},
    "velar": {"jaw": 0.18, "stretch": 0.1, "lower": 0.16, "upper": 0.1},
    "hiss": {"jaw": 0.05, "stretch": 0.1, "lower": 0.34, "upper": 0.2},
    "hush": {"jaw": 0.06, "pucker": 0.18, "funnel": 0.5, "lower": 0.18, "upper": 0.16},
    "liquid": {"jaw": 0.1, "pucker": 0.3, "funnel": 0.24, "lower": 0.1, "upper": 0.06},
    "glide": {"jaw": 0.05, "pucker": 0.85, "funnel": 0.18},
    "ah": {"jaw": 0.62, "stretch": 0.66, "lower": 0.38, "upper": 0.16},
    "ae": {"jaw": 0.54, "stretch": 0.72, "lower": 0.40, "upper": 0.2},
    "uh": {"jaw": 0.32, "stretch": 0.4, "lower": 0.26, "upper": 0.12},
    "eh": {"jaw": 0.36, "stretch": 0.5, "lower": 0.34, "upper": 0.18},
    "ee": {"jaw": 0.18, "stretch": 0.45, "lower": 0.34, "upper": 0.16},
    "ih": {"jaw": 0.22, "stretch": 0.24, "lower": 0.28, "upper": 0.14},
    "aw": {"jaw": 0.44, "pucker": 0.08, "funnel": 0.34, "lower": 0.2, "upper": 0.08},
    "oh": {"jaw": 0.3, "pucker": 0.38, "funnel": 0.4, "lower": 0.1, "upper": 0.06},
    "oo": {"jaw": 0.1, "pucker": 0.85, "funnel": 0.28, "lower": 0.04, "upper": 0.02},
    "ue": {"jaw": 0.09, "pucker": 0.78, "funnel": 0.28, "lower": 0.06, "upper": 0.04},
    "oe": {"jaw": 0.24, "pucker": 0.5, "funnel": 0.42, "lower": 0.14, "upper": 0.08},
}

# Dominance of a shape: over the jaw, over rounding (pucker, funnel), over the other gestures. Vowels have 1 for all.
_DOMINANCE: dict[str, tuple[float, float, float]] = {
    "rest": (0.7, 0.5, 0.6),
    "closed": (1.2, 0.15, 1.2),
    "bite": (1.2, 0.4, 1.2),
    "tongue": (0.7, 0.25, 0.7),
    "alveolar": (0.6, 0.15, 0.35),
    "lateral": (0.6, 0.2, 0.35),
    "velar": (0.25, 0.1, 0.2),
    "hiss": (1.2, 0.3, 0.8),
    "hush": (1.0, 0.9, 0.9),
    "liquid": (0.6, 0.6, 0.5),
    "glide": (0.9, 1.2, 0.9),
}
_VOWEL_DOMINANCE = (1.0, 1.0, 1.0)
_DOMINANCE_COLUMN = {"jaw": 0, "pucker": 1, "funnel": 1}  # the others: 2

# Smoothing (sigma) of each gesture in seconds: closures are quick.
_SIGMA = {"jaw": 0.036, "press": 0.012, "bite": 0.018, "pucker": 0.050, "funnel": 0.050}
_OTHER_SIGMA = 0.034
#: How far the gestures lead the sounds, in seconds. The lips of recorded speakers lead by 1 to 3 frames, rounding by
#: more. Closures start early, too, but last until the sound is over: `_CLOSURE_WINDOW`.
_LEAD = {"press": 0.0, "bite": 0.0, "pucker": 0.09, "funnel": 0.09}
_OTHER_LEAD = 0.07
#: a frame shows a closure whose maximum lies at most this many seconds before, or after, its middle
_CLOSURE_WINDOW = (0.005, 0.048)
#: the same for gestures that do not lead the sounds
_CLOSURE_WINDOW_UNLED = (0.015, 0.015)

#: gesture -> blendshapes it moves (without the side), and how far
GESTURE_BLENDSHAPES: dict[str, dict[str, float]] = {
    "jaw": {"jawOpen": 1.0},
    # pressing widens the mouth, which closed lips do not: the pucker takes it back
    "press": {"mouthPress": 0.45, "mouthRollLower": 0.2, "mouthRollUpper": 0.2, "mouthPucker": 0.5},
    "bite": {"mouthRollLower": 0.65, "mouthUpperUp": 0.12},
    "pucker": {"mouthPucker": 1.0},
    "funnel": {"mouthFunnel": 1.0},
    "stretch": {"mouthStretch": 0.55, "mouthSmile": 0.22, "mouthDimple": 0.15},
    "lower": {"mouthLowerDown": 1.0},
    "upper": {"mouthUpperUp": 1.0},
}

_LINE_HZ = 200
#: frames of a piece of a long clip, and on each side of it for context: more than smoothing and lead reach
_PIECE, _AROUND = 1500, 25
_SHORTEST_PAUSE_S = 0.06

# IPA letters are not in Windows' code page, to which Python source is limited here: they are in a data file.
_PHONEMES = json.loads((Path(__file__).parent / "phonemes.json").read_text(encoding="utf-8"))
_IPA: dict[str, str] = {letter: shape for letters, shape in _PHONEMES["shapes"] for letter in letters}

#: ARPAbet, as flite and most aligners spell, -> IPA
ARPABET: dict[str, str] = _PHONEMES["arpabet"]
#: Azure's 22 visemes by their ids, and Rhubarb Lip Sync's mouth shapes by their letters, each as a phoneme with that
#: shape; a mouth at rest is an empty string
AZURE_VISEMES: tuple[str, ...] = tuple(_PHONEMES["azure"])
RHUBARB_MOUTHS: dict[str, str] = _PHONEMES["rhubarb"]


def shapes_of(ipa: str) -> list[str]:
    """A phoneme -> its one or two mouth shapes (two for a diphthong); "rest" for anything that is no phoneme."""
    shapes: list[str] = []
    for letter in unicodedata.normalize("NFD", ipa):  # "ä" is an a with a mark
        shape = _IPA.get(letter)
        if shape and (not shapes or shapes[-1] != shape):
            shapes.append(shape)
    return shapes[:2] or ["rest"]


def gesture_line(phones: Sequence[Phone], seconds: float, *, led: bool = True) -> np.ndarray:
    """(n, 8) gestures in 0..1 on the 200 Hz line of an utterance, smoothed; rest wherever there is no phone.

    led: whether the gestures lead the sounds, as lips do; False keeps to the times of the phones
    """
    n = int(round(seconds * _LINE_HZ)) + 1
    phones = _without_gaps(phones)
    value = np.zeros((n, len(GESTURES)))
    dominance = np.tile(_dominance("rest"), (n, 1))
    for phone in phones:
        parts = shapes_of(phone.ipa)
        edges = np.linspace(phone.start, phone.end, len(parts) + 1)
        for shape, start, end in zip(parts, edges[:-1], edges[1:], strict=True):
            at = slice(int(round(start * _LINE_HZ)), max(int(round(end * _LINE_HZ)), int(round(start * _LINE_HZ)) + 1))
            value[at] = [SHAPES[shape].get(g, 0.0) for g in GESTURES]
            dominance[at] = _dominance(shape)

    from scipy.ndimage import gaussian_filter1d

    line = np.empty_like(value)
    for k, gesture in enumerate(GESTURES):
        sigma = _SIGMA.get(gesture, _OTHER_SIGMA) * _LINE_HZ
        lead = int(round(_LEAD.get(gesture, _OTHER_LEAD) * _LINE_HZ)) if led else 0
        top = gaussian_filter1d(value[:, k] * dominance[:, k], sigma, mode="nearest")
        smooth = top / gaussian_filter1d(dominance[:, k], sigma, mode="nearest")
        line[:, k] = np.concatenate([smooth[lead:], np.repeat(smooth[-1:], lead)])
    return line


def _without_gaps(phones: Sequence[Phone]) -> list[Phone]:
    """The phones with gaps of less than 60 ms (a mark of length or tone, a breath) added to the sound before."""
    joined: list[Phone] = []
    for phone in phones:
        if joined and shapes_of(phone.ipa) == ["rest"] and phone.end - phone.start < _SHORTEST_PAUSE_S:
            joined[-1] = joined[-1]._replace(end=phone.end)
        else:
            joined.append(phone)
    return joined


def _dominance(shape: str) -> np.ndarray:
    row = _DOMINANCE.get(shape, _VOWEL_DOMINANCE)
    weights = np.array([row[_DOMINANCE_COLUMN.get(g, 2)] for g in GESTURES])
    for gesture in ("press", "bite"):  # a closure is independent of its neighbours
        weights[GESTURES.index(gesture)] = 1.0
    return weights


def blendshape_track(
    phones: Sequence[Phone], n_frames: int, wave: np.ndarray | None = None, *, led: bool = True
) -> np.ndarray:
    """(T, 52) blendshapes of the video frames; frame i is read at its middle, (i + 0.5) / 25 s.

    led: as in `gesture_line`
    wave: (n,) mono 16 kHz or None; with it, the mouth opens more where the speech is loud for this utterance, and less
          where it is soft: a factor in 0.7..1.15 on the jaw and the parted lips
    """
    seconds = n_frames / FRAMES_PER_SECOND
    line = gesture_line(phones, seconds, led=led)
    column = {g: line[:, k] for k, g in enumerate(GESTURES)}
    if wave is not None:
        factor = _loudness_factor(wave, len(line))
        if led:
            ahead = int(round(_OTHER_LEAD * _LINE_HZ))
            factor = np.concatenate([factor[ahead:], np.repeat(factor[-1:], ahead)])
        for gesture in ("jaw", "lower", "upper"):
            column[gesture] = column[gesture] * factor

    middles = np.clip(
        np.round((np.arange(n_frames) + 0.5) / FRAMES_PER_SECOND * _LINE_HZ).astype(int), 0, len(line) - 1
    )
    before, after = (int(round(side * _LINE_HZ)) for side in (_CLOSURE_WINDOW if led else _CLOSURE_WINDOW_UNLED))
    moments = np.clip(middles[:, None] + np.arange(-before, after + 1), 0, len(line) - 1)
    frames = {g: values[middles] for g, values in column.items()}
    for gesture in ("press", "bite"):
        frames[gesture] = np.clip(1.15 * column[gesture][moments].max(axis=1), 0.0, 1.0)

    # Closed lips hold the jaw and stay closed.
    frames["jaw"] = frames["jaw"] * (1.0 - 0.92 * frames["press"]) * (1.0 - 0.5 * frames["bite"])
    for gesture in ("lower", "upper", "stretch"):
        frames[gesture] = frames[gesture] * (1.0 - frames["press"])
    frames["lower"] = frames["lower"] * (1.0 - frames["bite"])

    weights = np.zeros((n_frames, len(ARKIT_BLENDSHAPES)), np.float32)
    for gesture, moved in GESTURE_BLENDSHAPES.items():
        for name, amount in moved.items():
            for index in blendshape_indices(name):
                weights[:, index] += amount * frames[gesture]
    weights[:, BLENDSHAPE_INDEX["mouthClose"]] = (
        frames["press"] * frames["jaw"]
    )  # closes exactly what the jaw has opened
    return np.clip(weights, 0.0, 1.0)


def long_blendshape_track(
    phones: Sequence[Phone], n_frames: int, *, led: bool = True, on_progress: OnProgress | None = None
) -> np.ndarray:
    """The same for a clip of any length, in pieces: memory is that of a minute, and `on_progress` may raise to stop."""
    track = np.empty((n_frames, len(ARKIT_BLENDSHAPES)), np.float32)
    starts = np.array([phone.start for phone in phones])
    ends = np.maximum.accumulate([phone.end for phone in phones]) if len(phones) else starts
    for first in range(0, n_frames, _PIECE):
        last = min(first + _PIECE, n_frames)
        begin, stop = max(first - _AROUND, 0), min(last + _AROUND, n_frames)
        at = begin / FRAMES_PER_SECOND
        near = phones[
            int(np.searchsorted(ends, at, side="right")) : int(np.searchsorted(starts, stop / FRAMES_PER_SECOND))
        ]
        moved = [Phone(max(phone.start - at, 0.0), phone.end - at, phone.ipa) for phone in near if phone.end > at]
        track[first:last] = blendshape_track(moved, stop - begin, led=led)[first - begin : last - begin]
        if on_progress is not None:
            on_progress(last, n_frames)
    return track


def blendshape_indices(name: str) -> list[int]:
    """The columns of a blendshape named with or without its side: "mouthPress" is left and right, "jawOpen" one."""
    if name in BLENDSHAPE_INDEX:
        return [BLENDSHAPE_INDEX[name]]
    return [BLENDSHAPE_INDEX[name + "Left"], BLENDSHAPE_INDEX[name + "Right"]]


def _loudness_factor(wave: np.ndarray, n: int) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    step = SAMPLE_RATE_HZ // _LINE_HZ
    power = np.square(np.pad(wave, (0, max(0, n * step - len(wave))))[: n * step].astype(np.float64)).reshape(n, step)
    loudness = np.sqrt(gaussian_filter1d(power.mean(axis=1), 0.05 * _LINE_HZ))
    speaking = np.percentile(loudness, 90) + 1e-9
    return np.clip(0.7 + 0.4 * loudness / speaking, 0.7, 1.15)


#: the columns that speech moves; the others stay 0 here and follow the portrait in ExpNet
SPEECH_BLENDSHAPES = tuple(
    sorted(
        {i for moved in GESTURE_BLENDSHAPES.values() for name in moved for i in blendshape_indices(name)}
        | {BLENDSHAPE_INDEX["mouthClose"]}
    )
)
