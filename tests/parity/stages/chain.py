"""From windows to frames: mapping, key points, transformation and the fast generator, as the nodes
path through render/.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from sadtalker_core.datatypes import Box, CropMode, FaceCrop, Motion
from sadtalker_core.render.facevid2vid.animate import render_frames
from tests.parity.harness import Row, Vectors, compare, compare_stored, fast_generator, rule_net
from tests.parity.stages.keypoints import AsTheOriginalAdds
from tests.parity.stages.mapping import mapping_net
from tests.parity.stages.render import net_image, statistics
from tests.tolerances import IMAGE_MAX, IMAGE_MEAN, LEVEL, NUMBERS, SHARE


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    detector, generator = AsTheOriginalAdds(rule_net("keypoint_detector", seed)), fast_generator(seed)
    for case in vectors.cases:
        given, want = vectors.inputs(case), vectors.outputs(case)
        image = net_image(given["image"])[0]
        side = image.shape[-1]
        crop = FaceCrop(image, torch.zeros(68, 2), Box(0, 0, side, side), CropMode.CROP)
        frames = torch.cat(list(render_frames(detector, generator, crop, _motion(given, seed))))

        levels = np.rint(frames.permute(0, 2, 3, 1).numpy() * 255)
        yield compare_stored(vectors.stage, case, "frames_uint8", levels, want, LEVEL, SHARE)
        got = torch.stack([statistics(frame) for frame in frames])
        yield compare(vectors.stage, case, "frames_stats", got, want["frames_stats"], NUMBERS)
        if "frames_f16" in want:
            yield compare(vectors.stage, case, "frames", frames, want["frames_f16"], IMAGE_MAX, IMAGE_MEAN)


def _motion(given: dict, seed: int) -> Motion:
    """The original's batch holds in row b the frames b * nf onwards, and repeats the last to fill up; here they stand
    in one line again, without the repeats.
    """
    windows = torch.from_numpy(given["target_semantics"]).flatten(0, 1)
    n_frames = given.get("frame_num", len(windows))
    net = mapping_net(windows.shape[-2], seed)
    with torch.no_grad():
        driving = net(windows[:n_frames]).motion()
        source = net(torch.from_numpy(given["source_semantics"][:1])).motion()
    angles = {
        axis: torch.from_numpy(given[f"{axis}_c_seq"]).flatten()[:n_frames]
        for axis in ("yaw", "pitch", "roll")
        if f"{axis}_c_seq" in given
    }
    return Motion(driving=replace(driving, **angles), source=source)
