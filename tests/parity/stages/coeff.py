"""Expression and predicted pose -> the 70-rows that drive the face: smoothed, and moved by a reference video."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from sadtalker_core.datatypes import RELEASED, CropMode, FaceCoefficients
from sadtalker_core.motion.reference import ReferenceLength, fit_length, follow
from sadtalker_core.motion.smoothing import smooth
from tests.parity.harness import Row, Vectors, compare, spread


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    for case in vectors.cases:
        given, want = vectors.inputs(case), vectors.outputs(case)["coeff"]
        pose = smooth(torch.from_numpy(given["pose"]))
        if "ref_pose" in given:
            rows = torch.from_numpy(given["ref_pose"])
            reference = FaceCoefficients.from_crop_rows(rows, family=RELEASED, crop_mode=CropMode.CROP, pic_size=256)
            pose = pose + follow(fit_length(reference, len(pose), ReferenceLength.LOOP))
        rows = torch.cat([torch.from_numpy(given["exp"]), pose], dim=1)
        yield compare(vectors.stage, case, "coeff", rows, want, spread(want))
