"""Mel windows, the face at rest and a blink track -> the expression, through ExpNet."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tests.parity.harness import Row, Vectors, compare, rule_net, spread


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    net = rule_net("expnet", seed)
    for case in vectors.cases:
        given, want = vectors.inputs(case), vectors.outputs(case)
        windows = torch.from_numpy(given["indiv_mels"]).unsqueeze(1)
        rest, blink = torch.from_numpy(given["ref"])[:, :64], torch.from_numpy(given["ratio"])
        with torch.no_grad():
            audio_embedding = net.audio(windows[:2])
            expression = net(windows, rest, blink)
        for field, got in (("audio_embedding_first2", audio_embedding), ("exp", expression)):
            yield compare(vectors.stage, case, field, got, want[field], spread(want[field]))
