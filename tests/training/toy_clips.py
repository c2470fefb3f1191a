"""A drawn head that turns and talks, as a folder of clips: enough of a face for the renderer's training to find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sadtalker_core.datatypes import RELEASED, CropMode, FaceCoefficients
from sadtalker_core.timeline import mel_steps_in_samples, samples_in_frames
from sadtalker_core.training.clips import write_clip
from sadtalker_core.training.drawn_head import draw_heads, jpeg_of
from sadtalker_core.training.renderer import head_degrees

SIDE = 32


def coefficients(n_frames: int, family: str = RELEASED, seed: int = 0, *, hurry: int = 1) -> FaceCoefficients:
    """The head sways within 20 degrees; expression 0 opens the mouth, 0 to 1;  hurry: times as fast as people do"""
    draw = np.random.default_rng(seed)
    time = np.arange(n_frames) * hurry / 25
    reach, hertz, start = (0.12, 0.3, 0.1), (0.55, 0.4, 0.7), draw.uniform(0, 6, 3)
    angles = reach * np.sin(2 * np.pi * time[:, None] * hertz + start)
    rows = torch.zeros(n_frames, 257)
    rows[:, 80] = torch.from_numpy(0.5 - 0.5 * np.cos(2 * np.pi * 1.3 * time))
    rows[:, 224:227] = torch.from_numpy(angles)
    return FaceCoefficients.from_full_rows(
        rows,
        torch.tensor([[50.0, SIDE / 2, SIDE / 2]]).expand(n_frames, 3),
        family=family,
        crop_mode=CropMode.CROP,
        pic_size=SIDE,
    )


def images(rows: FaceCoefficients, seed: int = 0) -> np.ndarray:
    """(T, S, S, 3) uint8"""
    return np.stack([*draw_heads(head_degrees(rows), rows.expression[:, 0], SIDE, seed)])


def write(
    folder: Path,
    n_clips: int = 1,
    n_frames: int = 24,
    family: str = RELEASED,
    *,
    first: int = 0,
    lost: tuple[int, ...] = (),
    with_images: bool = True,
    pic_size: int = SIDE,
    hurry: int = 1,
) -> Path:
    """lost: frames without a face;  pic_size: what the clip says of its images"""
    for seed in range(first, first + n_clips):
        found = torch.ones(n_frames, dtype=torch.bool)
        found[list(lost)] = False
        rows = replace(coefficients(n_frames, family, seed, hurry=hurry), found=found, pic_size=pic_size)
        mel = torch.zeros(mel_steps_in_samples(samples_in_frames(n_frames)), 80)
        jpegs = map(jpeg_of, images(rows, seed)) if with_images else None
        write_clip(folder, f"toy_{seed}", mel=mel, coefficients=rows, speaker="toy", source="drawn", jpegs=jpegs)
    return folder
