"""Key points turned, moved and bent as the readings of MappingNet say."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from sadtalker_core.datatypes import KeypointMotion
from sadtalker_core.render.facevid2vid.transform import transform_keypoints
from sadtalker_core.render.mapping import bins_to_degrees
from tests.parity.harness import Row, Vectors, compare, spread


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    for case in vectors.cases:
        given = vectors.inputs(case)
        tensors = {name: torch.from_numpy(given[name]) for name in given if hasattr(given[name], "shape")}
        angles = {
            axis: tensors[f"{axis}_in"] if f"{axis}_in" in tensors else bins_to_degrees(tensors[axis])
            for axis in ("yaw", "pitch", "roll")
        }
        offsets = torch.zeros_like(tensors["exp"]) if given.get("wo_exp") else tensors["exp"]
        got = transform_keypoints(tensors["kp"], KeypointMotion(**angles, translation=tensors["t"], offsets=offsets))
        want = vectors.outputs(case)["value"]
        yield compare(vectors.stage, case, "value", got, want, spread(want))
