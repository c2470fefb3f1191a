"""The label is seen in its corner, and leaves the rest of the frame alone."""

from pathlib import Path

import pytest
import torch

from sadtalker_core.compose import label as label_module
from sadtalker_core.compose.label import CORNERS, label_frames
from sadtalker_core.errors import Cancelled, ImageError, OptionError


@pytest.fixture
def frames(generator):
    return torch.rand(2, 120, 200, 3, generator=generator)


@pytest.mark.parametrize("corner", CORNERS)
def test_only_one_corner_changes(frames, corner):
    changed = (label_frames(frames, corner=corner, size=0.06) != frames).any(dim=(0, 3))
    rows, columns = changed.nonzero().unbind(1)
    assert changed.sum() > 500
    assert (rows.max() < 60) if corner.startswith("top") else (rows.min() >= 60)
    assert (columns.max() < 100) if corner.endswith("left") else (columns.min() >= 100)


def test_letters_are_light_on_a_dark_plate(frames):
    labelled = label_frames(frames, opacity=1.0, size=0.1)
    plate = labelled[(labelled != frames).any(dim=-1)]
    assert plate.min() < 0.1 and plate.max() > 0.95


def test_opacity_lets_the_image_through():
    white = torch.ones(1, 100, 200, 3)
    darkest = [float(label_frames(white, opacity=opacity).min()) for opacity in (0.25, 0.5, 1.0)]
    assert darkest == pytest.approx([1 - 0.25 * 239 / 255, 1 - 0.5 * 239 / 255, 16 / 255], abs=0.01)


def test_the_frames_that_came_in_stay_as_they_were(frames):
    before = frames.clone()
    label_frames(frames)
    assert torch.equal(frames, before)


def test_a_fourth_channel_is_left_alone(frames):
    alpha = torch.cat([frames, torch.rand(2, 120, 200, 1)], dim=-1)
    assert torch.equal(label_frames(alpha)[..., 3], alpha[..., 3])
    assert torch.equal(label_frames(alpha)[..., :3], label_frames(frames))


def test_words_too_long_for_the_image_are_made_smaller(frames):
    labelled = label_frames(frames, "Made by a machine", size=0.25)
    columns = (labelled != frames).any(dim=(0, 3)).nonzero()[:, 1]
    assert columns.min() >= 0 and columns.max() < 200


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is empty"), (" \n ", "is empty"), ("\uffff", "install one"), ("word " * 40, "does not fit")],
)
def test_what_cannot_be_written_is_reported(frames, text, words):
    with pytest.raises(OptionError, match=words):
        label_frames(frames, text)


@pytest.fixture
def boxes_installed(monkeypatch):
    """A typeface of bars and boxes that has A, I and two Chinese letters, behind one that is not on this computer."""
    typeface = Path(__file__).parent / "data" / "boxes.ttf"
    monkeypatch.setattr(label_module, "EASTERN_TYPEFACES", ("nobody has this.ttf", str(typeface)))
    return str(typeface)


def test_chinese_is_written_with_a_typeface_of_the_computer(frames, boxes_installed):
    assert label_module.typeface_for("AI") is None
    assert label_module.typeface_for("AI \u751f\u6210") == boxes_installed
    labelled = label_frames(frames, "AI \u751f\u6210", opacity=1.0, size=0.1)
    plate = labelled[(labelled != frames).any(dim=-1)]
    assert plate.min() < 0.1 and plate.max() > 0.95


@pytest.mark.parametrize("installed", [True, False])
def test_a_letter_that_no_typeface_has_is_named(frames, boxes_installed, monkeypatch, installed):
    if not installed:
        monkeypatch.setattr(label_module, "EASTERN_TYPEFACES", ())
    with pytest.raises(OptionError, match="has \u7684.*Noto Sans CJK"):
        label_frames(frames, "AI \u7684")


def test_an_unknown_corner_and_a_frame_without_colours_are_refused(frames):
    with pytest.raises(OptionError, match="middle"):
        label_frames(frames, corner="middle")
    with pytest.raises(ImageError, match="120, 200"):
        label_frames(frames[0])


def test_a_long_label_that_does_not_fit_is_reported_in_few_words(frames):
    with pytest.raises(OptionError, match="does not fit into frames of 200 x 120") as error:
        label_frames(frames, "a word " * 500)
    assert len(str(error.value)) < 600


def test_many_frames_are_labelled_piece_by_piece_and_can_be_stopped(generator):
    frames = torch.rand(35, 24, 120, 3, generator=generator)
    seen = []
    labelled = label_frames(frames, "AI", on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(16, 35), (32, 35), (35, 35)]
    assert torch.equal(labelled, torch.cat([label_frames(frame[None], "AI") for frame in frames]))

    def stop(done, total):
        raise Cancelled

    with pytest.raises(Cancelled):
        label_frames(frames, "AI", on_progress=stop)
