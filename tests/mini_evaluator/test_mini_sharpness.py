"""Sharpness is told apart from softness, and only skin is looked at."""

from __future__ import annotations

import numpy as np
import pytest

from sadtalker_core.canonical_face import INNER_LIPS, LEFT_EYE
from tests.render.heads import SIDE, head_points
from tests.tools.mini_evaluator import sharpness

POINTS = head_points()[:, :2].numpy()


@pytest.fixture
def video() -> dict[str, np.ndarray]:
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return {
        "source": image, "landmarks": POINTS, "spoken": np.stack([image] * 3), "moved": np.stack([POINTS] * 3),
        "between": np.stack([image] * 3), "pasted": image[None], "whole": image,
    }  # fmt: skip


def softer(images: np.ndarray) -> np.ndarray:
    return ((images.astype(int) + np.roll(images, 1, axis=-2)) // 2).astype(np.uint8)


def test_a_video_as_sharp_as_its_portrait_is_reported_and_a_soft_one_too(video):
    assert [round(value, 6) for value in sharpness.of_video(video).values()] == [1, 0, 0, 1]
    face, pulses, between, whole = sharpness.of_video({**video, "spoken": softer(video["spoken"])}).values()
    assert face < 0.85 and pulses < 1e-6 and whole == 1
    assert list(sharpness.of_video({**video, "pasted": softer(video["pasted"])}).values())[3] < 0.8


def test_a_frame_that_is_softer_than_the_others_is_a_pulse(video):
    for name, place in (("spoken", 1), ("between", 2)):
        frames = video[name].copy()
        frames[1] = softer(frames[1])
        assert list(sharpness.of_video({**video, name: frames}).values())[place] > 0.05


def test_skin_is_neither_eyes_nor_mouth_nor_hair():
    where = sharpness.skin(POINTS, SIDE, SIDE)
    assert 0.05 < where.mean() < 0.5
    for points in (POINTS[list(LEFT_EYE)], POINTS[list(INNER_LIPS)], np.array([[2.0, 2.0]])):
        x, y = points.mean(0).astype(int)
        assert not where[y, x]
