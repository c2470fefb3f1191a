"""A speech set comes in, a folder of clips goes out: voices with the faces and heads that we think of for them.

    python -m sadtalker_core.training.voices.speech_set --hours 1 --out runs/speech.npz
    python -m sadtalker_core.training.generated --speech runs/speech.npz --out runs/generated

Each clip has a portrait's expression at rest, the mouth of its voice, blinks, and a head that sways in one of the 46
styles of head_sway, which stand for its speakers. There are no images; PoseVAE and ExpNet need none.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..coefficients import FULL_LAYOUT
from ..datatypes import MINI, CropMode, FaceCoefficients
from ..motion.blink import blink_track
from ..motion.course import HOP, connected
from .clips import Clip, write_clip
from .engine import step_generator
from .expnet_mini import random_reference, target_expression
from .head_sway import NUMBERS, STYLES, course, cues
from .posevae_mini import random_pose
from .voices import speech_set

IMAGE_SIZE = 256
#: of the clips that the built-in model learnt from
BLINKS_PER_MINUTE = 15.0


def write_generated(folder: Path, spoken: Sequence[speech_set.SpeechClip], seed: int = 0) -> list[Clip]:
    """One clip for each that is spoken; the same seed makes the same."""
    clips = []
    for number, utterance in enumerate(spoken):
        draw = step_generator(seed, number)
        style = int(torch.randint(STYLES, (), generator=draw))
        clips.append(
            write_clip(
                folder,
                f"generated_{number:05d}",
                mel=torch.from_numpy(utterance.mel.astype(np.float32)),
                coefficients=coefficients_of(utterance, style, draw),
                speaker=f"style {style:02d}",
                source=utterance.voice,
            )
        )
    return clips


def coefficients_of(utterance: speech_set.SpeechClip, style: int, draw: torch.Generator) -> FaceCoefficients:
    """A face that speaks this audio, T rows: the first is at rest but for the mouth."""
    n_frames = len(utterance.units)
    seed = int(torch.randint(2**31, (), generator=draw))
    rest = random_reference(1, np.random.default_rng(seed)).expand(n_frames, -1)
    units = torch.from_numpy(utterance.units.astype(np.float32))
    pose = random_pose(1, draw) + head_motion(utterance, style, draw)
    rows = {name: torch.zeros(n_frames, width) for name, width in FULL_LAYOUT.items()}
    lids = blink_track(n_frames, per_minute=BLINKS_PER_MINUTE, generator=draw)
    rows["expression"] = target_expression(units, rest, lids)
    rows["rotation"], rows["translation"] = pose[:, :3], pose[:, 3:]
    return FaceCoefficients(
        **rows, crop=torch.zeros(n_frames, 3), family=MINI, crop_mode=CropMode.CROP, pic_size=IMAGE_SIZE
    )


def head_motion(utterance: speech_set.SpeechClip, style: int, draw: torch.Generator) -> Tensor:
    """(T, 6): 0 in the first frame, then one course of blocks that overlap, as driving has them."""
    n_frames = len(utterance.units)
    n_blocks = -(-(n_frames - 1) // HOP)
    numbers = connected(torch.randn(n_blocks, NUMBERS, generator=draw))
    return course(numbers, style, cues(utterance.mel, n_frames))


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="the .npz of voices.speech_set")
    parser.add_argument("--out", type=Path, default=Path("runs/generated"), help="the folder of clips")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    spoken = [clip for clip in speech_set.load(options.speech) if not clip.held_out]
    print(f"{options.out}: {len(write_generated(options.out, spoken, options.seed))} clips")


if __name__ == "__main__":
    main()
