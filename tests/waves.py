"""Sound as a file, for tests and benches: samples come in, a wav of 16 bits goes out."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np


def write_wave(file: Path, samples, rate_hz: int = 16_000) -> Path:
    """samples (n,) floats in -1..1, an array or a tensor, mono."""
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes((np.asarray(samples) * 32_767).astype("<i2").tobytes())
    return file
