"""Trains ExpNet on clips: which expression goes with the speech, and with lids that obey a blink track.

    python -m sadtalker_core.training.expnet --data clips --out runs/expnet --config mini --export expnet.safetensors

The losses, with the published weights (the eye's 200 stands inside the landmarks' 0.01):

    distillation   squared error of the coefficients                                    2
    landmarks      mean distance of the 68 points, pixels of a 224-pixel image        0.01
    eyes           how open the eyes are, against what the blink track asks for         0.01 x 200
    lip_reading    what a lip-reading network reads, if there is one                    0.01

As published the coefficients to be learnt are those of what Wav2Lip makes of a clip's first image and its voice, so
that nothing but lips moves: give `prepare` such videos. It learns from plain videos, too; all that moves with the voice
is then taken for speech.

The blink ratio is 0 for eyes as open as in the clip's first frame and 1 for shut ones, which is how it is used. A
clip's own lids are measured and passed to the network, so they are not taken for speech; half of the runs are asked for
a blink more, and only the eye loss defines what that is.

Letters: `B` runs, `L` frames of a run, rows = B * L.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from ..coefficients import EXPRESSION
from ..compose.plot import plot_motion
from ..datatypes import CropMode, Expression, FaceCoefficients
from ..errors import OptionError
from ..model import SadTalkerModel
from ..motion.audio_encoder import AudioEncoder, AudioEncoderConfig
from ..motion.blink import BLINK
from ..motion.expnet import ExpNet, ExpNetConfig
from ..motion.temporal import TemporalConfig
from .clips import Clip, Spans, read_clips
from .engine import seeded
from .export import BASE, add_end_options, ends_of
from .faces import Face, face_of, known_face
from .finish import train_and_export
from .held_out import run_split
from .lipreading import lip_reading_loss, read_lip_reader
from .measures import HELD_OUT_ERROR, MOUTH_LAG, MOUTH_R, agreement, mouth_opening, ratio
from .run_options import add_run_options, command, run_of, training_parser
from .track_videos import TrackVideos, sample_clip
from .trainer import SampleVideo, StepContext, Trainer
from .wav2lip import read_wav2lip_audio_encoder

IMAGE_FRAMES = 100
#: what is validated: runs that are held out, and tracks for the mouth with the most frames of each
VALIDATION_RUNS, VALIDATION_TRACKS, VALIDATION_FRAMES = 48, 6, 150


@dataclass(frozen=True)
class ExpNetTraining:
    """What is trained, and how.

    net: its width;  frames: L, of a run;  batch: runs per step;  rate: of Adam
    distillation, landmarks, eyes, lip_reading: the weights of the losses;  blinks: the share of runs with one more
    """

    net: ExpNetConfig = ExpNetConfig()
    frames: int = 32
    batch: int = 32
    rate: float = 2e-5
    distillation: float = 2.0
    landmarks: float = 0.01
    eyes: float = 0.01 * 200
    lip_reading: float = 0.01
    blinks: float = 0.5


PUBLISHED = ExpNetTraining()
#: for a processor
MINI_TRAINING = replace(PUBLISHED, net=ExpNetConfig(audio=AudioEncoderConfig(width=8)), frames=12, batch=16, rate=2e-3)
TRAININGS = {"published": PUBLISHED, "mini": MINI_TRAINING}


@dataclass(frozen=True, eq=False)
class Speech:
    """Rows of runs, end to end.

    windows (rows, 1, 80, 16); rest (rows, 64) the expression of each clip's first frame; blink (rows,) in 0..1;
    face: the rows that should come, with who it is and how the head is held
    """

    windows: Tensor
    rest: Tensor
    blink: Tensor
    face: FaceCoefficients


class ExpNetTrainer(Trainer):
    """The step and the losses of ExpNet's training."""

    def __init__(
        self,
        clips: Sequence[Clip],
        net: ExpNet,
        training: ExpNetTraining = PUBLISHED,
        *,
        face: Face | None,
        lip_reader: nn.Module | None = None,
        held_out: Sequence[Clip] = (),
        videos: TrackVideos | None = None,
        frozen_audio: bool = False,
    ):
        """net: pretrained or not;  clips: of L frames at least
        face: of the clips' family; None trains on the coefficients alone, and gives the network no blinks
        lip_reader: see lipreading.py; it needs a face
        held_out: clips to validate with;  videos: writes sample videos, or None for none
        frozen_audio: whether the audio encoder stays as it is; minutes of one voice would spoil what hours have trained
        """
        if lip_reader is not None and face is None:
            raise OptionError(
                "a lip-reading network reads the lips of a face, and there is none: leave "
                "--coefficients-only out, or --lip-reader."
            )
        self.clips, self.training, self.face = clips, training, face
        self.spans = Spans(clips, training.frames)
        self.net, self.frozen_audio = net.requires_grad_(True), frozen_audio
        net.audio.requires_grad_(not frozen_audio)
        self.nets = {"expnet": net}
        self.frozen = {} if lip_reader is None else {"lip_reader": lip_reader}
        learning = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self.optimizers = {"expnet": torch.optim.Adam(learning, training.rate)}
        self.settings = {
            "training": asdict(replace(training, net=net.config)),
            "landmarks": face is not None,
            "lip_reading": lip_reader is not None,
            **({"frozen_audio": True} if frozen_audio else {}),
        }
        self.held_out = [clip for clip in held_out if clip.n_frames >= training.frames]
        self.videos, self.sample = videos, sample_clip([*self.held_out] or [*clips])
        self.validation_metric = HELD_OUT_ERROR if self.held_out else ""

    def step(self, context: StepContext) -> dict[str, Tensor]:
        if self.frozen_audio:
            self.net.audio.eval()
        blinks = drawn_blinks(context.batch, self.training.frames, self.training.blinks, context.generator)
        speech = self._speech(self.spans.draw(context.batch, context.generator), blinks, context.device)
        prediction = self.net(speech.windows, speech.rest, speech.blink)
        losses = self.losses(prediction, speech)
        context.backward_and_step("expnet", sum(getattr(self.training, name) * loss for name, loss in losses.items()))
        return losses

    def losses(self, prediction: Tensor, speech: Speech) -> dict[str, Tensor]:
        """prediction (rows, 64) -> the losses, unweighted."""
        wanted = speech.face.expression
        losses = {"distillation": mse_loss(prediction, wanted)}
        if self.face is None:
            return losses
        points = self.face.points(speech.face, prediction)
        losses["landmarks"] = (points - self.face.points(speech.face, wanted)).norm(dim=-1).mean()
        asked = (1 - speech.blink) * self.face.openness(speech.face, speech.rest)
        losses["eyes"] = (self.face.openness(speech.face, prediction) - asked).abs().mean()
        if "lip_reader" in self.frozen:
            reader, length = self.frozen["lip_reader"], self.training.frames
            losses["lip_reading"] = lip_reading_loss(reader, self.face, speech.face, prediction, wanted, length)
        return losses

    def validate(self) -> dict[str, float]:
        """The error of the coefficients relative to a face at rest, and the correlation of the mouth with the real
        one.
        """
        device, length = next(self.net.parameters()).device, self.training.frames
        places = Spans(self.held_out, length).spread(VALIDATION_RUNS)
        speech = self._speech(places, torch.zeros(len(places), length), device)
        wanted = speech.face.expression
        predicted = self.net(speech.windows, speech.rest, speech.blink)
        figures = {HELD_OUT_ERROR: ratio(mse_loss(predicted, wanted), mse_loss(speech.rest, wanted))}
        face = self.face
        if face is not None:
            pairs = [self._mouths(clip, face, device) for clip in self.held_out[:VALIDATION_TRACKS]]
            figures[MOUTH_R], figures[MOUTH_LAG] = agreement([a for a, _ in pairs], [b for _, b in pairs])
        return figures

    def _mouths(self, clip: Clip, face: Face, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
        """The opening of the mouth in each frame, predicted and recorded."""
        speech = self._speech([(clip, 0)], torch.zeros(1, min(clip.n_frames, VALIDATION_FRAMES)), device)
        predicted = self.net(speech.windows, speech.rest, speech.blink)
        tracks = (mouth_opening(face.points(speech.face, track)) for track in (predicted, speech.face.expression))
        one, other = (track.float().cpu().numpy() for track in tracks)
        return one, other

    def sample_video(self, folder: Path, step: int) -> SampleVideo | None:
        """The predicted face of the held-out clip, with the recorded head pose."""
        if self.videos is None or self.sample is None:
            return None
        device = next(self.net.parameters()).device
        speech = self._speech([(self.sample, 0)], torch.zeros(1, self.sample.n_frames), device)
        predicted = self.net(speech.windows, speech.rest, speech.blink)
        return self.videos.write(folder, step, self.sample, expression=predicted)

    def samples(self) -> dict[str, Tensor]:
        """The beginning of the first clip: its own expression, and the network's."""
        clip, device = self.clips[0], next(self.net.parameters()).device
        n_frames = min(clip.n_frames, IMAGE_FRAMES)
        speech = self._speech([(clip, 0)], torch.zeros(1, n_frames), device)
        prediction = self.net(speech.windows, speech.rest, speech.blink)
        tracks = {"target": speech.face.expression, "predicted": prediction}
        return {
            name: plot_motion(expression=Expression(track.float().cpu(), clip.family), height=320).permute(2, 0, 1)
            for name, track in tracks.items()
        }

    def _speech(self, places: Sequence[tuple[Clip, int]], blinks: Tensor, device: torch.device) -> Speech:
        """(clip, first frame) of each run, blinks (B, L) asked for."""
        length = blinks.shape[1]
        first = [start + self.net.config.frames_ahead for _, start in places]
        of_clips = [clip.speech().windows(at, at + length) for (clip, _), at in zip(places, first, strict=True)]
        windows = torch.cat(of_clips).to(device)
        rest = torch.cat([clip.coefficients(0, 1).expression.expand(length, -1) for clip, _ in places]).to(device)
        face = _end_to_end([clip.coefficients(start, start + length) for clip, start in places], device)
        blink = blinks.flatten().to(device)
        if self.face is None:
            return Speech(windows, rest, torch.zeros_like(blink), face)
        return Speech(windows, rest, torch.maximum(blink, measured_blinks(self.face, face, rest)), face)


def drawn_blinks(runs: int, length: int, share: float, generator: torch.Generator) -> Tensor:
    """(runs, length) blink tracks: in a share of the runs a blink of five frames, which may begin or end outside."""
    blink = torch.tensor(BLINK)
    tracks = torch.zeros(runs, length + 2 * len(BLINK))
    blinking = torch.rand(runs, generator=generator) < share
    starts = torch.randint(1, length + len(BLINK), (runs,), generator=generator)
    for run in torch.nonzero(blinking).flatten().tolist():
        tracks[run, starts[run] : starts[run] + len(BLINK)] = blink
    return tracks[:, len(BLINK) : -len(BLINK)]


@torch.no_grad()
def measured_blinks(face: Face, who: FaceCoefficients, rest: Tensor) -> Tensor:
    """(rows,) how far the lids are down, 0 as open as at rest or wider, 1 shut."""
    opened = face.openness(who, who.expression) / face.openness(who, rest).clamp_min(0.05)
    return (1 - opened).clamp(0, 1)


def new_net(config: ExpNetConfig, audio_encoder: AudioEncoder | None, seed: int) -> ExpNet:
    """Randomly initialised, but for the audio encoder, if there is one. At first it predicts the expression at rest.

    Raises OptionError for an audio encoder of another width.
    """
    if audio_encoder is not None and audio_encoder.config != config.audio:
        raise OptionError(
            f"expected an audio encoder of width {config.audio.width} for this network, got one of "
            f"{audio_encoder.config.width}; a Wav2Lip file goes with --config published."
        )
    with seeded(seed):
        net = ExpNet(config)
    if audio_encoder is not None:
        net.audio.load_state_dict(audio_encoder.state_dict())
    with torch.no_grad():
        net.head.weight[:, -1 - EXPRESSION :].zero_()
        net.head.weight[:, -1 - EXPRESSION : -1].fill_diagonal_(1.0)
        net.head.bias.zero_()
    return net


def audio_encoder_of(base: SadTalkerModel, config: ExpNetConfig) -> AudioEncoder | None:
    """The audio encoder of the base's own network, where it is as wide."""
    net = pretrained_net(base.nets["expnet"])
    return net.audio if net.config.audio == config.audio else None


def pretrained_net(net: nn.Module) -> ExpNet:
    """A copy of a model's network to go on from, without the second one that the built-in model has: that would not be
    trained, and would go on to predict a quarter of the expression.
    """
    assert isinstance(net, ExpNet)
    copy = ExpNet(replace(net.config, temporal=TemporalConfig()))
    kept = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith("temporal.")}
    copy.load_state_dict(kept)
    return copy


def _end_to_end(runs: Sequence[FaceCoefficients], device: torch.device) -> FaceCoefficients:
    rows, crop = torch.cat([run.full_rows() for run in runs]), torch.cat([run.crop for run in runs])
    return FaceCoefficients.from_full_rows(
        rows.to(device), crop.to(device), family=runs[0].family, crop_mode=CropMode.CROP, pic_size=runs[0].pic_size
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = training_parser(__doc__, TRAININGS, "mini")
    parser.add_argument(
        "--wav2lip",
        type=Path,
        metavar="FILE",
        help="start with the audio encoder of a Wav2Lip checkpoint (without: with the base's, where it is as wide, or "
        "randomly initialised)",
    )
    parser.add_argument("--bfm", type=Path, metavar="FILE", help="BFM_model_front.mat, for released coefficients")
    parser.add_argument("--coefficients-only", action="store_true", help="do without landmarks and blinks")
    parser.add_argument(
        "--freeze-audio", action="store_true", help="keep the audio encoder as it is; for few minutes with a base"
    )
    parser.add_argument("--lip-reader", type=Path, metavar="FILE", help="a lip-reading network, TorchScript")
    add_end_options(parser)
    add_run_options(parser, out="runs/expnet", steps=4000)
    options = parser.parse_args(arguments)
    training = TRAININGS[options.config]
    run, ends = run_of(options, training.batch), ends_of(options)
    base = ends.load_base()
    clips = read_clips(options.data, family=base.family.name, shortest=training.frames)
    split = run_split(options, clips, training.frames)
    face = None if options.coefficients_only else face_of(base.family.name, options.bfm)
    reader = read_lip_reader(options.lip_reader) if options.lip_reader else None
    if ends.init_from == BASE:
        net = pretrained_net(base.nets["expnet"])
    else:
        audio_encoder = (
            read_wav2lip_audio_encoder(options.wav2lip) if options.wav2lip else audio_encoder_of(base, training.net)
        )
        net = new_net(training.net, audio_encoder, run.seed)
    videos = TrackVideos(base, face or known_face(base.family.name))
    trainer = ExpNetTrainer(
        split.learnt,
        net,
        training,
        face=face,
        lip_reader=reader,
        held_out=split.held_out,
        videos=videos,
        frozen_audio=options.freeze_audio,
    )
    train_and_export(trainer, run, ends, base, {"expnet": net}, split)


if __name__ == "__main__":
    command(main)
