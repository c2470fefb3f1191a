"""How good is the built-in model?

    python -m tests.mini_evaluator [--quick] [--portraits FOLDER] [--voices FOLDER] [--out FOLDER]

Portraits and voices go through the eight nodes in a real ComfyUI; two evaluators look at the frames; the table of
targets (trial.py) is printed and written, with a contact sheet and videos. The first run fetches what it needs
(sources.py).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tests.tools.comfyui import environment
from tests.tools.comfyui.inprocess import run_inside
from tests.tools.comfyui.layout import PROJECT, SetupError, home, make_base
from tests.tools.sync_evaluator.mini import sync_rows

from . import blind, head_rows, portraits, rows, sources, trial, voices
from .evaluators import Evaluators
from .eyes import of_eyes
from .reading import of_generated
from .sheet import contact_sheet
from .table import as_text

ASSETS = PROJECT / "sadtalker_core" / "assets"
INSIDE = Path(__file__).parent / "inside" / "video.py"
VIDEO_TIMEOUT_S = 3 * 3600.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mini_evaluator", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        default=bool(os.environ.get("QUICK")),
        help="three portraits, short clips, few heads: a look while training goes on",
    )
    parser.add_argument(
        "--heads", action="store_true", help="only the generated heads that need no ComfyUI: flow, colour, teeth"
    )
    parser.add_argument("--motion", action="store_true", help="only how the head moves, of which no frame is made")
    parser.add_argument(
        "--speech", action="store_true", help="only the rows that need no ComfyUI: what the voice network says"
    )
    for name, text in (("portraits", "a folder of images, instead of the trial's"),
                       ("voices", "a folder of 16 kHz mono .wav with a .txt beside each, instead of the readings"),
                       ("out", "where the table, the sheet and the films go"),
                       ("beside", "the --out of another run: films.html shows both in pairs, unnamed")):  # fmt: skip
        parser.add_argument(f"--{name}", type=Path, default=os.environ.get(name.upper()) or None, help=text)
    options = parser.parse_args(arguments)
    chosen = trial.QUICK if options.quick else trial.FULL
    folder = home() / "mini_evaluator"
    out = Path(options.out or folder / ("quick" if options.quick else "out")).absolute()
    if options.heads:
        print(as_text(rows.of_heads(Evaluators(folder), chosen, folder)))
        return 0
    if options.motion:
        print(as_text(head_rows.of_head([voices.reading(number, folder) for number in chosen.readings])))
        return 0
    try:
        if options.speech:
            print(as_text(rows.of_voices(_spoken(options.voices, chosen, folder), chosen)))
            return 0
        evaluate(chosen, folder, out, options.portraits, options.voices)
        if options.beside:
            n = len(blind.make_pairs(Path(options.beside), out, out.with_name(out.name + "_blind")))
            print(f"{n} pairs for a blind choice: {out.with_name(out.name + '_blind') / 'films.html'}")
    except (SetupError, sources.Unavailable, blind.NoPairs) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def evaluate(chosen: trial.Trial, folder: Path, out: Path, own_portraits: Path | None, own_voices: Path | None) -> None:
    begin = time.time()
    comfyui = environment.prepare(tests=True)
    out.mkdir(parents=True, exist_ok=True)
    images = _own_images(own_portraits) if own_portraits else portraits.all_portraits(chosen, folder)
    utterances = _spoken(own_voices, chosen, folder)
    spoken = utterances if own_voices else [s for n in chosen.spoken for s in utterances if s.name.endswith(n)]
    if not images or not spoken:
        raise SetupError("there is nothing to try: no image, or no .wav with a .txt of the same name beside it")

    takes = _video(comfyui, images, spoken, chosen, folder / "base", out)
    evaluators = Evaluators(folder)
    found = (
        rows.of_portraits(takes, evaluators)
        + rows.of_voices(utterances, chosen)
        + rows.of_heads(evaluators, chosen, folder)
    )
    found += head_rows.of_head(utterances)
    found += of_eyes(takes, evaluators) + of_generated(folder, chosen.pairs // 2)
    found += sync_rows(takes)
    if chosen.truths:
        found = rows.with_truth(found, evaluators, spoken[0], chosen, folder)

    contact_sheet({name: take.video for name, take in takes.items()}).save(out / "sheet.png")
    text = as_text(found)
    about = {"seconds": round(time.time() - begin), "weights": _weights(), "portraits": list(images)}
    (out / "table.md").write_text(text + "\n", encoding="utf-8")
    result = json.dumps(about | {"rows": [row.plain() for row in found]}, indent=1)
    (out / "table.json").write_text(result + "\n", encoding="utf-8")
    print(text)
    print(f"\n{about['seconds']} s; table.json, sheet.png and the films are in {out}")


def _spoken(own_voices: Path | None, chosen: trial.Trial, folder: Path) -> list[voices.Spoken]:
    if own_voices:
        return voices.own_readings(own_voices, folder)
    return [voices.reading(number, folder) for number in chosen.readings]


def _own_images(place: Path) -> dict[str, np.ndarray]:
    endings = (".png", ".jpg", ".jpeg", ".webp")
    return {file.stem: portraits.read(file) for file in sorted(place.iterdir()) if file.suffix.lower() in endings}


def _video(comfyui, images, spoken, chosen: trial.Trial, base: Path, out: Path) -> dict[str, rows.Take]:
    """Every portrait through the nodes; one that the nodes refuse is named and left out. Videos of this very code and
    these weights that an earlier run has left in `out` are taken as they are.
    """
    make_base(base)
    clips, state = {}, _state()
    for number, (name, image) in enumerate(images.items()):
        voice = spoken[number % len(spoken)]
        n_frames = min(chosen.speech_frames, int(voice.utterance.seconds * 25))
        Image.fromarray(image).save(base / "input" / f"portrait{number}.png")
        voice.save(base / "input" / f"{voice.name}.wav", n_frames)
        recipe = f"{state} {hashlib.sha256(image.tobytes()).hexdigest()} {voice.name} {n_frames}"
        clips[name] = (
            {
                "portrait": f"portrait{number}.png",
                "voice": f"{voice.name}.wav",
                "recipe": recipe,
                "out": str(out / f"{name}.npz"),
            },
            voice,
        )
    refused = dict.fromkeys((clip["portrait"] for clip, _ in clips.values()))
    missing = [clip for clip, _ in clips.values() if not _filmed(clip)]
    if missing:
        refused |= run_inside(
            comfyui,
            INSIDE,
            base,
            timeout=VIDEO_TIMEOUT_S,
            takes=missing,
            visemes=trial.VISEMES,
            turn=trial.TURN_DEG,
            look=trial.LOOK_DEG,
            still_frames=trial.STILL_FRAMES,
        )
    takes = {}
    for name, (clip, voice) in clips.items():
        if refused[clip["portrait"]]:
            print(f"{name}: {refused[clip['portrait']]}", file=sys.stderr)
        else:
            with np.load(clip["out"]) as stored:
                takes[name] = rows.Take({key: stored[key] for key in stored.files}, voice)
    first = next(iter(takes), None)
    if first is None:
        raise SetupError("the nodes refused every portrait; their reasons stand above")
    shutil.copy(out / f"{first}.mp4", out / "talk.mp4")
    return takes


def _filmed(clip: dict[str, str]) -> bool:
    if not Path(clip["out"]).exists():
        return False
    with np.load(clip["out"]) as stored:
        return "recipe" in stored.files and str(stored["recipe"]) == clip["recipe"]


def _state() -> str:
    """One number for the code and the weights that a video depends on, and for the video script."""
    core = PROJECT / "sadtalker_core"
    packages = [place for place in core.iterdir() if place.is_dir() and place.name not in ("training", "batch")]
    places = (*packages, PROJECT / "nodes", INSIDE.parent)
    files = sorted(file for place in places for file in place.rglob("*") if file.suffix in (".py", ".safetensors"))
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def _weights() -> dict[str, str]:
    files = sorted(ASSETS.glob("mini_*.safetensors"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


if __name__ == "__main__":
    sys.exit(main())
