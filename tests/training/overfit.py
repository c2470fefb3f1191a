"""A clip of the demo's voice to over-fit to, and ExpNet and PoseVAE trained on it: what test_overfit starts from."""

from __future__ import annotations

import wave
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sadtalker_core.audio.speech import encode_speech
from sadtalker_core.motion.visemes import SPEECH_BLENDSHAPES, blendshape_indices
from sadtalker_core.timeline import SAMPLE_RATE_HZ
from sadtalker_core.training import expnet, posevae
from sadtalker_core.training.clips import Clip
from sadtalker_core.training.engine import train
from sadtalker_core.training.export import export, load_base_model
from sadtalker_core.training.faces import MiniFace
from sadtalker_core.training.generated import write_generated
from sadtalker_core.training.run_log import read_log
from sadtalker_core.training.trainer import Run
from sadtalker_core.training.voices import speech_set

#: of the demo's voice: where it speaks
FIRST_SECOND, SECONDS = 0.4, 1.6


@dataclass(frozen=True)
class Learnt:
    """clip: what was learnt;  file: mini with the trained networks;  first, last: {loss: its mean in the first and the
    last line of the log}, of each network
    """

    clip: Clip
    file: Path
    first: dict[str, dict[str, float]]
    last: dict[str, dict[str, float]]


def learn(folder: Path, voice: Path) -> Learnt:
    """Both networks, one after the other; the second export starts from the first."""
    short = write_wave(folder / "short.wav", voice)
    (clip,) = write_generated(folder / "clips", [spoken(short)], seed=1)
    base = load_base_model("mini")

    training = replace(expnet.MINI_TRAINING, rate=8e-3, blinks=0.25)
    net = expnet.new_net(training.net, expnet.audio_encoder_of(base, training.net), seed=0)
    run = Run(folder / "expnet", steps=200, batch=4, report_every=10, accelerator="cpu", devices=1)
    train(expnet.ExpNetTrainer([clip], net, training, face=MiniFace()), run)
    half = export(folder / "half.safetensors", base, {"expnet": net})

    # with the published weight of the divergence the latent says nothing: any draw gives the motion that was seen
    training_ = replace(posevae.MINI_TRAINING, rate=6e-3, divergence=1.0)
    pose_net = posevae.new_net(training_.net, base.nets["posevae"].audio, posevae.spreads_of([clip], 32), seed=0)
    run_ = Run(folder / "posevae", steps=160, batch=8, report_every=10, accelerator="cpu", devices=1)
    train(posevae.PoseVAETrainer([clip], pose_net, training_), run_)
    file = export(folder / "whole.safetensors", load_base_model(str(half)), {"posevae": pose_net})

    logs = {"expnet": read_log(run.folder), "posevae": read_log(run_.folder)}
    return Learnt(
        clip, file, {name: log[0] for name, log in logs.items()}, {name: log[-1] for name, log in logs.items()}
    )


def spoken(short: Path) -> speech_set.SpeechClip:
    """A mouth made up for the voice: the jaw opens where it is loud, the lips round and spread with its colour."""
    speech = encode_speech(read_wave(short), SAMPLE_RATE_HZ)
    embedded_clips = torch.stack([window[0] for window in speech.windows()]).mean(dim=2)  # (T, 80)
    units = np.zeros((speech.n_frames, len(SPEECH_BLENDSHAPES)))
    columns = {unit: column for column, unit in enumerate(SPEECH_BLENDSHAPES)}
    for name, low, high in (("jawOpen", 0, 80), ("mouthPucker", 0, 30), ("mouthStretch", 40, 80)):
        loud = ((embedded_clips[:, low:high].mean(dim=1) + 4) / 5).clamp(0, 1)
        for unit in blendshape_indices(name):
            units[:, columns[unit]] = loud.square()
    return speech_set.SpeechClip(speech.mel.numpy(), units, "the demo's voice")


def write_wave(file: Path, voice: Path) -> Path:
    import av

    resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE_HZ)
    parts = [part.to_ndarray() for frame in av.open(str(voice)).decode(audio=0) for part in resampler.resample(frame)]
    first, length = int(FIRST_SECOND * SAMPLE_RATE_HZ), int(SECONDS * SAMPLE_RATE_HZ)
    samples = np.concatenate(parts, axis=1)[0, first : first + length].astype("<i2")
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE_HZ)
        out.writeframes(samples.tobytes())
    return file


def read_wave(file: Path) -> Tensor:
    with wave.open(str(file), "rb") as read:
        return torch.from_numpy(np.frombuffer(read.readframes(read.getnframes()), "<i2").astype(np.float32) / 32768)


def agreement(predicted: Tensor, wanted: Tensor) -> float:
    """r of two tracks (T, n) whose numbers are each counted in the spread that they should have."""
    spread = wanted.std(dim=0)
    a, b = (((track - track.mean(dim=0)) / spread).flatten().numpy() for track in (predicted, wanted))
    return float(np.corrcoef(a, b)[0, 1])
