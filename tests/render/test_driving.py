import dataclasses
import functools

import pytest
import torch

from sadtalker_core.datatypes import MINI, BlendshapeMotion, CropMode, Expression, KeypointMotion, PoseAngles
from sadtalker_core.errors import InputError, OptionError, WrongFamily
from sadtalker_core.render import driving
from sadtalker_core.render.driving import DrivingOptions, degree_track, parse_degrees, require_mapping
from tests.render import tiny

coefficients_to_motion = functools.partial(driving.coefficients_to_motion, kind=KeypointMotion)


def equal(a, b):
    return all(torch.equal(getattr(a, part.name), getattr(b, part.name)) for part in dataclasses.fields(a))


@pytest.mark.parametrize("n_frames", [1, 2, 3, 30])
def test_every_frame_gets_a_row_and_the_portrait_gets_one(n_frames):
    motion = coefficients_to_motion(tiny.mapping(), tiny.coefficients(), tiny.expression(n_frames), tiny.pose(n_frames))
    assert len(motion) == n_frames and len(motion.source) == 1
    assert motion.driving.offsets.shape == (n_frames, 9) and motion.driving.translation.shape == (n_frames, 3)


def test_the_portraits_own_row_does_not_depend_on_how_it_is_driven():
    net, source = tiny.mapping(), tiny.coefficients()
    calm = coefficients_to_motion(net, source, tiny.expression(5), tiny.pose(5))
    options = DrivingOptions(expression_scale=2, still=True, yaw="9")
    wild = coefficients_to_motion(net, source, tiny.expression(5), tiny.pose(5), options)
    assert equal(calm.source, wild.source) and not equal(calm.driving, wild.driving)


def test_degrees_replace_one_angle_and_nothing_else():
    net, source, n = tiny.mapping(), tiny.coefficients(), 5
    plain = coefficients_to_motion(net, source, tiny.expression(n), tiny.pose(n))
    turned = coefficients_to_motion(
        net, source, tiny.expression(n), tiny.pose(n), DrivingOptions(yaw=[-20, 20], pitch="", roll=None)
    )
    assert turned.driving.yaw.tolist() == [-20, -10, 0, 10, 20]
    assert equal(dataclasses.replace(turned.driving, yaw=plain.driving.yaw), plain.driving)


def test_the_inputs_are_left_as_they_were():
    source, expression, pose = tiny.coefficients(), tiny.expression(5), tiny.pose(5)
    before = [t.clone() for t in (source.crop_rows(), expression.coefficients, pose.coefficients)]
    options = DrivingOptions(expression_scale=3, pose_scale=PoseAngles(2, 2, 2))
    coefficients_to_motion(tiny.mapping(), source, expression, pose, options)
    after = (source.crop_rows(), expression.coefficients, pose.coefficients)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_full_modes_want_the_wide_net_and_the_others_the_narrow_one():
    expression, pose = tiny.expression(3), tiny.pose(3)
    assert (
        len(coefficients_to_motion(tiny.mapping(73), tiny.coefficients(CropMode.EXTENDED_FULL), expression, pose)) == 3
    )
    require_mapping(tiny.mapping(73), CropMode.FULL)
    with pytest.raises(OptionError, match="crop mode full, which needs the mapping network of 73"):
        require_mapping(tiny.mapping(70), CropMode.FULL)
    with pytest.raises(OptionError, match="crop mode resize, which needs the mapping network of 70"):
        require_mapping(tiny.mapping(73), CropMode.RESIZE)


def test_the_mini_family_uses_its_one_net_in_all_modes():
    motion = coefficients_to_motion(
        tiny.mapping(),
        tiny.coefficients(CropMode.FULL, MINI),
        tiny.expression(3, MINI),
        tiny.pose(3, MINI),
        kind=BlendshapeMotion,
    )
    assert motion.family == MINI


def test_wires_of_two_families_are_refused():
    with pytest.raises(WrongFamily, match="the expression was made with a mini model"):
        coefficients_to_motion(tiny.mapping(), tiny.coefficients(), tiny.expression(3, MINI), tiny.pose(3))
    with pytest.raises(WrongFamily, match="the pose was made with a mini model"):
        coefficients_to_motion(tiny.mapping(), tiny.coefficients(), tiny.expression(3), tiny.pose(3, MINI))


def test_tracks_of_two_lengths_are_refused():
    with pytest.raises(OptionError, match="expected 3 frames of pose, got 4"):
        coefficients_to_motion(tiny.mapping(), tiny.coefficients(), tiny.expression(3), tiny.pose(4))


def test_numbers_that_are_none_are_named():
    bad = tiny.expression(3).coefficients
    bad[1, 5] = float("nan")
    with pytest.raises(InputError, match="expression of frame 1 contains NaN or infinite values"):
        coefficients_to_motion(tiny.mapping(), tiny.coefficients(), Expression(bad, "released"), tiny.pose(3))
    with pytest.raises(OptionError, match="expression_scale"):
        options = DrivingOptions(expression_scale=float("inf"))
        coefficients_to_motion(tiny.mapping(), tiny.coefficients(), tiny.expression(3), tiny.pose(3), options)


def test_no_frames_are_refused():
    with pytest.raises(OptionError, match="at least one frame"):
        coefficients_to_motion(tiny.mapping(), tiny.coefficients(), tiny.expression(0), tiny.pose(0))


@pytest.mark.parametrize("values", [[15], [-20, 20], [0, 30, -10, 5], [9, -17], [0, 1, 0, 1]])
@pytest.mark.parametrize("n_frames", [2, 3, 7, 31])
def test_a_degree_track_begins_at_the_first_angle_and_reaches_the_last(values, n_frames):
    track = degree_track(values, n_frames)
    assert len(track) == n_frames and track[0] == values[0] and track[-1] == values[-1]


def test_a_degree_track_keeps_one_speed_through_its_corners():
    assert degree_track([0, 30, 20], 5).tolist() == [0, 10, 20, 30, 20]
    assert degree_track([0, 15, -5], 8).tolist() == [0, 5, 10, 15, 10, 5, 0, -5]


def test_equal_neighbours_take_no_time():
    assert degree_track([0, 0, 10, 10, 10, 0], 5).tolist() == degree_track([0, 10, 0], 5).tolist()
    assert degree_track([7, 7, 7], 4).tolist() == [7, 7, 7, 7]


def test_a_single_frame_stands_at_the_first_angle():
    assert degree_track([-20, 20], 1).tolist() == [-20]


@pytest.mark.parametrize("text", ["-20, 0,20", "-20 0 20", "-20;0;20", " \N{MINUS SIGN}20, 0.0, +20 ,"])
def test_degrees_may_be_written_in_many_ways(text):
    assert parse_degrees("yaw", text) == [-20, 0, 20]


@pytest.mark.parametrize("values", [None, "", "  ", ",", [], ()])
def test_nothing_written_is_no_degrees(values):
    assert parse_degrees("yaw", values) == []


def test_a_number_is_a_list_of_one():
    assert parse_degrees("yaw", 15) == [15] and parse_degrees("yaw", (1, 2)) == [1, 2]


@pytest.mark.parametrize("values", ["left", "10, x", "nan", "inf", "181", [None], object()])
def test_what_is_no_angle_is_refused_with_an_example(values):
    with pytest.raises(OptionError, match="pitch: expected degrees from -180 to 180, such as '-20, 0, 20', got"):
        parse_degrees("pitch", values)
