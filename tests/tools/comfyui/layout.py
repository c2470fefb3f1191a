"""Where things lie: the project, its own folder `.comfyui`, and the folder that one server calls home.

Pure standard library, so that it runs before anything is installed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
PACK_NAME = "sadtalker-nodes"
"""The pack's folder under custom_nodes; the page asks for help pages under this name."""


class SetupError(Exception):
    """Something about this machine, a path or an argument that the person at the keyboard can change."""


def home() -> Path:
    """The project's own folder: virtual environment, ComfyUI, servers' folders, logs, output. Git ignores it."""
    return PROJECT / ".comfyui"


def link_folder(target: Path, link: Path) -> None:
    """Makes `link` lead to the folder `target`: a symbolic link, on Windows a junction (which needs no rights)."""
    if link.is_symlink() or link.exists():
        if link.exists() and link.resolve() == target.resolve():
            return
        unlink_folder(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        import _winapi

        _winapi.CreateJunction(str(target.resolve()), str(link))
    else:
        link.symlink_to(target.resolve(), target_is_directory=True)


def unlink_folder(link: Path) -> None:
    """Removes a link made by link_folder and leaves what it led to alone; refuses a real folder with content."""
    if link.is_symlink():
        link.unlink()
    else:
        link.rmdir()  # takes a junction or an empty folder; anything else is somebody's data and raises


def make_base(base: Path, pack: Path = PROJECT) -> Path:
    """Lays out the folder given to a server as `--base-directory`, with the pack linked into its custom_nodes."""
    for name in ("models", "input", "output", "temp", "user", "custom_nodes"):
        (base / name).mkdir(parents=True, exist_ok=True)
    link_folder(pack, base / "custom_nodes" / PACK_NAME)
    return base


def remove_base(base: Path) -> None:
    """Deletes a server's folder, link first, so that the project behind the link is never walked into."""
    link = base / "custom_nodes" / PACK_NAME
    if link.is_symlink() or link.exists():
        unlink_folder(link)
    shutil.rmtree(base, ignore_errors=True)


def venv_python(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / "Scripts" / "python.exe" if sys.platform == "win32" else venv / "bin" / "python"
