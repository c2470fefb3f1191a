"""A drawn head that turns and talks, as a folder of clips: enough of a face for the renderer's training to find."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sadtalker_core.canonical_face import rotation_of_angles
from sadtalker_core.datatypes import RELEASED, CropMode, FaceCoefficients
from sadtalker_core.timeline import mel_steps_in_samples, samples_in_frames
from sadtalker_core.training.clips import write_clip
from sadtalker_core.training.renderer import head_degrees

SIDE = 32
#: where things lie on the head (x right, y down, z away), how large they are, and their colours
EYES, NOSE, MOUTH = ((-0.4, -0.25, -0.85), (0.4, -0.25, -0.85)), (0.0, 0.1, -1.1), (0.0, 0.5, -0.85)
SKIN, HAIR, LIPS = (0.85, 0.66, 0.55), (0.25, 0.16, 0.1), (0.7, 0.2, 0.2)
WHITE, DARK = (0.95, 0.95, 0.95), (0.1, 0.1, 0.2)


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
    return np.stack([_drawn(rows, t, seed) for t in range(len(rows))])


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
        jpegs = map(_jpeg, images(rows, seed)) if with_images else None
        write_clip(folder, f"toy_{seed}", mel=mel, coefficients=rows, speaker="toy", source="drawn", jpegs=jpegs)
    return folder


def _drawn(rows: FaceCoefficients, t: int, seed: int) -> np.ndarray:
    turn = rotation_of_angles(torch.deg2rad(head_degrees(rows))[t]).double().numpy()
    mouth = float(rows.expression[t, 0])
    y, x = np.mgrid[:SIDE, :SIDE] / (SIDE - 1) * 2 - 1
    tint = np.random.default_rng(seed).uniform(0.2, 0.6, 3)
    image = tint * (0.7 + 0.3 * np.sin(5 * x + 3 * y))[..., None]

    def spot(place, width, height, colour):
        at = 0.6 * (turn @ np.array(place))
        inside = 1 - np.hypot((x - at[0]) / width, (y - at[1]) / height)
        weight = 1 / (1 + np.exp(-inside * min(width, height) * 40))
        return weight[..., None] * np.array(colour) + (1 - weight[..., None]) * image

    image = spot((0.0, -0.3, 0.3), 0.62, 0.66, HAIR)
    image = spot((0.0, 0.05, -0.1), 0.5, 0.64, SKIN)
    for eye in EYES:
        image = spot(eye, 0.13, 0.08, WHITE)
        image = spot((eye[0], eye[1], eye[2] - 0.05), 0.05, 0.06, DARK)
    image = spot(NOSE, 0.06, 0.1, (0.75, 0.5, 0.42))
    image = spot(MOUTH, 0.2, 0.05 + 0.1 * mouth, LIPS)
    if mouth > 0.05:
        image = spot(MOUTH, 0.14, 0.1 * mouth, DARK)
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def _jpeg(image: np.ndarray) -> bytes:
    code = io.BytesIO()
    Image.fromarray(image).save(code, "JPEG", quality=95)
    return code.getvalue()
