"""A folder with the narrow released model, and what the CPU makes of each clip, once for all tests."""

from __future__ import annotations

import functools

import pytest
import torch

from tests.device import talking


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder for models that holds talking.NARROW."""
    folder = tmp_path_factory.mktemp("models")
    talking.write_narrow(folder)
    return folder


@pytest.fixture(scope="session")
def on_the_cpu(models):
    """on_the_cpu(model, crop_mode, paste_back) -> (frames, motion) in fp32."""

    @functools.cache
    def made(model: str, crop_mode: str, paste_back: bool):
        video = talking.clip(talking.load(model, models, device="cpu", batch_size=2), crop_mode, paste_back)
        return torch.cat(list(video.frames())), video.motion

    return made
