"""Both families on a device that is not the CPU: the tests of tests/device, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(project: Path, which: str, scratch: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-c", "tests/pytest.ini", "--rootdir", "tests", "-m", which]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "--basetemp", str(scratch / "base"), "tests/device"],
        cwd=project,
        env={**os.environ, "SECOND_DEVICE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    assert " passed" in done.stdout


@pytest.mark.slow
def test_every_stage_of_both_families(project, tmp_path):
    run(project, "not slow", tmp_path)


@pytest.mark.slow
def test_every_precision_and_crop_mode(project, tmp_path):
    run(project, "slow", tmp_path)
