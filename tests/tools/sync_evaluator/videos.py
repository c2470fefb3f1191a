"""Videos to be evaluated: read from files, or made with the built-in model, as it is and with a jaw that is loudness
alone.

Frames are (T, H, W, 3) uint8 at 25 fps, sounds (n,) float32 at 16 kHz in -1..1.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sadtalker_core import pipeline
from sadtalker_core.audio.resample import resampled
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import Expression, FaceCoefficients, Portrait
from sadtalker_core.media import read_audio
from sadtalker_core.model import SadTalkerModel
from sadtalker_core.motion.spoken import kept_share
from sadtalker_core.motion.visemes import GESTURE_BLENDSHAPES, SHAPES, SPEECH_BLENDSHAPES, blendshape_indices
from sadtalker_core.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ
from tests.decoded import decoded

from .shapes import loudness

JAW = BLENDSHAPE_INDEX["jawOpen"]


class Video(NamedTuple):
    """Frames and the sound that belongs to them."""

    frames: np.ndarray
    sound: np.ndarray


def read_video(file: Path) -> Video:
    """A video of any rate and size that ffmpeg reads; its first audio track, mixed to mono. Raises OSError."""
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist")
    frames = decoded(file, FRAMES_PER_SECOND).frames
    waveform, rate_hz = read_audio(file)
    return Video(frames, torch.cat(list(resampled([waveform.mean(0)], rate_hz))).numpy())


def make_videos(model: SadTalkerModel, image: np.ndarray, sound: np.ndarray, seed: int = 0) -> tuple[Video, Video]:
    """A portrait (H, W, 3) uint8 says the sound: as the model does it, and with the jaw that is loudness alone."""
    portrait = Portrait(torch.from_numpy(image.copy()).float() / 255)
    portrait, source = pipeline.extract(model, portrait)
    speech = pipeline.encode_audio(torch.from_numpy(np.asarray(sound, np.float32))[None], SAMPLE_RATE_HZ)
    predicted = pipeline.predict_expression(model, speech, source, seed=seed)
    pose = pipeline.predict_head_pose(model, speech, source, seed=seed)
    videos = []
    for expression in (predicted, loudness_jaw(predicted, source, sound)):
        motion = pipeline.coefficients_to_motion(model, source, expression, pose)
        frames = [
            (batch.clamp(0, 1) * 255).round().byte() for batch in pipeline.render(model, portrait, motion).batches()
        ]
        videos.append(Video(torch.cat(frames).permute(0, 2, 3, 1).numpy(), sound))
    return videos[0], videos[1]


def loudness_jaw(predicted: Expression, source: FaceCoefficients, sound: np.ndarray) -> Expression:
    """The same blinks, and a mouth that opens when it is loud, its lips parted as in an A: as far and with as much
    spread as the model's jaw.
    """
    rows, own = predicted.coefficients.clone(), predicted.coefficients[:, JAW]
    rows[:, list(SPEECH_BLENDSHAPES)] = (source.expression[0] * kept_share())[list(SPEECH_BLENDSHAPES)]
    track = torch.from_numpy(loudness(sound, len(rows))).float()
    jaw = ((track - track.mean()) / track.std().clamp(min=1e-6) * own.std() + own.mean()).clamp(0, 1)
    for gesture in ("jaw", "lower", "upper"):
        for name, amount in GESTURE_BLENDSHAPES[gesture].items():
            share = amount * SHAPES["ah"][gesture] / SHAPES["ah"]["jaw"]
            rows[:, blendshape_indices(name)] = (share * jaw)[:, None]
    return replace(predicted, coefficients=rows)
