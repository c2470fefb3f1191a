"""From videos, voices and generated heads to the rows of the table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.families.networks import EXPNET, FLOW_RENDERER
from sadtalker_core.model import assemble_mini
from sadtalker_core.motion.smoothing import steadied
from sadtalker_core.motion.visemes import SPEECH_BLENDSHAPES
from sadtalker_core.training.expnet_mini import predict_clip
from sadtalker_core.training.voices.synthesis import Utterance

from . import damages, heads, measures, mouths, sharpness, truth, voices
from .evaluators import Evaluators
from .table import Row
from .trial import CLOSED_GAP, TURN_DEG, Trial

JAW = BLENDSHAPE_INDEX["jawOpen"]
_MOUTH = list(SPEECH_BLENDSHAPES)


@dataclass(frozen=True, eq=False)
class Take:
    """video: the arrays of inside/video.py;  voice: what was said."""

    video: Mapping[str, np.ndarray]
    voice: voices.Spoken


def of_portraits(takes: Mapping[str, Take], evaluators: Evaluators) -> list[Row]:
    values: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for name, take in takes.items():
        for key, value in _of_portrait(take, evaluators).items():
            values[key][name] = float(value)
    return [Row(what, evaluator, found) for (what, evaluator), found in values.items()]


def _of_portrait(take: Take, evaluators: Evaluators) -> dict[tuple[str, str], float]:
    arrays, found = take.video, {}
    landmarks = torch.from_numpy(arrays["landmarks"])
    n_frames = len(arrays["spoken"])
    asked, ruled = measures.commanded_gap(arrays["offsets"]), measures.commanded_gap(take.voice.units(n_frames))
    closures = take.voice.closures(n_frames)
    names = [str(name) for name in arrays["names"]]
    spoken, commanded = evaluators.read(arrays["spoken"], landmarks), evaluators.read(arrays["commanded"], landmarks)
    for evaluator in spoken:
        gap, limit = spoken[evaluator].gap, CLOSED_GAP[evaluator]
        aspect = dict(zip(names, commanded[evaluator].eyes, strict=True))
        found |= {
            ("lips follow the coefficients, r", evaluator): measures.correlation(gap, asked),
            ("opening, spread by spread of the target", evaluator): measures.spread_ratio(gap, asked),
            ("width goes along with opening, r", evaluator): measures.correlation(spoken[evaluator].width, gap),
            ("lips follow the alignment, r", evaluator): measures.correlation(gap, ruled),
            ("opening, spread by spread of the alignment's", evaluator): measures.spread_ratio(gap, ruled),
            ("lips closed once in each p, b, m, share", evaluator): np.mean([gap[c].min() < limit for c in closures]),
            ("lips closed on p, b, m, share of frames", evaluator): measures.share_below(
                gap, np.concatenate(closures), limit
            ),
            ("blink, eye aspect ratio falls by", evaluator): 1 - aspect["blink"] / aspect["neutral"],
            ("yaw, off by degrees", evaluator): _off(commanded[evaluator].yaw, names, "yaw"),
            ("pitch, off by degrees", evaluator): _off(commanded[evaluator].pitch, names, "pitch"),
        }
    neutral = arrays["commanded"][names.index("neutral")]
    box, away = _regions(arrays["landmarks"], *neutral.shape[:2])
    everywhere = np.ones_like(box)
    shut = arrays["commanded"][names.index("blink")]
    contrast = [measures.eye_contrast(image, arrays["landmarks"]) for image in (neutral, shut)]
    upper, lower = mouths.tooth_edges(
        torch.from_numpy(arrays["mesh"]), int(arrays["side"]), torch.from_numpy(arrays["own"][0])
    )
    return found | {
        ("upper tooth edge below the lip at rest, mm", "anchors"): upper,
        ("lower tooth edge above the lip at jaw .3, mm", "anchors"): lower,
        ("blink, contrast inside the eyes falls by", "pixels"): 1 - contrast[1] / contrast[0],
        ("neutral and still, face box, dB", "pixels"): measures.psnr(neutral, arrays["source"], box),
        ("neutral and still, away from the head, dB", "pixels"): measures.psnr(neutral, arrays["source"], away),
        ("idle and still, away from the face, dB", "pixels"): min(
            measures.psnr(frame, arrays["source"], away) for frame in arrays["still"]
        ),
        **sharpness.of_video(arrays),
        ("neutral and still, flicker, of 255", "pixels"): measures.flicker(arrays["still"], everywhere),
    }


def _off(angles: np.ndarray, names: list[str], axis: str) -> float:
    """The worse of the two sides: what the head turned from 0, against what it was told."""
    middle = angles[names.index(f"{axis} +0")]
    return max(abs(angles[names.index(f"{axis} {d:+g}")] - middle - d) for d in (-TURN_DEG, TURN_DEG))


def _regions(landmarks: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks (rows, columns): the box around the mesh; and what is further from it than a quarter of its size. The
    head is held still there, so hair and neck count as away, too; in the idle clip a mouth that was open closes, and
    the neck below the chin goes with it.
    """
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    width, height = high - low

    def mask(left: float, top: float, right: float, bottom: float) -> np.ndarray:
        y, x = np.mgrid[0:rows, 0:columns] + 0.5
        return (x >= left) & (x <= right) & (y >= top) & (y <= bottom)

    box = mask(*low, *high)
    x, y = width / 4, height / 4
    return box, ~mask(low[0] - x, low[1] - y, high[0] + x, high[1] + y)


# ---- voices ----------------------------------------------------------------------------------------------------------


def of_voices(utterances: list[voices.Spoken], trial: Trial) -> list[Row]:
    """What ExpNet says to a portrait at rest, against the rules, where the two agree best; and how far it is ahead of
    the sounds, by the rules at the sounds' own times. (The labels that it learns from are ahead of them, as lips are.)
    """
    (net,) = assemble_mini().use(EXPNET)
    net = net.float().eval()
    unheard = voices.in_unheard_languages(trial.voice_minutes / 3)
    kinds = {
        "generated voices": voices.generated(trial.voice_minutes),
        "unheard languages": unheard,
        "real speech": utterances,
    }
    rows = [row for kind, spoken in kinds.items() for row in _of_kind(net, kind, spoken)]
    for kind, spoken in (("real speech", utterances), ("unheard languages", unheard)):
        rows.append(Row(f"voice to jaw, damaged {kind}, r", "coefficients", _of_damages(net, spoken)))
    return rows + _of_no_voice(net, trial)


def _of_kind(net, kind: str, spoken: list[voices.Spoken]) -> list[Row]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for name, members in ({"all": spoken} if spoken else {}).items():
        predicted = [predict_clip(net, one.clip()).numpy() for one in members]
        wanted = [one.units(len(track)) for one, track in zip(members, predicted, strict=True)]
        at_the_sounds = [one.units(len(track), led=False) for one, track in zip(members, predicted, strict=True)]
        tracks, rules = np.concatenate(predicted), np.concatenate(wanted)
        _, r = measures.ahead(tracks[:, JAW], rules[:, JAW])
        frames, _ = measures.ahead(tracks[:, JAW], np.concatenate(at_the_sounds)[:, JAW])
        shut = [
            measures.commanded_shut(track)[np.concatenate(closures)]
            for one, track in zip(members, predicted, strict=True)
            if (closures := one.closures(len(track)))
        ]
        found[f"voice to jaw, {kind}, r"][name] = r
        found[f"voice to jaw, {kind}, ahead of the sounds by frames"][name] = frames
        found[f"voice to jaw, {kind}, spread by spread of the target"][name] = measures.spread_ratio(
            tracks[:, JAW], rules[:, JAW]
        )
        found[f"voice to jaw, {kind}, a quarter of its range in a frame, share"][name] = float(
            np.mean([measures.hurrying(steadied(torch.from_numpy(track))[:, JAW].numpy()) for track in predicted])
        )
        found[f"voice to lips, {kind}, closed on p, b, m, share of frames"][name] = float(np.concatenate(shut).mean())
        found[f"voice to lips, {kind}, r of width and opening"][name] = measures.correlation(
            measures.commanded_width(tracks), measures.commanded_gap(tracks)
        )
        for number, (one, track, rule) in enumerate(zip(members, predicted, wanted, strict=True)):
            found[f"voice to jaw, {kind}, r of each voice"][f"{one.name} {number}"] = measures.ahead(
                track[:, JAW], rule[:, JAW]
            )[1]
    return [Row(what, "coefficients", values) for what, values in found.items()]


def _of_damages(net, spoken: list[voices.Spoken]) -> dict[str, float]:
    """Damage -> r of the jaw, over all that is spoken."""
    found = {}
    for name, damage in (damages.DAMAGES if spoken else {}).items():
        level = damages.LEVELS.get(name, damages.LEVEL)
        predicted = [predict_clip(net, one.damaged(damage, level))[:, JAW].numpy() for one in spoken]
        wanted = [one.units(len(track))[:, JAW] for one, track in zip(spoken, predicted, strict=True)]
        found[name] = measures.ahead(np.concatenate(predicted), np.concatenate(wanted))[1]
    return found


def _of_no_voice(net, trial: Trial) -> list[Row]:
    """Sounds without a voice: how far the jaw opens (19 frames of 20 stay below), and how often the mouth moves."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for what, sounds in (("silence", damages.silences), ("music and noise", damages.sounds_without_voice)):
        for name, wave in sounds(trial.no_voice_seconds).items():
            track = predict_clip(net, voices.heard(Utterance(wave, ()), name, wave)).numpy()
            found[f"{what} without a voice, jaw"][name] = float(np.percentile(track[:, JAW], 95))
            found[f"{what} without a voice, moving frames, share"][name] = measures.moving(track[:, _MOUTH])
    return [Row(what, "coefficients", values) for what, values in found.items()]


# ---- generated heads -------------------------------------------------------------------------------------------------


def of_heads(evaluators: Evaluators, trial: Trial, folder: Path) -> list[Row]:
    (net,) = assemble_mini().use(FLOW_RENDERER)
    found = heads.evaluator(net.float().eval(), evaluators.mesh, heads.people(folder, trial.pairs))
    everybody = f"{trial.pairs} people"

    def row(what: str, name: str, of_truth: float | None = None) -> Row:
        return Row(what, "exact", {everybody: found[name]}, of_truth)

    return [
        row("generated heads, flow off by pixels at 128", "flow"),
        row("generated heads, flow of the mesh alone", "flow, mesh alone"),
        row("generated heads, flow within the face", "flow, face"),
        row("generated heads, flow of the worst person", "flow, worst person"),
        row("generated heads, background dragged along near the head, pixels", "background, near"),
        row("generated heads, background dragged along elsewhere, pixels", "background, far"),
        row("generated heads, colour by copying the source", "colour"),
        row("generated heads, mouth colour by constant fill", "mouth colour"),
        *_shares(found),
    ]


def _shares(found: Mapping[Any, Any]) -> list[Row]:
    """By how much the share of a mouth that is teeth, tongue or dark is off, by opening."""
    rows = []
    for kind in mouths.KINDS:
        pairs = {opening: found[kind, opening] for opening in mouths.OPENINGS if (kind, opening) in found}
        off = {opening: abs(rendered - true) for opening, (rendered, true) in pairs.items()}
        note = "; ".join(f"{opening}: {rendered:.2f}, true {true:.2f}" for opening, (rendered, true) in pairs.items())
        rows.append(Row(f"generated heads, share of the mouth that is {kind}, off by", "exact", off, note=note))
    return rows


def with_truth(rows: list[Row], evaluators: Evaluators, spoken: voices.Spoken, trial: Trial, folder: Path) -> list[Row]:
    """The same rows, and beside them the worst that the evaluators say of a perfect head."""
    n_frames = min(trial.speech_frames, int(spoken.utterance.seconds * 25))
    perfect = truth.of_heads(trial.truths, evaluators, spoken, n_frames, folder)
    found = []
    for row in rows:
        values = perfect.get((row.what, row.evaluator))
        found.append(replace(row, of_truth=Row(row.what, row.evaluator, values).worst()[1]) if values else row)
    return found
