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

from sadtalker_core.render.blocks import halve
from sadtalker_core.render.dense_motion import LEAST_SAY
from sadtalker_core.render.generator import Rendered
from tests.parity.harness import Row, Vectors, compare, compare_stored, fast_generator, rule_net, spread, thinned

#: of a picture in 0..1 that is stored in half precision, and of everything else
PICTURE_MAX, PICTURE_MEAN, NUMBERS = 4e-4, 1.2e-4, 1e-4
#: how far the two arrangements may lie apart in a picture in 0..1
ARRANGEMENTS = 5e-5
#: ... and this where a say on the edge of silence rounded to the other side in a rare voxel (quirk 28 is a step), mean
#: as before. Measured with two threads: at 512, 1.6e-3 at most and 3.8e-6 on average; at 256, 3.2e-4.
FLIPPED, RARE = 3e-3, 1e-4

#: the original's name of a stage -> the module of ours whose output it is
STAGES = {
    "first": "encoder.stem",
    "down_blocks.0": "encoder.down.0",
    "down_blocks.1": "encoder.down.1",
    "second": "encoder.into_depth",
    "resblocks_3d": "encoder.blocks.5",
    "dense_motion_network.compress": "dense_motion.compact",
    "dense_motion_network.norm": "dense_motion.compact_norm",
    "dense_motion_network.hourglass": "dense_motion.hourglass",
    "dense_motion_network.mask": "dense_motion.say",
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
        points = [torch.from_numpy(given[name]) for name in ("kp_source", "kp_driving")]
        with torch.no_grad(), recorded(generator, STAGES.values()) as records:
            rendered = generator(net_image(given["image"]), *points)
        yield from _outcome(vectors.stage, case, rendered, want)
        with torch.no_grad():
            arranged = fast(net_image(given["image"]), *points)
        n_flipped = _flipped(arranged, rendered)
        note, most = ("fast", ARRANGEMENTS) if n_flipped == 0 else (f"fast, {n_flipped} voxels flipped", FLIPPED)
        yield from _outcome(vectors.stage, case, arranged, want, note, max(most, PICTURE_MAX))
        yield compare(vectors.stage, case, "fast less plain", arranged.image, rendered.image, most, ARRANGEMENTS, note)

        motion = rendered.motion
        _, step = thinned(want, "deformation")
        volumes = {
            "deformation": motion.deformation[0, ::step, ::step, ::step],
            "mask": _every(motion.say[0], want, "mask"),
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


def _flipped(one: Rendered, other: Rendered) -> int:
    """Voxels in which a say fell to the two sides of the step; 0 when they are more than a rare few (quirk 28)."""
    flipped = ((one.motion.say < LEAST_SAY) != (other.motion.say < LEAST_SAY)).any(dim=1)
    return int(flipped.sum()) if flipped.float().mean() < RARE else 0


def _outcome(stage: str, case: str, rendered: Rendered, want: dict, note: str = "",
             picture_max: float = PICTURE_MAX) -> Iterator[Row]:  # fmt: skip
    frame, motion = rendered.image[0], rendered.motion
    yield compare_stored(stage, case, "prediction_f16", frame, want, picture_max, PICTURE_MEAN, note)
    yield compare(stage, case, "prediction_stats", statistics(frame), want["prediction_stats"], NUMBERS, note=note)
    yield compare(stage, case, "occlusion_map", motion.occlusion[0, 0], want["occlusion_map"], NUMBERS, note=note)
    for field, values in (("deformation", motion.deformation), ("mask", motion.say)):
        wanted = want[f"{field}_stats"]
        yield compare(stage, case, f"{field}_stats", statistics(values), wanted, NUMBERS, note=note)


def net_image(image: np.ndarray) -> Tensor:
    """A stored picture (S, S, 3) uint8 -> (1, 3, S, S) in 0..1."""
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
    """Remembers what passes through the named modules of the net while the context lasts."""
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
