"""The built-in model before the sync evaluator: rows for the mini evaluation, and a table of portraits by voices.

Portraits and voices are those of the mini evaluation. Its five readings are by one reader, so a wrong voice differs in
what it says alone; other speakers come with --speakers or --voices.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sadtalker_core.model import assemble_mini
from sadtalker_core.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ
from tests.tools.mini_evaluator import portraits, trial, voices
from tests.tools.mini_evaluator.rows import Take
from tests.tools.mini_evaluator.table import Row

from .earlier import earlier_videos
from .evaluator import SyncEvaluator, SyncScores, find_weights, missing_sentence, mouth_crops
from .shapes import Shapes, shapes
from .videos import Video, make_videos

LEVEL, MARGIN, SHIFT = "sync, level", "sync, margin", "sync, best shift, frames"
NETWORK = "LR-ASD"


# ------------------------------------------------------------------------------------------------ the mini evaluation


def sync_rows(takes: Mapping[str, Take]) -> list[Row]:
    """One value per portrait that can be evaluated; without the weights no rows, and a sentence that says so."""
    weights = find_weights()
    if weights is None:
        print(missing_sentence(), file=sys.stderr)
        return []
    evaluator = SyncEvaluator(weights)
    found = {}
    for name, take in takes.items():
        try:
            found[name] = evaluator.evaluate(take.video["spoken"], take.voice.utterance.wave)
        except ValueError as error:  # too short, or no face
            print(f"{name}: no sync: {error}", file=sys.stderr)
    values = {LEVEL: "level", MARGIN: "margin", SHIFT: "best_shift"}
    return [
        Row(
            what,
            NETWORK,
            {name: float(getattr(scores, value)) for name, scores in found.items()},
            note=_controls(found.values()),
        )
        for what, value in values.items()
    ]


def _controls(found: Iterable[SyncScores]) -> str:
    broken = sum(not scores.controls_hold for scores in found)
    return f"controls fail in {broken} clips" if broken else "controls hold"


# --------------------------------------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Cell:
    """One portrait with one voice: the model's video, that of a jaw that is loudness alone, and an earlier model's."""

    portrait: str
    voice: str
    scores: SyncScores
    shapes: Shapes
    loudness: SyncScores
    loudness_shapes: Shapes
    earlier: tuple[SyncScores, Shapes] | None = None


def grid(
    evaluator: SyncEvaluator,
    images: Mapping[str, np.ndarray],
    spoken: Sequence[voices.Spoken],
    wrong: Mapping[str, np.ndarray],
    n_frames: int,
    beside: Path | None = None,
) -> list[Cell]:
    """Every portrait says the first n_frames of every voice. wrong: name of a voice -> its sound; all but the video's
    own stand against it. beside: the checkout of an earlier commit, whose model makes the same videos.
    """
    model, cells = assemble_mini(), []
    sounds = [voice.utterance.wave[: n_frames * SAMPLE_RATE_HZ // FRAMES_PER_SECOND] for voice in spoken]
    for name, image in images.items():
        frames = earlier_videos(beside, image, sounds) if beside else []
        for i, (voice, sound) in enumerate(zip(spoken, sounds, strict=True)):
            others = [other for key, other in wrong.items() if key != voice.name]
            assessed = [_scored(evaluator, video, voice, others) for video in make_videos(model, image, sound)]
            earlier = _scored(evaluator, Video(frames[i], sound), voice, others) if beside else None
            cells.append(Cell(name, voice.name, *assessed[0], *assessed[1], earlier))
            print(cell_line(cells[-1]), flush=True)
    return cells


def _scored(
    evaluator: SyncEvaluator, video: Video, voice: voices.Spoken, wrong: Sequence[np.ndarray]
) -> tuple[SyncScores, Shapes]:
    meshes = evaluator.meshes(video.frames)
    scores = evaluator.score(mouth_crops(video.frames, meshes), video.sound, wrong)
    return scores, shapes(meshes, voice.utterance.phones, video.sound)


def cell_line(cell: Cell) -> str:
    """While it runs."""
    own, other = cell.scores, cell.loudness
    earlier = ""
    if cell.earlier:
        then, shaped = cell.earlier
        earlier = f"; earlier {then.level:.2f}, {then.margin:.2f}, {shaped.mean:.2f}"
    return (
        f"{cell.portrait}, {cell.voice}: level {own.level:.2f}, margin {own.margin:.2f}, shapes "
        f"{cell.shapes.mean:.2f}; jaw = loudness {other.level:.2f}, {other.margin:.2f}, "
        f"{cell.loudness_shapes.mean:.2f}{earlier}"
    )


def as_table(cells: Sequence[Cell]) -> str:
    """Markdown: a line per portrait, means over its voices; all; the jaw that is loudness alone; the same portraits by
    the earlier model, where there is one.
    """
    heads = ("portrait", "level", "best shift", "margin", "z", "noise", "still frame", "opening", "width", "ahead")
    names = list(dict.fromkeys(cell.portrait for cell in cells))
    own = {name: [(c.scores, c.shapes) for c in cells if c.portrait == name] for name in names}
    groups = own | {
        "all": [(c.scores, c.shapes) for c in cells],
        "jaw = loudness": [(c.loudness, c.loudness_shapes) for c in cells],
    }
    for name in (*names, "all"):
        if then := [cell.earlier for cell in cells if cell.earlier and name in ("all", cell.portrait)]:
            groups[f"earlier: {name}"] = then
    lines = [heads, ("---",) * len(heads)]
    lines += [(name, *(f"{value:.2f}" for value in _means(found))) for name, found in groups.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _means(found: Sequence[tuple[SyncScores, Shapes]]) -> list[float]:
    rows = [(s.level, s.best_shift, s.margin, s.z, s.noise, s.still, w.opening, w.width, w.ahead) for s, w in found]
    return np.mean(rows, axis=0).tolist()


def verdicts(cells: Sequence[Cell]) -> list[str]:
    """What the table has to hold, each in a sentence."""
    beaten = sum(cell.shapes.mean > cell.loudness_shapes.mean for cell in cells)
    own, other = (
        float(np.mean([s.mean for s in found]))
        for found in ([c.shapes for c in cells], [c.loudness_shapes for c in cells])
    )
    broken = sum(not cell.scores.controls_hold for cell in cells)
    margins = [np.mean([c.scores.margin for c in cells if c.portrait == name]) for name in {c.portrait for c in cells}]
    ahead = [cell.scores.level - cell.earlier[0].level for cell in cells if cell.earlier]
    sentences = []
    if ahead:
        gain = np.mean(ahead)
        sentences.append(f"level: {gain:+.2f} to the earlier model's, target +0.50: {_met(gain >= 0.5)}")
    return [
        *sentences,
        f"margin: {np.mean(margins):.2f}, target 0.95: {_met(np.mean(margins) >= 0.95)}; the lowest of a portrait "
        f"{min(margins):.2f}, target 0.50: {_met(min(margins) >= 0.5)}",
        f"controls: {'hold in every video' if not broken else f'fail in {broken} of {len(cells)} videos'}",
        f"guard: shapes {own:.2f} against {other:.2f} of a jaw that is loudness alone, better in {beaten} of "
        f"{len(cells)} videos: {'holds' if own > other else 'FAILS'}",
    ]


def _met(it_is: np.bool_) -> str:
    return "met" if it_is else "MISSED"


# ------------------------------------------------------------------------------------------------ what is looked at


def chosen(
    folder: Path,
    quick: bool,
    own_portraits: Path | None,
    own_voices: Path | None,
    speakers: bool = False,
) -> tuple[dict[str, np.ndarray], list[voices.Spoken], dict[str, np.ndarray], int]:
    """-> images, the voices that are said, the sounds of all voices, and frames at most. quick: two by two, and
    three seconds. speakers: five people instead of five readings of one.
    """
    if own_portraits:
        images = {
            file.stem: portraits.read(file)
            for file in sorted(own_portraits.iterdir())
            if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")
        }
    else:
        images = {one.name: portraits.photograph_of(one, folder) for one in trial.PHOTOGRAPHS}
    if own_voices:
        utterances = voices.own_readings(own_voices, folder)
    elif speakers:
        utterances = voices.speakers(folder)
    else:
        utterances = [voices.reading(number, folder) for number in trial.READINGS]
    sounds = {voice.name: voice.utterance.wave for voice in utterances}
    if not quick:
        return images, utterances, sounds, trial.FULL.speech_frames
    spoken = (
        utterances[:2]
        if own_voices or speakers
        else [voice for n in trial.SPOKEN for voice in utterances if voice.name == n]
    )
    return dict(list(images.items())[:2]), spoken, sounds, QUICK_FRAMES


QUICK_FRAMES = 75
