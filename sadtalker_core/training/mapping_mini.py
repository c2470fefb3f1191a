"""Trains the narrow MappingNet of the built-in family: 27 rows of coefficients -> what moves the mesh in the middle.

    python -m sadtalker_core.training.mapping_mini --speech runs/speech.npz --out runs/mapping_mini
    python -m sadtalker_core.training.mapping_mini --speech runs/speech.npz --out runs/mapping_mini --evaluate

In this family the coefficients already are what the mesh should do, so the network has to hand over the middle row: the
52 blendshapes (cut to what a face can do), the angles as bins of 3 degrees, the translation. The one difficulty is its
own layout, a mean over three frames: it would blur a closure of the lips that lasts one frame. It learns to sharpen
against that from tracks with real speed: speech, blinks, sway, ramps and jumps, all made here.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, smooth_l1_loss

from ..coefficients import ARKIT_BLENDSHAPES, BLENDSHAPE_INDEX, EXPRESSION, MOTION_ROW, ROTATION
from ..datatypes import BlendshapeMotion
from ..motion.visemes import SPEECH_BLENDSHAPES, blendshape_indices
from ..render.mapping import (
    ANGLE_BINS,
    DEGREES_PER_BIN,
    FIRST_BIN_DEGREES,
    MINI_MAPPING,
    POOLED_FRAMES,
    STEM_KERNEL,
    MappingNet,
    run_mappingnet,
)
from ..render.semantics import WINDOW_FRAMES, WINDOW_RADIUS
from .engine import seeded
from .expnet_mini import loss_weights
from .mini_trainer import Losses, command_line, learn, read_speech
from .trainer import StepContext
from .voices.speech_set import SpeechClip

TRACKS_PER_STEP = 6
FRAMES_PER_TRACK = 108
STILL_PER_STEP = 48
ANGLES = slice(EXPRESSION, EXPRESSION + ROTATION)
#: what the mesh is asked for at most and at least; shut lids are shut
MOST, LEAST = 1.25, -0.1
BLINK = (0.5, 0.9, 1.0, 0.9, 0.5)


def wanted_blendshapes(expression: Tensor) -> Tensor:
    """(…, 64) coefficients -> (…, 64) blendshape weights for the mesh: the same, cut to what a face can do."""
    units = expression.clamp(LEAST, MOST)
    lids = blendshape_indices("eyeBlink")
    units[..., lids] = units[..., lids].clamp(0.0, 1.0)
    units[..., len(ARKIT_BLENDSHAPES) :] = 0.0
    return units


def random_track(clips: list[SpeechClip], n: int, draw: np.random.Generator) -> np.ndarray:
    """(n, 70): somebody talks, blinks, turns, is dragged by degree lists, or is the noise of a measurement."""
    units = np.zeros((n, len(ARKIT_BLENDSHAPES)), np.float32)
    if draw.random() < 0.05:  # nothing at all, straight ahead
        return np.zeros((n, MOTION_ROW), np.float32)
    if draw.random() < 0.85:
        units[:, SPEECH_BLENDSHAPES] += _talk(clips, n, draw) * draw.choice([1.0, 1.0, draw.uniform(0.3, 1.6)])
    measured = draw.normal(0, 0.04, len(ARKIT_BLENDSHAPES)) * (draw.random() < 0.8)
    portrait = measured + draw.uniform(0, 0.8, len(ARKIT_BLENDSHAPES)) * (draw.random(len(ARKIT_BLENDSHAPES)) < 0.15)
    units += portrait.astype(np.float32)
    for _ in range(draw.poisson(n / 60)):
        at, strength = int(draw.integers(0, n)), draw.uniform(0.6, 1.1)
        for k, lid in enumerate(BLINK[: n - at]):
            units[at + k, blendshape_indices("eyeBlink")] += lid * strength
    if draw.random() < 0.4:  # a reference video: everything moves a little
        units += _sway(n, len(ARKIT_BLENDSHAPES), draw, seconds=draw.uniform(0.15, 0.6)) * draw.uniform(0.05, 0.3)
    if draw.random() < 0.3:
        units += draw.normal(0, draw.uniform(0, 0.03), units.shape)
    pose = np.concatenate([_angles(n, draw), _shift(n, draw)], axis=1)
    return np.concatenate([units, np.zeros((n, EXPRESSION - len(ARKIT_BLENDSHAPES)), np.float32), pose], axis=1)


def still_rows(n: int, draw: np.random.Generator) -> Tensor:
    """(n, 70) faces that hold still in poses spread evenly over -50..50 degrees."""
    rows = np.zeros((n, MOTION_ROW), np.float32)
    rows[:, : len(ARKIT_BLENDSHAPES)] = draw.uniform(0, 0.6, (n, len(ARKIT_BLENDSHAPES))) * (draw.random((n, 1)) < 0.5)
    rows[:, ANGLES] = np.radians(draw.uniform(-50, 50, (n, ROTATION))) * (draw.random((n, ROTATION)) < 0.6)
    rows[:, -3:] = draw.normal(0, 0.2, (n, 3))
    return torch.from_numpy(rows)


def _talk(clips: list[SpeechClip], n: int, draw: np.random.Generator) -> np.ndarray:
    parts, have = [], 0
    while have < n:
        clip = clips[int(draw.integers(0, len(clips)))].units
        parts.append(clip)
        have += len(clip)
    return np.concatenate(parts)[:n].astype(np.float32)


def _sway(n: int, width: int, draw: np.random.Generator, seconds: float) -> np.ndarray:
    """(n, width) of noise that changes within `seconds`, spread 1."""
    from scipy.ndimage import gaussian_filter1d

    sigma = max(seconds * 25 / 2, 0.5)
    rough = draw.normal(0, 1, (n + int(6 * sigma), width))
    return (gaussian_filter1d(rough, sigma, axis=0)[:n] * math.sqrt(2 * math.sqrt(math.pi) * sigma)).astype(np.float32)


def _angles(n: int, draw: np.random.Generator) -> np.ndarray:
    """(n, 3) pitch, yaw, roll in radians."""
    degrees = draw.normal(0, 1, 3)[None] * np.array([7.0, 12.0, 6.0])
    kind = draw.random()
    if kind < 0.45:
        degrees = degrees + _sway(n, 3, draw, draw.uniform(0.3, 1.5)) * draw.uniform(0, 6)
    elif kind < 0.6:
        marks = draw.uniform(-38, 38, (int(draw.integers(2, 5)), 3))
        t = np.linspace(0, len(marks) - 1, n)
        degrees = np.stack([np.interp(t, np.arange(len(marks)), marks[:, k]) for k in range(3)], axis=1)
    else:
        degrees = np.repeat(draw.uniform(-45, 45, (1, 3)), n, axis=0)
    return np.radians(np.broadcast_to(degrees, (n, 3)).clip(-60, 60)).astype(np.float32)


def _shift(n: int, draw: np.random.Generator) -> np.ndarray:
    """(n, 3) where the head is in the square (-1..1), and the logarithm of its size."""
    middle = np.array([draw.normal(0, 0.15), draw.normal(0.05, 0.2), draw.normal(0.0, 0.35)])
    return (
        (middle + _sway(n, 3, draw, draw.uniform(0.3, 2.0)) * draw.uniform(0, 0.04)).clip(-1.2, 1.2).astype(np.float32)
    )


def new_net(seed: int) -> MappingNet:
    """A network that begins by handing over the mean of the three middle rows; it has the sharpening to learn.

    Hidden channels 0..69 carry the row. The bins of an angle begin as a hill whose top a single number moves: scores
    n x - n^2 c / 2 over the bins n (0 = straight ahead) have their softmax's mean at x / c.
    """
    with seeded(seed):
        net = MappingNet(MINI_MAPPING)
    narrowness = 0.5
    bin_number = torch.arange(ANGLE_BINS) + FIRST_BIN_DEGREES / DEGREES_PER_BIN
    with torch.no_grad():
        for parameter in net.blocks.parameters():
            parameter.mul_(0.1)
        net.stem.weight[:MOTION_ROW].zero_()
        net.stem.bias[:MOTION_ROW].zero_()
        net.stem.weight[range(MOTION_ROW), range(MOTION_ROW), STEM_KERNEL // 2] = 1.0
        for head in (net.offsets, net.translation):
            head.weight.zero_()
            head.bias.zero_()
        net.offsets.weight[range(EXPRESSION), range(EXPRESSION)] = 1.0
        net.translation.weight[range(3), range(EXPRESSION + ROTATION, MOTION_ROW)] = 1.0
        for row, head in enumerate((net.pitch, net.yaw, net.roll)):
            head.weight.zero_()
            head.weight[:, EXPRESSION + row] = bin_number * narrowness * math.degrees(1.0) / DEGREES_PER_BIN
            head.bias.copy_(-narrowness / 2 * bin_number.square())
    return net


def losses_of(net: MappingNet, clips: list[SpeechClip]) -> Losses:
    """The losses of one step, drawn from `clips`."""
    weights = loss_weights(clips).sqrt()

    def losses(context: StepContext) -> dict[str, Tensor]:
        draw = context.rng()
        tracks = [random_track(clips, FRAMES_PER_TRACK + 2 * WINDOW_RADIUS, draw) for _ in range(TRACKS_PER_STEP)]
        rows = torch.from_numpy(np.stack(tracks))
        middle = rows[:, WINDOW_RADIUS:-WINDOW_RADIUS]
        features = avg_pool1d(net.encode(rows.transpose(1, 2)), POOLED_FRAMES, stride=1)
        motion = net.heads(features.transpose(1, 2)).rows(BlendshapeMotion)
        units = wanted_blendshapes(middle[..., :EXPRESSION])
        degrees = torch.rad2deg(middle[..., ANGLES])
        error = (motion.weights - units) * weights
        angle = torch.stack([motion.pitch, motion.yaw, motion.roll], dim=-1) - degrees
        posed = still_rows(STILL_PER_STEP, draw)
        held = net(posed[:, :, None].expand(-1, -1, WINDOW_FRAMES)).rows(BlendshapeMotion)
        held_angle = torch.stack([held.pitch, held.yaw, held.roll], dim=-1) - torch.rad2deg(posed[:, ANGLES])
        return {
            "units": 60 * error.square().mean(),
            "change": 20 * error.diff(dim=1).square().mean(),
            "degrees": 0.6 * smooth_l1_loss(angle, torch.zeros_like(angle)),
            "still degrees": 0.6 * smooth_l1_loss(held_angle, torch.zeros_like(held_angle)),
            "translation": 20 * (motion.translation - middle[..., -3:]).square().mean(),
        }

    return losses


@torch.no_grad()
def evaluate(net: MappingNet, clips: list[SpeechClip], seed: int = 1) -> dict[str, float]:
    """How closely the middle row is followed on talking tracks that were not trained on."""
    draw = np.random.default_rng([seed, 2**31])
    tracks = [torch.from_numpy(random_track(clips, 150, draw)) for _ in range(40)]
    motions = [run_mappingnet(net, track, BlendshapeMotion) for track in tracks]
    rows = torch.cat(tracks)
    motion = BlendshapeMotion(*(torch.cat(parts) for parts in zip(*(vars(m).values() for m in motions), strict=True)))
    wanted = wanted_blendshapes(rows[:, :EXPRESSION])
    named = [unit for unit in range(len(ARKIT_BLENDSHAPES)) if wanted[:, unit].std() > 0.02]
    follows = [np.corrcoef(motion.weights[:, u], wanted[:, u])[0, 1] for u in named]
    gain = [float(motion.weights[:, u].std() / wanted[:, u].std()) for u in named]
    small = rows[:, ANGLES].abs().amax(dim=1) < math.radians(30)
    angle = torch.stack([motion.pitch, motion.yaw, motion.roll], 1) - torch.rad2deg(rows[:, ANGLES])

    talk = torch.zeros(len(rows), MOTION_ROW)
    talk[:, list(SPEECH_BLENDSHAPES)] = torch.from_numpy(_talk(clips, len(rows), draw))
    prediction = run_mappingnet(net, talk, BlendshapeMotion).weights
    by_unit = {ARKIT_BLENDSHAPES[u]: np.corrcoef(prediction[:, u], talk[:, u])[0, 1] for u in SPEECH_BLENDSHAPES}
    press = blendshape_indices("mouthPress")[0]
    closed = talk[:, press] > 0.4
    still = run_mappingnet(net, torch.zeros(1, MOTION_ROW), BlendshapeMotion)
    return {
        "unit r, least": float(min(follows)),
        "unit r, mean": float(np.mean(follows)),
        "unit gain, least": min(gain),
        "unit gain, most": max(gain),
        "talk r, least": float(min(by_unit.values())),
        "talk r, jawOpen": float(by_unit["jawOpen"]),
        "talk gain, jawOpen": float(
            prediction[:, BLENDSHAPE_INDEX["jawOpen"]].std() / talk[:, BLENDSHAPE_INDEX["jawOpen"]].std()
        ),
        "press on closures": float(prediction[closed, press].mean() / talk[closed, press].mean()),
        "degrees off below 30, 95 %": float(angle[small].abs().quantile(0.95)),
        "degrees off below 30, most": float(angle[small].abs().max()),
        "translation off, 95 %": float((motion.translation - rows[:, -3:]).abs().quantile(0.95)),
        "rest: units": float(still.weights.abs().max()),
        "rest: degrees": float(torch.cat([still.yaw, still.pitch, still.roll]).abs().max()),
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the top of this file."""
    parser = command_line(__doc__, out="runs/mapping_mini", steps=8600, evaluate="how closely the rows are followed")
    options = parser.parse_args(arguments)
    clips, held_out = read_speech(options)
    net = learn("mapping", new_net(options.seed), losses_of, clips, options, rate=3e-3)
    for name, value in evaluate(net, held_out).items():
        print(f"{name:32} {value:.4f}")


if __name__ == "__main__":
    main()
