"""A video, decoded by ffmpeg in one go."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sadtalker_core.compose.ffmpeg import ffmpeg_command


class Decoded(NamedTuple):
    """frames: (T, H, W, 3) uint8, upright;  fps: of what came out"""

    frames: np.ndarray
    fps: float


def decoded(file: Path, fps: float | None = None) -> Decoded:
    """fps: the rate it is brought to, or None for its own. Raises OSError for what ffmpeg cannot read."""
    rate = [] if fps is None else ["-r", str(fps)]
    into_bytes = ["-pix_fmt", "rgb24", "-vcodec", "rawvideo", *rate, "-f", "image2pipe", "-"]
    command = [*ffmpeg_command(), "-nostdin", "-hide_banner", "-i", str(file), *into_bytes]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    words = done.stderr.decode(errors="replace")
    coming = re.findall(r"Video: rawvideo.*?, (\d+)x(\d+).*?, ([\d.]+) fps", words)
    if done.returncode or not coming:
        raise OSError(f"{file} cannot be read: {words[-500:]}")
    width, height, rate_hz = coming[-1]
    return Decoded(np.frombuffer(done.stdout, np.uint8).reshape(-1, int(height), int(width), 3), float(rate_hz))
