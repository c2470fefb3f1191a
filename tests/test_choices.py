"""A word that is not offered is told which ones are, at every door of the core."""

from dataclasses import replace

import pytest
import torch

from sadtalker_core import pipeline
from sadtalker_core.choices import one_of
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.compose.label import label_frames
from sadtalker_core.compose.video import VideoWriter
from sadtalker_core.datatypes import MINI, CropMode, Expression, FaceCoefficients, Portrait
from sadtalker_core.device import to_device
from sadtalker_core.errors import OptionError
from sadtalker_core.face.landmarks import order_faces
from sadtalker_core.families import FAMILIES
from sadtalker_core.families.networks import EXPNET
from sadtalker_core.model import assemble_mini, choose_points
from sadtalker_core.motion.blink import Blinks
from sadtalker_core.motion.edit import resize
from sadtalker_core.motion.expression import run_expnet
from sadtalker_core.motion.smoothing import steadied
from sadtalker_core.motion.upper_face import upper_face, with_upper_face

WRONG = ["sometimes", "", "CROP", None, 7, float("nan"), [], {"a": 1}, b"crop", "x" * 5000]


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    """Each takes the word for one option."""
    model = assemble_mini()
    rows = torch.zeros(1, 73)
    face = FaceCoefficients.from_crop_rows(rows, family=MINI, crop_mode=CropMode.CROP, pic_size=256)
    portrait, speech = Portrait(torch.zeros(64, 64, 3)), pipeline.encode_audio(None, idle_seconds=0.2)
    folder = tmp_path_factory.mktemp("videos")

    def writer(word):
        return VideoWriter(folder / "a.mp4", (64, 64), 25, quality=word)

    return {
        "crop_mode": lambda word: pipeline.extract(model, portrait, word),
        "landmarks": lambda word: choose_points(word, FAMILIES[MINI], [], torch.device("cpu")),
        "missing_face": lambda word: pipeline.extract_video(model, [], 25, missing_face=word),
        "blink": lambda word: pipeline.predict_expression(model, speech, face, blink=word),
        "reference_mode": lambda word: pipeline.predict_expression(model, speech, face, reference_mode=word),
        "reference_mode of the pose": lambda word: pipeline.predict_head_pose(model, speech, face, reference_mode=word),
        "reference_length": lambda word: pipeline.predict_head_pose(
            model, speech, face, reference=face, reference_length=word
        ),
        "face_order": lambda word: order_faces([], word),
        "method": lambda word: resize(Expression(torch.zeros(3, 64), MINI), 5, word),
        "corner": lambda word: label_frames(torch.zeros(1, 64, 64, 3), corner=word),
        "precision": lambda word: to_device(model, torch.device("cpu"), word),
        "quality": lambda word: writer(word if isinstance(word, str) else str(word)),
    }


DOORS = [
    "crop_mode", "landmarks", "missing_face", "blink", "reference_mode", "reference_mode of the pose",
    "reference_length", "face_order", "method", "corner", "precision", "quality",
]  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_an_unknown_word_is_repeated_beside_those_that_are_known(door, doors):
    for word in WRONG:
        with pytest.raises(OptionError, match=rf"^{door.split()[0]}: expected one of \w.*, got ") as raised:
            doors[door](word)
        assert len(str(raised.value)) < 500


def test_the_member_that_equals_the_word_comes_out():
    assert one_of("crop_mode", "full", CropMode) is CropMode.FULL
    assert one_of("crop_mode", CropMode.FULL, CropMode) is CropMode.FULL
    assert one_of("blink", "off", ("auto", "off")) == "off"


@pytest.mark.parametrize("blink", ["auto", "off", "original"])
def test_the_chosen_blinks_are_those_of_the_face(blink):
    model, speech = assemble_mini(), pipeline.encode_audio(None, idle_seconds=6.0)
    face = FaceCoefficients.from_crop_rows(torch.zeros(1, 73), family=MINI, crop_mode=CropMode.CROP, pic_size=256)
    with torch.inference_mode():
        expression = pipeline.predict_expression(model, speech, face, blink=blink, blinks_per_minute=20, seed=5)
        above = upper_face(speech, Blinks(blink, per_minute=20, seed=5))
        track = above.lids.mean(dim=1)
        (net,) = model.use(EXPNET)
        spoken = run_expnet(net, speech, face, track)
        steady = replace(spoken, coefficients=steadied(spoken.coefficients))
        expected = with_upper_face(steady, above, face)
    assert torch.equal(expression.coefficients, expected.coefficients)
    lids = expression.coefficients[:, BLENDSHAPE_INDEX["eyeBlinkLeft"]]
    assert (lids[track > 0.9] > 0.6).all() and (lids[track == 0] < 0.4).all()
    assert bool((track > 0).any()) == (blink != "off")
