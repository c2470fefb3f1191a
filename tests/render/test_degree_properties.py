"""Whatever is written as degrees: numbers within half a turn, or an OptionError that repeats a bearable part of it."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sadtalker_core.errors import OptionError
from sadtalker_core.render.driving import degree_track, parse_degrees

bounded = settings(derandomize=True, deadline=None, max_examples=60, database=None)


def read(values):
    """The degrees, or None for a sentence."""
    try:
        degrees = parse_degrees("yaw", values)
    except OptionError as error:
        assert str(error).startswith("yaw: expected degrees from -180 to 180") and len(str(error)) < 450
        return None
    assert all(isinstance(degree, float) and abs(degree) <= 180 for degree in degrees)
    if degrees:
        track = degree_track(degrees, 7)
        assert track.shape == (7,) and np.isfinite(track).all() and np.abs(track).max() <= 180
        assert track[0] == degrees[0] and math.isclose(track[-1], degrees[-1], abs_tol=1e-9)
    return degrees


@bounded
@given(text=st.text(max_size=40) | st.text("0123456789-+.,; e\u2212naif_", max_size=30))
def test_any_text(text):
    read(text)


@bounded
@given(
    values=st.one_of(
        st.none(),
        st.floats(),
        st.integers(),
        st.booleans(),
        st.complex_numbers(),
        st.binary(max_size=9),
        st.lists(st.floats() | st.integers() | st.text(max_size=5) | st.none(), max_size=5),
        st.dictionaries(st.floats(), st.floats(), max_size=2),
        st.sampled_from([10**400, [10**400], [[1]], {1, 2}]),
    )
)
def test_any_value(values):
    read(values)


@bounded
@given(
    degrees=st.lists(st.floats(-180, 180), max_size=6), comma=st.sampled_from([",", ";", " ", ", ", " ; ", ",,", "\n"])
)
def test_numbers_come_back_as_they_were_written(degrees, comma):
    assert read(comma.join(map(repr, degrees))) == degrees
    assert read(degrees) == degrees


def test_a_text_of_any_length_is_repeated_in_part():
    assert read("left " * 100_000) is None
    assert read("9" * 100_000) is None
