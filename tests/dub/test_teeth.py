"""A new mouth shows the teeth that the video shows, and draws some where the video never shows any."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sadtalker_core.dub.dub import DubOptions, dubbed_frames
from sadtalker_core.dub.follow import read_person
from sadtalker_core.face.points import FaceSelector
from sadtalker_core.families.networks import FACE_DETECTOR, FACE_MESH, LINEAR_3DMM
from sadtalker_core.model import load_model
from sadtalker_core.render.mouth.dentition import ENAMEL
from tests.dub.videos import FPS, gliding, track_of, video_of

N = 4


@pytest.fixture(scope="module")
def model():
    return load_model("mini", [])


def person_of(model, images):
    frames = (images * 255).round().byte()
    nets = model.use(FACE_DETECTOR, FACE_MESH, LINEAR_3DMM)
    return read_person(*nets, frames.repeat_interleave(10, 0), FPS, FaceSelector())


@pytest.fixture(scope="module")
def smiling():
    """The astronaut smiles with her upper teeth."""
    return gliding(N)


def test_the_upper_row_of_a_smile_becomes_a_drawing_in_white_light(model, smiling):
    teeth = person_of(model, smiling).teeth
    colour, cover = teeth[:3], teeth[3]
    height, width = cover.shape
    rows = torch.nonzero(cover.max(1).values > 0.5)[:, 0]
    assert rows[0] == 0 and 0.35 * height < rows[-1] < 0.75 * height, "from the gums to an edge in the middle"
    crowns = slice(int(rows[-1]) - height // 5, int(rows[-1]) - height // 20), slice(2 * width // 5, 3 * width // 5)
    seen = colour[(slice(None), *crowns)].mean((1, 2))
    assert (seen - seen.new_tensor(ENAMEL)).abs().max() < 0.15, "as bright as enamel, and as little red"


def test_lips_that_hide_the_teeth_give_none(model, smiling):
    shut = torch.stack(list(dubbed_frames(model, video_of(smiling), track_of(N), DubOptions()))).float() / 255
    assert person_of(model, shut).teeth is None


def test_the_new_mouth_shows_the_videos_own_teeth(model, smiling):
    made = torch.stack(list(dubbed_frames(model, video_of(smiling), track_of(N, jawOpen=0.4), DubOptions())))
    was, now = (brightest(images.numpy()) for images in (smiling, made.float() / 255))
    assert now > 0.85 * was


def brightest(images: np.ndarray) -> float:
    """Of what is as grey as teeth in the lower half of the face, the brightest hundredth on average."""
    height, width = images.shape[1:3]
    lower = images[:, height // 3 : height // 2, width // 3 : 2 * width // 3].reshape(-1, 3)
    grey = lower[lower.min(1) > 0.75 * lower.max(1)].mean(1)
    return float(np.sort(grey)[-len(grey) // 100 :].mean())
