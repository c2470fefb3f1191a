"""The key-point detector: a portrait in, the blurred quarter, the heat volume and 15 key points out."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tests.parity.harness import Row, Vectors, compare, rule_net, spread, thinned
from tests.parity.stages.render import net_image, recorded, statistics


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    detector = rule_net("keypoint_detector", seed)
    for case in vectors.cases:
        want = vectors.outputs(case)
        image = net_image(vectors.inputs(case)["image"])
        with torch.no_grad(), recorded(detector, ("shrink", "heat")) as records:
            keypoints = detector(image)
        yield compare(vectors.stage, case, "value", keypoints, want["value"], spread(want["value"]))
        small, step = thinned(want, "down")
        yield compare(vectors.stage, case, "down", records["shrink"].output[0, :, ::step, ::step], small, 1e-5)
        for field, values in (("feature_map_stats", records["heat"].input), ("logits_stats", records["heat"].output)):
            yield compare(vectors.stage, case, field, statistics(values), want[field], spread(want[field]))
