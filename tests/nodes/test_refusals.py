"""Every graph that cannot work gets a sentence that says what is wrong and what to do."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.comfyui

#: the case -> words of its sentence
SENTENCES = {
    "no face": ("the portrait 'meadow.png': no face found", "box"),
    "too small": ("16 x 16", "too small"),
    "a picture that is none": ("pointer.png", "cannot be read as an image", "get the file again"),
    "a picture of 200 megapixels": ("the portrait 'huge.png' has 200 megapixels", "at most 179"),
    "fourth of a list of pictures": ("the portrait, number 3 of the list (counting from 0)", "too small"),
    "fourth of a list of files": ("the portrait 'tiny.png', number 3 of the list", "16 x 16"),
    "fourth of a list of portraits": ("the portrait 'green.png', number 3 of the list", "no face found"),
    "a head of 100 pixels": ("render_size", "0 (by the size of the face) or 256 to 1024", "got 100"),
    "third of two faces": ("face index up to 1, got 2", "2 faces were found"),
    "no voice and no idle time": ("idle_seconds", "audio"),
    "released weights not there": (
        "SadTalker_V0.0.2_256.safetensors", "725,066,984 bytes", "c211f5d6de00", "allow_download", "models",
    ),
    "degrees that are none": ("yaw", "-20, 0, 20"),
    "portrait without a crop": ("3DMM Extract",),
    "wire of another kind": ("SADTALKER_POSE", "SADTALKER_MOTION"),
    "picture that is not there": ("nobody.png", "input folder"),
    "pose style beyond the last": ("pose_style", "45"),
    "motion of the other family": ("WrongFamily", "released", "mini", "Load SadTalker Model"),
    "a clip that fits into no memory": ("DoesNotFit", "9000000 frames", "MB"),
    "two voices in a batch": ("AudioError", "batch of 2"),
    "a voice of no numbers": ("AudioError", "NaN"),
    "a voice of six milliseconds": ("AudioError", "40 ms"),
    "third of two pictures": ("OptionError", "batch_index", "0 to 1"),
    "an empty mask": ("OptionError", "mask is empty"),
    "neither frames nor video": ("VideoError", "exactly one"),
    "frames without their shape": ("VideoError", "connect an IMAGE"),
}  # fmt: skip


@pytest.fixture(scope="module")
def found(comfyui, astronaut, inside, tmp_path_factory):
    import shutil

    from tests.tools.comfyui.inprocess import run_inside
    from tests.tools.comfyui.layout import make_base

    base = make_base(tmp_path_factory.mktemp("refusals") / "base")
    shutil.copy(astronaut, base / "input" / "astronaut.png")
    return run_inside(comfyui, inside / "refusals.py", base)


@pytest.mark.parametrize("case", sorted(SENTENCES))
def test_a_graph_that_cannot_work_gives_the_reason(case, found):
    missing = [words for words in SENTENCES[case] if words not in found[case]]
    assert not missing, found[case]


def test_face_render_states_how_much_it_will_make_before_the_first_frame(found):
    (message,), seen_before_the_first_frame = found["announced"]
    assert re.search(r"Face Render makes 10 frames of 256 x \d+, 8 MB, about \d+ s\.$", message), message
    assert seen_before_the_first_frame == 1


def test_the_second_of_two_faces_can_talk(found):
    assert found["second of two faces"] == "it ran"
