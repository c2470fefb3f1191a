"""Today's built-in model beside that of an earlier commit, as still images for a blind choice.

    git worktree add /tmp/earlier fda8c91
    python -m tests.tools.mini_evaluator.blind_sheets /tmp/earlier --out blind [--seed 1]

Ten of the trial's portraits say two seconds of a reading each, once by the code and the weights of either checkout.
Out: blind/01.png ...: two blocks without names, `a` above `b`, twelve frames each, the face above, the mouth below it;
and blind.key.json beside the folder, for `python -m tests.tools.mini_evaluator.blind 1a 2b ... --score blind`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sadtalker_core.face.landmarks import mesh_to_68
from tests.tools.comfyui.layout import PROJECT, home
from tests.tools.sync_evaluator.earlier import earlier_videos

from . import portraits, trial, voices
from .blind import LETTERS, key_of
from .evaluators import Evaluators

PAIRS, FRAMES, SECONDS = 10, 12, 2.0
FACE, MOUTH = 220, 220  # pixels of a face and of a mouth in the sheet
MOUTH_PART = 0.30  # of the frame's side: the square around the mouth


def mouth_centre(evaluators: Evaluators, frame: np.ndarray) -> tuple[float, float]:
    """x and y in pixels: the mean of the mouth's points."""
    x, y = mesh_to_68(evaluators.find(frame)[None])[0, 48:, :2].mean(0).tolist()
    return x, y


def block(video: np.ndarray, centre_xy: tuple[float, float]) -> Image.Image:
    """video (T, h, w, 3) uint8 -> twelve frames in even steps, two rows of six, each with its mouth below."""
    height, width = video.shape[1:3]
    half = MOUTH_PART * width / 2
    x, y = centre_xy
    box = (x - half, y - half, x + half, y + half)
    sheet = Image.new("RGB", (6 * FACE, 2 * (FACE + MOUTH)))
    for i, at in enumerate(np.linspace(0, len(video) - 1, FRAMES).round().astype(int)):
        frame = Image.fromarray(video[at])
        left, top = i % 6 * FACE, i // 6 * (FACE + MOUTH)
        sheet.paste(frame.resize((FACE, round(FACE * height / width)), Image.Resampling.LANCZOS), (left, top))
        sheet.paste(frame.resize((MOUTH, MOUTH), Image.Resampling.BICUBIC, box=box), (left, top + FACE))
    return sheet


def pair_sheet(first: Image.Image, second: Image.Image) -> Image.Image:
    label = 28
    sheet = Image.new("RGB", (first.width, first.height + second.height + 2 * label), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(22)
    for letter, image, top in ((LETTERS[0], first, 0), (LETTERS[1], second, first.height + label)):
        draw.text((4, top + 2), letter, fill="black", font=font)
        sheet.paste(image, (0, top + label))
    return sheet


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("earlier", type=Path, help="a checkout of the earlier commit")
    parser.add_argument("--out", type=Path, default=Path("blind"), help="where the sheets go")
    parser.add_argument("--seed", type=int, default=0, help="another order")
    options = parser.parse_args(arguments)
    folder, draw, key = home() / "mini_evaluator", random.Random(options.seed), {}
    images = list(portraits.all_portraits(trial.FULL, folder).items())[:PAIRS]
    readings = [voices.reading(number, folder).utterance.wave for number in trial.READINGS]
    options.out.mkdir(parents=True, exist_ok=True)
    evaluators = Evaluators(folder)
    draw.shuffle(images)
    for number, (name, image) in enumerate(images, start=1):
        begin = 4000 * number
        sound = readings[number % len(readings)][begin : begin + round(SECONDS * 16_000)]
        folders = [options.earlier, PROJECT]
        draw.shuffle(folders)
        videos = [earlier_videos(place, image, [sound])[0] for place in folders]
        sheets = [block(video, mouth_centre(evaluators, video[0])) for video in videos]
        pair_sheet(*sheets).save(options.out / f"{number:02}.png")
        key[f"{number:02}"] = {"film": name} | {
            letter: str(place) for letter, place in zip(LETTERS, folders, strict=True)
        }
        print(f"{number:02}")
    key_of(options.out).write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
