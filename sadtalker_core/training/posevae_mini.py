"""Trains the narrow PoseVAE of the built-in family on the heads of `head_sway`.

    python -m sadtalker_core.training.posevae_mini --speech runs/speech.npz --expnet runs/expnet_mini
    python -m sadtalker_core.training.posevae_mini --speech runs/speech.npz --expnet runs/expnet_mini --evaluate

Its ear is the audio encoder that ExpNet mini has learnt, and stays as it is, so the embeddings are computed once. The
losses are those of a variational autoencoder (squared error, Kullback-Leibler), and one more: as we made the heads,
we know the numbers each was made of, and the decoder is told them, too. So a latent drawn from N(0, 1) gives a head
as lively as those we made, which a small autoencoder alone does not reach.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..coefficients import EXPRESSION, POSE
from ..datatypes import CropMode, FaceCoefficients, SpeechWindows
from ..motion.audio_encoder import AudioEncoder
from ..motion.pose import run_posevae
from ..motion.posevae import PoseVAE, PoseVAEConfig
from .engine import StepContext, seeded, trained
from .expnet_mini import MINI_EXPNET
from .expnet_mini import new_net as new_expnet
from .head_sway import BLOCK, STYLES, SWAY_NUMBERS, sway, voice, voiced
from .mini_trainer import MiniTrainer, train_mini
from .posevae import divergence
from .voices.speech_set import SpeechClip, load

MINI_POSEVAE = PoseVAEConfig(audio=MINI_EXPNET.audio, unet_widths=(4, 8, 16, 32))

BLOCKS_PER_BATCH = 32
#: so many clips are variety enough for heads
CLIPS = 250
#: the encoder, which driving never uses, learns at every fourth step only
ENCODER_EVERY = 4
#: the spread of each axis, which makes the errors comparable
SCALE = torch.tensor([math.radians(2.8), math.radians(3.6), math.radians(2.2), 0.011, 0.010, 0.0085])
#: the noise we allow a reconstruction, in spreads; it sets how strongly the latent is held to N(0, 1)
ALLOWED = 0.25


def new_net(seed: int, audio_encoder: AudioEncoder) -> PoseVAE:
    """A PoseVAE with random weights, whose audio encoder is a frozen copy of the given one."""
    with seeded(seed):
        net = PoseVAE(MINI_POSEVAE)
    net.audio.load_state_dict(audio_encoder.state_dict())
    net.audio.requires_grad_(False)
    with torch.no_grad():  # the last sigmoid gives 0..1; the pose lies within six spreads around 0
        net.decoder.pose.weight.copy_(torch.diag(6 * SCALE))
        net.decoder.pose.bias.copy_(-3 * SCALE)
        net.decoder.style_bias.mul_(0.3)
        net.encoder.style_bias.mul_(0.3)
    return net


@torch.no_grad()
def embedded_clips(audio_encoder: AudioEncoder, clips: list[SpeechClip]) -> tuple[Tensor, Tensor, Tensor]:
    """-> embeddings (N, E), voice (N, 3) degrees of all frames end to end, starts (M,) of blocks that lie in
    one clip.
    """
    audio_encoder.eval()
    embeddings, degrees, starts, offset = [], [], [], 0
    for clip in clips:
        n = len(clip.units)
        embeddings.append(torch.cat([audio_encoder(w) for w in clip.windows().split(256)]))
        degrees.append(torch.from_numpy(voice(clip.mel, n)).float())
        starts.append(offset + torch.arange(max(0, n - BLOCK + 1)))
        offset += n
    return torch.cat(embeddings), torch.cat(degrees), torch.cat(starts)


def losses_of(net: PoseVAE, clips: list[SpeechClip]) -> Callable[[StepContext], dict[str, Tensor]]:
    """The losses of one step, drawn from `clips`."""
    embeddings, degrees, starts = embedded_clips(net.audio, clips[:CLIPS])

    def losses(context: StepContext) -> dict[str, Tensor]:
        net.audio.eval()  # its running means are part of what it has learnt
        draw = context.generator
        rows = starts[torch.randint(len(starts), (BLOCKS_PER_BATCH,), generator=draw)]
        frames = rows[:, None] + torch.arange(BLOCK)
        styles = torch.randint(STYLES, (BLOCKS_PER_BATCH,), generator=draw)
        numbers = torch.randn(BLOCKS_PER_BATCH, MINI_POSEVAE.latent, generator=draw)
        motion = sway(numbers[:, :SWAY_NUMBERS], styles) + voiced(degrees[frames], styles)
        reference = random_pose(BLOCKS_PER_BATCH, draw)
        audio = embeddings[frames]

        told = (net.decoder(numbers, audio, reference, styles) - motion) / SCALE
        parts = {"told": told.square().mean(), "told change": 3 * told.diff(dim=1).square().mean()}
        if context.index % ENCODER_EVERY:
            return parts
        mean, logvar = net.encoder(motion, audio, reference, styles)
        noise = torch.randn(mean.shape, generator=draw)
        rebuilt = (net.decoder(mean + torch.exp(0.5 * logvar) * noise, audio, reference, styles) - motion) / SCALE
        parts["rebuilt"] = rebuilt.square().mean() + 3 * rebuilt.diff(dim=1).square().mean()
        parts["divergence"] = 2 * ALLOWED**2 * divergence(mean, logvar) / (BLOCK * POSE)
        return parts

    return losses


def random_pose(rows: int, draw: torch.Generator) -> Tensor:
    """(rows, 6) poses as portraits have them."""
    spread = torch.tensor([0.15, 0.25, 0.12, 0.15, 0.2, 0.35])
    return torch.randn(rows, POSE, generator=draw) * spread


def portrait_at(pose: Tensor) -> FaceCoefficients:
    """One row at rest in a pose (6,)."""
    zeros = torch.zeros
    return FaceCoefficients(
        identity=zeros(1, 80),
        expression=zeros(1, EXPRESSION),
        texture=zeros(1, 80),
        rotation=pose[None, :3],
        lighting=zeros(1, 27),
        translation=pose[None, 3:],
        crop=zeros(1, 3),
        family="mini",
        crop_mode=CropMode.CROP,
        pic_size=256,
    )


@torch.no_grad()
def evaluate(
    net: PoseVAE, clips: list[SpeechClip], styles: tuple[int, ...] = (0, 1, 5, 14, 23, 32, 41, 45)
) -> dict[str, float]:
    """Poses as inference makes them (blocks, smoothing) for kept-away voices: spread, seams, and how draws differ."""
    mel = np.concatenate([clip.mel[:-1] for clip in clips[:6]]).astype(np.float32)
    n_frames = len(mel) * 5 // 16
    speech = SpeechWindows(torch.from_numpy(mel), n_frames)
    spreads, seams, steps, differ = [], [], [], []
    calm = 0.0
    for number in styles:
        draw = torch.Generator().manual_seed(number)
        one, other = (
            run_posevae(net, speech, portrait_at(torch.zeros(POSE)), number, generator=draw).coefficients
            for _ in range(2)
        )
        degrees = torch.rad2deg(one[:, :3])
        jump = degrees.diff(dim=0).abs().amax(dim=1)
        at_seam = torch.zeros(len(jump), dtype=torch.bool)
        at_seam[BLOCK::BLOCK] = True
        at_seam = at_seam | at_seam.roll(1) | at_seam.roll(-1)
        spreads.append(degrees.std(dim=0))
        seams.append(jump[at_seam].mean() / jump[~at_seam].mean())
        steps.append(jump.max())
        differ.append((degrees - torch.rad2deg(other[:, :3])).std(dim=0).mean() / degrees.std(dim=0).mean())
        calm = float(degrees.std(dim=0).mean()) if number == 0 else calm
    spread = torch.stack(spreads)
    return {
        "pitch spread, degrees": float(spread[:, 0].mean()),
        "yaw spread, degrees": float(spread[:, 1].mean()),
        "roll spread, degrees": float(spread[:, 2].mean()),
        "calm style's spread": calm,
        "liveliest style's spread": float(spread.mean(dim=1).max()),
        "largest step, degrees per frame": float(torch.stack(steps).max()),
        "step at seams over elsewhere": float(torch.stack(seams).mean()),
        "another seed differs by (spreads)": float(torch.stack(differ).mean()),
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="the .npz of voices.speech_set")
    parser.add_argument(
        "--expnet", type=Path, required=True, help="folder of the run of expnet_mini, whose ear is used"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/posevae_mini"), help="folder of the run")
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--evaluate", action="store_true", help="only print how heads move")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    clips = load(options.speech)
    net = new_net(options.seed, trained(new_expnet(0), options.expnet, "expnet").audio)
    if not options.evaluate:
        training = [clip for clip in clips if not clip.held_out]
        trainer = MiniTrainer("posevae", net, losses_of(net, training), options.steps, rate=4e-3)
        train_mini(trainer, options.out, options.seed)
    held_out = [clip for clip in clips if clip.held_out]
    for name, value in evaluate(trained(net, options.out, "posevae"), held_out).items():
        print(f"{name:36} {value:.3f}")


if __name__ == "__main__":
    main()
