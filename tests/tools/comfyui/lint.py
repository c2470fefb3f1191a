"""ruff's rules, ruff's format and mypy over the project, as one package.

The project root is itself a package (ComfyUI loads its __init__.py), and the nodes import the core relatively. mypy
therefore sees the root through a link with a name that Python accepts.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.tools.comfyui.layout import PROJECT, home, link_folder

PACKAGE = "sadtalker_nodes"
RUFF = (("check", "."), ("format", "--check", "."))


def main(python: Path = Path(sys.executable)) -> int:
    """Runs all three; 0 when none has anything to say."""
    ruff = [subprocess.run([str(python), "-m", "ruff", *words], cwd=PROJECT).returncode for words in RUFF]
    return types(python) or max(ruff)


def types(python: Path, **how) -> int:
    """mypy over the core, the nodes and this harness; its exit status."""
    folder = home() / "types"
    link_folder(PROJECT, folder / PACKAGE)
    return subprocess.run(
        [
            str(python),
            "-m",
            "mypy",
            "--config-file",
            str(PROJECT / "pyproject.toml"),
            "--cache-dir",
            str(home() / "mypy_cache"),
            "--namespace-packages",
            "-p",
            f"{PACKAGE}.sadtalker_core",
            "-p",
            f"{PACKAGE}.nodes",
        ],
        cwd=folder,
        **how,
    ).returncode
