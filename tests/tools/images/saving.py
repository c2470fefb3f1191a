"""An image comes in, a JPEG small enough for users to clone goes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LARGEST_IMAGE = 60_000  # bytes: users clone them


def save_small(image: Any, file: Path, largest: int = LARGEST_IMAGE) -> None:
    """image: Pillow's, RGB. Takes the best quality with which the file has at most `largest` bytes, and says which."""
    for quality in range(92, 40, -4):
        image.save(file, quality=quality, optimize=True, progressive=True)
        if file.stat().st_size <= largest:
            break
    print(f"{file.name}: {image.width} x {image.height}, {file.stat().st_size} bytes, quality {quality}")
