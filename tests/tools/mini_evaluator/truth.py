"""What the evaluators say of heads whose every frame was rendered by the generator, and is therefore right.

The same questions that the model's frames are asked: an evaluator that cannot read a true image says little about
ours.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from sadtalker_core.training.heads.expressions import turn, weights_of
from sadtalker_core.training.heads.mesh import load_head_mesh
from sadtalker_core.training.heads.scene import Scene

from .evaluators import Evaluators
from .heads import generator_state
from .measures import commanded_gap, correlation, eye_contrast, share_below, spread_ratio
from .trial import CLOSED_GAP, TEST_SEED, TURN_DEG, Head
from .voices import Spoken

SIDE = 256


def of_heads(
    heads: tuple[Head, ...], evaluators: Evaluators, spoken: Spoken, n_frames: int, folder: Path
) -> dict[tuple[str, str], dict[str, float]]:
    """-> (row of the table, evaluator) -> head -> value."""
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for head in heads:
        images = _images(head, spoken, n_frames, folder)
        for key, value in _of_images(images, evaluators, spoken).items():
            found[key][head.name] = float(value)
    return found


def _images(head: Head, spoken: Spoken, n_frames: int, folder: Path) -> np.ndarray:
    """(n_frames + 6, S, S, 3): the reading, neutral, eyes shut, and the turns; kept until the generator changes."""
    file = folder / "heads" / f"truth_{head.number}_{spoken.name}_{n_frames}_{generator_state()}.npy"
    if file.exists():
        return np.load(file)
    scene = Scene(load_head_mesh(folder / "heads"), np.random.default_rng([TEST_SEED, head.number]), SIDE)
    units = spoken.units(n_frames)
    shut, degrees = weights_of(eyeBlink=1.0), np.radians(TURN_DEG)
    poses = [(row, turn(0, 0, 0)) for row in (*units, weights_of(), shut)]
    # the coefficients' yaw looks to the other side than the generator's (expressions.turn)
    poses += [(weights_of(), turn(-angle, 0, 0)) for angle in (-degrees, degrees)]
    poses += [(weights_of(), turn(0, angle, 0)) for angle in (-degrees, degrees)]
    frames = [scene.frame(weights, rotation, np.zeros(3)).rgb for weights, rotation in poses]
    images = (np.clip(np.stack(frames), 0, 1) * 255 + 0.5).astype(np.uint8)
    np.save(file, images)
    return images


def _of_images(images: np.ndarray, evaluators: Evaluators, spoken: Spoken) -> dict[tuple[str, str], float]:
    n_frames = len(images) - 6
    closures, target = spoken.closures(n_frames), commanded_gap(spoken.units(n_frames))
    neutral, closed, left, right, up, down = range(n_frames, n_frames + 6)
    points = evaluators.find(images[neutral])
    contrast = [eye_contrast(images[k], points[:, :2].numpy()) for k in (neutral, closed)]
    found = {("blink, contrast inside the eyes falls by", "pixels"): 1 - contrast[1] / contrast[0]}
    for evaluator, seen in evaluators.read(images, points).items():
        gap, limit = seen.gap[:n_frames], CLOSED_GAP[evaluator]
        found |= {
            ("lips follow the coefficients, r", evaluator): correlation(gap, target),
            ("opening, spread by spread of the target", evaluator): spread_ratio(gap, target),
            ("width goes along with opening, r", evaluator): correlation(seen.width[:n_frames], gap),
            ("lips closed on p, b, m, share of frames", evaluator): share_below(gap, np.concatenate(closures), limit),
            ("lips closed once in each p, b, m, share", evaluator): np.mean([gap[c].min() < limit for c in closures]),
            ("blink, eye aspect ratio falls by", evaluator): 1 - seen.eyes[closed] / seen.eyes[neutral],
            ("yaw, off by degrees", evaluator): _off(seen.yaw, left, right, neutral),
            ("pitch, off by degrees", evaluator): _off(seen.pitch, up, down, neutral),
        }
    return found


def _off(angles: np.ndarray, low: int, high: int, middle: int) -> float:
    return float(max(abs(angles[low] - angles[middle] + TURN_DEG), abs(angles[high] - angles[middle] - TURN_DEG)))
