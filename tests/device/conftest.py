"""A folder with the narrow released model, and what the CPU makes of each clip, once for all tests.

A device stays known to torch until its process ends, and some of torch then asks it wherever it goes. So these tests
run in a process of their own, which tests/test_on_a_second_device.py starts; to run one of them by hand:

    SECOND_DEVICE=1 python -m pytest -c tests/pytest.ini --rootdir tests tests/device -k name
"""

from __future__ import annotations

import functools
import os

import pytest
import torch

from tests.device import talking

collect_ignore_glob = [] if os.environ.get("SECOND_DEVICE") else ["test_*.py"]


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
