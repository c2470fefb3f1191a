"""Mel windows, the pose of the portrait, a style and the draws -> the head's motion, not yet smoothed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sadtalker_core.motion.pose import pose_blocks, predict_motion
from tests.parity.harness import Row, Vectors, compare, rule_net, spread


@dataclass(frozen=True, eq=False)
class StoredWindows:
    """Stands in for SpeechWindows where the windows themselves were stored. stored: (T, 80, 16)"""

    stored: Tensor

    @property
    def n_frames(self) -> int:
        return self.stored.shape[0]

    def windows(self, start: int, stop: int) -> Tensor:
        return self.stored[start:stop].unsqueeze(1)


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    net = rule_net("posevae", seed)
    length = net.config.frames
    for case in vectors.cases:
        given, want = vectors.inputs(case), vectors.outputs(case)
        speech = StoredWindows(torch.from_numpy(given["indiv_mels"]))
        start_pose = torch.from_numpy(given["ref"])[:1, -6:]
        motion = predict_motion(net, speech, start_pose, given["class"], torch.from_numpy(given["z"]))
        yield compare(vectors.stage, case, "z_used", pose_blocks(net, speech.n_frames), want["z_used"], 0)

        field = "audio_emb_first_block_0_1_31"
        behind_first = speech.windows(1, min(1 + length, speech.n_frames))
        copies = behind_first[:1].expand(length - behind_first.shape[0], -1, -1, -1)
        with torch.no_grad():
            audio_embedding = net.embed(torch.cat([copies, behind_first]).unsqueeze(0))[0, [0, 1, 31]]
        yield compare(vectors.stage, case, field, audio_embedding, want[field], spread(want[field]))
        for field, got in (("pose_motion_pred", motion), ("pose_pred", start_pose + motion)):
            yield compare(vectors.stage, case, field, got, want[field], spread(want[field]))
