"""Tracks survive a file, and what is no track is told so."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sadtalker_core.datatypes import MINI, RELEASED, Expression, HeadPose
from sadtalker_core.errors import DoesNotFit, OptionError, WrongFamily
from sadtalker_core.motion.track_file import TRACK_KEY, load_tracks, save_tracks

METADATA = {"version": 1, "family": MINI, "fps": 25, "frames": 3}


@pytest.fixture
def expression(generator):
    return Expression(torch.randn(9, 64, generator=generator), MINI)


@pytest.fixture
def pose(generator):
    return HeadPose(torch.randn(7, 6, generator=generator).flip(1), MINI)


def write(path, tensors, header=None):
    metadata = None if header is None else {TRACK_KEY: header if isinstance(header, str) else json.dumps(header)}
    save_file(tensors, str(path), metadata=metadata)
    return path


def test_both_tracks_come_back_bit_for_bit(tmp_path, expression, pose):
    tracks = load_tracks(save_tracks(tmp_path / "a.track.safetensors", expression, pose))
    assert torch.equal(tracks.expression.coefficients, expression.coefficients)
    assert torch.equal(tracks.pose.coefficients, pose.coefficients)
    assert (tracks.expression.family, tracks.pose.family, tracks.n_frames) == (MINI, MINI, 9)


def test_one_track_comes_back_alone(tmp_path, pose):
    tracks = load_tracks(save_tracks(tmp_path / "a", pose=pose))
    assert tracks.expression is None and torch.equal(tracks.pose.coefficients, pose.coefficients)


def test_nothing_unfinished_is_left_behind(tmp_path, pose):
    save_tracks(tmp_path / "a", pose=pose)
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "words",
    [
        "Error while serializing: I/O error: No space left on device (os error 28)",
        "I/O error: There is not enough space on the disk. (os error 112)",
    ],
)
def test_a_full_disk_gets_a_sentence_and_nothing_is_left(tmp_path, pose, words, monkeypatch):
    def half(path, data):
        with path.open("wb") as out:
            out.write(data[:10])
        raise OSError(words)

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(DoesNotFit, match="the disk of .* is full; free some space"):
        save_tracks(tmp_path / "a", pose=pose)
    assert not list(tmp_path.iterdir())


def test_no_track_is_nothing_to_save(tmp_path):
    with pytest.raises(OptionError, match="no track to save"):
        save_tracks(tmp_path / "a")


def test_two_families_do_not_share_a_file(tmp_path, expression, pose):
    with pytest.raises(WrongFamily):
        save_tracks(tmp_path / "a", expression, HeadPose(pose.coefficients, RELEASED))


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"\x80\x02}q\x00."])
def test_a_file_that_is_no_safetensors_is_reported(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(OptionError, match="cannot be read as a track"):
        load_tracks(tmp_path / "a")


@pytest.mark.parametrize(
    ("tensors", "header", "words"),
    [
        ({"pose": torch.zeros(3, 6)}, None, "is not a track of Save Track"),
        ({"pose": torch.zeros(3, 6)}, "[1, 2]", "has no metadata"),
        ({"pose": torch.zeros(3, 6)}, "{", "has no metadata"),
        ({"pose": torch.zeros(3, 6)}, {**METADATA, "version": 2}, "version 2"),
        ({"pose": torch.zeros(3, 6)}, {**METADATA, "family": "wav2lip"}, "'wav2lip'"),
        ({"pose": torch.zeros(3, 6)}, {**METADATA, "fps": 30}, "30 fps"),
        ({"pose": torch.zeros(3, 7)}, METADATA, r"\(3, 7\)"),
        ({"pose": torch.zeros(0, 6)}, METADATA, r"\(0, 6\)"),
        ({"pose": torch.zeros(6)}, METADATA, r"\(6,\)"),
        ({"pose": torch.zeros(3, 6, dtype=torch.float16)}, METADATA, "float16"),
        ({"pose": torch.full((3, 6), torch.nan)}, METADATA, "NaN or infinite"),
        ({"pose": torch.full((3, 6), -3e38)}, METADATA, r"from -1000 to 1000 in its pose, got 3e\+38"),
        ({"pose": torch.zeros(3, 6)}, {**METADATA, "frames": 300}, "declares 300 frames but has 3"),
        ({"pose": torch.zeros(3, 6)}, {**METADATA, "frames": "3"}, "declares 3 frames"),
        ({"pose": torch.zeros(3, 6)}, {**METADATA, "frames": [3]}, "declares"),
        ({"pose": torch.zeros(3, 6)}, {**METADATA, "family": ["mini"]}, "family"),
        ({"pose": torch.zeros(3, 6)}, {**METADATA, "version": "9" * 5000}, "version 9999"),
        ({"pose": torch.zeros(3, 6)}, "[" * 100_000, "has no metadata"),
        ({"pose": torch.zeros(3, 6)}, '{"version": ' + "1" * 9000 + "}", "has no metadata"),
        ({"pose": torch.zeros(3, 6, dtype=torch.complex64)}, METADATA, "float32"),
        ({"pose": torch.zeros(900_001, 6, dtype=torch.bool)}, METADATA, "1 to 900000"),
        ({"other": torch.zeros(3, 6)}, METADATA, "neither"),
    ],
)
def test_a_file_of_another_kind_is_reported(tmp_path, tensors, header, words):
    with pytest.raises(OptionError, match=words) as raised:
        load_tracks(write(tmp_path / "a", tensors, header))
    assert len(str(raised.value)) < 500


def test_a_track_without_a_number_of_frames_is_as_long_as_its_rows(tmp_path):
    header = {name: value for name, value in METADATA.items() if name != "frames"}
    assert load_tracks(write(tmp_path / "a", {"pose": torch.zeros(3, 6)}, header)).n_frames == 3


def test_a_loaded_track_outlives_its_file(tmp_path, pose):
    path = save_tracks(tmp_path / "a", pose=pose)
    rows = load_tracks(path).pose.coefficients
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(rows, pose.coefficients)
