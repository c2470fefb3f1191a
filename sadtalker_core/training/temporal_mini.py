"""Trains the second network of the built-in ExpNet, which gets a stretch of a voice instead of windows
(motion/temporal.py). It learns what expnet_mini learns, from the same speech, by the same losses.

    python -m sadtalker_core.training.temporal_mini --speech runs/speech.npz --out runs/temporal_mini
    python -m sadtalker_core.training.temporal_mini --speech runs/speech.npz --out runs/temporal_mini --evaluate

It sees the rhythm of whole syllables, and synthesisers have a rhythm of their own; so half of the clips are played
faster or slower, with their pitch as it was.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..coefficients import EXPRESSION
from ..motion.temporal import FoldedTemporalNet, TemporalConfig, TemporalNet, at_frames, steps_around
from .engine import seeded, trained
from .expnet_mini import agreement, distorted, loss_weights, random_reference, speech_losses, teach_the_rest
from .mini_trainer import Losses, command_line, learn, read_speech
from .trainer import StepContext
from .voices.speech_set import SpeechClip

MINI_TEMPORAL = TemporalConfig(width=128, blocks=6)

CLIPS_PER_BATCH, FRAMES_PER_CLIP = 24, 32
#: a clip is played so much slower, or faster
TEMPO = (0.8, 1.25)


def new_net(seed: int) -> TemporalNet:
    """A network that begins knowing what the portrait keeps and what a blink is."""
    with seeded(seed):
        net = TemporalNet(MINI_TEMPORAL)
    teach_the_rest(net.head)
    return net


def stretch(clip: SpeechClip, start: int, tempo: float, margin: int) -> tuple[Tensor, Tensor]:
    """mel (S, 80) and targets (FRAMES_PER_CLIP, len(SPEECH_BLENDSHAPES)) of the frames from `start` on, played `tempo`
    times as fast.
    """
    steps = steps_around(range(FRAMES_PER_CLIP), margin)
    first = start * 3.2  # a frame lasts 3.2 mel steps
    mel = _sampled(clip.mel, first + tempo * np.arange(steps.start, steps.stop))
    middles = start + tempo * (np.arange(FRAMES_PER_CLIP) + 0.5) - 0.5
    return torch.from_numpy(mel), torch.from_numpy(_sampled(clip.units, middles))


def _sampled(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(n, C) at places (m,), which may lie between two rows; those outside are the ends."""
    places = places.clip(0, len(rows) - 1)
    low = np.floor(places).astype(int).clip(max=max(len(rows) - 2, 0))
    share = (places - low)[:, None].astype(np.float32)
    high = np.minimum(low + 1, len(rows) - 1)
    return rows[low].astype(np.float32) * (1 - share) + rows[high].astype(np.float32) * share


def batch(clips: list[SpeechClip], draw: np.random.Generator, margin: int) -> tuple[Tensor, Tensor]:
    """(clips, S, 80) mel and (clips, L, len(SPEECH_BLENDSHAPES)) targets; and one clip in fifty is the idle mode's
    zeros, or digital silence.
    """
    n_frames = np.array([len(clip.units) for clip in clips])
    mels, units = [], []
    for i in draw.choice(len(clips), CLIPS_PER_BATCH, p=n_frames / n_frames.sum()):
        tempo = float(np.exp(draw.uniform(*np.log(TEMPO)))) if draw.random() < 0.5 else 1.0
        latest = max(1, len(clips[i].units) - int(FRAMES_PER_CLIP * tempo) + 1)
        mel, seen = stretch(clips[i], int(draw.integers(0, latest)), tempo, margin)
        mels.append(mel)
        units.append(seen)
    stacked = torch.stack(mels).transpose(1, 2)[:, None, None]
    mel, seen = distorted(stacked, draw)[:, 0, 0].transpose(1, 2), torch.stack(units)
    if draw.random() < 0.5:
        mel[0], seen[0] = float(draw.choice([0.0, -4.0])), 0.0
    return mel, seen


def losses_of(net: TemporalNet, clips: list[SpeechClip]) -> Losses:
    """The losses of one step, drawn from `clips`."""
    weights, margin, frames = loss_weights(clips), net.config.margin, range(FRAMES_PER_CLIP)

    def losses(context: StepContext) -> dict[str, Tensor]:
        draw = context.rng()
        mel, units = batch(clips, draw, margin)
        count, length = units.shape[:2]
        reference = random_reference(count, draw).repeat_interleave(length, dim=0)
        blink = torch.from_numpy(draw.choice([0.0, 0.0, 0.0, 0.5, 0.9, 1.0], count * length).astype(np.float32))
        embedded = at_frames(net(mel), steps_around(frames, margin).start + margin, frames).flatten(0, 1)
        return speech_losses(net.from_embedding(embedded, reference, blink), units, reference, blink, weights)

    return losses


@torch.no_grad()
def predict_clip(net: TemporalNet, clip: SpeechClip) -> Tensor:
    """(T, 64) of a clip, eyes open, with a portrait at rest."""
    n = len(clip.units)
    embedded = FoldedTemporalNet(net)(clip.speech(), range(n), torch.empty(()))
    return net.from_embedding(embedded, torch.zeros(n, EXPRESSION), torch.zeros(n))


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = command_line(
        __doc__, out="runs/temporal_mini", steps=6000, evaluate="how well kept-away voices are understood"
    )
    parser.add_argument("--on-top-of", type=Path, metavar="FOLDER", help="begin with what an earlier run has learnt")
    parser.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate (default 2e-3)")
    options = parser.parse_args(arguments)
    clips, held_out = read_speech(options)
    net = new_net(options.seed)
    if options.on_top_of:
        trained(net, options.on_top_of, "temporal").train()
    net = learn("temporal", net, losses_of, clips, options, options.rate)
    if held_out:
        predicted = torch.cat([predict_clip(net, clip) for clip in held_out]).numpy()
        units = agreement(predicted, np.concatenate([clip.units for clip in held_out]))
        print("  ".join(f"{name} r {r:.2f} spread {spread:.2f}" for name, (r, spread) in units.items()))


if __name__ == "__main__":
    main()
