"""MappingNet: windows in; scores of the angle bins, translation, offsets, degrees and the rotation out."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from sadtalker_core.coefficients import CROP_ROW
from sadtalker_core.render.facevid2vid.transform import rotation_matrix
from tests.parity.harness import Row, Vectors, compare, rule_net, spread


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    for case in vectors.cases:
        windows, want = torch.from_numpy(vectors.inputs(case)["semantics"]), vectors.outputs(case)
        mapped = mapping_net(windows.shape[-2], seed)(windows)
        motion = mapped.motion()
        got = {
            "yaw": mapped.yaw, "pitch": mapped.pitch, "roll": mapped.roll,
            "t": mapped.translation, "exp": mapped.offsets,
            "yaw_degree": motion.yaw, "pitch_degree": motion.pitch, "roll_degree": motion.roll,
            "rotation": rotation_matrix(motion.yaw, motion.pitch, motion.roll),
        }  # fmt: skip
        for field, values in got.items():
            yield compare(vectors.stage, case, field, values, want[field], spread(want[field]))


def mapping_net(n_coefficients: int, seed: int) -> torch.nn.Module:
    """The rule-made network that reads rows of this width."""
    return rule_net("mapping_full" if n_coefficients == CROP_ROW else "mapping", seed)
