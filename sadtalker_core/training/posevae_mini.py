"""Trains the narrow PoseVAE of the built-in family on the heads of `head_sway`.

    python -m sadtalker_core.training.posevae_mini --speech runs/speech.npz
    python -m sadtalker_core.training.posevae_mini --speech runs/speech.npz --evaluate

Its audio encoder is that of the trained ExpNet mini, and stays as it is, so the embeddings are computed once. The
losses are those of a variational autoencoder (squared error, Kullback-Leibler), and one more: as we made the heads,
we know the numbers each was made of, and the decoder gets them, too. So a latent drawn from N(0, 1) gives a head
as lively as those we made, which a small autoencoder alone does not reach.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..coefficients import EXPRESSION, POSE
from ..datatypes import CropMode, FaceCoefficients, SpeechWindows
from ..families.networks import EXPNET
from ..model import assemble_mini
from ..motion.audio_encoder import AudioEncoder
from ..motion.course import BLOCK, CHANGE
from ..motion.pose import run_posevae
from ..motion.posevae import PoseVAE, PoseVAEConfig
from .engine import seeded, trained
from .expnet_mini import MINI_EXPNET
from .expnet_mini import new_net as new_expnet
from .head_measures import at_seams, centroid_hz, head_range, head_speed, nods_with_loudness, rests
from .head_sway import NUMBERS, STYLES, changes, cues, scale_of
from .mini_trainer import Losses, command_line, learn, read_speech
from .posevae import divergence
from .trainer import StepContext
from .voices.speech_set import SpeechClip

MINI_POSEVAE = PoseVAEConfig(audio=MINI_EXPNET.audio, unet_widths=(4, 8, 16, 32), decoder_hidden=256, changes=True)

STEPS = 3600
BLOCKS_PER_BATCH = 32
#: so many clips are variety enough for heads
CLIPS = 250
#: the encoder, which driving never uses, learns at every fourth step only
ENCODER_EVERY = 4
#: makes the errors comparable
SCALE = torch.tensor(CHANGE)
#: the largest change that the network can make, in spreads
REACH = 5.0
#: weight of where the changes of a block have led, beside the changes themselves
LED = 0.02
#: the noise we allow a reconstruction, in spreads; it sets how strongly the latent is held to N(0, 1)
ALLOWED = 0.25
#: frames of silence, or of the idle mode's zeros, behind a clip; both a multiple of 5, which are whole steps of the mel
PAUSES, IDLE = (0, 5, 10, 20, 40), 50


def new_net(seed: int, audio_encoder: AudioEncoder) -> PoseVAE:
    """A PoseVAE with random weights, whose audio encoder is a frozen copy of `audio_encoder`."""
    with seeded(seed):
        net = PoseVAE(MINI_POSEVAE)
    net.audio.load_state_dict(audio_encoder.state_dict())
    net.audio.requires_grad_(False)
    with torch.no_grad():  # the last sigmoid gives 0..1, and the styles' gain turns spreads into changes of a pose
        net.decoder.pose.weight.copy_(2 * REACH * torch.eye(POSE))
        net.decoder.pose.bias.fill_(-REACH)
        net.decoder.style_bias.mul_(0.3)
        net.encoder.style_bias.mul_(0.3)
        assert net.decoder.steering is not None  # as in the config
        net.decoder.steering.style_gain.copy_(torch.stack([SCALE * scale_of(number) for number in range(STYLES)]))
    net.decoder.steering.style_gain.requires_grad_(False)  # known, as the styles are rules
    return net


def recording(clips: list[SpeechClip], seed: int) -> SpeechWindows:
    """All clips end to end as one recording, with pauses between them, some of which are of the idle mode's zeros."""
    draw = np.random.default_rng(seed)
    pieces = []
    for clip in clips:
        whole = len(clip.units) // 5 * 16
        pieces.append(clip.mel[:whole].astype(np.float32))
        idle = draw.random() < 0.05
        pause = IDLE if idle else int(draw.choice(PAUSES))
        pieces.append(np.full((pause // 5 * 16, pieces[-1].shape[1]), 0.0 if idle else -4.0, np.float32))
    mel = np.concatenate(pieces)
    return SpeechWindows(torch.from_numpy(mel), len(mel) * 5 // 16)


@torch.no_grad()
def embedded(audio_encoder: AudioEncoder, speech: SpeechWindows) -> tuple[Tensor, Tensor]:
    """-> embeddings (T, E) and the cues of the rules (T, 3)."""
    audio_encoder.eval()
    cut = [speech.windows(start, min(start + 256, speech.n_frames)) for start in range(0, speech.n_frames, 256)]
    return torch.cat([audio_encoder(windows) for windows in cut]), cues(speech.mel.numpy(), speech.n_frames)


def losses_of(net: PoseVAE, clips: list[SpeechClip]) -> Losses:
    """The losses of one step, drawn from `clips`."""
    embeddings, voice = embedded(net.audio, recording(clips[:CLIPS], seed=0))

    def errors(made: Tensor, motion: Tensor, gain: Tensor) -> Tensor:
        """Of the changes, and of where they have led, which a slow drift spoils."""
        off = (made - motion) / (SCALE * gain[:, None])
        return off.square().mean() + LED * off.cumsum(dim=1).square().mean()

    def losses(context: StepContext) -> dict[str, Tensor]:
        net.audio.eval()  # its running means are part of what it has learnt
        draw = context.generator
        rows = torch.randint(len(voice) - BLOCK + 1, (BLOCKS_PER_BATCH,), generator=draw)
        frames = rows[:, None] + torch.arange(BLOCK)
        styles = torch.randint(STYLES, (BLOCKS_PER_BATCH,), generator=draw)
        gain = torch.stack([scale_of(int(number)) for number in styles])
        numbers = torch.randn(BLOCKS_PER_BATCH, MINI_POSEVAE.latent, generator=draw)
        motion = changes(numbers[:, :NUMBERS], styles, voice[frames])
        reference = random_pose(BLOCKS_PER_BATCH, draw)
        audio = embeddings[frames]

        parts = {"decoder": errors(net.decoder(numbers, audio, reference, styles), motion, gain)}
        if context.index % ENCODER_EVERY:
            return parts
        mean, logvar = net.encoder(motion, audio, reference, styles)
        noise = torch.randn(mean.shape, generator=draw)
        rebuilt = net.decoder(mean + torch.exp(0.5 * logvar) * noise, audio, reference, styles)
        parts["rebuilt"] = errors(rebuilt, motion, gain)
        parts["divergence"] = 2 * ALLOWED**2 * divergence(mean, logvar) / (BLOCK * POSE)
        return parts

    return losses


MEASURES = (
    *(f"range of {axis}, degrees" for axis in ("pitch", "yaw", "roll")),
    *(f"speed of {axis}, degrees per second" for axis in ("pitch", "yaw", "roll")),
    "centroid, Hz",
    "share of time at rest",
    "distance at seams, relative",
    "pitch by loudness, r",
    "another seed differs by, spreads",
)
LONGEST = 5000  #: frames that are evaluated


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
    """Poses as inference makes them (one course, smoothed) for kept-away voices: see head_measures.py."""
    speech = recording(clips, seed=1)
    speech = replace(speech, n_frames=min(speech.n_frames, LONGEST))
    loudness = 10 * speech.mel.numpy().mean(axis=1)  # of that curve; the wave is not kept
    loudness = loudness[((np.arange(speech.n_frames) + 0.5) * 3.2).astype(int)]
    found: dict[str, float] = {}

    def degrees(number: int, seed: int) -> np.ndarray:
        draw = torch.Generator().manual_seed(seed)
        pose = run_posevae(net, speech, portrait_at(torch.zeros(POSE)), number, generator=draw)
        return torch.rad2deg(pose.coefficients[:, :3]).numpy()

    for number in styles:
        one, other = degrees(number, number), degrees(number, 1000 + number)
        values = [*head_range(one), *head_speed(one), centroid_hz(one), rests(one), at_seams(one)]
        values += [nods_with_loudness(one, loudness), (one - other).std() / one.std()]
        found |= {f"style {number}, {what}": float(value) for what, value in zip(MEASURES, values, strict=True)}
    return found


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = command_line(__doc__, out="runs/posevae_mini", steps=STEPS, evaluate="how heads move")
    parser.add_argument(
        "--expnet",
        type=Path,
        help="folder of the run of expnet_mini, whose audio encoder is used (default: that of mini)",
    )
    options = parser.parse_args(arguments)
    clips, held_out = read_speech(options)
    (built_in,) = assemble_mini().use(EXPNET)
    net = new_net(
        options.seed, (trained(new_expnet(0), options.expnet, "expnet") if options.expnet else built_in).audio
    )
    for name, value in evaluate(learn("posevae", net, losses_of, clips, options, rate=4e-3), held_out).items():
        print(f"{name:48} {value:.3f}")


if __name__ == "__main__":
    main()
