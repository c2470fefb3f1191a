"""The four trainers that follow the method, as narrow as they can be, on clips of their own:

    python -m tests.training.four_trainers FOLDER      each for some steps, in two processes that share the work

Beside a run's folder each process writes what its networks ended as, as NAME.rank<number>.pt.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from sadtalker_core.coefficients import MOTION_ROW
from sadtalker_core.motion.audio_encoder import AudioEncoder, AudioEncoderConfig
from sadtalker_core.motion.expnet import ExpNetConfig
from sadtalker_core.motion.posevae import PoseVAEConfig
from sadtalker_core.training import expnet, mapping, posevae, renderer
from sadtalker_core.training.clips import read_clips
from sadtalker_core.training.engine import seeded, train
from sadtalker_core.training.faces import MiniFace
from sadtalker_core.training.perceptual import substitute_vgg
from sadtalker_core.training.sequence_discriminator import SequenceDiscriminatorConfig
from sadtalker_core.training.trainer import Run, Trainer
from tests.training import narrow_model, toy_clips, toy_voices

NAMES = ("expnet", "posevae", "renderer", "mapping")
AUDIO_ENCODER = AudioEncoderConfig(width=2)
STEPS = 4


def write_clips(folder: Path) -> Path:
    toy_voices.write_voices(folder / "voices", n_frames=40)
    toy_clips.write(folder / "pictures", n_frames=8)
    return folder


def trainer_of(name: str, clips: Path, steps: int = STEPS) -> Trainer:
    """clips: the folder of `write_clips`."""
    voices, images = read_clips(clips / "voices"), read_clips(clips / "pictures")
    vgg = substitute_vgg(narrow_model.VGG)
    if name == "expnet":
        training = replace(expnet.MINI_TRAINING, net=ExpNetConfig(AUDIO_ENCODER), frames=6)
        return expnet.ExpNetTrainer(voices, expnet.new_net(training.net, None, 0), training, face=MiniFace())
    if name == "posevae":
        training = replace(
            posevae.MINI_TRAINING, net=PoseVAEConfig(audio=AUDIO_ENCODER, unet_widths=(2, 2, 4, 4), latent=5)
        )
        training = replace(training, discriminator=SequenceDiscriminatorConfig(width=4))
        with seeded(0):
            audio_encoder = AudioEncoder(AUDIO_ENCODER).eval()
        return posevae.PoseVAETrainer(voices, posevae.new_net(training.net, audio_encoder, torch.ones(6), 0), training)
    nets = renderer.new_nets(narrow_model.RENDERER, seed=0)
    if name == "renderer":
        return renderer.RendererTrainer(images, nets, vgg, steps, narrow_model.RENDERER)
    net = mapping.new_net(narrow_model.MAPPING.hidden, MOTION_ROW, 3 * narrow_model.N_KEYPOINTS, seed=0)
    return mapping.MappingTrainer(images, net, nets, vgg, steps, narrow_model.MAPPING)


def run_of(folder: Path, **how) -> Run:
    return Run(
        folder, STEPS, **{"batch": 2, "save_every": 2, "report_every": 1, "accelerator": "cpu", "devices": 1, **how}
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=Path, required=True)
    options = parser.parse_args()
    for name in NAMES:
        trainer = trainer_of(name, options.clips)
        train(trainer, run_of(options.folder / name, devices=2, strategy="ddp"))
        rank = torch.distributed.get_rank()
        state = {net: module.state_dict() for net, module in trainer.nets.items()}
        torch.save(state, options.folder / f"{name}.rank{rank}.pt")


if __name__ == "__main__":
    main()
