"""What the judges say of heads whose every frame was rendered by the generator, and is therefore right.

The same questions that the model's frames are asked: a judge that cannot read a true picture says little about ours.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sadtalker_core.training.heads.expressions import turn, weights_of
from sadtalker_core.training.heads.mesh import load_head_mesh
from sadtalker_core.training.heads.scene import Scene

from .judges import JUDGES, Judges
from .measures import commanded_gap, correlation, share_below, spread_ratio
from .trial import CLOSED_GAP, TEST_SEED, TURN_DEG, Head
from .voices import Spoken

SIDE = 256


def of_heads(heads: tuple[Head, ...], judges: Judges, spoken: Spoken, n_frames: int, folder: Path):
    """-> judge -> row of the table -> the mean over heads."""
    found: dict[str, dict[str, list[float]]] = {judge: {} for judge in JUDGES}
    for head in heads:
        for judge, values in _of_head(head, judges, spoken, n_frames, folder).items():
            for what, value in values.items():
                found[judge].setdefault(what, []).append(value)
    return {judge: {what: float(np.mean(v)) for what, v in values.items()} for judge, values in found.items()}


def _of_head(head: Head, judges: Judges, spoken: Spoken, n_frames: int, folder: Path) -> dict[str, dict[str, float]]:
    scene = Scene(load_head_mesh(folder / "heads"), np.random.default_rng([TEST_SEED, head.number]), SIDE)
    units = spoken.units(n_frames)
    shut, degrees = weights_of(eyeBlink=1.0), np.radians(TURN_DEG)
    poses = [(row, turn(0, 0, 0)) for row in (*units, weights_of(), shut)]
    # the coefficients' yaw looks to the other side than the generator's (expressions.turn)
    poses += [(weights_of(), turn(-angle, 0, 0)) for angle in (-degrees, degrees)]
    poses += [(weights_of(), turn(0, angle, 0)) for angle in (-degrees, degrees)]
    frames = [scene.frame(weights, rotation, np.zeros(3)).rgb for weights, rotation in poses]
    pictures = (np.clip(np.stack(frames), 0, 1) * 255 + 0.5).astype(np.uint8)
    closures = spoken.closures(n_frames)
    found = {}
    for judge, seen in judges.read(pictures, judges.find(pictures[n_frames])).items():
        neutral, closed, left, right, up, down = range(n_frames, n_frames + 6)
        gap, target = seen.gap[:n_frames], commanded_gap(units)
        found[judge] = {
            "lips follow the coefficients, r": correlation(gap, target),
            "opening, spread by spread of the target": spread_ratio(gap, target),
            "lips closed on p, b, m, share of frames": share_below(gap, np.concatenate(closures), CLOSED_GAP[judge]),
            "lips closed once in each p, b, m, share": np.mean([gap[c].min() < CLOSED_GAP[judge] for c in closures]),
            "blink, eye aspect ratio falls by": 1 - seen.eyes[closed] / seen.eyes[neutral],
            "yaw, off by degrees": _off(seen.yaw, left, right, neutral),
            "pitch, off by degrees": _off(seen.pitch, up, down, neutral),
        }
    return found


def _off(angles: np.ndarray, low: int, high: int, middle: int) -> float:
    return float(max(abs(angles[low] - angles[middle] + TURN_DEG), abs(angles[high] - angles[middle] - TURN_DEG)))
