"""A model of the released family with a handful of channels, as a file of ours: what a renderer is exported into."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from sadtalker_core.training import mapping, rehearsal, renderer

RENDERER, MAPPING = renderer.REHEARSAL, mapping.REHEARSAL
N_KEYPOINTS, VGG = RENDERER.keypoints.n_keypoints, RENDERER.vgg


def nets() -> dict[str, nn.Module]:
    return rehearsal.narrow_nets(audio_width=2)


def write(path: Path) -> Path:
    return rehearsal.write_narrow_base(path, audio_width=2)
