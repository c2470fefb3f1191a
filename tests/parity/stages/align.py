"""An image and its 68 points (all -1: no face) -> the aligned 224 x 224 face, its scale and its place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from sadtalker_core.face.align import (
    ALIGNED_SCALE,
    align_face,
    fit_template,
    five_points,
    flip_points,
    template_points,
)
from tests.parity.harness import Row, Vectors, compare, compare_stored


def check(vectors: Vectors, seed: int) -> Iterator[Row]:
    for case in vectors.cases:
        given, want = vectors.inputs(case), vectors.outputs(case)
        image = torch.from_numpy(given["image"]).permute(2, 0, 1) / 255
        height, width = image.shape[-2:]
        landmarks = None if (given["lm68"] == -1).all() else torch.from_numpy(given["lm68"])
        face = align_face(image, landmarks)
        points = template_points(width, height) if landmarks is None else flip_points(landmarks, height)
        five = points if landmarks is None else five_points(points)
        origin, scale = fit_template(five)

        def row(field, got, max_tol, mean_tol=None, case=case, want=want):
            return compare(vectors.stage, case, field, got, want[field], max_tol, mean_tol)

        yield row("lm5", five, 1e-4)
        yield row("pos_t", origin, 1e-4)
        yield row("pos_s", scale, 1e-4)
        yield row("trans_params", np.array([width, height, *face.crop.tolist()]), 1e-4)
        aligned = (face.image * 255).round().permute(1, 2, 0)
        yield compare_stored(vectors.stage, case, "image224", aligned, want, 1, 0.01)
        yield row("lm_new", _moved(points, origin, ALIGNED_SCALE / scale, np.array([width, height])), 1e-3)


def _moved(points: np.ndarray, origin: tuple[float, float], scale: float, size_wh: np.ndarray) -> np.ndarray:
    """Where the points lie in the aligned image, still y up."""
    return (points - origin + size_wh / 2) * scale - ((size_wh * scale).astype(int) / 2 - 112)
