"""librosa's mel filter bank, as the released networks were trained on: assets/mel_bands.safetensors.

    python -m sadtalker_core.training.mel_bands [--out FILE]

It ships as a table, so that nobody waits for librosa where a voice is at 16 kHz already. Needs librosa.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ..audio.mel import HIGHEST_HZ, LOWEST_HZ, MEL_BANDS_FILE, N_BANDS, N_FFT
from ..timeline import SAMPLE_RATE_HZ


def librosa_bands() -> np.ndarray:
    """(80, 401) float32: triangles on Slaney's mel scale from 55 to 7600 Hz, each of unit area."""
    import librosa

    return librosa.filters.mel(
        sr=SAMPLE_RATE_HZ, n_fft=N_FFT, n_mels=N_BANDS, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, htk=False, norm="slaney"
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=MEL_BANDS_FILE)
    options = parser.parse_args(arguments)
    from safetensors.numpy import save_file

    save_file({"bands": librosa_bands()}, options.out, metadata={"source": "librosa.filters.mel"})
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
