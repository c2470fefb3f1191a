"""A video by the built-in model in a process where packages are installed and broken, as with a numpy they do not fit.

    python -m tests.without_packages FOLDER PACKAGE ...

Imports every module of the core but its trainings, makes FOLDER/film.mp4 of the image FOLDER/face.npy and a voice at
16 kHz, writes to FOLDER/wave.npy how the networks hear a voice at 44.1 kHz, and prints what the log said of each as
JSON.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import json
import logging
import sys
from pathlib import Path

#: what numpy says to a package that was built for another one
ERROR = ValueError("numpy.dtype size changed, may indicate binary incompatibility.")


class Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Packages are found, and raise when they are imported."""

    def __init__(self, packages: list[str]):
        self.packages = set(packages)

    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name.partition(".")[0] in self.packages else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        raise ERROR


class LogLines(logging.Handler):
    """The lines of the log since they were last taken."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        logging.getLogger().addHandler(self)

    def emit(self, record):
        self.lines.append(record.getMessage())

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


def a_voice(n_samples: int, rate_hz: int):
    import torch

    time = torch.arange(n_samples) / rate_hz
    return 0.2 * torch.sin(2 * torch.pi * 220 * time) + 0.1 * torch.sin(2 * torch.pi * 3000 * time)


def main(folder: Path, packages: list[str]) -> None:
    sys.meta_path.insert(0, Broken(packages))
    log = LogLines()
    core = Path(__file__).resolve().parents[1] / "sadtalker_core"
    for file in sorted(core.rglob("*.py")):
        if not {"training", "__main__.py"} & set(file.relative_to(core).parts):
            importlib.import_module(".".join(file.relative_to(core.parent).with_suffix("").parts))

    import numpy as np
    import torch

    from sadtalker_core import pipeline
    from sadtalker_core.datatypes import Portrait
    from sadtalker_core.model import load_model

    nets = load_model("mini", [])
    face = torch.from_numpy(np.load(folder / "face.npy"))
    with torch.inference_mode():
        voice = a_voice(4 * 640, 16_000)
        speech = pipeline.encode_audio(voice, 16_000)
        portrait, source = pipeline.extract(nets, Portrait(face))
        tracks = pipeline.predict_expression(nets, speech, source), pipeline.predict_head_pose(nets, speech, source)
        motion = pipeline.coefficients_to_motion(nets, source, *tracks)
        heads = pipeline.render(nets, portrait, motion)
        pipeline.render_video(
            folder / "film.mp4", heads, pipeline.make_paste_back(portrait), audio=(voice[None], 16_000)
        )
    lines = {"film": log.take()}
    wave = pipeline.encode_audio(a_voice(44_100, 44_100), 44_100).wave
    np.save(folder / "wave.npy", wave.numpy())
    lines["44.1 kHz"] = log.take()
    print(json.dumps(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
