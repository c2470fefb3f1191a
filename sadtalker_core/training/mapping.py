"""Trains MappingNet for a renderer (stage 2): from coefficients to the motion that images gave in stage 1.

    python -m sadtalker_core.training.mapping --data clips --out runs/mapping --vgg19 vgg19-dcbb9e9d.pth \
        --base renderer.safetensors --export my_model.safetensors

Everything else is frozen. A frame of a clip is the portrait, 27 rows of coefficients around another frame are the
motion, and the motion estimator, which sees that other frame, gives the targets. First, for half of the run:

    key points   the mean difference between where both put the portrait's key points, in the portrait itself, which is
                 a face that holds still, and in the other frame
    angles       degrees apart: key points alone could be moved by offsets without any turn, and then a head would not
                 follow angles that a user writes

and then also

    perceptual   how different the frame that the frozen generator draws looks from the real one

The method's description names key points and reconstruction; its weights and rates were not published, and these are
ours. `--net mapping` reads the 70 coefficients of the plain crop modes, `--net mapping_full` the 73 of the full ones.

Letters: `B` pairs of frames, `K` key points, `nc` coefficients of a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..coefficients import CROP_ROW, MOTION_ROW
from ..datatypes import CropMode, KeypointMotion
from ..errors import OptionError
from ..render.facevid2vid.transform import transform_keypoints
from ..render.mapping import MappingConfig, MappingNet
from ..render.semantics import WINDOW_RADIUS, semantic_windows
from .clips import Clip
from .engine import seeded, step_generator
from .export import BASE, add_end_options, ends_of
from .finish import train_and_export
from .held_out import run_split
from .losses import degrees_of, head_pose, keypoint_distance
from .measures import HELD_OUT_ERROR, ratio
from .pairs import Pair, draw_pairs, read_images, with_faces
from .perceptual import PUBLISHED_VGG, VggConfig, VggFeatures, add_vgg_option, perceptual_loss, vgg_of
from .renderer import (
    VALIDATION_BATCH,
    VALIDATION_PAIRS,
    read_estimator,
    read_renderer_clips,
    require_full_precision,
    require_renderer_base,
)
from .run_options import add_run_options, command, run_of, training_parser
from .track_videos import sample_clip, write_sample_video
from .trainer import SampleVideo, StepContext, Trainer


@dataclass(frozen=True)
class MappingTraining:
    """hidden: channels of a new network;  vgg: levels and scales of the perceptual loss
    keypoints, angles, perceptual: the weights of the losses;  draws_from: the part of the run after which frames are
    drawn;  batch: pairs per step;  rate: of Adam;  falls_at: the part of the run after which the rate is a tenth
    """

    hidden: int = 1024
    vgg: VggConfig = PUBLISHED_VGG
    keypoints: float = 10.0
    angles: float = 0.1
    perceptual: float = 1.0
    draws_from: float = 0.5
    batch: int = 32
    rate: float = 1e-4
    falls_at: float = 0.8


RELEASED_WIDTH = MappingTraining()
#: for a try on a processor, with the renderer of training.renderer --config narrow
NARROW = MappingTraining(hidden=64, vgg=VggConfig(widths=(8, 16, 32, 64, 64), scales=(1, 2, 4)), batch=4, rate=1e-3)
#: for a rehearsal and for tests, with the renderer of --config rehearsal
REHEARSAL = MappingTraining(hidden=64, vgg=VggConfig(widths=(8, 8, 16, 16, 16), scales=(1,)), batch=4, rate=3e-3)
TRAININGS = {"released": RELEASED_WIDTH, "narrow": NARROW, "rehearsal": REHEARSAL}

#: our names of the frozen networks that give a MappingNet its targets
FROZEN_NETS = ("keypoint_detector", "motion_estimator", "generator")
#: our name of a mapping network -> how many coefficients it reads
ROWS = {"mapping": MOTION_ROW, "mapping_full": CROP_ROW}


class MappingTrainer(Trainer):
    """The step and the losses of MappingNet's training."""

    def __init__(
        self,
        clips: Sequence[Clip],
        net: MappingNet,
        frozen: Mapping[str, nn.Module],
        vgg: VggFeatures,
        steps: int,
        training: MappingTraining = RELEASED_WIDTH,
        *,
        held_out: Sequence[Clip] = (),
        videos: bool = False,
    ):
        """net: pretrained or not;  frozen: the FROZEN_NETS;  steps: of the whole run, for the rate and the two parts
        held_out: clips to validate with;  videos: whether sample videos are made
        """
        self.clips, self.training, self.steps, self.vgg = clips, training, steps, vgg
        self.net = net.requires_grad_(True)
        self.detector, self.estimator, self.generator = (frozen[name] for name in FROZEN_NETS)
        self.nets = {"mapping": self.net}
        self.frozen = {**frozen, "vgg": vgg}
        self.optimizers = {"mapping": torch.optim.Adam(self.net.parameters(), training.rate)}
        self.settings = {"training": asdict(training), "net": asdict(net.config)}
        self.held_out, self.small = with_faces(held_out), False
        self.sample = sample_clip([*self.held_out] or [*clips]) if videos else None
        self.validation_metric = HELD_OUT_ERROR if self.held_out else ""

    def step(self, context: StepContext) -> dict[str, Tensor]:
        training = self.training
        pairs = draw_pairs(self.clips, context.batch, context.generator)
        images = read_images(pairs, context.device)
        canonical = self.detector(images.source)
        source_motion, driving_motion = (self.estimator(image).motion() for image in images)
        own, prediction = self._predict(pairs)
        readings = ((own, source_motion), (prediction, driving_motion))
        points = [[transform_keypoints(canonical, motion) for motion in reading] for reading in readings]
        losses = {
            "key points": training.keypoints * torch.stack([keypoint_distance(*both) for both in points]).sum(),
            "angles": training.angles * torch.stack([head_pose(m, degrees_of(wanted)) for m, wanted in readings]).sum(),
        }
        if context.index >= training.draws_from * self.steps:
            drawn = self._drawn(images.source, canonical, own, prediction)
            losses["perceptual"] = training.perceptual * perceptual_loss(self.vgg, drawn, images.driving)
        context.backward_and_step("mapping", torch.stack(list(losses.values())).sum())
        return losses

    def learning_rates(self, step: int) -> dict[str, float]:
        return {"mapping": self.training.rate * (1 if step < self.training.falls_at * self.steps else 0.1)}

    def validate(self) -> dict[str, float]:
        """The distance of key points from the motion estimator's, relative to their motion, and of the angles in
        degrees.
        """
        device = next(self.net.parameters()).device
        pairs = draw_pairs(self.held_out, VALIDATION_PAIRS, step_generator(0, 0))
        totals = torch.zeros(3)
        for start in range(0, len(pairs), VALIDATION_BATCH):
            part = pairs[start : start + VALIDATION_BATCH]
            source, driving = read_images(part, device)
            canonical = self.detector(source)
            source_motion, driving_motion = (self.estimator(image).motion() for image in (source, driving))
            prediction = self._predict(part)[1]
            predicted, wanted, still = (
                transform_keypoints(canonical, motion) for motion in (prediction, driving_motion, source_motion)
            )
            parts = [
                keypoint_distance(predicted, wanted),
                keypoint_distance(still, wanted),
                head_pose(prediction, degrees_of(driving_motion)),
            ]
            totals += len(part) * torch.stack(parts).float().cpu()
        return {HELD_OUT_ERROR: ratio(totals[0], totals[1]), "held-out degrees": float(totals[2]) / len(pairs)}

    def sample_video(self, folder: Path, step: int) -> SampleVideo | None:
        """The first frame of the held-out clip, driven by the coefficients of all others."""
        clip = self.sample
        if clip is None:
            return None
        device, drawn = next(self.net.parameters()).device, []
        real = clip.images(range(clip.n_frames))
        for frames in torch.arange(clip.n_frames).split(VALIDATION_BATCH):
            pairs = [Pair(clip, 0, int(frame)) for frame in frames]
            source = real[:1].expand(len(pairs), -1, -1, -1).to(device)
            drawn.append(self._drawn(source, self.detector(source), *self._predict(pairs)).cpu())
        return write_sample_video(folder, step, real, torch.cat(drawn), clip.speech().wave)

    def samples(self) -> dict[str, Tensor]:
        """Of up to four clips: the first frame, the middle one, and the first driven by the coefficients of the middle
        one.
        """
        rows = []
        for clip in self.clips[:4]:
            pair = Pair(clip, 0, clip.n_frames // 2)
            source, driving = read_images([pair], next(self.net.parameters()).device)
            drawn = self._drawn(source, self.detector(source), *self._predict([pair]))
            rows.append(torch.cat([source, driving, drawn], dim=-1)[0])
        return {"source, driving, drawn": torch.cat(rows, dim=-2)}

    def _predict(self, pairs: Sequence[Pair]) -> tuple[KeypointMotion, KeypointMotion]:
        """The predicted motion of the source frames, which do not move, and of the driving frames."""
        width, device = self.net.config.coefficients, next(self.net.parameters()).device
        still = torch.cat([window(pair.clip, pair.source, width, radius=0) for pair in pairs])
        moving = torch.cat([window(pair.clip, pair.driving, width) for pair in pairs])
        return self.net(still.to(device)).motion(), self.net(moving.to(device)).motion()

    def _drawn(self, source: Tensor, canonical: Tensor, own: KeypointMotion, prediction: KeypointMotion) -> Tensor:
        points = (transform_keypoints(canonical, motion) for motion in (own, prediction))
        return self.generator(source, *points).image


def window(clip: Clip, frame: int, width: int, radius: int = WINDOW_RADIUS) -> Tensor:
    """(1, nc, 27) around a frame, clamped to `radius` frames to each side and to the clip.

    A radius of 0 is a face that does not move, as a portrait.
    """
    start, stop = max(0, frame - radius), min(clip.n_frames, frame + radius + 1)
    coefficients = clip.coefficients(start, stop)
    rows = coefficients.crop_rows() if width == CROP_ROW else coefficients.motion_rows()
    return semantic_windows(rows, frame - start, frame - start + 1)


def new_net(hidden: int, coefficients: int, offsets: int, seed: int) -> MappingNet:
    """A MappingNet with random weights."""
    with seeded(seed):
        return MappingNet(MappingConfig(coefficients, hidden, offsets))


def require_crop_mode(clips: Sequence[Clip], net: str) -> None:
    """Raises OptionError for clips whose crop parameters differ from those at inference."""
    wants_full = ROWS[net] == CROP_ROW
    other = next((clip for clip in clips if CropMode(clip.crop_mode).full != wants_full), None)
    if other is not None:
        raise OptionError(
            f"expected clips of a {'full' if wants_full else 'plain'} crop mode for --net {net}, "
            f"{other.name} is of the mode {other.crop_mode}. Train the other network, or prepare the "
            "videos in another mode."
        )


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = training_parser(__doc__, TRAININGS, "released", clips=", of the base's family")
    parser.add_argument("--net", choices=ROWS, default="mapping", help="which of the two (default mapping)")
    add_vgg_option(parser)
    add_end_options(parser)
    add_run_options(parser, out="runs/mapping", steps=20_000, images_every=250, validate_every=500, patience=10)
    options = parser.parse_args(arguments)
    training = TRAININGS[options.config]
    run, ends = run_of(options, training.batch), ends_of(options)
    require_full_precision(run.precision)
    base = ends.load_base()
    require_renderer_base(base)
    frozen: dict[str, Any] = {**base.nets, "motion_estimator": read_estimator(ends.base, ends.models)}
    frozen = {name: frozen[name] for name in FROZEN_NETS}
    vgg = vgg_of(options.vgg19, training.vgg)
    clips = read_renderer_clips(options.data, frozen, vgg, base.family.name)
    require_crop_mode(clips, options.net)
    if ends.init_from == BASE:
        net: Any = base.nets[options.net]
    else:
        offsets = frozen["motion_estimator"].config.offsets
        net = new_net(training.hidden, ROWS[options.net], offsets, run.seed)
    split = run_split(options, clips, 2)
    trainer = MappingTrainer(split.learnt, net, frozen, vgg, run.steps, training, held_out=split.held_out, videos=True)
    train_and_export(
        trainer, run, ends, base, {options.net: net}, split, carried={"motion_estimator": frozen["motion_estimator"]}
    )


if __name__ == "__main__":
    command(main)
