"""How the head moves while somebody speaks: what the renderer is told, beside what videos show.

Five seeds of style 0 over all readings, end to end with pauses; then the liveliest style. The numbers of videos were
read off their frames by a face mesh: ten videos of the released SadTalker of 5.5 s, two filmed speakers of 8 s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from sadtalker_core.audio.speech import encode_speech
from sadtalker_core.coefficients import POSE
from sadtalker_core.datatypes import Expression, SpeechWindows
from sadtalker_core.model import assemble_mini
from sadtalker_core.motion.silence import loudness_db
from sadtalker_core.pipeline import coefficients_to_motion, predict_head_pose
from sadtalker_core.timeline import SAMPLE_RATE_HZ
from sadtalker_core.training import head_measures
from sadtalker_core.training.posevae_mini import portrait_at

from .table import Row
from .voices import Spoken

SEEDS = range(5)
CALM, LIVELIEST = 0, 37  #: the latter even and slow, at the largest scale
PAUSES_S = (0.6, 1.2, 0.5, 1.0, 0.4)
AXES = ("pitch", "yaw", "roll")
#: what was read off videos, by the names of the rows: SadTalker's, and the two speakers'
VIDEOS: dict[str, tuple[float, tuple[float, float]]] = {
    "range of pitch, degrees in 8 s": (9.2, (11, 19)),
    "range of yaw, degrees in 8 s": (11.5, (21, 36)),
    "range of roll, degrees in 8 s": (7.7, (14, 15)),
    "speed of pitch, degrees per second": (7.7, (14, 20)),
    "speed of yaw, degrees per second": (8.7, (19, 26)),
    "speed of roll, degrees per second": (5.9, (9, 12)),
    "centroid, Hz": (0.38, (0.46, 0.34)),
    "share of time below 3 degrees per second": (0.05, (0.02, 0.04)),
}


def of_head(utterances: Sequence[Spoken]) -> list[Row]:
    speech = end_to_end(utterances)
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for seed in SEEDS:
        degrees = measured_degrees(speech, CALM, seed)
        for name, value in measured(degrees, loudness_db(speech).numpy()).items():
            found[name][f"seed {seed}"] = value
        lively = head_measures.head_range(measured_degrees(speech, LIVELIEST, seed))
        found["range of the liveliest style by that of style 0"][f"seed {seed}"] = float(
            (lively / head_measures.head_range(degrees)).mean()
        )
    rows = []
    for name, values in found.items():
        mean = {"mean of five seeds": float(np.mean(list(values.values())))}
        rows.append(Row(f"head, {name}", "motion", mean))
        rows.append(Row(f"head, {name}, seed by seed", "motion", values))
        if name in VIDEOS:
            sadtalker, filmed = VIDEOS[name]
            rows.append(Row(f"head, {name}, in films", "mesh, SadTalker", {"ten films": sadtalker}))
            people = dict(zip(("speaker 1", "speaker 2"), filmed, strict=True))
            rows.append(Row(f"head, {name}, in films", "mesh, people", people))
    return rows


def measured(degrees: np.ndarray, loudness: np.ndarray) -> dict[str, float]:
    """degrees (T, 3), loudness (T,) in dB -> name of a row -> value."""
    found = {}
    for name, values in (
        ("range of {}, degrees in 8 s", head_measures.head_range(degrees)),
        ("speed of {}, degrees per second", head_measures.head_speed(degrees)),
    ):
        found |= {name.format(axis): float(value) for axis, value in zip(AXES, values, strict=True)}
    return found | {
        "centroid, Hz": head_measures.centroid_hz(degrees),
        "share of time below 3 degrees per second": head_measures.rests(degrees),
        "distance from the start at block seams, by elsewhere": head_measures.at_seams(degrees),
        "pitch by loudness, r": head_measures.nods_with_loudness(degrees, loudness),
    }


def end_to_end(utterances: Sequence[Spoken]) -> SpeechWindows:
    """All readings as one recording."""
    pieces = []
    for number, spoken in enumerate(utterances):
        pause = round(PAUSES_S[number % len(PAUSES_S)] * SAMPLE_RATE_HZ)
        pieces += [spoken.utterance.wave, np.zeros(pause, np.float32)]
    return encode_speech(torch.from_numpy(np.concatenate(pieces)), SAMPLE_RATE_HZ)


def measured_degrees(speech: SpeechWindows, style: int, seed: int) -> np.ndarray:
    """(T, 3) the angles that the renderer is told, of a portrait that looks into the camera."""
    model, source = assemble_mini(), portrait_at(torch.zeros(POSE))
    pose = predict_head_pose(model, speech, source, style=style, seed=seed)
    face = Expression(source.expression.expand(len(pose), -1), source.family)
    rows = coefficients_to_motion(model, source, face, pose).driving
    return torch.stack([rows.pitch, rows.yaw, rows.roll], dim=1).numpy()
