"""An image and the points of a face come in; the image with the points drawn on it goes out, to be looked at."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..datatypes import Box

POINT_COLOUR = (40, 220, 120)
LINE_COLOUR = (250, 250, 250)
BOX_COLOUR = (255, 190, 40)

#: runs of the 68 points that are joined by a line: (first, last, closed)
RUNS = (
    (0, 16, False),
    (17, 21, False),
    (22, 26, False),
    (27, 30, False),
    (31, 35, False),
    (36, 41, True),
    (42, 47, True),
    (48, 59, True),
    (60, 67, True),
)


def draw_landmarks(image: Tensor, points: Tensor, box: Box | None = None) -> Tensor:
    """image (H, W, 3) in 0..1 and points (N, 2 or 3) in its pixels -> (H, W, 3), a new image.

    68 points are joined along the face's features; any other number is drawn as dots. box: drawn as a frame.
    Marks grow with the face. Points outside the image are clipped.
    """
    from PIL import Image, ImageDraw

    pixels = (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    drawn = Image.fromarray(pixels)
    pen = ImageDraw.Draw(drawn)
    flat = points[:, :2].detach().cpu().float()
    width = max(1, round(float((flat.amax(dim=0) - flat.amin(dim=0)).max()) / 160))
    if box is not None:
        pen.rectangle([box.x, box.y, box.right - 1, box.bottom - 1], outline=BOX_COLOUR, width=2 * width)
    places = [tuple(place) for place in flat.tolist()]
    if len(places) == 68:
        for first, last, closed in RUNS:
            run = places[first : last + 1]
            pen.line(run + run[:1] if closed else run, fill=LINE_COLOUR, width=width)
    radius = 1.5 * width if len(places) == 68 else 0.75 * width
    for x, y in places:
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=POINT_COLOUR)
    return torch.from_numpy(np.array(drawn)).float() / 255
