"""How much memory a clip takes, by its length: the whole pipeline on the mini, each run in a process of its own.

    python -m tests.tools.bench.memory                 6 s against 30 s
    python -m tests.tools.bench.memory --long          1 min against 10 min (an hour of one core; --modes crop: less)
    python -m tests.tools.bench.memory --seconds 2 8 --json peaks.json

In: the public domain portrait that comes with scikit-image, and a made-up voice. Out: a table of peaks in MB, and exit
status 1 when Render Video takes over 5 % more for the longer clip than for the shorter one, or the whole pipeline takes
more than 1.5 GB above the weights. What Render Video is handed, the voice and the motion, is as long as they are, and
is counted apart (on Linux; elsewhere a peak cannot be forgotten, and that of the whole pipeline stands for it).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.tools.bench.measuring import PROJECT, children_mb, forget_peak, peak_mb, sample_image, voice

MODES = {"crop": "crop at 256", "full": "full on 1920 x 1080"}
SHORT_SECONDS, LONG_SECONDS = (6.0, 30.0), (60.0, 600.0)
MOST_GROWTH = 1.05
MOST_ABOVE_WEIGHTS_MB = 1500.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs=2, default=SHORT_SECONDS, metavar=("SHORTER", "LONGER"))
    parser.add_argument("--long", action="store_true", help="1 minute against 10")
    parser.add_argument("--modes", nargs="+", choices=list(MODES), default=list(MODES))
    parser.add_argument("--json", type=Path, help="write the numbers there, too")
    parser.add_argument("--one", nargs=2, metavar=("MODE", "SECONDS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(run_pipeline(asked.one[0], float(asked.one[1]))))
        return 0
    lengths = LONG_SECONDS if asked.long else asked.seconds
    print("peak MB:            length   weights   to the motion   Render Video   of it handed in   ffmpeg   frames/s")
    rows, missed = [], []
    for mode in (MODES[name] for name in asked.modes):
        shorter, longer = (in_its_own_process(mode, seconds) for seconds in lengths)
        rows += [shorter, longer]
        growth = own_mb(longer) / own_mb(shorter)
        print(f"{mode}: {growth - 1:+.1%}")
        if growth > MOST_GROWTH:
            missed.append(f"{mode}: {growth - 1:+.1%} with the length")
        above = max(longer["film_mb"], longer["motion_mb"]) - longer["weights_mb"]
        if above > MOST_ABOVE_WEIGHTS_MB:
            missed.append(f"{mode}: {above:.0f} MB above the weights")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print("\n".join(missed) or "bounded")
    return bool(missed)


def own_mb(row: dict[str, Any]) -> float:
    """What Render Video held beside what it was handed."""
    return row["film_mb"] - row["handed_mb"]


def in_its_own_process(mode: str, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.tools.bench.memory", "--one", mode, str(seconds)]
    done = subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True)
    row = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{mode:20}{seconds:5g} s  {row['weights_mb']:8.0f}  {row['motion_mb']:14.0f}  {row['film_mb']:13.0f}"
        f"  {row['handed_mb']:16.1f}  {row['ffmpeg_mb']:7.0f}  {row['frames_per_second']:9.1f}",
        flush=True,
    )
    return row


def run_pipeline(mode: str, seconds: float) -> dict[str, Any]:
    """A clip from the image to the file; the peaks on the way."""
    import torch

    from sadtalker_core import pipeline
    from sadtalker_core.datatypes import CropMode, Portrait
    from sadtalker_core.model import assemble_mini

    encoder_mb = 0.0
    nets = assemble_mini()
    found: dict[str, Any] = {"mode": mode, "seconds": seconds, "weights_mb": peak_mb()}
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        wide = mode == MODES["full"]
        crop_mode = CropMode.FULL if wide else CropMode.CROP
        portrait, source = pipeline.extract(nets, Portrait(sample_image(wide)), crop_mode)
        wave = voice(seconds)
        speech = pipeline.encode_audio(wave, 16_000)
        motion = pipeline.coefficients_to_motion(
            nets,
            source,
            pipeline.predict_expression(nets, speech, source),
            pipeline.predict_head_pose(nets, speech, source),
        )
        del speech
        found["motion_mb"] = peak_mb()
        found["handed_mb"] = (wave.nbytes + sum(rows.nbytes for rows in vars(motion.driving).values())) / 1e6
        forget_peak()

        def watch(done: int, total: int) -> None:
            nonlocal encoder_mb
            encoder_mb = max([encoder_mb, *children_mb()])

        started = time.perf_counter()
        pipeline.render_video(
            Path(folder) / "film.mp4",
            pipeline.render(nets, portrait, motion),
            pipeline.make_paste_back(portrait) if wide else None,
            audio=(wave, 16_000),
            on_progress=watch,
        )
    found["frames_per_second"] = len(motion) / (time.perf_counter() - started)
    return found | {"film_mb": peak_mb(), "ffmpeg_mb": encoder_mb}


if __name__ == "__main__":
    sys.exit(main())
