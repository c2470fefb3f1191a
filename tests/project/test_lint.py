"""ruff and mypy have nothing to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.comfyui import lint


@pytest.mark.parametrize("words", lint.RUFF, ids=" ".join)
def test_ruff_is_content(project, words):
    done = subprocess.run([sys.executable, "-m", "ruff", *words], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_mypy_is_content(capfd):
    assert lint.types(Path(sys.executable)) == 0, capfd.readouterr().out
