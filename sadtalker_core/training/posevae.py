"""Trains PoseVAE on clips: the movement of a head from its first pose in speech, in the style of a speaker.

    python -m sadtalker_core.training.posevae --data clips --out runs/posevae --config mini \
        --export posevae.safetensors

The network is a variational autoencoder over 32 frames, given the first pose, the style (one of 46, a speaker each) and
the voice. Its losses, with the published weights 1, 1 and 0.7:

    reconstruction   squared error of the motion, the difference to the first pose
    divergence       Kullback-Leibler, of the latent from N(0, 1): summed over the latent, mean over the batch
    adversarial      what the sequence discriminator, which learns at every second step, makes of the motion

The log-variance has a layer of its own. The released encoder took it from the layer of the means, a slip without
effect on inference, which uses the decoder alone; a released network that is trained on here is set right (--init-from
base). The audio encoder is frozen, so each clip is embedded once: it is the base's where the widths agree, or a Wav2Lip
file's.

Letters: `B` blocks, `L` = 32 frames, `E` the audio embedding.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from ..coefficients import POSE
from ..compose.plot import plot_motion
from ..datatypes import HeadPose
from ..errors import OptionError
from ..motion.audio_encoder import AudioEncoder, AudioEncoderConfig, FoldedAudioEncoder
from ..motion.pose import run_posevae
from ..motion.posevae import PoseVAE, PoseVAEConfig
from .clips import Clip, Spans, read_clips
from .engine import seeded, step_generator
from .export import BASE, add_end_options, ends_of
from .faces import known_face
from .finish import train_and_export
from .held_out import run_split
from .matched_prior import matched_prior
from .measures import HELD_OUT_ERROR, SEED_SPREAD, collapse_remark, drawn_error, ratio, seed_spread
from .run_options import add_run_options, command, run_of, training_parser
from .sequence_discriminator import SequenceDiscriminator, SequenceDiscriminatorConfig
from .track_videos import TrackVideos, sample_clip
from .trainer import SampleVideo, StepContext, Trainer
from .wav2lip import read_wav2lip_audio_encoder


@dataclass(frozen=True)
class PoseVAETraining:
    """The settings of the training.

    network, discriminator: their widths;  batch: blocks per step;  rate, discriminator_rate: of Adam;  betas: of both
    reconstruction, divergence, adversarial: the weights of the losses
    discriminator_every: steps between two of the discriminator
    in_spreads: whether the motion is measured in the spread that each of its six numbers has in the clips, for the
                squared error and for the discriminator. As published it is not, and a latent that costs 1 to save a
                thousandth of a square radian has no effect: the voice and the style then make the whole motion.
    """

    net: PoseVAEConfig = PoseVAEConfig()
    discriminator: SequenceDiscriminatorConfig = SequenceDiscriminatorConfig()
    batch: int = 64
    rate: float = 1e-4
    discriminator_rate: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    reconstruction: float = 1.0
    divergence: float = 1.0
    adversarial: float = 0.7
    discriminator_every: int = 2
    in_spreads: bool = False


PUBLISHED = PoseVAETraining()
#: for a processor: narrow, with a latent that is worth its cost, and an adversary that only polishes
MINI_TRAINING = PoseVAETraining(
    net=PoseVAEConfig(audio=AudioEncoderConfig(width=8), unet_widths=(4, 8, 16, 32)),
    discriminator=SequenceDiscriminatorConfig(width=32),
    batch=32,
    rate=2e-3,
    divergence=1e-3,
    adversarial=0.02,
    in_spreads=True,
)
TRAININGS = {"published": PUBLISHED, "mini": MINI_TRAINING}
#: what is validated: held-out blocks, draws for each of them, and speakers whose spread is measured
VALIDATION_BLOCKS, VALIDATION_DRAWS, VALIDATION_SPEAKERS = 48, 4, 8
#: blocks by which latents are matched
MATCHED_BLOCKS = 256


@dataclass(frozen=True, eq=False)
class Blocks:
    """B blocks cut out of clips.

    motion (B, L, 6) relative to reference (B, 6), the pose of the frame before, or from each frame to the next where
    the network makes changes; audio (B, L, E); style (B,) long
    """

    motion: Tensor
    reference: Tensor
    audio: Tensor
    style: Tensor


class PoseVAETrainer(Trainer):
    """The step and the losses of PoseVAE's training, with its discriminator."""

    def __init__(
        self,
        clips: Sequence[Clip],
        net: PoseVAE,
        training: PoseVAETraining = PUBLISHED,
        seed: int = 0,
        *,
        held_out: Sequence[Clip] = (),
        videos: TrackVideos | None = None,
        matched: bool = False,
    ):
        """net: pretrained or not, with a trained audio encoder;  clips: of 33 frames at least, see `read_blocks`
        held_out: clips to validate with, of the same speakers;  videos: writes sample videos, or None for none
        matched: whether it is validated and exported with its latents matched, see matched_prior.py; what a
                 pretrained network makes of a seed should stay
        """
        self.matched = matched and not net.config.changes
        self.clips, self.training = clips, training
        self.styles = style_numbers(clips, net.config.styles)
        self.length = net.config.frames
        self.spans = Spans(clips, 1 + self.length)
        self.embeddings: dict[Clip, Tensor] = {}
        self.spreads = spreads_of(clips, self.length, net.config.changes) if training.in_spreads else torch.ones(POSE)
        self.net = net
        self.net.requires_grad_(True).audio.requires_grad_(False)
        with seeded(seed):
            self.discriminator = SequenceDiscriminator(training.discriminator)
        self.nets = {"posevae": self.net, "discriminator": self.discriminator}
        learning = [p for p in self.net.parameters() if p.requires_grad]
        judging = self.discriminator.parameters()
        self.optimizers = {
            "posevae": torch.optim.Adam(learning, training.rate, training.betas),
            "discriminator": torch.optim.Adam(judging, training.discriminator_rate, training.betas),
        }
        self.settings = {"training": asdict(replace(training, net=net.config)), "styles": self.styles}
        self.held_out = [clip for clip in held_out if clip.speaker in self.styles and clip.n_frames > self.length]
        self.videos, self.sample = videos, sample_clip([*self.held_out] or [*clips])
        self.validation_metric = HELD_OUT_ERROR if self.held_out else ""
        #: of where the head is, whatever the network predicts, so that figures of all networks can be compared
        self.away = spreads_of(clips, self.length)

    def step(self, context: StepContext) -> dict[str, Tensor]:
        self.net.audio.eval()
        blocks = self._blocks(self.spans.draw(context.batch, context.generator), context.device)
        noise = torch.randn(context.batch, self.net.config.latent, generator=context.generator).to(context.device)
        mean, logvar = self.net.encoder(blocks.motion, blocks.audio, blocks.reference, blocks.style)
        latent = mean + torch.exp(0.5 * logvar) * noise
        rebuilt = self.net.decode(latent, blocks.audio, blocks.reference, blocks.style)
        spreads = self.spreads.to(context.device)
        real, made = blocks.motion / spreads, rebuilt / spreads
        losses = {
            "reconstruction": mse_loss(made, real),
            "divergence": divergence(mean, logvar),
            "adversarial": adversarial_loss(self.discriminator(made), real=True),
        }
        context.backward_and_step("posevae", sum(getattr(self.training, name) * loss for name, loss in losses.items()))
        if context.index % self.training.discriminator_every == 0:
            of_real, of_made = self.discriminator(real), self.discriminator(made.detach())
            losses["discriminator"] = adversarial_loss(of_real, real=True) + adversarial_loss(of_made, real=False)
            context.backward_and_step("discriminator", losses["discriminator"])
        return losses

    @contextmanager
    def in_final_form(self) -> Iterator[None]:
        """Inside, latents are matched, unless they have meanings that should stay."""
        if not self.matched:
            yield
            return
        blocks = self._blocks(self.spans.spread(MATCHED_BLOCKS), next(self.net.parameters()).device)
        with matched_prior(self.net, *self.net.encoder(blocks.motion, blocks.audio, blocks.reference, blocks.style)):
            yield

    def validate(self) -> dict[str, float]:
        """The distance of draws from held-out motion, and from one another; see measures.py."""
        device = next(self.net.parameters()).device
        places = Spans(self.held_out, 1 + self.length).spread(VALIDATION_BLOCKS)
        blocks = self._blocks(places, device)
        condition = (blocks.audio, blocks.reference, blocks.style)
        noise = torch.randn(VALIDATION_DRAWS, len(places), self.net.config.latent, generator=step_generator(0, 0))
        noise = noise.to(device)
        mean, _ = self.net.encoder(blocks.motion, *condition)
        away = self.away.to(device)
        recorded, rebuilt = (
            self._displacement(motion) / away for motion in (blocks.motion, self.net.decode(mean, *condition))
        )
        draws = torch.stack([self._displacement(self.net.decode(latent, *condition)) / away for latent in noise])
        figures = {
            HELD_OUT_ERROR: ratio(*drawn_error(draws, recorded)),
            "held-out reconstruction": ratio(mse_loss(rebuilt, recorded), recorded.square().mean()),
            SEED_SPREAD: seed_spread(draws, recorded),
        }
        return figures | self._spreads_by_speaker(places, draws * away, recorded * away)

    def _spreads_by_speaker(
        self, places: Sequence[tuple[Clip, int]], draws: Tensor, recorded: Tensor
    ) -> dict[str, float]:
        """Root mean square of the angles relative to the first frame of a block, in degrees: drawn, and recorded."""
        figures = {}
        for speaker in sorted(self.styles)[:VALIDATION_SPEAKERS]:
            of_speaker = [i for i, (clip, _) in enumerate(places) if clip.speaker == speaker]
            if of_speaker:
                for word, motion in (("drawn", draws[:, of_speaker]), ("seen", recorded[of_speaker])):
                    degrees = torch.rad2deg(motion[..., :3].square().mean().sqrt())
                    figures[f"degrees {word}, {speaker}"] = float(degrees)
        return figures

    def remarks(self, figures: Mapping[str, float]) -> list[str]:
        return collapse_remark(figures)

    def sample_video(self, folder: Path, step: int) -> SampleVideo | None:
        """The drawn head motion of the held-out clip, with the recorded expression."""
        if self.videos is None or self.sample is None:
            return None
        rows, style = self.sample.coefficients(), self.styles[self.sample.speaker]
        pose = run_posevae(self.net, self.sample.speech(), rows, style, generator=step_generator(0, 0))
        return self.videos.write(folder, step, self.sample, pose=pose.coefficients)

    def _displacement(self, motion: Tensor) -> Tensor:
        """(B, L, 6) from where the block begins"""
        return motion.cumsum(dim=1) if self.net.config.changes else motion

    def samples(self) -> dict[str, Tensor]:
        """The first clip's first block: as it is, rebuilt, and drawn anew."""
        device = next(self.net.parameters()).device
        blocks = self._blocks([(self.clips[0], 0)], device)
        conditions = (blocks.audio, blocks.reference, blocks.style)
        rebuilt = self.net.decode(self.net.encoder(blocks.motion, *conditions)[0], *conditions)
        drawn = self.net.decode(torch.zeros(1, self.net.config.latent, device=device), *conditions)
        parts = {"target": blocks.motion, "rebuilt": rebuilt, "drawn at 0": drawn}
        family = self.clips[0].family
        if self.net.config.changes:
            parts = {name: changes.cumsum(dim=1) for name, changes in parts.items()}
        images = {
            name: plot_motion(pose=HeadPose((motion + blocks.reference[:, None])[0].float().cpu(), family), height=320)
            for name, motion in parts.items()
        }
        return {name: image.permute(2, 0, 1) for name, image in images.items()}

    def _blocks(self, places: Sequence[tuple[Clip, int]], device: torch.device) -> Blocks:
        """(clip, frame of the reference) of each."""
        poses = torch.stack([clip.coefficients(start, start + 1 + self.length).pose for clip, start in places])
        audio = torch.stack([self._embed(clip, device)[start + 1 : start + 1 + self.length] for clip, start in places])
        style = torch.tensor([self.styles[clip.speaker] for clip, _ in places])
        motion = poses.diff(dim=1) if self.net.config.changes else poses[:, 1:] - poses[:, :1]
        return Blocks(*(part.to(device) for part in (motion, poses[:, 0], audio, style)))

    def _embed(self, clip: Clip, device: torch.device) -> Tensor:
        """(T, E) on the CPU, kept, as the audio encoder does not change: 51 KB per second at the published width."""
        if clip not in self.embeddings:
            embed_audio = FoldedAudioEncoder(self.net.audio)
            windows = clip.speech().windows().split(64)
            self.embeddings[clip] = torch.cat([embed_audio(part.to(device)).float().cpu() for part in windows])
        return self.embeddings[clip]


def divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """Of N(mean, exp(logvar)) (B, Z) from N(0, 1): summed over Z, mean over B."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(dim=1).mean()


def adversarial_loss(logits: Tensor, *, real: bool) -> Tensor:
    """Binary cross-entropy of a discriminator's logits against real, or against generated."""
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def read_blocks(folder: Path, family: str, frames: int = PUBLISHED.net.frames) -> list[Clip]:
    """The clips of a folder that hold a block and the frame before it. Raises what `read_clips` raises."""
    return read_clips(folder, family=family, shortest=frames + 1)


def style_numbers(clips: Sequence[Clip], styles: int) -> dict[str, int]:
    """{speaker: style}, in the order of their names; where there are more speakers than styles, some share one."""
    speakers = sorted({clip.speaker for clip in clips})
    if len(speakers) > styles:
        logging.warning("%d speakers share %d styles.", len(speakers), styles)
    return {speaker: number % styles for number, speaker in enumerate(speakers)}


def spreads_of(clips: Sequence[Clip], length: int, changes: bool = False) -> Tensor:
    """(6,) how much each number of a pose strays from that of a block's first frame, never 0.

    changes: or from that of the frame before
    """
    strays = []
    for clip in clips[:500]:
        pose = clip.coefficients().pose
        strays += [pose.diff(dim=0)] if changes else [block - block[:1] for block in pose.split(length)]
    return torch.cat(strays).square().mean(dim=0).sqrt().clamp_min(1e-4)


def new_net(config: PoseVAEConfig, audio_encoder: AudioEncoder, spreads: Tensor, seed: int) -> PoseVAE:
    """Randomly initialised but for the audio encoder, and for where heads are: the decoder ends in a sigmoid, whose
    0..1 begins as six spreads around the reference.
    """
    if audio_encoder.config != config.audio:
        raise OptionError(
            f"expected an audio encoder of width {config.audio.width} for this network, got one of "
            f"{audio_encoder.config.width}. Give --wav2lip FILE (width 32), or a --base and a --config "
            "of one width: mini and mini, or 'SadTalker 256' and published."
        )
    with seeded(seed):
        net = PoseVAE(config)
    net.audio.load_state_dict(audio_encoder.state_dict())
    with torch.no_grad():
        net.decoder.pose.weight.copy_(torch.diag(6 * spreads))
        net.decoder.pose.bias.copy_(-3 * spreads)
    return net


def pretrained_net(net: nn.Module) -> PoseVAE:
    """A copy of a model's network to go on from, with the log-variance from its own layer."""
    assert isinstance(net, PoseVAE)
    copy = PoseVAE(replace(net.config, logvar_from_means=False))
    copy.load_state_dict(net.state_dict())
    return copy


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = training_parser(__doc__, TRAININGS, "mini")
    parser.add_argument("--wav2lip", type=Path, metavar="FILE", help="take the audio encoder from a Wav2Lip checkpoint")
    add_end_options(parser)
    add_run_options(parser, out="runs/posevae", steps=3000)
    options = parser.parse_args(arguments)
    training = TRAININGS[options.config]
    run, ends = run_of(options, training.batch), ends_of(options)
    base = ends.load_base()
    clips = read_blocks(options.data, base.family.name, training.net.frames)
    split = run_split(options, clips, training.net.frames + 1, by_speaker=True)
    if ends.init_from == BASE:
        net = pretrained_net(base.nets["posevae"])
    else:
        audio_encoder = read_wav2lip_audio_encoder(options.wav2lip) if options.wav2lip else base.nets["posevae"].audio
        spreads = spreads_of(split.learnt, training.net.frames)
        net = new_net(training.net, audio_encoder, spreads, run.seed)  # type: ignore[arg-type]
    trainer = PoseVAETrainer(
        split.learnt,
        net,
        training,
        run.seed,
        held_out=split.held_out,
        videos=TrackVideos(base, known_face(base.family.name)),
        matched=ends.init_from != BASE,
    )
    train_and_export(trainer, run, ends, base, {"posevae": net}, split, styles=trainer.styles)


if __name__ == "__main__":
    command(main)
