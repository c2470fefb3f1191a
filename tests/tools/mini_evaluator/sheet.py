"""The contact sheet: a row for each portrait, a column for each commanded face, names along the edges."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

CELL = 144
_TOP, _LEFT = 18, 118


def contact_sheet(videos: Mapping[str, Mapping[str, np.ndarray]], cell: int = CELL) -> Image.Image:
    """films: portrait -> source (S, S, 3), names (n,), commanded (n, S, S, 3) as video.py writes them. The zero angles
    and the neutral face look like the source and are left out.
    """
    columns = ["source"]
    for video in videos.values():
        columns += [str(name) for name in video["names"] if name not in columns and _shown(str(name))]
    sheet = Image.new("RGB", (_LEFT + cell * len(columns), _TOP + cell * len(videos)), "white")
    draw = ImageDraw.Draw(sheet)
    for x, column in enumerate(columns):
        draw.text((_LEFT + x * cell + 4, 3), column, fill="black")
    for y, (name, video) in enumerate(videos.items()):
        draw.text((4, _TOP + y * cell + cell // 2), name, fill="black")
        images = {"source": video["source"]} | dict(zip(map(str, video["names"]), video["commanded"], strict=True))
        for x, column in enumerate(columns):
            small = Image.fromarray(images[column]).resize((cell, cell), Image.Resampling.LANCZOS)
            sheet.paste(small, (_LEFT + x * cell, _TOP + y * cell))
    return sheet


def _shown(name: str) -> bool:
    return name != "neutral" and not name.endswith(" +0")
