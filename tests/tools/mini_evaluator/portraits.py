"""The portraits of the trial as arrays: photographs of packages, generated heads, and both redrawn.

Images are (H, W, 3) uint8. Heads come from the generator of training (training/heads) with seeds that training does
not use; the filters of `STYLES` are our own and stand for paintings, prints and drawings.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import sources
from .trial import TEST_SEED, Head, Photograph, Trial

HEAD_SIDE = 512
LONGEST_SIDE = 1200  #: of a photograph; larger ones are made smaller, as somebody would for the web


def all_portraits(trial: Trial, folder: Path) -> dict[str, np.ndarray]:
    """name -> image, in the order of the sheet. Redrawn portraits come from the full list even in a short trial."""
    images = {photograph.name: photograph_of(photograph, folder) for photograph in trial.photographs}
    images |= {head.name: head_of(head, folder) for head in trial.heads}
    return images | {one.name: STYLES[one.style](images[one.of]) for one in trial.stylised}


def photograph_of(photograph: Photograph, folder: Path) -> np.ndarray:
    if photograph.package == "skimage":
        import skimage.data

        return getattr(skimage.data, photograph.name)()
    return read(sources.faces(folder) / photograph.member)


def read(file: Path) -> np.ndarray:
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def head_of(head: Head, folder: Path) -> np.ndarray:
    """A person at rest, looking about into the camera."""
    from sadtalker_core.training.heads.expressions import random_turn, weights_of
    from sadtalker_core.training.heads.mesh import load_head_mesh
    from sadtalker_core.training.heads.scene import Scene, photograph

    draw = np.random.default_rng([TEST_SEED, head.number])
    scene = Scene(load_head_mesh(folder / "heads"), draw, HEAD_SIDE)
    frame = scene.frame(weights_of(), random_turn(draw, 0.25), np.zeros(3))
    return photograph(frame.rgb, draw)


# ---- filters ---------------------------------------------------------------------------------------------------------


def painted(image: np.ndarray) -> np.ndarray:
    """Broad strokes: each pixel takes the mean of the calmest of the four squares that touch it (Kuwahara 1976)."""
    from scipy.ndimage import uniform_filter

    radius = max(2, min(image.shape[:2]) // 256)
    size, colours = (2 * radius + 1, 2 * radius + 1, 1), image.astype(np.float32)
    means, unrests = [], []
    for corner in ((dy, dx, 0) for dy in (-radius, radius) for dx in (-radius, radius)):
        means.append(uniform_filter(colours, size, origin=corner))
        unrests.append((uniform_filter(colours**2, size, origin=corner) - means[-1] ** 2).sum(-1))
    calmest = np.stack(unrests).argmin(0)
    return np.take_along_axis(np.stack(means), calmest[None, ..., None], 0)[0].clip(0, 255).astype(np.uint8)


def posterised(image: np.ndarray) -> np.ndarray:
    """Few flat colours, stronger than they were."""
    from scipy.ndimage import median_filter

    flat = median_filter(image, (5, 5, 1)).astype(np.float32) / 255
    light = flat.mean(-1, keepdims=True)
    steps = np.round(light * 6) / 6
    return ((steps + 1.5 * (flat - light)).clip(0, 1) * 255).astype(np.uint8)


def line_art(image: np.ndarray) -> np.ndarray:
    """Ink on paper: dark lines where the light falls off, over a pale wash of the colours."""
    from scipy.ndimage import gaussian_filter

    light = image.astype(np.float32).mean(-1) / 255
    unit = max(1.0, min(image.shape[:2]) / 500)
    edge = gaussian_filter(light, 1.6 * unit) - gaussian_filter(light, 0.8 * unit)
    ink = (edge * 22).clip(0, 1)[..., None]
    wash = gaussian_filter(image.astype(np.float32) / 255, (2 * unit, 2 * unit, 0))
    paper = 0.45 + 0.55 * np.round(wash * 5) / 5
    return ((paper * (1 - ink) + 0.08 * ink).clip(0, 1) * 255).astype(np.uint8)


STYLES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "painted": painted,
    "posterised": posterised,
    "line art": line_art,
}
