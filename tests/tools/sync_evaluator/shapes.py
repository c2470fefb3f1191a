"""Whether a mouth makes the shapes of what is said, or only opens when it is loud.

The network of this folder can be fooled: a jaw that is nothing but the loudness of the voice scores as well as real
videos. So what it says is read together with two correlations, of the opening and of the width of the mouth with what
the phonemes ask for, after all that loudness explains (in the same frame and in two on each side) is taken out of both.
A jaw that is loudness alone is left with nothing.
Letters: `T` video frames at 25 fps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sadtalker_core.canonical_face import load_canonical_face
from sadtalker_core.face.metrics import inner_lip_gap, mouth_width
from sadtalker_core.motion.visemes import Phone, blendshape_track
from sadtalker_core.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ
from tests.tools.mini_evaluator.measures import ahead

QUIETEST_DB = -40.0  #: below the loud frames of the clip
LOUDNESS_REACH = 2  #: frames


class Shapes(NamedTuple):
    """opening, width: correlations of the inner lips' gap and of the mouth's width with the phonemes, beyond loudness;
    -1..1.  ahead: frames by which the gap comes before the times of the sounds, -5..5.
    """

    opening: float
    width: float
    ahead: float = float("nan")

    @property
    def mean(self) -> float:
        """Of both correlations: what the guard compares."""
        return (self.opening + self.width) / 2


def shapes(meshes: Tensor, phones: Sequence[Phone], sound: np.ndarray) -> Shapes:
    """meshes (T, 468, 3) of the video, the phones and the sound (n,) at 16 kHz of what is said in it."""
    n_frames = len(meshes)
    wanted, known = asked(phones, n_frames), loudness(sound, n_frames)
    opening, width = (
        beyond(measure(meshes).numpy(), measure(wanted).numpy(), known) for measure in (inner_lip_gap, mouth_width)
    )
    at_the_sounds = inner_lip_gap(asked(phones, n_frames, led=False)).numpy()
    return Shapes(opening, width, ahead(inner_lip_gap(meshes).numpy(), at_the_sounds)[0])


def asked(phones: Sequence[Phone], n_frames: int, *, led: bool = True) -> Tensor:
    """(T, 468, 3): the canonical face as the rules move it, led as in visemes.py. They are not told the wave: what is
    asked must not know how loud it is said.
    """
    canonical = load_canonical_face()
    return canonical.mean + canonical.displacements(torch.from_numpy(blendshape_track(phones, n_frames, led=led)))


def loudness(sound: np.ndarray, n_frames: int) -> np.ndarray:
    """(n,) at 16 kHz -> (T,) in 0..1: decibels from 40 below the loud frames (their 95th percentile) up to these."""
    samples = SAMPLE_RATE_HZ // FRAMES_PER_SECOND
    padded = np.pad(sound, (0, max(0, n_frames * samples - len(sound))))[: n_frames * samples].astype(np.float64)
    rms = np.sqrt((padded.reshape(n_frames, samples) ** 2).mean(1))
    decibels = 20 * np.log10(np.maximum(rms, 1e-6) / max(float(np.percentile(rms, 95)), 1e-6))
    return np.clip(1 - decibels / QUIETEST_DB, 0, 1)


def beyond(one: np.ndarray, other: np.ndarray, known: np.ndarray) -> float:
    """Pearson's r of two tracks (T,) after what a third one explains by least squares is taken out of both; 0 where
    nothing is left.
    """
    padded = np.pad(known, LOUDNESS_REACH, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * LOUDNESS_REACH + 1)
    columns = np.column_stack([np.ones(len(known)), around])
    left = []
    for track in (one, other):
        rest = track - columns @ np.linalg.lstsq(columns, track, rcond=None)[0]
        if np.std(rest) < 1e-6 * max(1.0, float(np.std(track))):
            return 0.0
        left.append(rest)
    return float(np.corrcoef(*left)[0, 1])
