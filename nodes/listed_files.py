"""Files that a node offers in a list: those of the input folder by their path, those of the output folder with [output]
behind; nothing outside of these two is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths

from ..sadtalker_core.errors import OptionError


def choices(*endings: str) -> list[str]:
    """The files whose names end so, in small letters."""
    found = []
    folders = {folder_paths.get_input_directory(): "", folder_paths.get_output_directory(): " [output]"}
    for folder, behind in folders.items():
        root = Path(folder)
        files = (file for file in sorted(root.rglob("*")) if file.name.lower().endswith(endings))
        found += [f"{file.relative_to(root).as_posix()}{behind}" for file in files]
    return found


def path_of(choice: str, endings: tuple[str, ...], refusal: str) -> Path:
    """The path of a choice. Raises OptionError with the message `refusal` for a file that does not exist, has another
    ending, or is outside those folders.
    """
    name, root = folder_paths.annotated_filepath(choice or "")
    root = Path(root or folder_paths.get_input_directory()).resolve()
    try:
        path: Path = (root / name).resolve()
        is_valid = path.is_relative_to(root) and name.lower().endswith(endings) and path.is_file()
    except (OSError, ValueError):  # a name that no file can have: too long, or with a NUL in it
        is_valid = False
    if not is_valid:
        raise OptionError(refusal)
    return path


def fingerprint(choice: str, endings: tuple[str, ...]) -> Any:
    """Size and time of the file, so that one that was replaced since the last run is read again."""
    try:
        stat = path_of(choice, endings, "").stat()
    except (OptionError, OSError):
        return []
    return [stat.st_size, stat.st_mtime_ns]


def fault(choice: str, endings: tuple[str, ...], refusal: str) -> str | bool:
    """For `validate_inputs`: True, or the refusal."""
    try:
        path_of(choice, endings, refusal)
    except OptionError as error:
        return str(error)
    return True
