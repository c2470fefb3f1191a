"""The generator at 256 or 512: a portrait and two sets of key points in, a frame and what led to it out. The plain
arrangement is looked at layer by layer, the fast one in what it gives.

This takes 10 to 30 seconds of one core per case at 256, and 70 to 160 at 512.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sadtalker_core.render.facevid2vid.blocks import halve
from sadtalker_core.render.facevid2vid.dense_motion import MIN_MASK, sparse_motions
from sadtalker_core.render.facevid2vid.generator import Generator, Rendered, Source
from tests.parity.harness import Row, Vectors, compare, compare_stored, fast_generator, rule_net, spread, thinned
from tests.tolerances import ARRANGEMENTS, IMAGE_MAX, IMAGE_MEAN, NUMBERS

#: A say this close to the step of PARITY.md P52 falls to the one side or the other by rounding: the arrangements, one
#: thread or two, were seen to differ by 2e-8 there. At 512 six of 4.2 million stand so close.
EDGE = 1e-7
#: pixels that one voxel's change is seen to reach, and how often the image is painted anew to find the side
REACH, ATTEMPTS = 48, 4

#: the original's name of a stage -> the module of ours whose output it is
STAGES = {
    "first": "encoder.stem",
    "down_blocks.0": "encoder.down.0",
    "down_blocks.1": "encoder.down.1",
    "second": "encoder.into_depth",
    "resblocks_3d": "encoder.blocks.5",
    "dense_motion_network.compress": "dense_motion.compression",
    "dense_motion_network.norm": "dense_motion.compression_norm",
    "dense_motion_network.hourglass": "dense_motion.hourglass",
    "dense_motion_network.mask": "dense_motion.mask",
    "dense_motion_network.occlusion": "dense_motion.occlusion",
    "third": "flatten",
    "fourth": "flatten_out",
    "decoder.fc": "decoder.stem",
    "decoder.G_middle_0": "decoder.middle.0",
    "decoder.G_middle_5": "decoder.middle.5",
    "decoder.up_0": "decoder.up.0",
    "decoder.up_1": "decoder.up.1",
    "decoder.conv_img": "decoder.to_rgb",
}


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    generator, fast = rule_net("generator", seed), fast_generator(seed)
    for case in vectors.cases:
        given, want = vectors.inputs(case), vectors.outputs(case)
        image = net_image(given["image"])
        here, there = (torch.from_numpy(given[name]) for name in ("kp_source", "kp_driving"))
        with torch.no_grad(), recorded(generator, STAGES.values()) as records:
            source = generator.encode_source(image, here)
            rendered = generator.warp_and_decode(source, there)
        with torch.no_grad():
            rendered, n_turned = settled(generator, source, there, rendered, want)
            fast_source = fast.encode_source(image, here)
            motion = fast.dense_motion(fast_source.compressed_features, here, there)
            arranged = Rendered(fast.decode(fast_source, rendered.motion), motion)
        note = f"{n_turned} voxels on PARITY.md P52's step turned" if n_turned else ""
        yield from _outcome(vectors.stage, case, rendered, want, note)
        yield from _outcome(vectors.stage, case, arranged, want, "fast")
        yield compare(vectors.stage, case, "fast less plain", arranged.image, rendered.image, ARRANGEMENTS)
        apart = (motion.deformation - rendered.motion.deformation)[~on_the_edge(rendered.motion.mask).any(dim=1)]
        yield compare(vectors.stage, case, "fast less plain, motion", apart, torch.zeros_like(apart), ARRANGEMENTS)

        motion = rendered.motion
        _, step = thinned(want, "deformation")
        volumes = {
            "deformation": motion.deformation[0, ::step, ::step, ::step],
            "mask": _every(motion.mask[0], want, "mask"),
            "feature_3d": _every(records["encoder.blocks.5"].output[0], want, "feature_3d"),
            "hourglass_input": _every(records["dense_motion.hourglass"].input[0], want, "hourglass_input"),
            "fourth": _every(records["flatten_out"].output[0], want, "fourth"),
        }
        for field, values in volumes.items():
            yield compare(vectors.stage, case, field, values, thinned(want, field)[0], NUMBERS)

        for name, wanted in zip(want["stage_names"], want["stage_stats"], strict=True):
            values = records[STAGES[str(name)]].output
            if str(name).startswith("down_blocks"):
                values = halve(values)  # the original pools inside its block
            # least and greatest of features of any size: a ten-thousandth of their scale
            tolerance = max(NUMBERS, spread(wanted))
            yield compare(vectors.stage, case, f"{name} stats", statistics(values), wanted, tolerance)


def on_the_edge(mask: Tensor) -> Tensor:
    """Where rounding decides whether a motion is heard (PARITY.md P52), of the shape of `mask`."""
    return (mask - MIN_MASK).abs() < EDGE


def settled(
    generator: Generator, source: Source, driving: Tensor, rendered: Rendered, want: dict
) -> tuple[Rendered, int]:
    """The frame with every voxel on the edge fallen to the side to which it fell in the original, and how many that
    turned. Only where the image is out, and near the worst pixel, is the other side tried; all tolerances stay.
    """
    stored, step = thinned(want, "prediction_f16")
    stored = torch.from_numpy(stored.astype(np.float32))
    motions = sparse_motions(source.keypoints, driving, source.compressed_features.shape[2:])

    def difference(image: Tensor) -> Tensor:
        return (image[0, :, ::step, ::step] - stored).abs().amax(dim=0)

    n_turned, untried = 0, on_the_edge(rendered.motion.mask)[0].nonzero()
    for _ in range(ATTEMPTS):
        differs = difference(rendered.image)
        worst = step * torch.tensor(divmod(int(differs.argmax()), differs.shape[1]))
        away = (4 * untried[:, 2:] - worst).abs().amax(dim=1)  # a voxel stands for four pixels
        if differs.max() <= IMAGE_MAX or not (away <= REACH).any():
            break
        motion, depth, row, column = untried[away.argmin()].tolist()
        untried = untried[away != away.min()]
        mask = rendered.motion.mask[0, motion, depth, row, column]
        turned = rendered.motion.deformation.clone()
        turned[0, depth, row, column] += motions[0, motion, depth, row, column] * (mask if mask < MIN_MASK else -mask)
        other = rendered.motion._replace(deformation=turned)
        image = generator.decode(source, other)
        if difference(image).max() < differs.max():
            rendered, n_turned = Rendered(image, other), n_turned + 1
    return rendered, n_turned


def _outcome(stage: str, case: str, rendered: Rendered, want: dict, note: str = "") -> Iterator[Row]:
    frame, motion = rendered.image[0], rendered.motion
    yield compare_stored(stage, case, "prediction_f16", frame, want, IMAGE_MAX, IMAGE_MEAN, note)
    yield compare(stage, case, "prediction_stats", statistics(frame), want["prediction_stats"], NUMBERS, note=note)
    yield compare(stage, case, "occlusion_map", motion.occlusion[0, 0], want["occlusion_map"], NUMBERS, note=note)
    for field, values in (("deformation", motion.deformation), ("mask", motion.mask)):
        wanted = want[f"{field}_stats"]
        yield compare(stage, case, f"{field}_stats", statistics(values), wanted, NUMBERS, note=note)


def net_image(image: np.ndarray) -> Tensor:
    """A stored image (S, S, 3) uint8 -> (1, 3, S, S) in 0..1."""
    return torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).float() / 255


def statistics(values: Tensor) -> Tensor:
    """(mean, standard deviation, least, greatest, mean of the absolute values), in float64."""
    values = values.detach().double()
    return torch.stack([values.mean(), values.std(correction=0), values.min(), values.max(), values.abs().mean()])


class Record(NamedTuple):
    """What went into a module, its first argument, and what came out."""

    input: Tensor
    output: Tensor


@contextlib.contextmanager
def recorded(net: nn.Module, names) -> Iterator[dict[str, Record]]:
    """Remembers what passes through the named modules of the network while the context lasts."""
    records: dict[str, Record] = {}

    def remember(name: str):
        def hook(module, inputs, output):
            records[name] = Record(inputs[0], output)

        return hook

    hooks = [net.get_submodule(name).register_forward_hook(remember(name)) for name in dict.fromkeys(names)]
    try:
        yield records
    finally:
        for hook in hooks:
            hook.remove()


def _every(values: Tensor, want: dict, field: str) -> Tensor:
    """Every N-th element along all axes but the channels, as the field was stored."""
    _, step = thinned(want, field)
    return values[(slice(None),) + (slice(None, None, step),) * (values.ndim - 1)]
