"""Predictions and held-out data come in; figures that can be compared between runs go out.

    held-out error       the error by that of "no motion": 1 is a head, mouth or image that does not move, 0 is perfect
    mouth r, mouth lag   correlation of the mouth's opening with the real one, and its delay in frames
    spread of seeds      difference of two draws, relative to that of two moments of the real motion

Letters: `K` draws, `B` blocks, `L` frames, `D` values of a frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

#: frames to either side in which a delay is searched
LAGS = 5
#: below this share of the data's spread the draws count as collapsed
COLLAPSED = 0.1
#: the figure of every trainer's `validate` that decides which state is best
HELD_OUT_ERROR = "held-out error"
SEED_SPREAD = "spread of seeds / of data"
MOUTH_R, MOUTH_LAG = "mouth r", "mouth lag in frames"
MOTION = "motion drawn / real"
#: inner points of the upper and the lower lip, of the 68 landmarks
_LIPS = ((61, 67), (62, 66), (63, 65))


def ratio(error: Tensor, still: Tensor) -> float:
    """The error relative to that of "no motion"; 1 where nothing moved at all."""
    return float(error / still) if float(still) > 0 else 1.0


def drawn_error(draws: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """draws (K, B, L, D), observed (B, L, D) -> the energy score of the draws, and of no motion, mean over the blocks.

    It is the mean distance of the draws from the observation, less half of their mean distance from one another: least
    where the draws are distributed like the observations (Gneiting and Raftery, "Strictly proper scoring rules", 2007).
    """
    made, real = draws.flatten(2), observed.flatten(1)
    away = (made - real).norm(dim=-1).mean(dim=0)
    n_draws = len(made)
    apart = torch.stack([(made[i] - made[j]).norm(dim=-1) for i in range(n_draws) for j in range(i)]).mean(dim=0)
    return (away - apart / 2).mean(), real.norm(dim=-1).mean()


def seed_spread(draws: Tensor, observed: Tensor) -> float:
    """draws (K, B, L, D), observed (B, L, D) -> the spread over the draws, relative to that over the observed
    blocks.
    """
    over_seeds = draws.var(dim=0).mean().sqrt()
    over_blocks = observed.var(dim=0).mean().sqrt() if len(observed) > 1 else observed.square().mean().sqrt()
    return ratio(over_seeds, over_blocks)


def collapse_remark(figures: Mapping[str, float]) -> list[str]:
    """The remark for collapsed draws, or none."""
    spread = figures.get(SEED_SPREAD)
    if spread is None or spread >= COLLAPSED:
        return []
    return [
        f"the seed does nothing: two draws differ by {spread:.3f} of the data's variation. Every seed gives the same "
        f"movement. Start from the built-in network (--init-from base), or train on more speakers or minutes."
    ]


def mouth_opening(points: Tensor) -> Tensor:
    """68 points (T, 68, 2) -> (T,) how far the inner lips are apart, by the width of the face at the eyes."""
    apart = torch.stack([(points[:, a] - points[:, b]).norm(dim=-1) for a, b in _LIPS]).mean(dim=0)
    return apart / (points[:, 36] - points[:, 45]).norm(dim=-1).clamp_min(1e-6)


def agreement(predicted: Sequence[np.ndarray], observed: Sequence[np.ndarray]) -> tuple[float, float]:
    """Pairs of tracks (T,) -> Pearson's r as they are, and the delay in frames at which r is greatest (+ is late)."""
    by_lag = {}
    for lag in range(-LAGS, LAGS + 1):
        cut = [(a[max(lag, 0) : len(a) + min(lag, 0)], b[max(-lag, 0) : len(b) - max(lag, 0)])
               for a, b in zip(predicted, observed, strict=True) if len(a) > 2 * LAGS]  # fmt: skip
        by_lag[lag] = _correlation([a for a, _ in cut], [b for _, b in cut])
    return by_lag[0], float(max(by_lag, key=lambda lag: (by_lag[lag], -abs(lag))))


def _correlation(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """Pearson's r over all tracks, each less its own mean; 0 where one keeps still."""
    if not one:
        return 0.0
    a, b = (np.concatenate([track - track.mean() for track in tracks]) for tracks in (one, other))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 1e-12 else 0.0


__all__ = [
    "HELD_OUT_ERROR",
    "agreement",
    "collapse_remark",
    "drawn_error",
    "mouth_opening",
    "ratio",
    "seed_spread",
]
