"""What every test may lean on: the project root on the path, and random draws that begin alike."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

# One thread: networks as small as the tests' wait for threads longer than they work, and the workers share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

with suppress(ImportError):  # the interpreters for the tests marked plain have pytest alone
    import hypothesis

    # Every machine tries the same examples, keeps none on the disk, and is never too slow for one.
    hypothesis.settings.register_profile("sadtalker", derandomize=True, database=None, deadline=None)
    hypothesis.settings.load_profile("sadtalker")

pytest_plugins = ["tests.tools.comfyui.fixtures"]


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder."""
    return PROJECT


@pytest.fixture
def generator():
    """A CPU torch.Generator with a fixed seed, made anew for each test."""
    import torch

    return torch.Generator().manual_seed(20)
