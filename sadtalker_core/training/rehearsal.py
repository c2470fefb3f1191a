"""All four trainings of the method, one after the other, on drawn speakers and without any weights: a rehearsal.

    python -m sadtalker_core.training.rehearsal --work runs/rehearsal
    python -m sadtalker_core.training.rehearsal --work runs/rehearsal --device cuda

It makes four speakers (a drawn head, synthetic speech whose loudness opens the mouth, a manner of moving each), and a
model of the released family with few channels and random weights. PoseVAE, ExpNet, the renderer and
MappingNet are then trained by the programs that a user starts, each from the file that the one before exported. In the
end that file animates a drawn portrait. It takes some minutes of one core, can be stopped and resumed, and reports
of each training whether the held-out error improved; the exit status is 1 where one did not.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..audio.speech import encode_speech
from ..checkpoint.reading import Metadata
from ..checkpoint.writing import write_checkpoint
from ..coefficients import CROP_ROW
from ..datatypes import (
    RELEASED,
    Box,
    CropMode,
    Expression,
    FaceCoefficients,
    FaceCrop,
    HeadPose,
    Portrait,
)
from ..face.recon import FaceReconConfig, FaceReconNet
from ..families import FAMILIES
from ..motion.audio_encoder import AudioEncoderConfig
from ..motion.expnet import ExpNet, ExpNetConfig
from ..motion.posevae import PoseVAE, PoseVAEConfig
from ..pipeline import coefficients_to_motion, predict_expression, predict_head_pose, render
from ..render.mapping import MappingConfig, MappingNet
from ..timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, samples_in_frames
from . import expnet, mapping, posevae, renderer
from .clips import read_clips, write_clip
from .drawn_head import draw_heads, jpeg_of
from .engine import seeded
from .export import load_base_model
from .measures import HELD_OUT_ERROR
from .prepare import require_device
from .report import best_of, validations
from .run_log import read_log
from .run_options import command
from .track_videos import write_sample_video

SIDE, SPEAKERS, N_FRAMES = 32, 4, 150
#: radians of pitch, yaw and roll, and how much of the first two follows the speech, of each speaker
MANNERS = (((0.10, 0.03, 0.02), 0.9), ((0.02, 0.25, 0.03), 0.9), ((0.05, 0.10, 0.08), 0.2), ((0.02, 0.04, 0.02), 0.0))
#: steps of each program; of the renderer, after which motion begins to show
STEPS = {"posevae": 300, "expnet": 200, "renderer": 1500, "mapping": 400}


def voice(n_frames: int, seed: int) -> tuple[Tensor, Tensor]:
    """Meaningless syllables -> (n,) at 16 kHz, and (T,) how loud each frame is, 0 to 1."""
    draw = np.random.default_rng(seed)
    loud = np.zeros(n_frames)
    at = 3
    while at < n_frames:
        length = int(draw.integers(4, 9))
        stop = min(at + length, n_frames)
        loud[at:stop] = draw.uniform(0.4, 1.0) * np.sin(np.pi * (np.arange(stop - at) + 0.5) / length)
        at = stop + (int(draw.integers(8, 16)) if draw.random() < 0.2 else int(draw.integers(0, 3)))
    n_samples = samples_in_frames(n_frames)
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    pitch = draw.uniform(100, 220)
    tone = sum(np.sin(2 * np.pi * pitch * k * time_s) / k for k in range(1, 20))
    envelope = np.interp(time_s * FRAMES_PER_SECOND, np.arange(n_frames) + 0.5, loud)
    return torch.from_numpy(0.2 * envelope * tone).float(), torch.from_numpy(loud).float()


def coefficients(loud: Tensor, manner: tuple[tuple[float, float, float], float], seed: int) -> FaceCoefficients:
    """The mouth opens by the loudness, the head sways and follows the speech in the speaker's manner."""
    draw, n_frames = np.random.default_rng(seed), len(loud)
    seconds = np.arange(n_frames) / FRAMES_PER_SECOND
    reach, follows = manner
    sway = np.sin(2 * np.pi * seconds[:, None] * (0.55, 0.4, 0.7) + draw.uniform(0, 6, 3))
    spoken = np.stack([loud.numpy(), loud.numpy() * np.sin(2 * np.pi * 0.8 * seconds), np.zeros(n_frames)], axis=1)
    angles = np.array(reach) * ((1 - follows) * sway + follows * 2 * spoken + 0.2 * sway)
    rows = torch.zeros(n_frames, 257)
    rows[:, 80] = loud
    rows[:, 224:227] = torch.from_numpy(angles).float()
    crop = torch.tensor([[50.0, SIDE / 2, SIDE / 2]]).expand(n_frames, 3)
    return FaceCoefficients.from_full_rows(rows, crop, family=RELEASED, crop_mode=CropMode.CROP, pic_size=SIDE)


def write_speakers(folder: Path, n_frames: int = N_FRAMES) -> Path:
    """The clips, unless they are there."""
    if (folder / "clips.jsonl").exists():
        return folder
    for number, manner in enumerate(MANNERS):
        wave, loud = voice(n_frames, number)
        rows = coefficients(loud, manner, number)
        speech = encode_speech(wave[None], SAMPLE_RATE_HZ)
        heads = draw_heads(FAMILIES[RELEASED].head_degrees(rows), loud, SIDE, number)
        write_clip(
            folder,
            f"drawn_{number}",
            mel=speech.mel,
            coefficients=rows,
            speaker=f"drawn {number}",
            source=f"drawn {number}",
            jpegs=map(jpeg_of, heads),
            wave=wave,
        )
    return folder


def narrow_nets(seed: int = 1, audio_width: int = 8) -> dict[str, nn.Module]:
    """The networks of a model of the released family with a handful of channels, randomly initialised."""
    with seeded(seed):
        audio = AudioEncoderConfig(width=audio_width)
        drawing = renderer.new_nets(renderer.REHEARSAL, seed)
        offsets = renderer.REHEARSAL.motion.offsets
        return {
            "face_recon": FaceReconNet(FaceReconConfig(stem=4, blocks=(1,), widths=(4,), expansion=2)),
            "expnet": ExpNet(ExpNetConfig(audio)),
            "posevae": PoseVAE(PoseVAEConfig(audio=audio, unet_widths=(2, 4, 4, 4))),
            "mapping": MappingNet(MappingConfig(hidden=8, offsets=offsets)),
            "mapping_full": MappingNet(MappingConfig(CROP_ROW, hidden=8, offsets=offsets)),
            "keypoint_detector": drawing["keypoint_detector"],
            "generator": drawing["generator"],
        }


def write_narrow_base(path: Path, audio_width: int = 8) -> Path:
    """As a file of ours."""
    made = narrow_nets(audio_width=audio_width)
    metadata = Metadata(RELEASED, "narrow", SIDE, {name: asdict(net.config) for name, net in made.items()})  # type: ignore[call-overload]
    return write_checkpoint(path, {name: net.state_dict() for name, net in made.items()}, metadata)


def rehearse(work: Path, device: str = "cpu", scale: float = 1.0, report: Callable[[str], None] = print) -> bool:
    """Run every training in `work`; returns whether the held-out error of all improved.  scale: of the steps"""
    require_device(device)
    work.mkdir(parents=True, exist_ok=True)
    clips = write_speakers(work / "clips")
    file = write_narrow_base(work / "base.safetensors")
    programs = {
        "posevae": (posevae.main, ["--config", "mini"]),
        "expnet": (expnet.main, ["--config", "mini", "--coefficients-only"]),
        "renderer": (renderer.main, ["--config", "rehearsal"]),
        "mapping": (mapping.main, ["--config", "rehearsal"]),
    }
    well, lines = True, []
    accelerator = torch.device(device).type
    for name, (main, words) in programs.items():
        begun, out, steps = time.monotonic(), work / name, max(2, round(STEPS[name] * scale))
        made = work / f"{name}.safetensors"
        common = ["--data", clips, "--out", out, "--base", file, "--export", made, "--steps", steps, "--devices", 1,
                  "--accelerator", accelerator, "--validate-every", max(1, steps // 10), "--save-every", 100,
                  "--videos-every", steps, "--images-every", max(1, steps // 4), "--patience", 0]  # fmt: skip
        main([*words, *map(str, common)])
        held = validations(read_log(out))
        best = best_of(held)
        better = best[HELD_OUT_ERROR] < held[0][HELD_OUT_ERROR]
        well = well and better
        first, error, seconds = held[0][HELD_OUT_ERROR], best[HELD_OUT_ERROR], time.monotonic() - begun
        lines.append(
            f"{name:10} {steps:5} steps {seconds:6.0f} s  held-out error {first:.3f} -> {error:.3f} at step "
            f"{best['step']}{'' if better else '  NO BETTER'}"
        )
        file = made
    video = _animate(work, file, clips)
    report(
        "\n".join([*lines, f"{video}: the model that was made, on a drawn portrait (right; left: how it was drawn)"])
    )
    return well


def _animate(work: Path, file: Path, clips: Path) -> Path:
    """The video in which the first clip's speech animates its first image, by every network that was trained."""
    model = load_base_model(str(file))
    clip = read_clips(clips)[0]
    rows, speech, real = clip.coefficients(), clip.speech(), clip.images(range(clip.n_frames))
    expression: Expression = predict_expression(model, speech, rows, blink="off")
    pose: HeadPose = predict_head_pose(model, speech, rows, style=0)
    motion = coefficients_to_motion(model, rows, expression, pose)
    crop = FaceCrop(real[0], torch.zeros(68, 2), Box(0, 0, SIDE, SIDE), CropMode.CROP)
    portrait = Portrait(real[0].permute(1, 2, 0), crop=crop)
    drawn = torch.cat([*render(model, portrait, motion).batches()])
    return write_sample_video(work / "videos", 0, real, drawn, speech.wave).file


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/rehearsal"), help="folder; one that is there goes on")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps (cpu)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of steps (1)")
    options = parser.parse_args(arguments)
    if not rehearse(options.work, options.device, options.scale):
        raise SystemExit(1)


if __name__ == "__main__":
    command(main)
