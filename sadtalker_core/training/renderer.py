"""Trains the face renderer (stage 1): from one frame of a clip and the motion of another it learns to draw the other.

    python -m sadtalker_core.training.renderer --data clips --out runs/renderer --vgg19 vgg19-dcbb9e9d.pth \
        --base "SadTalker 256" --models FOLDER --export renderer.safetensors

Key points have no labels: face-vid2vid finds them by itself (Wang et al., "One-shot free-view neural
talking-head synthesis", CVPR 2021). One network lays canonical key points into an image, another predicts how the head
of an image is turned, moved and bent, and the generator redraws the first image with its key points at their new
places. The losses, with the weights of the published configuration:

    perceptual        how different the drawn frame looks from the real one, see perceptual.py
    feature matching  the same by the discriminator's features
    adversarial       what the discriminator makes of the drawn frame (hinge)
    equivariance      key points move along when an image is bent
    keypoint prior    key points stay apart, and behind the middle
    head pose         angles as the clip's coefficients have them (the published training asks a Hopenet)
    deformation       offsets are no larger than needed

The new key points are strange to the MappingNet of the base; training.mapping (stage 2) trains it for them.

Letters: `B` pairs of frames, `S` the side of the images, `K` key points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoint.catalog import OLD_RENDERER, RELEASED_MODELS, find, searched
from ..checkpoint.reading import read_tensors
from ..datatypes import FaceCoefficients
from ..errors import CheckpointMismatch, CheckpointMissing, OptionError
from ..families import FAMILIES
from ..families.networks import MOTION_ESTIMATOR
from ..model import SadTalkerModel, load_weights
from ..render.facevid2vid.dense_motion import DenseMotionConfig
from ..render.facevid2vid.generator import Generator, GeneratorConfig
from ..render.facevid2vid.keypoints import KeypointConfig, KeypointDetector
from ..render.facevid2vid.motion_estimator import MotionEstimator, MotionEstimatorConfig
from ..render.facevid2vid.transform import transform_keypoints
from .clips import Clip
from .discriminators import PUBLISHED_DISCRIMINATOR, DiscriminatorConfig, PatchDiscriminators
from .engine import seeded, step_generator
from .export import BASE, add_end_options, ends_of
from .finish import train_and_export
from .held_out import run_split
from .losses import (
    deformation_prior,
    equivariance,
    feature_distance,
    head_pose,
    hinge_for_discriminator,
    hinge_for_generator,
    keypoint_prior,
)
from .measures import HELD_OUT_ERROR, MOTION, ratio
from .pairs import Images, draw_pairs, jittered, read_images, read_pair_clips, with_faces
from .perceptual import PUBLISHED_VGG, VggConfig, VggFeatures, add_vgg_option, perceptual_loss, vgg_of
from .run_options import add_run_options, command, run_of, training_parser
from .tps import PUBLISHED_BEND, BendConfig, draw_bend
from .track_videos import sample_clip, write_sample_video
from .trainer import PRECISIONS, SampleVideo, StepContext, Trainer


@dataclass(frozen=True)
class LossWeights:
    """One for each level, block or discriminator where a loss has several."""

    perceptual: float = 10.0
    feature_matching: float = 10.0
    adversarial: float = 1.0
    discriminator: float = 1.0
    equivariance: float = 10.0
    keypoint_prior: float = 10.0
    head_pose: float = 20.0
    deformation: float = 5.0


@dataclass(frozen=True)
class RendererTraining:
    """What is trained, and how.

    keypoints, motion, generator, discriminator: the networks' widths;  vgg: levels and scales of the perceptual loss
    bend: how images are bent for equivariance;  weights: of the losses
    jitter: of colours, see pairs.jittered;  mirrored: the part of the pairs that are mirrored
    batch: pairs per step;  rate, betas: of Adam, the same for all networks
    falls_at: the part of the run after which the rate is a tenth
    """

    keypoints: KeypointConfig = KeypointConfig()
    motion: MotionEstimatorConfig = MotionEstimatorConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = PUBLISHED_DISCRIMINATOR
    vgg: VggConfig = PUBLISHED_VGG
    bend: BendConfig = PUBLISHED_BEND
    weights: LossWeights = field(default_factory=LossWeights)
    jitter: float = 0.1
    mirrored: float = 0.5
    batch: int = 32
    rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    falls_at: float = 180 / 300


PUBLISHED = RendererTraining()
#: for a try on a processor: images of 64 pixels and more, narrow networks, and a faster rate
NARROW = RendererTraining(
    keypoints=KeypointConfig(width=8, widest=64, levels=3, depth=8),
    motion=MotionEstimatorConfig(stem=16, width=32, blocks=(1, 1, 1)),
    generator=GeneratorConfig(
        width=16,
        volume_blocks=1,
        middle_blocks=1,
        modulation=32,
        motion=DenseMotionConfig(depth=8, features=8, width=8, widest=64, levels=3),
    ),
    discriminator=DiscriminatorConfig(width=8),
    vgg=VggConfig(widths=(8, 16, 32, 64, 64), scales=(1, 2, 4)),
    batch=4,
    rate=2e-3,
)
#: for a rehearsal and for tests: images of 32 pixels, a handful of channels, a fast rate, each image as it is
REHEARSAL = RendererTraining(
    keypoints=KeypointConfig(n_keypoints=5, width=4, widest=16, levels=2, depth=4),
    motion=MotionEstimatorConfig(stem=8, width=16, blocks=(1, 1), offsets=15),
    generator=GeneratorConfig(
        width=8,
        volume_blocks=1,
        middle_blocks=1,
        modulation=8,
        motion=DenseMotionConfig(n_keypoints=5, depth=4, features=4, compact=2, width=4, widest=16, levels=2),
    ),
    discriminator=DiscriminatorConfig(width=4, widest=32, blocks=3),
    vgg=VggConfig(widths=(8, 8, 16, 16, 16), scales=(1,)),
    batch=4,
    rate=1.5e-3,
    jitter=0.0,
    mirrored=0.0,
)
TRAININGS = {"published": PUBLISHED, "narrow": NARROW, "rehearsal": REHEARSAL}

#: our names of the networks that make a renderer; the discriminator stays behind
RENDERER_NETS = ("keypoint_detector", "motion_estimator", "generator")
#: pairs of frames that are validated, and how many at once
VALIDATION_PAIRS, VALIDATION_BATCH = 24, 4


class RendererTrainer(Trainer):
    """The step and the losses of the renderer's first stage."""

    def __init__(
        self,
        clips: Sequence[Clip],
        nets: dict[str, nn.Module],
        vgg: VggFeatures,
        steps: int,
        training: RendererTraining = PUBLISHED,
        seed: int = 0,
        *,
        held_out: Sequence[Clip] = (),
        videos: bool = False,
    ):
        """nets: the RENDERER_NETS, pretrained or not;  steps: of the whole run, for the rate
        held_out: clips to validate with;  videos: whether sample videos are made
        """
        self.clips, self.training, self.steps, self.vgg = clips, training, steps, vgg
        self.detector, self.estimator, self.generator = (nets[name].requires_grad_(True) for name in RENDERER_NETS)
        with seeded(seed):
            self.discriminators = PatchDiscriminators(training.discriminator)
        self.nets = {**nets, "discriminators": self.discriminators}
        self.frozen = {"vgg": vgg}
        drawing = [parameter for name in RENDERER_NETS for parameter in nets[name].parameters()]
        judging = self.discriminators.parameters()
        self.optimizers = {
            "renderer": torch.optim.Adam(drawing, training.rate, training.betas),
            "discriminators": torch.optim.Adam(judging, training.rate, training.betas),
        }
        self.settings = {"training": asdict(training)}
        self.held_out, self.averaged, self.small = with_faces(held_out), RENDERER_NETS, False
        self.sample = sample_clip([*self.held_out] or [*clips]) if videos else None
        self.validation_metric = HELD_OUT_ERROR if self.held_out else ""

    def step(self, context: StepContext) -> dict[str, Tensor]:
        images, degrees = self._draw(context)
        bend = draw_bend(context.batch, self.training.bend, context.generator, context.device)
        weights, losses = self.training.weights, {}

        canonical = self.detector(images.source)
        source_motion, driving_motion = (self.estimator(image).motion() for image in images)
        points = transform_keypoints(canonical, driving_motion)
        drawn = self.generator(images.source, transform_keypoints(canonical, source_motion), points).image
        bent = transform_keypoints(canonical, self.estimator(bend.bent(images.driving)).motion())
        verdict = self.discriminators(drawn)
        with torch.no_grad():
            wanted = self.discriminators(images.driving)

        losses["perceptual"] = weights.perceptual * perceptual_loss(self.vgg, drawn, images.driving)
        losses["feature matching"] = weights.feature_matching * feature_distance(verdict.features, wanted.features)
        losses["adversarial"] = weights.adversarial * hinge_for_generator(verdict.scores)
        losses["equivariance"] = weights.equivariance * equivariance(points, bent, bend.places)
        losses["keypoint prior"] = weights.keypoint_prior * keypoint_prior(points)
        losses["head pose"] = weights.head_pose * head_pose(driving_motion, degrees)
        losses["deformation"] = weights.deformation * deformation_prior(driving_motion.offsets)
        context.backward_and_step("renderer", torch.stack(list(losses.values())).sum())

        made, real = (self.discriminators(image).scores for image in (drawn.detach(), images.driving))
        losses["discriminators"] = weights.discriminator * hinge_for_discriminator(made, real)
        context.backward_and_step("discriminators", losses["discriminators"])
        return losses

    def learning_rates(self, step: int) -> dict[str, float]:
        rate = self.training.rate * (1 if step < self.training.falls_at * self.steps else 0.1)
        return {name: rate for name in self.optimizers}

    def validate(self) -> dict[str, float]:
        """How different drawn frames look from real ones, by how different the portrait does, and how far they move."""
        device = next(self.generator.parameters()).device
        pairs = draw_pairs(self.held_out, VALIDATION_PAIRS, step_generator(0, 0))
        totals = torch.zeros(6)
        for start in range(0, len(pairs), VALIDATION_BATCH):
            source, driving = read_images(pairs[start : start + VALIDATION_BATCH], device)
            drawn, still = redraw(self.nets, source, driving), redraw(self.nets, source, source)
            parts = [perceptual_loss(self.vgg, drawn, driving), perceptual_loss(self.vgg, source, driving)]
            for one, other in ((drawn, driving), (source, driving), (drawn, still), (driving, source)):
                parts.append((one - other).abs().mean())
            totals += torch.stack(parts).float().cpu()
        perceptual, perceptual_still, pixels, pixels_still, moved, real = totals
        return {
            HELD_OUT_ERROR: ratio(perceptual, perceptual_still),
            "held-out pixels": ratio(pixels, pixels_still),
            MOTION: ratio(moved, real),
        }

    def sample_video(self, folder: Path, step: int) -> SampleVideo | None:
        """The first frame of what is held out, moved by all others."""
        if self.sample is None:
            return None
        device = next(self.generator.parameters()).device
        real = self.sample.images(range(self.sample.n_frames))
        source = real[:1].to(device)
        drawn = [redraw(self.nets, source.expand(len(part), -1, -1, -1), part.to(device)).cpu()
                 for part in real.split(VALIDATION_BATCH)]  # fmt: skip
        return write_sample_video(folder, step, real, torch.cat(drawn), self.sample.speech().wave)

    def samples(self) -> dict[str, Tensor]:
        """Of up to four clips: the first frame, the middle one, and the first drawn as the middle one."""
        device = next(self.generator.parameters()).device
        rows = []
        for clip in self.clips[:4]:
            source, driving = clip.images([0, clip.n_frames // 2]).to(device).unsqueeze(1)
            rows.append(torch.cat([source, driving, redraw(self.nets, source, driving)], dim=-1)[0])
        return {"source, driving, drawn": torch.cat(rows, dim=-2)}

    def _draw(self, context: StepContext) -> tuple[Images, Tensor]:
        """Images, and the degrees (B, 3) of the driving ones."""
        pairs = draw_pairs(self.clips, context.batch, context.generator)
        images = jittered(read_images(pairs, context.device), self.training.jitter, context.generator)
        degrees = torch.cat([head_degrees(p.clip.coefficients(p.driving, p.driving + 1)) for p in pairs])
        mirrored = torch.rand(context.batch, generator=context.generator) < self.training.mirrored
        degrees = torch.where(mirrored[:, None], degrees * torch.tensor([1.0, -1.0, -1.0]), degrees)
        mirrored = mirrored[:, None, None, None].to(context.device)
        return Images(*(torch.where(mirrored, p.flip(-1), p) for p in images)), degrees.to(context.device)


def redraw(nets: dict[str, nn.Module], source: Tensor, driving: Tensor) -> Tensor:
    """The source images (B, 3, S, S) with the motion of the driving ones."""
    canonical = nets["keypoint_detector"](source)
    points, driving_points = (
        transform_keypoints(canonical, nets["motion_estimator"](p).motion()) for p in (source, driving)
    )
    return nets["generator"](source, points, driving_points).image


def head_degrees(coefficients: FaceCoefficients) -> Tensor:
    """(T, 3) pitch, yaw, roll in degrees, with the signs and in the order in which key points are turned."""
    return FAMILIES[coefficients.family].head_degrees(coefficients)


def new_nets(training: RendererTraining, seed: int) -> dict[str, nn.Module]:
    """The RENDERER_NETS, randomly initialised."""
    with seeded(seed):
        return {
            "keypoint_detector": KeypointDetector(training.keypoints),
            "motion_estimator": MotionEstimator(training.motion),
            "generator": Generator(training.generator),
        }


def read_renderer_clips(
    folder: Path,
    nets: Mapping[str, Any],
    vgg: VggFeatures,
    family: str | None = None,
) -> list[Clip]:
    """The clips of a folder whose images these networks can take. Raises what `read_pair_clips` raises."""
    levels = max(nets["keypoint_detector"].config.levels, nets["generator"].config.motion.levels)
    return read_pair_clips(folder, levels, vgg.least_side, family)


def pretrained_nets(base: SadTalkerModel, estimator: MotionEstimator) -> dict[str, nn.Module]:
    """The RENDERER_NETS of a model, to go on from."""
    return {
        "keypoint_detector": base.nets["keypoint_detector"],
        "motion_estimator": estimator,
        "generator": base.nets["generator"],
    }


def read_estimator(base: str, folders: Sequence[Path]) -> MotionEstimator:
    """The motion estimator of a model, which no model needs to animate: a file that stage 1 exported carries it, and
    for the released models the old renderer's file does.

    Raises CheckpointMissing or CheckpointMismatch, and what reading raises.
    """
    path = find(OLD_RENDERER.name, folders) if base in RELEASED_MODELS else Path(base)
    if path is None:
        raise CheckpointMissing(
            f"{base} holds no estimator of motion from an image; that is in "
            f"{OLD_RENDERER.describe()}, from {OLD_RENDERER.url}. Put it into a folder of --models: "
            f"{searched(folders)} has none."
        )
    read = read_tensors(path)
    tensors = read.nets().get("motion_estimator")
    if tensors is None:
        raise CheckpointMismatch(
            f"{read.source} holds no motion estimator. Give as --base a file that "
            f"training.renderer exported, or a released model."
        )
    config = read.metadata.configs["motion_estimator"] if read.metadata else {}
    return load_weights(MOTION_ESTIMATOR.build(MOTION_ESTIMATOR.read_config(config, read.source)), tensors, read.source)


def require_renderer_base(base: SadTalkerModel) -> None:
    """Raises OptionError for a model that draws by other means."""
    if "generator" not in base.nets:
        raise OptionError(
            f"expected a --base with a generator, as the released models have, got {base.name}, which "
            "moves a mesh. Give 'SadTalker 256' and --models FOLDER, or a file of that family."
        )


def require_full_precision(precision: str) -> None:
    """Raises OptionError for anything but 32 bits."""
    if precision != PRECISIONS[0]:
        raise OptionError(
            f"expected --precision {PRECISIONS[0]} for the renderer, got {precision}: 8 bits cannot tell "
            f"neighbouring places of an image apart."
        )


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = training_parser(__doc__, TRAININGS, "published", clips=", of either family")
    add_vgg_option(parser)
    add_end_options(parser)
    add_run_options(parser, out="runs/renderer", steps=200_000, images_every=250, validate_every=1000, patience=0)
    options = parser.parse_args(arguments)
    training = TRAININGS[options.config]
    run, ends = run_of(options, training.batch), ends_of(options)
    require_full_precision(run.precision)
    base = None
    if ends.export or ends.init_from == BASE:
        base = ends.load_base()
        require_renderer_base(base)
    if base and ends.init_from == BASE:
        nets = pretrained_nets(base, read_estimator(ends.base, ends.models))
    else:
        nets = new_nets(training, run.seed)
    vgg = vgg_of(options.vgg19, training.vgg)
    clips = read_renderer_clips(options.data, nets, vgg)
    split = run_split(options, clips, 2)
    trainer = RendererTrainer(
        split.learnt, nets, vgg, run.steps, training, run.seed, held_out=split.held_out, videos=True
    )
    hint = f"train its mapping network with training.mapping --base {ends.export}"
    train_and_export(trainer, run, ends, base, nets, split, hint=hint)


if __name__ == "__main__":
    command(main)
