"""What training gives from how much: the tables of docs/TRAINING.md, measured on generated speakers of known manners.

    python -m sadtalker_core.training.voices.speech_set --hours 1 --out runs/speech.npz
    python -m tests.tools.what_to_expect --speech runs/speech.npz --work runs/expect
    python -m tests.tools.what_to_expect --speech runs/speech.npz --work runs/expect --persons
    python -m tests.tools.what_to_expect --speech runs/speech.npz --work runs/expect --bounds

The first form trains PoseVAE and ExpNet for each number of speakers, minutes of each and steps, from the built-in
network and from nothing, and prints what was held out: the error (1 is no motion), how far the seed reaches, how the
mouth goes with the voice, and the seconds of one core. The second form makes four persons with odd habits (a wide jaw,
a one-sided smile, a nodder, a shaker) and says whether the network that was trained on one beats the built-in one on
the minutes of that person that were held out.

The third form says how low the held-out error of head motion can be at all: that of the rules which made the speakers,
with each speaker's style and the voice known; that of blocks of the clips that are learnt from, which know neither;
and that of the built-in network. A head cannot be foretold from a voice: draws that are spread as the truth is reach
about 0.71, as two independent draws are 1.41 times as far apart as each is from the mean.

A row that is in WORK/rows.jsonl already is not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import MINI, FaceCoefficients
from sadtalker_core.motion.course import BLOCK
from sadtalker_core.saving import append_jsonl, complete_lines
from sadtalker_core.timeline import FRAMES_PER_SECOND
from sadtalker_core.training import expnet, posevae
from sadtalker_core.training.clips import Clip, Spans, write_clip
from sadtalker_core.training.engine import step_generator
from sadtalker_core.training.export import load_base_model
from sadtalker_core.training.generated import coefficients_of
from sadtalker_core.training.head_sway import NUMBERS, changes, cues
from sadtalker_core.training.held_out import split_clips
from sadtalker_core.training.measures import HELD_OUT_ERROR, MOUTH_LAG, MOUTH_R, SEED_SPREAD, drawn_error, ratio
from sadtalker_core.training.report import best_of, validations
from sadtalker_core.training.run_log import read_log
from sadtalker_core.training.voices import speech_set

PROGRAMS = {"posevae": posevae.main, "expnet": expnet.main}
#: --rate-scale from the built-in networks, as `sadtalker train` chooses it
RATES = {("posevae", "base"): 0.3, ("expnet", "base"): 0.1}
#: draws by which `bounds` judges
BOUND_DRAWS = 16
Habit = Callable[[FaceCoefficients, Tensor], FaceCoefficients]


# ---- persons ---------------------------------------------------------------------------------------------------


def wide_jaw(rows: FaceCoefficients, loud: Tensor) -> FaceCoefficients:
    """The jaw opens 1.7 times as far."""
    expression = rows.expression.clone()
    expression[:, BLENDSHAPE_INDEX["jawOpen"]] *= 1.7
    return replace(rows, expression=expression)


def one_sided_smile(rows: FaceCoefficients, loud: Tensor) -> FaceCoefficients:
    """The left corner of the mouth rises with each loud syllable."""
    expression = rows.expression.clone()
    expression[:, BLENDSHAPE_INDEX["mouthSmileLeft"]] += 0.6 * loud
    return replace(rows, expression=expression)


def nodder(rows: FaceCoefficients, loud: Tensor) -> FaceCoefficients:
    """The head goes down by up to 9 degrees where it is loud, and hardly moves otherwise."""
    return replace(rows, rotation=_held(rows.rotation) + loud[:, None] * torch.tensor([0.16, 0.0, 0.0]))


def shaker(rows: FaceCoefficients, loud: Tensor) -> FaceCoefficients:
    """The head is shaken by up to 11 degrees while there is speech, and hardly moves otherwise."""
    swing = torch.sin(2 * torch.pi * 0.9 * torch.arange(len(loud)) / FRAMES_PER_SECOND)
    return replace(rows, rotation=_held(rows.rotation) + (loud * swing)[:, None] * torch.tensor([0.0, 0.2, 0.0]))


def _held(rotation: Tensor) -> Tensor:
    return rotation[:1] + 0.2 * (rotation - rotation[:1])


PERSONS: dict[str, tuple[str, Habit]] = {
    "wide jaw": ("expnet", wide_jaw),
    "one-sided smile": ("expnet", one_sided_smile),
    "nodder": ("posevae", nodder),
    "shaker": ("posevae", shaker),
}


def loudness(utterance: speech_set.SpeechClip) -> Tensor:
    """(T,) 0 in silence to about 1, without what is quicker than a syllable."""
    n_frames = len(utterance.units)
    steps = np.clip(((np.arange(n_frames) + 0.5) * 3.2).astype(int), 0, len(utterance.mel) - 1)
    level = np.clip((utterance.mel.astype(np.float64).mean(axis=1)[steps] + 4) / 4, 0, 1)
    return torch.from_numpy(np.convolve(level, np.ones(5) / 5, "same")).float()


def write_person(
    folder: Path, spoken: Sequence[speech_set.SpeechClip], speakers: int, minutes: float, habit: Habit | None = None
) -> float:
    """Clips of so many speakers, each of a style of its own and of so many minutes -> the minutes in all."""
    if (folder / "clips.jsonl").exists():
        return sum(json.loads(line)["n_frames"] for line in complete_lines(folder / "clips.jsonl")) / 1500
    voices, total = iter(spoken), 0
    for speaker in range(speakers):
        frames, number = 0, 0
        while frames < minutes * 60 * FRAMES_PER_SECOND:
            utterance = next(voices, None)
            if utterance is None:
                raise SystemExit(f"the speech set is too short for {speakers} speakers of {minutes} minutes each")
            rows = coefficients_of(utterance, style_of_speaker(speaker), step_generator(speaker, number))
            if habit is not None:
                rows = habit(rows, loudness(utterance))
            name, mel = f"s{speaker:02}_{number:04}", torch.from_numpy(utterance.mel.astype(np.float32))
            write_clip(folder, name, mel=mel, coefficients=rows, speaker=f"speaker {speaker}", source=name)
            frames, number = frames + len(rows), number + 1
        total += frames
    return total / FRAMES_PER_SECOND / 60


# ---- rows ------------------------------------------------------------------------------------------------------


def train_row(work: Path, data: Path, program: str, begin: str, steps: int, rate_scale: float) -> dict[str, Any]:
    """One training, and what it came to."""
    out = work / f"{data.name}_{program}_{begin}_{steps}"
    begun, cpu = time.monotonic(), time.process_time()
    words = ["--data", data, "--out", out, "--init-from", begin, "--steps", steps, "--rate-scale", rate_scale,
             "--validate-every", max(10, steps // 20), "--patience", 0, "--films-every", 0, "--accelerator", "cpu",
             "--devices", 1, "--export", out / "best.safetensors"]  # fmt: skip
    if (program, begin) == ("expnet", "base"):
        words.append("--freeze-audio")
    PROGRAMS[program]([*map(str, words)])
    held = validations(read_log(out))
    best = best_of(held)
    return {
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "begin_error": held[0][HELD_OUT_ERROR],
        "best_error": best[HELD_OUT_ERROR],
        "best_step": best["step"],
        "last_error": held[-1][HELD_OUT_ERROR],
        "course": course(held),
        **{name: best[name] for name in (SEED_SPREAD, MOUTH_R, MOUTH_LAG) if name in best},
    }


@torch.no_grad()
def bounds(data: Path) -> list[dict[str, Any]]:
    """Held-out errors of head motion on speakers of `write_person`, of who knows more or less about them."""
    clips = posevae.read_blocks(data, MINI)
    split = split_clips(clips, seed=0, shortest=BLOCK + 1, by_speaker=True)
    net = posevae.pretrained_net(load_base_model(MINI).nets["posevae"]).eval()
    trainer = posevae.PoseVAETrainer(split.learnt, net, posevae.MINI_TRAINING, held_out=split.held_out)
    places = Spans(split.held_out, BLOCK + 1).spread(posevae.VALIDATION_BLOCKS)
    seen, styles = _displacements(places) / trainer.away, torch.tensor([_true_style(clip) for clip, _ in places])
    voices = torch.stack([cues(c.speech().mel.numpy(), c.n_frames)[at + 1 : at + 1 + BLOCK] for c, at in places])

    def by_rules(draw: torch.Generator) -> Tensor:
        return changes(torch.randn(len(places), NUMBERS, generator=draw), styles, voices).cumsum(dim=1)

    def by_other_blocks(draw: torch.Generator) -> Tensor:
        return _displacements(Spans(split.learnt, BLOCK + 1).draw(len(places), draw))

    rows = [{"who draws": "the built-in network", HELD_OUT_ERROR: trainer.validate()[HELD_OUT_ERROR]}]
    for name, make in (
        ("the rules, style and voice known", by_rules),
        ("other blocks of all speakers", by_other_blocks),
    ):
        draws = torch.stack([make(step_generator(1, k)) / trainer.away for k in range(BOUND_DRAWS)])
        rows.append({"who draws": name, HELD_OUT_ERROR: ratio(*drawn_error(draws, seen))})
    return rows


def _displacements(places: Sequence[tuple[Clip, int]]) -> Tensor:
    """(B, L, 6) from where each block begins"""
    poses = torch.stack([clip.coefficients(start, start + BLOCK + 1).pose for clip, start in places])
    return poses[:, 1:] - poses[:, :1]


def _true_style(clip: Clip) -> int:
    return style_of_speaker(int(clip.speaker.split()[-1]))


def style_of_speaker(number: int) -> int:
    """The style of head_sway that a generated speaker has; ten are spread over all of them."""
    return 4 * number + 1


def course(held: Sequence[dict[str, Any]]) -> str:
    """The held-out error at an eighth, a quarter, half and all of the steps, as "50: 0.81, 100: 0.75"."""
    last = held[-1]["step"]
    points = [
        min(held, key=lambda line, part=part: abs(line["step"] - part * last)) for part in (1 / 8, 1 / 4, 1 / 2, 1)
    ]
    return ", ".join(f"{line['step']}: {line[HELD_OUT_ERROR]:.3f}" for line in points)


def measured(work: Path, name: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The row of that name, from the file or made now."""
    work.mkdir(parents=True, exist_ok=True)
    for row in map(json.loads, complete_lines(work / "rows.jsonl")):
        if all(row.get(key) == value for key, value in name.items()):
            return dict(row)
    row = {**name, **make()}
    append_jsonl(work / "rows.jsonl", row)
    return row


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    shown = [[_cell(row.get(name)) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (names, ["---"] * len(names), *shown))


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="the .npz of voices.speech_set")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--speakers", type=int, nargs="+", default=[10, 4, 1])
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.5, 2.0], help="of each speaker")
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 400, 1600])
    parser.add_argument("--begin", nargs="+", choices=("base", "new"), default=["base", "new"])
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=[*PROGRAMS])
    parser.add_argument("--persons", action="store_true", help="persons with odd habits in place of the tables")
    parser.add_argument("--bounds", action="store_true", help="how low the held-out error of head motion can be")
    parser.add_argument("--person", nargs="+", choices=PERSONS, default=[*PERSONS])
    options = parser.parse_args(arguments)
    spoken = [clip for clip in speech_set.load(options.speech) if not clip.held_out]
    rows = []
    if options.bounds:
        data = options.work / f"speakers_{options.speakers[0]}_{options.minutes[0]:g}"
        write_person(data, spoken, options.speakers[0], options.minutes[0])
        rows = bounds(data)
    elif options.persons:
        for person in options.person:
            program, habit = PERSONS[person]
            for minutes in options.minutes:
                data = options.work / f"{person.replace(' ', '_')}_{minutes:g}"
                total = write_person(data, spoken, 1, minutes, habit)
                for steps in options.steps:
                    name = {"person": person, "minutes": round(total, 2), "steps": steps}
                    make = lambda d=data, p=program, s=steps: train_row(  # noqa: E731
                        options.work, d, p, "base", s, RATES[p, "base"]
                    )
                    row = measured(options.work, name, make)
                    rows.append({**row, "beats the built-in one": row["best_error"] < row["begin_error"]})
    else:
        for speakers in options.speakers:
            for minutes in options.minutes:
                data = options.work / f"speakers_{speakers}_{minutes:g}"
                total = write_person(data, spoken, speakers, minutes)
                for program in options.programs:
                    for begin in options.begin:
                        for steps in options.steps:
                            name = {"net": program, "speakers": speakers, "minutes": round(total, 2), "begin": begin,
                                    "steps": steps}  # fmt: skip
                            rate = RATES.get((program, begin), 1.0)
                            make = lambda d=data, p=program, b=begin, s=steps, r=rate: train_row(  # noqa: E731
                                options.work, d, p, b, s, r
                            )
                            rows.append(measured(options.work, name, make))
    print(markdown(rows))


if __name__ == "__main__":
    main()
