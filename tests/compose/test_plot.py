"""The plot shows what there is, and where it is."""

import pytest
import torch

from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.compose.plot import _thinned, panels_of, plot_motion
from sadtalker_core.datatypes import MINI, RELEASED, Expression, HeadPose, SpeechWindows
from sadtalker_core.errors import OptionError, WrongFamily

SMALL = {"width": 320, "height": 240}


@pytest.fixture
def pose(generator):
    return HeadPose(torch.randn(20, 6, generator=generator) / 20, MINI)


@pytest.fixture
def expression(generator):
    return Expression(torch.rand(20, 64, generator=generator), MINI)


def curves(expression=None, pose=None):
    return {line.name: line.values for panel in panels_of(expression, pose) for line in panel.lines}


def test_a_mini_expression_shows_its_units(expression):
    shown = curves(expression)
    assert set(shown) == {"jaw open", "lips round", "lips wide", "blink", "brows up"}
    assert torch.equal(shown["jaw open"], expression.coefficients[:, BLENDSHAPE_INDEX["jawOpen"]])


def test_a_released_expression_shows_how_far_it_has_moved(expression):
    (values,) = curves(Expression(expression.coefficients, RELEASED)).values()
    assert values[0] == 0 and values[5] == (expression.coefficients[5] - expression.coefficients[0]).norm()


def test_the_head_is_shown_in_degrees_since_the_first_frame(pose):
    shown = curves(pose=pose)
    expected = torch.rad2deg(pose.coefficients[:, 1] - pose.coefficients[0, 1])
    torch.testing.assert_close(shown["yaw"], expected)


def test_no_curve_leaves_its_panel(expression, pose):
    for panel in panels_of(Expression(expression.coefficients * 3 - 1, MINI), HeadPose(pose.coefficients * 99, MINI)):
        for line in panel.lines:
            assert panel.low <= line.values.min() and line.values.max() <= panel.high


def test_a_jaw_that_opens_late_is_drawn_at_the_right():
    rows = torch.zeros(20, 64)
    still = plot_motion(expression=Expression(rows, MINI), **SMALL)
    rows = rows.clone()
    rows[15, BLENDSHAPE_INDEX["jawOpen"]] = 0.2
    changed = (plot_motion(expression=Expression(rows, MINI), **SMALL) - still).abs().sum(dim=(0, 2)).nonzero()
    assert still.shape == (240, 320, 3)
    assert len(changed) and changed.min() > 320 * 0.6


def test_the_voice_lies_where_it_sounds():
    wave = torch.zeros(16_000)
    silent = plot_motion(SpeechWindows(torch.zeros(80, 80), 25, wave), **SMALL)
    wave = wave.clone()
    wave[:4000] = 0.5
    loud = plot_motion(SpeechWindows(torch.zeros(80, 80), 25, wave), **SMALL)
    changed = (loud - silent).abs().sum(dim=(0, 2)).nonzero()
    assert len(changed) and changed.max() < 320 / 2


@pytest.mark.parametrize("n_frames", [1, 2, 3000])
def test_every_length_is_drawn(n_frames):
    pose = HeadPose(torch.zeros(n_frames, 6), MINI)
    assert plot_motion(pose=pose, **SMALL).shape == (240, 320, 3)


def test_nothing_is_nothing_to_plot():
    for speech in (None, SpeechWindows(torch.zeros(80, 80), 25)):
        with pytest.raises(OptionError, match="nothing to plot"):
            plot_motion(speech)


def test_an_image_too_small_to_read_is_refused(pose):
    with pytest.raises(OptionError, match="240 x 240"):
        plot_motion(pose=pose, width=100, height=400)


def test_two_families_are_not_drawn_together(expression, pose):
    with pytest.raises(WrongFamily):
        plot_motion(expression=Expression(expression.coefficients, RELEASED), pose=pose)


@pytest.mark.parametrize(("width", "height"), [(240, 4096), (4096, 240), (240, 240)])
def test_a_narrow_and_a_wide_image_are_drawn(width, height, expression, pose):
    image = plot_motion(expression=expression, pose=pose, width=width, height=height)
    assert image.shape == (height, width, 3) and image.std() > 0.01


@pytest.mark.parametrize("n_frames", [1, 399, 400, 12_345])
def test_a_curve_of_hours_keeps_every_peak(n_frames):
    values = torch.randn(n_frames, generator=torch.Generator().manual_seed(0))
    frames, kept = _thinned(values, 100)
    assert torch.equal(values[frames], kept) and (frames.diff() >= 0).all()
    assert len(kept) <= max(n_frames, 0) and len(kept) <= 2 * 100 + 100 + 300
    assert kept.max() == values.max() and kept.min() == values.min()
    if n_frames < 400:
        assert torch.equal(kept, values)
