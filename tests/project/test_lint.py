"""ruff and mypy have nothing to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.comfyui import lint


def test_ruff_is_content(project):
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_mypy_is_content(capfd):
    assert lint.types(Path(sys.executable)) == 0, capfd.readouterr().out
