"""What MappingNet is shown: the portrait's window, the driving windows, and the angles that the user wrote.

The original splits the frames over a batch: row b holds the frames b * nf onwards, the last window fills up. Here that
form is made from our windows only to be compared. Its lists of two angles or more never reach the last one, and begin
every leg anew; up to the first corner they are right, after it ours is held against a slow reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sadtalker_core.coefficients import CROP_LAYOUT, CROP_ROW, EXPRESSION, FULL_LAYOUT, MOTION_ROW, split_row
from sadtalker_core.datatypes import RELEASED, CropMode, Expression, FaceCoefficients, HeadPose
from sadtalker_core.render.driving import degree_track
from sadtalker_core.render.semantics import driving_rows, semantic_windows, source_row
from tests.parity.harness import Row, Vectors, compare, fixed, thinned
from tests.parity.stages.render import net_image, statistics

#: nothing is calculated here but one multiplication
ROUNDING = 1e-6
#: of an angle in degrees, stored in float32
DEGREES = 1e-5


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    for case in vectors.cases:
        given, want = vectors.inputs(case), vectors.outputs(case)
        mode, n_batch = CropMode(given.get("preprocess", "crop")), given["batch_size"]
        source, rows = _source(given, mode), torch.from_numpy(given["coeff"])
        n_frames, width = len(rows), CROP_ROW if mode.full else MOTION_ROW
        driving = driving_rows(
            source,
            Expression(rows[:, :EXPRESSION], RELEASED),
            HeadPose(rows[:, EXPRESSION:MOTION_ROW], RELEASED),
            width,
            expression_scale=given.get("expression_scale", 1.0),
            still=given.get("still", False),
        )
        own = semantic_windows(source_row(source, width)).expand(n_batch, -1, -1)
        windows = _in_batches(semantic_windows(driving), n_batch)
        yield compare(vectors.stage, case, "source_semantics", own, want["source_semantics"], ROUNDING)
        yield compare(vectors.stage, case, "target_semantics_list", windows, want["target_semantics_list"], ROUNDING)
        yield compare(vectors.stage, case, "frame_num", len(driving), want["frame_num"], 0)
        for axis in ("yaw", "pitch", "roll"):
            if axis in given:
                yield from _check_degrees(vectors.stage, case, axis, given[axis], n_frames, want[f"{axis}_c_seq"])

        image = net_image(given["image"])[0]
        if image.shape[-1] == given.get(
            "size", 256
        ):  # else the original enlarges; we cut the crop at the network's size
            small, step = thinned(want, "source_image")
            yield compare(vectors.stage, case, "source_image", image[:, ::step, ::step], small, ROUNDING)
            stats = want["source_image_stats"]
            yield compare(vectors.stage, case, "source_image_stats", statistics(image), stats, ROUNDING)


def _source(given: dict, mode: CropMode) -> FaceCoefficients:
    parts = split_row(torch.from_numpy(given["first_coeff"]), CROP_LAYOUT)
    absent = {name: torch.zeros(1, FULL_LAYOUT[name]) for name in ("identity", "texture", "lighting")}
    return FaceCoefficients(**parts, **absent, family=RELEASED, crop_mode=mode, pic_size=given["image"].shape[0])


def _in_batches(frames: Tensor, n_batch: int) -> Tensor:
    """(T, …) -> (n_batch, T over n_batch, rounded up, …), filled up with the last frame."""
    n_missing = -len(frames) % n_batch
    filled = torch.cat([frames, frames[-1:].expand(n_missing, *frames.shape[1:])])
    return filled.unflatten(0, (n_batch, -1))


def _check_degrees(
    stage: str, case: str, axis: str, values: np.ndarray, n_frames: int, want: np.ndarray
) -> Iterator[Row]:
    field = f"{axis}_c_seq"
    ours = degree_track([float(value) for value in values], n_frames)
    if len(values) == 1:
        yield compare(stage, case, field, _in_batches(torch.from_numpy(ours), len(want)), want, DEGREES)
        return
    reference = _slow_reference([float(value) for value in values], n_frames)
    first_leg = abs(float(values[1]) - float(values[0]))
    pace = float(np.abs(np.diff(values)).sum()) / (n_frames - 1)
    n_untouched = min(n_frames, int(np.ceil(first_leg / pace - 1e-9)))
    yield compare(stage, case, f"{field} to the first corner", ours[:n_untouched], want.ravel()[:n_untouched], DEGREES)
    yield fixed(
        stage, case, field, "the last angle is reached, at one speed through all corners", ours, reference, DEGREES
    )


def _slow_reference(values: list[float], n_frames: int) -> list[float]:
    """Degree by degree from station to station, slowly: the same path, calculated another way than ours."""
    legs = list(pairwise(values))
    whole = sum(abs(there - here) for here, there in legs)
    path = []
    for frame in range(n_frames):
        left = whole * frame / (n_frames - 1)
        for here, there in legs:
            if left <= abs(there - here):
                break
            left -= abs(there - here)
        path.append(here + min(left, abs(there - here)) * (1 if there > here else -1))
    return path
