"""A folder of clips out of the voices in data/, cut short: with coefficients and without images."""

from __future__ import annotations

from pathlib import Path

from sadtalker_core.training.generated import write_generated
from sadtalker_core.training.voices import speech_set

FILE = Path(__file__).resolve().parent / "data" / "held_out_voices.npz"
#: where the first of them speaks; whole frames and whole mel steps meet every fifth frame
FIRST_FRAME = 15


def voices(n_frames: int) -> list[speech_set.SpeechClip]:
    """n_frames a multiple of 5."""
    cut = []
    for clip in speech_set.load(FILE):
        first, last = FIRST_FRAME, FIRST_FRAME + n_frames
        cut.append(
            speech_set.SpeechClip(clip.mel[first * 16 // 5 : last * 16 // 5 + 1], clip.units[first:last], clip.voice)
        )
    return cut


def write_voices(folder: Path, n_frames: int) -> Path:
    write_generated(folder, voices(n_frames), seed=2)
    return folder
