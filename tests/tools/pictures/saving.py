"""A picture comes in, a JPEG small enough for users to clone goes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LARGEST_PICTURE = 60_000  # bytes: users clone them


def save_small(picture: Any, file: Path) -> None:
    """picture: Pillow's, RGB. Takes the best quality with which the file is small enough, and says which."""
    for quality in range(92, 40, -4):
        picture.save(file, quality=quality, optimize=True, progressive=True)
        if file.stat().st_size <= LARGEST_PICTURE:
            break
    print(f"{file.name}: {picture.width} x {picture.height}, {file.stat().st_size} bytes, quality {quality}")
