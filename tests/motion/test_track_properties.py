"""Whatever bytes lie where a track should: tracks come out, or a sentence of a bearable length."""

import json
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from sadtalker_core.datatypes import MINI, Expression, HeadPose
from sadtalker_core.errors import OptionError
from sadtalker_core.motion.track_file import LARGEST, TRACK_KEY, load_tracks, save_tracks

bounded = settings(derandomize=True, deadline=None, max_examples=40, database=None)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("tracks") / "a.track.safetensors"


@pytest.fixture(scope="module")
def sound(path):
    """The bytes of a sound file."""
    save_tracks(path, Expression(torch.rand(4, 64), MINI), HeadPose(torch.rand(4, 6), MINI))
    return path.read_bytes()


def read(path, content):
    """The tracks, which must then be usable, or None for a sentence."""
    path.write_bytes(content)
    try:
        tracks = load_tracks(path)
    except OptionError as error:
        assert 20 < len(str(error)) < 900
        return None
    for track, width in ((tracks.expression, 64), (tracks.pose, 6)):
        if track is not None:
            rows = track.coefficients
            assert rows.dtype == torch.float32 and rows.shape == (len(track), width) and rows.abs().max() <= LARGEST
    return tracks


@bounded
@given(content=st.binary(max_size=400))
def test_any_bytes(path, content):
    assert read(path, content) is None


@bounded
@given(data=st.data())
def test_a_sound_file_cut_short_or_with_changed_bytes(path, sound, data):
    content = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    read(path, bytes(content))
    assert read(path, sound[: data.draw(st.integers(0, len(sound) - 1))]) is None


@bounded
@given(length=st.integers(0, 2**64 - 1) | st.integers(0, 60), header=st.text(max_size=60), tail=st.binary(max_size=60))
def test_any_header(path, length, header, tail):
    assert read(path, struct.pack("<Q", length) + header.encode("utf-8", "surrogatepass") + tail) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from([1, 25, 3, MINI]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
facts = st.fixed_dictionaries({}, optional={name: values for name in ("version", "family", "fps", "frames")})


@bounded
@given(header=facts | values, sound_ones=st.sets(st.sampled_from(["version", "family", "fps", "frames"])))
def test_any_metadata(path, header, sound_ones):
    right = {"version": 1, "family": MINI, "fps": 25, "frames": 3}
    if isinstance(header, dict):
        header = {**header, **{name: right[name] for name in sound_ones}}
    content = save({"pose": torch.zeros(3, 6)}, {TRACK_KEY: json.dumps(header)})
    tracks = read(path, content)
    if header == right:
        assert tracks is not None
    elif tracks is not None:
        assert header.get("frames", 3) == 3 and header["family"] in (MINI, "released")


dtypes = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.bool])


@bounded
@given(
    name=st.sampled_from(["pose", "expression", "other"]),
    shape=st.lists(st.integers(0, 7) | st.just(64), max_size=4),
    dtype=dtypes,
    value=st.sampled_from([0.0, 1.0, -999.0, 1001.0, 3e38, float("inf"), float("nan")]),
)
def test_any_tensor(path, name, shape, dtype, value):
    rows = torch.full(shape, value, dtype=torch.float64).to(dtype)
    header = {"version": 1, "family": MINI, "fps": 25, "frames": shape[0] if shape else 0}
    tracks = read(path, save({name: rows}, {TRACK_KEY: json.dumps(header)}))
    width = {"pose": 6, "expression": 64}.get(name)
    fits = len(shape) == 2 and shape[0] > 0 and shape[1] == width and dtype == torch.float32
    assert (tracks is not None) == (fits and abs(value) <= LARGEST)
