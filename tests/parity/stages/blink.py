"""Frames and a state of Python's `random` -> the blink track."""

from __future__ import annotations

import random
from collections.abc import Iterator

from sadtalker_core.motion.blink import released_blinks
from tests.parity.harness import Row, Vectors, compare


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    for case in vectors.cases:
        given = vectors.inputs(case)
        track = released_blinks(given["num_frames"], random.Random(given["py_seed"]))
        yield compare(vectors.stage, case, "ratio", track, vectors.outputs(case)["ratio"], 0.0)
