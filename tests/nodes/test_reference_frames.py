"""3DMM from Video reads what the wire means: a file, bytes, a part of them or a batch; what is no video is told."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.comfyui


@pytest.fixture(scope="module")
def found(comfyui, voice, inside, tmp_path_factory):
    import shutil

    from tests.comfyui.inprocess import run_inside
    from tests.comfyui.layout import make_base

    base = make_base(tmp_path_factory.mktemp("clips") / "base")
    shutil.copy(voice, base / "input" / voice.name)
    return run_inside(comfyui, inside / "reference_video.py", base)


@pytest.mark.parametrize("kind", ["file", "bytes", "latin-1", "pictures"])
def test_a_video_of_any_kind_gives_every_frame_in_order(found, kind):
    """Pictures are what core's Create Video puts on the wire: nothing is encoded for them. latin-1 is of the title."""
    assert found[kind]["fps"] == 10 and found[kind]["n_frames"] == 12
    assert found[kind]["levels"] == pytest.approx([20 * i for i in range(12)], abs=0 if kind == "pictures" else 3)


@pytest.mark.parametrize("kind", ["part", "part of bytes"])
def test_of_a_cut_video_only_the_part_is_read(found, kind):
    assert found[kind]["fps"] == 10 and found[kind]["n_frames"] == 4
    assert found[kind]["levels"] == pytest.approx([60, 80, 100, 120], abs=3)


def test_a_batch_has_the_rate_of_the_widget_and_loses_its_alpha(found):
    assert found["batch"] == [12.5, 3, [[64, 64, 3]] * 3]


@pytest.mark.parametrize(("case", "words"), [
    ("both", "exactly one of them"),
    ("words", "cannot be read"),
    ("half", "cannot be read"),
    ("half of the frames", "cannot be read"),
    ("a voice", "no picture track"),
])
def test_what_is_no_video_gets_a_sentence(found, case, words):
    assert found[case].startswith("VideoError") and words in found[case]
