"""Trains the narrow ExpNet of the built-in family: a voice moves the mouth's blendshapes, the rest follows the
portrait.

    python -m sadtalker_core.training.voices.speech_set --hours 4 --out runs/speech.npz
    python -m sadtalker_core.training.expnet_mini --speech runs/speech.npz --out runs/expnet_mini
    python -m sadtalker_core.training.expnet_mini --speech runs/speech.npz --out runs/expnet_mini --evaluate

Its target, per video frame:

    expression = the mouth's targets (speech_set)  +  KEPT * the portrait's expression  +  blink * (both eyes shut)

so a smile stays half on while somebody speaks, brows and cheeks follow the reference, and an open mouth in the portrait
does not stay open; but it opens from where it is (`from_rest` in motion/expnet.py). The losses are the squared error,
the squared error of the step from frame to frame, and the difference in spread over the batch: without the last one a
network that is unsure mumbles.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..checkpoint.reading import read_tensors
from ..coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX, EXPRESSION
from ..motion.audio_encoder import AudioEncoderConfig
from ..motion.expnet import Embedder, ExpNet, ExpNetConfig
from ..motion.spoken import kept_share, spoken_expression
from ..motion.visemes import SPEECH_BLENDSHAPES, blendshape_indices
from .engine import seeded
from .mini_trainer import Losses, command_line, learn, read_speech
from .trainer import StepContext
from .voices.speech_set import SpeechClip

MINI_EXPNET = ExpNetConfig(audio=AudioEncoderConfig(width=8), ahead=True, from_rest=True, half_frames=True)

CLIPS_PER_BATCH = 40
FRAMES_PER_CLIP = 4
#: weights of the squared error, of its steps, and of the spread
STILL, STEP, SPREAD = 1.0, 1.0, 0.1
#: A frame with lips pressed together weighs so much more: they are few, and everybody sees a b with open lips. So does
#: one at rest, where every flutter shows.
CLOSURE, REST = 2.0, 2.0
#: what `livened` opens the jaw by, when the network is packed
JAW_GAIN = 1.15
#: a mouth at rest: no unit is on by more
RESTING = 0.02


def target_expression(speech_blendshapes: Tensor, reference: Tensor, blink: Tensor) -> Tensor:
    """speech_blendshapes (B, len(SPEECH_BLENDSHAPES)), reference (B, 64), blink (B,) in 0..1 -> (B, 64).

    Lids may go beyond 1 when the portrait squints; the renderer clamps them.
    """
    target = spoken_expression(speech_blendshapes, reference)
    target[:, blendshape_indices("eyeBlink")] += blink[:, None]
    return target


def new_net(seed: int) -> ExpNet:
    """A network that begins knowing what the portrait keeps and what a blink is; it has the voice to learn."""
    with seeded(seed):
        net = ExpNet(MINI_EXPNET)
    teach_the_rest(net.head)
    return net


@torch.no_grad()
def teach_the_rest(head: nn.Linear) -> None:
    """A new head, (..., reference, blink) -> expression, gets what does not depend on the voice, in place."""
    embedding = head.in_features - EXPRESSION - 1
    head.weight.mul_(0.3)
    head.bias.zero_()
    head.weight[:, embedding:] = 0.0
    head.weight[:, embedding:-1].copy_(torch.diag(kept_share()))
    head.weight[blendshape_indices("eyeBlink"), -1] = 1.0


@torch.no_grad()
def with_wider_jaw(head: nn.Linear, gain: float) -> None:
    """Make a network open the jaw `gain` times as far, in place, by its head. Trained on damaged voices, too, it is
    cautious: on clean ones the jaw's standard deviation was .82 of the target's.
    """
    jaw, embedding = BLENDSHAPE_INDEX["jawOpen"], head.in_features - EXPRESSION - 1
    head.weight[jaw, :embedding] *= gain
    head.bias[jaw] *= gain


def random_reference(rows: int, draw: np.random.Generator) -> Tensor:
    """(rows, 64) expressions as a portrait's may be measured: a few units on, the others near 0, some a little
    below.
    """
    units = draw.normal(0, 0.05, (rows, len(ARKIT_BLENDSHAPES)))
    units += draw.uniform(0, 1, units.shape) * (draw.random(units.shape) < 0.2)
    return torch.from_numpy(np.pad(units, ((0, 0), (0, EXPRESSION - len(ARKIT_BLENDSHAPES)))).astype(np.float32))


def distorted(windows: Tensor, draw: np.random.Generator) -> Tensor:
    """(clips, L, 1, 80, S) mel windows made louder or softer, through a longer or shorter throat, with bands
    missing.
    """
    clips = windows.shape[0]
    warp = torch.from_numpy(draw.uniform(-0.1, 0.1, clips).astype(np.float32))
    band = torch.arange(80.0)
    source = (band[None] * (1 + warp[:, None])).clamp(0, 79)  # (clips, 80)
    low = source.floor().long().clamp(max=78)
    share = (source - low)[:, None, None, :, None]
    at = low[:, None, None, :, None].expand(-1, windows.shape[1], 1, -1, windows.shape[-1])
    windows = windows.gather(3, at) * (1 - share) + windows.gather(3, at + 1) * share
    louder = torch.from_numpy(draw.normal(0, 0.35, (clips, 1, 1, 1, 1)).astype(np.float32))
    tilt = torch.from_numpy(draw.normal(0, 0.25, (clips, 1, 1, 1, 1)).astype(np.float32)) * ((band - 40) / 40)[:, None]
    mel = torch.where(windows > -3.99, windows + louder + tilt, windows).clamp(-4, 4)
    for i in np.flatnonzero(draw.random(clips) < 0.25):
        first = int(draw.integers(0, 72))
        mel[i, :, :, first : first + int(draw.integers(2, 10))] = mel[i].mean()
    return mel


def mel_windows(clip: SpeechClip, start: int, stop: int, config: ExpNetConfig = MINI_EXPNET) -> Tensor:
    """(stop - start, 1, 80, 16): the windows that the network gets in these frames."""
    return clip.windows(start + config.frames_ahead, stop + config.frames_ahead)


def batch(clips: list[SpeechClip], draw: np.random.Generator) -> tuple[Tensor, Tensor]:
    """(clips, L, 1, 80, 16) windows and (clips, L, len(SPEECH_BLENDSHAPES)) targets; and one clip in forty is the
    idle mode's zeros.
    """
    n_frames = np.array([len(clip.units) for clip in clips])
    chosen = draw.choice(len(clips), CLIPS_PER_BATCH, p=n_frames / n_frames.sum())
    windows, units = [], []
    for i in chosen:
        clip = clips[i]
        start = int(draw.integers(0, max(1, len(clip.units) - FRAMES_PER_CLIP + 1)))
        mel, targets = mel_windows(clip, start, start + FRAMES_PER_CLIP), clip.units[start : start + FRAMES_PER_CLIP]
        short = FRAMES_PER_CLIP - len(targets)
        windows.append(mel)
        units.append(torch.from_numpy(np.pad(targets, ((0, short), (0, 0)), mode="edge").astype(np.float32)))
    mel, seen = distorted(torch.stack(windows), draw), torch.stack(units)
    if draw.random() < 0.5:
        mel[0], seen[0] = float(draw.choice([0.0, 0.0, -4.0])), 0.0
    return mel, seen


def loss_weights(clips: list[SpeechClip]) -> Tensor:
    """(64,) the weight of each squared error: 1 / spread in speech, so that small gestures count; 1 for the others."""
    spread = torch.from_numpy(np.concatenate([c.units for c in clips[:400]]).astype(np.float32).std(axis=0))
    weights = torch.ones(EXPRESSION)
    weights[list(SPEECH_BLENDSHAPES)] = 0.3 / spread.clamp(min=0.03)
    weights[BLENDSHAPE_INDEX["jawOpen"]] *= 2.0
    return weights


def speech_losses(
    prediction: Tensor, units: Tensor, reference: Tensor, blink: Tensor, weights: Tensor
) -> dict[str, Tensor]:
    """prediction (B L, 64) for units (B, L, len(SPEECH_BLENDSHAPES)), reference (B L, 64) and blink (B L,); weights as
    of `loss_weights`.
    """
    spoken, mouth = units.flatten(0, 1), list(SPEECH_BLENDSHAPES)
    target = target_expression(spoken, reference, blink)
    pressed = spoken[:, SPEECH_BLENDSHAPES.index(BLENDSHAPE_INDEX["mouthPressLeft"])]
    counts = 1 + CLOSURE * pressed + REST * (spoken.amax(dim=1) < RESTING)
    error = (prediction - target) * weights.sqrt() * counts[:, None].sqrt()
    stepped = error.unflatten(0, units.shape[:2]).diff(dim=1)
    rest = target_expression(torch.zeros_like(spoken), reference, blink)
    spread = ((prediction - rest)[:, mouth].std(dim=0) / (spoken.std(dim=0) + 0.02) - 1).square()
    return {
        "still": STILL * error.square().mean() * 10,
        "change": STEP * stepped.square().mean() * 10,
        "spread": SPREAD * spread.mean(),
    }


def losses_of(net: ExpNet, clips: list[SpeechClip]) -> Losses:
    """The losses of one step, drawn from `clips`."""
    weights = loss_weights(clips)

    def losses(context: StepContext) -> dict[str, Tensor]:
        draw = context.rng()
        windows, units = batch(clips, draw)
        count, length = units.shape[:2]
        reference = random_reference(count, draw).repeat_interleave(length, dim=0)
        blink = torch.from_numpy(draw.choice([0.0, 0.0, 0.0, 0.5, 0.9, 1.0], count * length).astype(np.float32))
        windows = windows.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return speech_losses(net(windows, reference, blink), units, reference, blink, weights)

    return losses


@torch.no_grad()
def predict_clip(net: ExpNet, clip: SpeechClip, reference: Tensor | None = None) -> Tensor:
    """(T, 64) of a clip, eyes open, with a portrait at rest unless there is a reference (64,).

    Training shows one window of each frame; here the audio is encoded as in use, by the config.
    """
    n, like = len(clip.units), torch.empty(())
    reference = torch.zeros(EXPRESSION) if reference is None else reference
    pieces = [slice(start, min(start + 128, n)) for start in range(0, n, 128)]
    embed = Embedder(net)
    embedded = torch.cat([embed(clip.speech(), piece, like) for piece in pieces])
    return net.from_embedding(embedded, reference.expand(n, -1), torch.zeros(n))


def agreement(prediction: np.ndarray, wanted: np.ndarray) -> dict[str, tuple[float, float]]:
    """(T, 52 or more) against (T, len(SPEECH_BLENDSHAPES)) -> unit: (correlation, spread of the network over spread of
    the target).
    """
    result = {}
    for column, unit in enumerate(SPEECH_BLENDSHAPES):
        a, b = prediction[:, unit], wanted[:, column].astype(np.float64)
        if b.std() > 1e-3:
            result[ARKIT_BLENDSHAPES[unit]] = (float(np.corrcoef(a, b)[0, 1]), float(a.std() / b.std()))
    return result


def evaluate(net: ExpNet, clips: list[SpeechClip]) -> dict[str, dict[str, tuple[float, float]]]:
    """Kept-away voices, by synthesiser and all together -> agreement of each unit."""
    groups = {"all": clips} | {name: [c for c in clips if c.voice.startswith(name)] for name in ("flite", "espeak")}
    result = {}
    for name, members in groups.items():
        if members:
            prediction = torch.cat([predict_clip(net, c) for c in members]).numpy()
            result[name] = agreement(prediction, np.concatenate([c.units for c in members]))
    return result


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = command_line(
        __doc__, out="runs/expnet_mini", steps=3500, evaluate="how well kept-away voices are understood"
    )
    parser.add_argument("--on-top-of", type=Path, metavar="FILE", help="begin with the ExpNet of a mini model's file")
    parser.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate (default 2e-3)")
    options = parser.parse_args(arguments)
    clips, held_out = read_speech(options)
    net = new_net(options.seed)
    if options.on_top_of:
        packed = read_tensors(options.on_top_of).nets()["expnet"]
        net.load_state_dict({name: tensor for name, tensor in packed.items() if not name.startswith("temporal.")})
    if not options.evaluate:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast
    net = learn("expnet", net, losses_of, clips, options, options.rate)
    for group, units in evaluate(net, held_out).items():
        print(group, "  ".join(f"{name} r {r:.2f} spread {spread:.2f}" for name, (r, spread) in units.items()))


if __name__ == "__main__":
    main()
