"""Films for tests: a real face that glides through the picture, and files of every kind that ffmpeg can write."""

from __future__ import annotations

import subprocess
from pathlib import Path

import torch
from torch import Tensor

from sadtalker_core.coefficients import BLENDSHAPE_INDEX, EXPRESSION
from sadtalker_core.compose.ffmpeg import ffmpeg_command
from sadtalker_core.dub.schedule import SpeechTrack
from sadtalker_core.dub.source_video import FrameSequence
from tests.face.images import astronaut

FPS = 25.0


def gliding(n_frames: int, size: int = 224) -> Tensor:
    """(T, size, size, 3): the astronaut, two pixels further in every frame."""
    image = astronaut()
    return torch.stack([image[10 : 10 + size, 100 + 2 * k : 100 + 2 * k + size] for k in range(n_frames)])


def video_of(images: Tensor) -> FrameSequence:
    return FrameSequence(images, FPS)


def track_of(n_frames: int, speaks: float = 1.0, **weights: float) -> SpeechTrack:
    """A mouth that holds still, as these blendshapes have it."""
    row = torch.zeros(EXPRESSION)
    for name, weight in weights.items():
        row[BLENDSHAPE_INDEX[name]] = weight
    return SpeechTrack(row.expand(n_frames, -1), torch.full((n_frames,), speaks))


def write(file: Path, *arguments: str) -> Path:
    """What ffmpeg makes of these arguments."""
    subprocess.run([*ffmpeg_command(), "-nostdin", "-v", "error", "-y", *arguments, str(file)], check=True)
    return file
