"""The clips of a folder come in; a training set and a validation set go out, by a seed.

The error on training clips is no evidence for others: a few minutes are soon overfitted. So a part is held out: whole
videos, because two halves of one video are much alike; where there are too few of them to spare one, the beginning or
the end of each. A trainer with a style for each speaker needs every speaker on both sides, so there the split is made
speaker by speaker.

What was held out is written to the run's run.json and stays held out when the run is resumed, also with new videos.
"""

from __future__ import annotations

import argparse
import logging
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OptionError
from .clips import PART_STEP, Clip
from .run_options import HOLD_OUT
from .states import HELD_OUT, read_settings

#: whole videos are held out from this many on, up to this share of all frames
FEWEST_VIDEOS, LARGEST_SHARE = 4, 1 / 3
#: a part is held out of a clip only if the clip is this many times as long as the shortest usable one
FEWEST_PARTS = 3


@dataclass(frozen=True)
class Split:
    """learnt: the clips, or parts of clips, to train on;  held_out: those to validate with
    record: {name of a clip: [first frame, end frame]} of what is held out, for run.json
    """

    learnt: list[Clip]
    held_out: list[Clip]
    record: dict[str, list[int]]

    @property
    def in_words(self) -> str:
        """The sizes of both sets, for the terminal."""
        if not self.held_out:
            return "Nothing is held out: overfitting will not be noticed, and the last state is exported."
        minutes = [sum(clip.n_frames for clip in clips) / 1500 for clips in (self.learnt, self.held_out)]
        whole = {clip.source for clip in self.held_out} - {clip.source for clip in self.learnt}
        return (
            f"Learnt from: {minutes[0]:.1f} minutes. Held out: {minutes[1]:.1f} minutes, {len(whole)} whole videos and "
            f"parts of {len({c.source for c in self.held_out}) - len(whole)}."
        )


def split_clips(
    clips: Sequence[Clip],
    *,
    seed: int,
    share: float = HOLD_OUT,
    shortest: int = 1,
    by_speaker: bool = False,
    folder: Path | None = None,
) -> Split:
    """share: of the frames to hold out, about;  shortest: frames of the shortest usable clip
    by_speaker: whether each speaker has to be on both sides;  folder: of a run, whose earlier split is kept
    Raises OptionError for a share outside 0..0.5, CheckpointDamaged for a run.json that cannot be read.
    """
    if not 0 <= share <= 0.5:
        raise OptionError(f"expected --hold-out between 0 and 0.5, got {share}.")
    settings = read_settings(folder) if folder else {}
    if settings:  # a run of an earlier version held nothing out
        return _cut(clips, settings.get(HELD_OUT, {}), shortest)
    if not share:
        return Split(list(clips), [], {})
    record: dict[str, list[int]] = {}
    for together in _groups(clips, by_speaker):
        record |= _hold_out(together, np.random.default_rng([seed, len(record)]), share, shortest)
    return _cut(clips, record, shortest)


def run_split(options: argparse.Namespace, clips: Sequence[Clip], shortest: int, by_speaker: bool = False) -> Split:
    """The split for a command line with `add_run_options`; warns when nothing is held out.  Raises as `split_clips`."""
    split = split_clips(
        clips,
        seed=options.seed,
        share=options.hold_out,
        shortest=shortest,
        by_speaker=by_speaker,
        folder=options.out,
    )
    if not split.held_out:
        logging.warning(split.in_words)
    return split


def _groups(clips: Sequence[Clip], by_speaker: bool) -> list[list[Clip]]:
    groups: dict[Hashable, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.speaker if by_speaker else ""].append(clip)
    return [groups[name] for name in sorted(groups, key=str)]


def _hold_out(clips: Sequence[Clip], draw: np.random.Generator, share: float, shortest: int) -> dict[str, list[int]]:
    videos: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        videos[clip.source].append(clip)
    total = sum(clip.n_frames for clip in clips)
    if len(videos) >= FEWEST_VIDEOS:
        held: list[Clip] = []
        for source in draw.permutation(sorted(videos)):
            n_frames = sum(clip.n_frames for clip in (*held, *videos[str(source)]))
            if n_frames <= LARGEST_SHARE * total:
                held += videos[str(source)]
            if sum(clip.n_frames for clip in held) >= share * total:
                break
        if held:
            return {clip.name: [0, clip.n_frames] for clip in held}
    record = {}
    for clip in clips:
        part = _an_end(clip, draw, share, shortest)
        if part:
            record[clip.name] = part
    return record


def _an_end(clip: Clip, draw: np.random.Generator, share: float, shortest: int) -> list[int]:
    """[first, end) of the beginning or the end of a clip, or [] where it is too short."""
    at_end = bool(draw.integers(2))
    n_frames = max(_up(round(clip.n_frames * share)), _up(shortest))
    if clip.n_frames < max(FEWEST_PARTS * _up(shortest), n_frames + _up(shortest)):
        return []
    if at_end:
        return [(clip.n_frames - n_frames) // PART_STEP * PART_STEP, clip.n_frames]
    return [0, n_frames]


def _up(n_frames: int) -> int:
    return -(-n_frames // PART_STEP) * PART_STEP


def _cut(clips: Sequence[Clip], record: Mapping[str, Any], shortest: int) -> Split:
    learnt, held_out = [], []
    for clip in clips:
        first, stop = (min(int(place), clip.n_frames) for place in record.get(clip.name, (0, 0)))
        if stop > first:
            held_out.append(clip.part(first, stop))
        learnt += [clip.part(a, b) for a, b in ((0, first), (_up(stop), clip.n_frames)) if b - a >= shortest]
    return Split(learnt, held_out, {name: list(place) for name, place in record.items()})


__all__ = ["Split", "run_split", "split_clips"]
