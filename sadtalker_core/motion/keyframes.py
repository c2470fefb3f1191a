"""A number, or keyframes as text, come in; a value for each frame goes out.

    0.3                      the same in every frame
    0:0, 1.5:0.4, 3:0        seconds:value; the first value is held before, the last one after

Between keyframes the value follows a monotone cubic (Fritsch and Carlson 1980, as scipy's PchipInterpolator has it)
with zero slope at both ends: it passes through each keyframe, does not overshoot, and between two keyframes alone is
the smoothstep. Letters: `T` frames.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import OptionError, shorten
from ..timeline import FRAMES_PER_SECOND

#: a number, or the text of a number or of keyframes
Course = float | str

#: 100 hours, longer than any clip
LATEST_S = 360_000.0
#: the least distance of two keyframes
CLOSEST_S = 0.001
MOST_KEYFRAMES = 10_000
_OR_KEYFRAMES = ", or keyframes such as '0:0, 1.5:0.4, 3:0'"
#: full-width and other variants, as some keyboards write them
_PLAIN = str.maketrans({"\N{FULLWIDTH COLON}": ":", "\N{FULLWIDTH COMMA}": ",", "\N{MINUS SIGN}": "-", "\n": ","})


class Keyframes(NamedTuple):
    """seconds, rising, and the value at each of them; a constant has one."""

    seconds: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def is_zero(self) -> bool:
        """Whether it is 0 all the time."""
        return not any(self.values)

    def at_frames(self, n_frames: int) -> Tensor:
        """(T,): the value in each frame, at 25 fps."""
        if len(self.values) == 1:
            return torch.full((n_frames,), self.values[0])
        from scipy.interpolate import PchipInterpolator

        # a keyframe of the same value beyond each end makes the slope zero there
        seconds = [self.seconds[0] - 1, *self.seconds, self.seconds[-1] + 1]
        values = [self.values[0], *self.values, self.values[-1]]
        frames = np.arange(n_frames) / FRAMES_PER_SECOND
        eased = PchipInterpolator(seconds, values)(frames.clip(seconds[0], seconds[-1]))
        return torch.from_numpy(eased.clip(min(values), max(values))).float()


def parse_keyframes(name: str, course: Course, low: float, high: float) -> Keyframes:
    """The keyframes of the control `name`, every value in low..high; an empty text is 0.

    Raises OptionError, which names the control, and the wrong keyframe by its place and text.
    """
    if not isinstance(course, str):
        return Keyframes((0.0,), (_value(name, course, low, high, _OR_KEYFRAMES),))
    words = [word.strip() for word in course.translate(_PLAIN).split(",")]
    while len(words) > 1 and not words[-1]:
        words.pop()
    if len(words) == 1 and ":" not in words[0]:
        return Keyframes((0.0,), (_value(name, words[0] or 0, low, high, _OR_KEYFRAMES),))
    if len(words) > MOST_KEYFRAMES:
        raise OptionError(f"{name}: expected at most {MOST_KEYFRAMES:,} keyframes, got {len(words):,}.")
    seconds, values = [], []
    for place, word in enumerate(words, 1):
        where = f"{name}, keyframe {place} of {len(words)} ({shorten(repr(word))})"
        time, colon, value = word.partition(":")
        if not colon:
            raise OptionError(f"{where}: expected seconds:value, such as 1.5:0.4.")
        seconds.append(_number(time))
        if not 0 <= seconds[-1] <= LATEST_S:
            raise OptionError(f"{where}: expected a time from 0 to {LATEST_S:g} s, got {shorten(repr(time.strip()))}.")
        values.append(_value(where, value.strip(), low, high))
    for place, (before, after) in enumerate(pairwise(seconds), 2):
        if after - before < CLOSEST_S * (1 - 1e-6):  # 0.009 - 0.008 is a little less
            where = f"{name}, keyframe {place} of {len(words)} ({shorten(repr(words[place - 1]))})"
            raise OptionError(f"{where}: expected a time after the one before it, {before:g} s, got {after:g} s.")
    return Keyframes(tuple(seconds), tuple(values))


def _value(where: str, text: object, low: float, high: float, hint: str = "") -> float:
    number = _number(text)
    if low <= number <= high:
        return number
    raise OptionError(f"{where}: expected a number from {low:g} to {high:g}{hint}, got {shorten(repr(text))}.")


def _number(text: object) -> float:
    """NaN, which is in no range, for what is no number."""
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return float("nan")


__all__ = ["Course", "Keyframes", "parse_keyframes"]
