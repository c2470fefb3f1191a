"""Small videos for the tests of data preparation, made with the ffmpeg of imageio-ffmpeg."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch
from torch import Tensor

from sadtalker_core.compose.video import VideoWriter
from tests.face.images import astronaut

HELLO = Path(__file__).resolve().parent.parent / "demo" / "hello.flac"


def ffmpeg(*arguments) -> None:
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *map(str, arguments)], check=True, timeout=60
    )


def hello() -> Tensor:
    """(1, n) at 16 kHz: the demo's voice."""
    import soundfile

    samples, _ = soundfile.read(HELLO, dtype="float32")
    return torch.from_numpy(samples)[None]


def moving_face(n_frames: int = 36, fps: float = 25.0) -> Tensor:
    """(T, 200, 200, 3): the astronaut's head, which sways by a few pixels a second."""
    at = [round(6 * np.sin(2 * i / fps)) for i in range(n_frames)]
    return torch.stack([astronaut()[20:220, 126 + x : 326 + x] for x in at])


def grey_steps(n_frames: int) -> Tensor:
    """(T, 64, 64, 3): frame i has the brightness (20 + 5 i) / 255."""
    return ((20 + 5 * torch.arange(n_frames)) / 255)[:, None, None, None].expand(-1, 64, 64, 3)


def recorded_video(path: Path, frames: Tensor, fps: float = 25.0, sound: Tensor | None = None) -> Path:
    """frames (T, H, W, 3), and a sound (1, n) at 16 kHz, as an mp4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(
        path, (frames.shape[2], frames.shape[1]), fps, audio=None if sound is None else (sound, 16_000), quality="best"
    ) as video:
        video.write(frames)
    return path
