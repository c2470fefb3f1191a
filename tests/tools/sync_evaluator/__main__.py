"""Does the face say the sound? Numbers by a network that was trained to tell who speaks.

    python -m tests.tools.sync_evaluator VIDEO.mp4 ...      any videos; each one's sound is a wrong voice for the others
    python -m tests.tools.sync_evaluator --mini            five portraits by five voices with the built-in model
    python -m tests.tools.sync_evaluator --mini --quick    two by two, three seconds each
        [--speakers] [--frames N] [--beside CHECKOUT] [--weights FOLDER] [--portraits FOLDER] [--voices FOLDER]

The weights, lr_asd_ava.safetensors, are not part of the project: they are looked for in --weights, or in the folder
that the environment variable JUDGE names. The evaluator is weak and can be fooled: only means over at least five
portraits and five voices say something, and only together with the shapes (shapes.py).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from sadtalker_core.errors import SadTalkerError
from tests.tools.comfyui.layout import home
from tests.tools.mini_evaluator import sources

from . import mini
from .evaluator import SyncEvaluator, SyncScores, find_weights, missing_sentence
from .videos import read_video


def main(arguments: list[str] | None = None) -> int:
    """0 when everything was looked at, or when the weights are not there, which a sentence says."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.sync_evaluator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO")
    parser.add_argument("--mini", action="store_true", help="portraits by voices with the built-in model")
    parser.add_argument("--quick", action="store_true", help="two portraits, two voices, three seconds")
    parser.add_argument("--weights", "--judge", type=Path, help="the folder with the weights")
    parser.add_argument("--portraits", type=Path, help="a folder of images, instead of the mini evaluation's")
    parser.add_argument("--voices", type=Path, help="a folder of 16 kHz mono .wav with a .txt beside each")
    parser.add_argument("--speakers", action="store_true", help="five speakers, instead of five readings of one")
    parser.add_argument("--frames", type=int, help="of each video, at most (default: 75 with --quick, else 100)")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="of an earlier commit, to be compared with")
    options = parser.parse_args(arguments)
    if options.mini == bool(options.videos):
        parser.error("name videos, or give --mini")
    weights = find_weights(options.weights)
    if weights is None:
        print(missing_sentence(options.weights))
        return 0
    evaluator = SyncEvaluator(weights)
    try:
        if options.videos:
            print(as_table(score_videos(evaluator, options.videos)))
        else:
            folder = home() / "mini_evaluator"
            *found, most = mini.chosen(folder, options.quick, options.portraits, options.voices, options.speakers)
            cells = mini.grid(evaluator, *found, options.frames or most, options.beside)
            print("", mini.as_table(cells), "", *mini.verdicts(cells), sep="\n")
    except (SadTalkerError, sources.Unavailable, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def score_videos(evaluator: SyncEvaluator, files: list[Path]) -> dict[str, SyncScores]:
    """A file -> what is said of it, beside the sounds of the other files as wrong voices."""
    videos = {str(file): read_video(file) for file in files}
    return {
        name: evaluator.evaluate(*video, [other.sound for key, other in videos.items() if key != name])
        for name, video in videos.items()
    }


def as_table(found: Mapping[str, SyncScores]) -> str:
    """Markdown."""
    lines = [("video", "level", "best shift", "margin", "z", "noise", "still frame", "controls"), ("---",) * 8]
    for name, s in found.items():
        numbers = (f"{s.level:.2f}", f"{s.best_shift:+d}", *(f"{v:.2f}" for v in (s.margin, s.z, s.noise, s.still)))
        lines.append((name, *numbers, "hold" if s.controls_hold else "FAIL"))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
