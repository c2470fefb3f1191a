"""An aligned face -> the 257 coefficients, through FaceReconNet."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tests.parity.harness import Row, Vectors, compare, rule_net, spread


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    net = rule_net("face_recon", seed)
    for case in vectors.cases:
        face = torch.from_numpy(vectors.inputs(case)["image"]).permute(2, 0, 1) / 255
        want = vectors.outputs(case)["coeffs257"]
        with torch.no_grad():
            row = net(face[None])[0]
        yield compare(vectors.stage, case, "coeffs257", row, want, spread(want))
