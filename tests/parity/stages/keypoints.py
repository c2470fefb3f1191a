"""The key-point detector: a portrait in, the blurred quarter, the heat volume and 15 key points out.

The original divides by a total that its softmax adds up in float32, in the 16 lanes of the processor that recorded it:
its weights then add up to 1 within 9e-6 at 256 and 3e-5 at 512, and its key points are off by as much. Ours are not, on
any processor; so the original's total is calculated here in the same way, and the key points are compared with it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from sadtalker_core.render.facevid2vid.keypoints import KeypointDetector
from tests.parity.harness import Row, Vectors, compare, rule_net, spread, thinned
from tests.parity.stages.render import net_image, recorded, statistics
from tests.tolerances import KEY_POINT

LANES = 16


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    detector = rule_net("keypoint_detector", seed)
    for case in vectors.cases:
        want = vectors.outputs(case)
        image = net_image(vectors.inputs(case)["image"])
        with torch.no_grad(), recorded(detector, ("shrink", "heat")) as records:
            keypoints = AsTheOriginalAdds(detector)(image)
        yield compare(vectors.stage, case, "value", keypoints, want["value"], KEY_POINT)
        small, step = thinned(want, "down")
        yield compare(vectors.stage, case, "down", records["shrink"].output[0, :, ::step, ::step], small, 1e-5)
        for field, values in (("feature_map_stats", records["heat"].input), ("logits_stats", records["heat"].output)):
            yield compare(vectors.stage, case, field, statistics(values), want[field], spread(want[field]))


class AsTheOriginalAdds(nn.Module):
    """A key-point detector whose key points are off by what the original's total is."""

    def __init__(self, detector: KeypointDetector):
        super().__init__()
        self.detector, self.config = detector, detector.config

    def forward(self, image: Tensor) -> Tensor:
        with recorded(self.detector, ("heat",)) as records:
            keypoints = self.detector(image)
        logits = records["heat"].output / self.detector.config.temperature
        return keypoints * excess_of_a_softmax(logits)[..., None].to(keypoints)


def excess_of_a_softmax(logits: Tensor) -> Tensor:
    """(B, K, D, H, W) -> (B, K): what the weights of a float32 softmax over the voxels add up to, where it adds the
    exponentials up one after the other, in LANES lanes.
    """
    weights = torch.exp(logits - logits.amax(dim=(2, 3, 4), keepdim=True)).flatten(2)
    rows = weights.unflatten(-1, (-1, LANES)).movedim(2, 0).numpy()
    lanes = np.zeros_like(rows[0])
    for row in rows:
        lanes += row
    return weights.double().sum(dim=-1) / torch.from_numpy(lanes).double().sum(dim=-1)
