"""Settings are written as TOML and read back as they were, on every Python that the project supports."""

from __future__ import annotations

import sys

import pytest

from sadtalker_core.errors import InputError, OptionError
from sadtalker_core.training.toml_file import read_toml, write_toml

SETTINGS = {
    "text": 'a "quoted" C:\\videos\nZo\u00eb \u4eba \U0001f600 \x01\x7f',
    "whole": -3,
    "part": 0.1,
    "small": 1e-07,
    "endless": float("inf"),
    "yes": True,
    "none": [],
    "list": ["a,b", "# c"],
    "odd name": 1,
}


def test_what_is_written_is_read_back(tmp_path):
    file = write_toml(tmp_path / "a.toml", SETTINGS, {"whole": "two\nlines"})
    assert read_toml(file) == SETTINGS
    assert "# two\n# lines\nwhole = -3\n" in file.read_text(encoding="utf-8")


def test_what_toml_has_no_word_for_is_refused(tmp_path):
    with pytest.raises(TypeError, match="got NoneType"):
        write_toml(tmp_path / "a.toml", {"a": None})
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("content", [b"a = ", b"a = 1\na = 2", b"\xff\xfe", b"a = 'x"])
def test_a_file_that_is_no_toml_is_a_sentence(tmp_path, content):
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.toml is no TOML file"):
        read_toml(tmp_path / "a.toml")


def test_a_file_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_toml(tmp_path / "a.toml")


def test_python_3_10_users_learn_what_to_install(tmp_path, monkeypatch):
    file = write_toml(tmp_path / "a.toml", {"a": 1})
    monkeypatch.setattr(sys, "version_info", (3, 10, 9))
    monkeypatch.setitem(sys.modules, "tomli", None)
    with pytest.raises(OptionError, match="needs tomli"):
        read_toml(file)
