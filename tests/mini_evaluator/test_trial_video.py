"""One portrait is filmed in a real ComfyUI as the trial does."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.tools.mini_evaluator.__main__ import INSIDE, _filmed
from tests.tools.mini_evaluator.sheet import contact_sheet
from tests.tools.mini_evaluator.trial import LOOK_DEG, TURN_DEG, VISEMES
from tests.tools.mini_evaluator.voices import Spoken

pytestmark = [pytest.mark.comfyui, pytest.mark.slow]
N_FRAMES, N_STILL = 5, 3


@pytest.fixture(scope="module")
def video(comfyui, astronaut, tmp_path_factory) -> dict[str, np.ndarray]:
    from sadtalker_core.training.voices.synthesis import Utterance
    from tests.tools.comfyui.inprocess import run_inside
    from tests.tools.comfyui.layout import make_base

    folder = tmp_path_factory.mktemp("film")
    base = make_base(folder / "base")
    shutil.copy(astronaut, base / "input" / "astronaut.png")
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    Spoken("noise", Utterance(noise, ())).save(base / "input" / "noise.wav", N_FRAMES)
    take = {
        "portrait": "astronaut.png",
        "voice": "noise.wav",
        "out": str(folder / "astronaut.npz"),
        "recipe": "this one",
    }
    refused = run_inside(
        comfyui,
        INSIDE,
        base,
        takes=[take],
        visemes={"A": VISEMES["A"]},
        turn=TURN_DEG,
        look=LOOK_DEG,
        still_frames=N_STILL,
    )
    assert refused == {"astronaut.png": None}
    assert (folder / "astronaut.mp4").stat().st_size > 1000
    assert _filmed(take) and not _filmed(take | {"recipe": "another"})
    with np.load(take["out"]) as stored:
        return {name: stored[name] for name in stored.files}


def test_every_take_is_there_in_the_size_of_the_source(video):
    assert len(video["spoken"]) == len(video["offsets"]) == N_FRAMES and len(video["still"]) == N_STILL
    for name in ("spoken", "still", "commanded"):
        assert video[name].shape[1:] == video["source"].shape


def test_the_neutral_face_is_the_portrait_and_the_commanded_ones_are_not(video):
    names = video["names"].tolist()
    looks = ["look -12", "look +12"]
    assert names == [
        "neutral",
        "A",
        "blink",
        *looks,
        "yaw -12",
        "yaw +0",
        "yaw +12",
        "pitch -12",
        "pitch +0",
        "pitch +12",
    ]
    change = np.abs(video["commanded"].astype(int) - video["source"]).mean((1, 2, 3))
    assert change[0] < 0.1
    assert all(change[names.index(name)] > 0.2 for name in ("A", "blink", "yaw -12", "yaw +12", "pitch +12"))


def test_the_sheet_has_a_cell_for_each_of_them(video):
    sheet = contact_sheet({"astronaut": video}, cell=50)
    assert sheet.width - contact_sheet({"astronaut": video}, cell=49).width == 1 + len(
        ["A", "blink", "look", "look", *"four"]
    )
