"""Dub Video at 1280 x 720: processor time of a frame, from the video's file to the encoded video; and its memory by
time.

    python -m tests.bench --parts dub        python -m tests.tools.bench.dub --minutes 10

Out: processor milliseconds of a frame, all processes and threads together, of the parts alone, and the frames per
second that two idle cores can make of it. With --minutes a video of 176 x 144 is dubbed that long in one process, and
the most memory is said after each minute.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from sadtalker_core.compose.video import VideoWriter
from sadtalker_core.dub.dub import DubOptions, dub_video, dubbed_frames
from sadtalker_core.dub.schedule import SpeechTrack
from sadtalker_core.dub.source_video import VideoFile
from sadtalker_core.model import load_model
from tests.dub.videos import FPS, track_of
from tests.face.images import astronaut, resized
from tests.tools.bench.measuring import peak_mb

TARGET = 8.0
FACE_SCALE = 2.5  #: the astronaut's face, 100 pixels wide, so many times as large


def make_video(file: Path, n_frames: int, width: int = 1280, height: int = 720, scale: float = FACE_SCALE) -> VideoFile:
    """The astronaut, who glides to and fro in a wide image."""
    whole = resized(astronaut(), round(512 * scale), round(512 * scale))
    wide = torch.full((height, width + 80, 3), 0.5)
    rows, columns = min(height, whole.shape[0]), min(width + 80, whole.shape[1])
    wide[:rows, :columns] = whole[:rows, :columns]
    with VideoWriter(file, (width, height), FPS) as video:
        for k in range(n_frames):
            left = 40 - abs(k % 80 - 40)
            video.write(wide[None, :, left : left + width])
    return VideoFile.of(file)


def measure(n_frames: int = 40) -> list[dict[str, Any]]:
    model = load_model("mini", [])
    with tempfile.TemporaryDirectory() as folder:
        shown = make_video(Path(folder) / "film.mp4", n_frames)
        track = _speech(n_frames)
        list(dubbed_frames(model, shown, _speech(4), DubOptions(length="cut")))  # what is made once

        def seconds(work: Any) -> float:
            before, by_others = time.process_time(), os.times().children_user + os.times().children_system
            work()
            after = os.times().children_user + os.times().children_system
            return (time.process_time() - before + after - by_others) / n_frames

        whole = seconds(lambda: dub_video(Path(folder) / "out.mp4", model, shown, track, DubOptions()))
        read = seconds(lambda: [None for _ in shown.frames()])
        followed = seconds(lambda: list(dubbed_frames(model, shown, track, DubOptions(strength=0.0))))
    return [
        {
            "what": "a frame of 1280 x 720, from file to file",
            "cpu_ms": 1000 * whole,
            "of it reading": 1000 * read,
            "and following, the beginning read twice": 1000 * (followed - read),
            "fps_on_two_cores": 2 / whole,
            "target": TARGET,
        }
    ]


def _speech(n_frames: int) -> SpeechTrack:
    """A jaw that goes up and down four times a second."""
    track = track_of(n_frames, jawOpen=0.5)
    moving = 0.5 + 0.5 * torch.sin(torch.arange(n_frames) * (2 * torch.pi * 4 / FPS))
    return SpeechTrack(track.weights * moving[:, None], track.speaks)


def memory(minutes: int) -> None:
    """Says the most memory after each minute of the video."""
    model = load_model("mini", [])
    with tempfile.TemporaryDirectory() as folder:
        shown = make_video(Path(folder) / "film.mp4", 250, 176, 144, 0.6)
        n_frames = round(minutes * 60 * FPS)
        track = _speech(n_frames)

        def on_progress(done: int, total: int) -> None:
            if done % round(60 * FPS) == 0:
                print(f"{done / (60 * FPS):.0f} min: {peak_mb():.1f} MB at most", flush=True)

        dub_video(Path(folder) / "out.mp4", model, shown, track, DubOptions(length="loop"), on_progress=on_progress)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=0)
    parser.add_argument("--frames", type=int, default=40)
    asked = parser.parse_args()
    if asked.minutes:
        memory(asked.minutes)
        return
    for row in measure(asked.frames):
        print(row)


if __name__ == "__main__":
    main()
