"""What a player shows: images with their time stamps come in, the one to show at each 25th of a second, or
at each moment of another rate, goes out.

A file may have any frame rate, a changing one too, and its images may begin later than its sound. Training, the
reference video and dubbing read videos by this one function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from .errors import VideoError
from .timeline import FRAMES_PER_SECOND

Frame = TypeVar("Frame")
Out = TypeVar("Out")

#: an image counts as on time when it comes this many seconds late; time stamps are rounded, in Matroska to 1 ms
ROUNDED_S = 0.002
#: what a file announces and does not hold: less is a rounding of its length, more is a lost end
LOST_S, LOST_PART = 0.5, 0.05
#: seconds by which a first image may come later than its file begins and still counts as the beginning: sound often
#: begins a little early, to fill the decoder
LATE_S = 0.1

#: seconds that no image may stay: clocks of broadcasts begin anew after 26 hours, and damaged files jump further
LONGEST_STAY_S = 36_000


def resample_frames_to_25(
    timed: Iterable[tuple[float | None, float | None, Frame]], rate: float, show: Callable[[Frame], Out], **more: Any
) -> Iterator[Out]:
    """`resample_frames` at 25 fps."""
    return resample_frames(FRAMES_PER_SECOND, timed, rate, show, **more)


def resample_frames(
    fps: float,
    timed: Iterable[tuple[float | None, float | None, Frame]],
    rate: float,
    show: Callable[[Frame], Out],
    *,
    begin: float | None = None,
    announced: float = 0.0,
    broken_off: Callable[[float], None] = lambda seconds: None,
) -> Iterator[Out]:
    """Images in the order of their time -> what a player shows k / fps s after the beginning, k = 0, 1, 2, ...

    timed:  (time stamp in s, how long it stays in s, the image); None: unknown, it then follows from `rate`
    rate:   images a second, on average
    show:   makes the output of an image; called once for each image, and not for those that are skipped
    begin:  the time stamp at which the clip begins, or None: with its first image. It is also shown for any time before
    announced:  the clip's duration by its header, in s
    broken_off: called with the length found, when it is clearly shorter than that; may raise

    Raises VideoError where an image would have to stay for more than LONGEST_STAY_S.
    """
    start, seconds, stay, n_yielded = None, 0.0, 1 / rate, 0
    waiting: Frame | None = None
    displayed: Out | None = None
    for i, (stamp, lasts, frame) in enumerate(timed):
        at = i / rate if stamp is None else stamp
        if start is None:
            start = at if begin is None or at - begin < LATE_S else begin
        before, seconds = seconds, at - start
        if seconds < before:  # clips that were joined, each counting from 0
            start -= before + stay - seconds
            seconds = at - start
        _require_a_stay(seconds - before)
        while waiting is not None and n_yielded / fps + ROUNDED_S < seconds:
            displayed = show(waiting) if displayed is None else displayed
            yield displayed
            n_yielded += 1
        if lasts is not None:
            stay = lasts
        elif waiting is not None:  # the last image stays as long as the one before it
            stay = seconds - before
        waiting, displayed = frame, None
    _require_a_stay(stay)
    end = 0.0 if waiting is None else seconds + stay
    if waiting is None or end < announced - max(LOST_S, LOST_PART * announced):
        broken_off(end)
    while waiting is not None and (n_yielded + 1) / fps <= end + ROUNDED_S:
        displayed = show(waiting) if displayed is None else displayed
        yield displayed
        n_yielded += 1


def _require_a_stay(seconds: float) -> None:
    if not seconds <= LONGEST_STAY_S:
        raise VideoError(
            f"the time stamps of the video jump by {seconds:.6g} s, at most {LONGEST_STAY_S} are supported; convert "
            "it, for example to mp4, or cut out the part that is needed."
        )
