"""The built-in model of an earlier commit: its videos of the same portraits and sounds, made by its own code.

    git worktree add /tmp/earlier fda8c91
    JUDGE=folder python -m tests.tools.sync_evaluator --mini --beside /tmp/earlier

This file runs twice: here, and as a program in the other checkout, whose functions may bear their earlier names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def earlier_videos(checkout: Path, image: np.ndarray, sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
    """image (H, W, 3) uint8 and sounds (n,) at 16 kHz -> for each sound frames (T, h, w, 3) uint8, seed 0.

    Raises ValueError with the last words of the other checkout's program when it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, made = Path(folder) / "asked.npz", Path(folder) / "made.npz"
        np.savez(asked, image=image, **{f"sound{i}": sound for i, sound in enumerate(sounds)})
        command = [sys.executable, str(Path(__file__).resolve()), str(asked), str(made)]
        environment = os.environ | {"PYTHONPATH": str(checkout.resolve())}
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"{checkout}: no videos: {done.stderr.strip()[-300:]}")
        with np.load(made) as frames:
            return [frames[f"sound{i}"] for i in range(len(sounds))]


def main(asked: str, made: str) -> None:
    """Within the other checkout."""
    from sadtalker_core import pipeline  # isort: skip
    import torch

    from sadtalker_core.datatypes import Portrait

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "0")) or torch.get_num_threads())
    names = {
        "hear": "encode_audio", "express": "predict_expression", "nod": "predict_head_pose",
        "map_tracks": "coefficients_to_motion",
    }  # fmt: skip
    step = {old: getattr(pipeline, old, None) or getattr(pipeline, new) for old, new in names.items()}
    try:
        from sadtalker_core.model import assemble_mini
    except ImportError:
        from sadtalker_core.assembly import assemble_mini
    model = assemble_mini()
    stored, frames = np.load(asked), {}
    portrait, source = pipeline.extract(model, Portrait(torch.from_numpy(stored["image"]).float() / 255))
    for name in (key for key in stored if key != "image"):
        speech = step["hear"](torch.from_numpy(stored[name].astype(np.float32))[None], 16_000)
        expression = step["express"](model, speech, source, seed=0)
        pose = step["nod"](model, speech, source, seed=0)
        motion = step["map_tracks"](model, source, expression, pose)
        video = torch.cat(
            [(b.clamp(0, 1) * 255).round().byte() for b in pipeline.render(model, portrait, motion).batches()]
        )
        frames[name] = video.permute(0, 2, 3, 1).numpy()
    np.savez(made, **frames)


if __name__ == "__main__":
    main(*sys.argv[1:])
