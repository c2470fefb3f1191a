"""One table says what a user can set; the nodes, a table of jobs and the command line say the same."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from inspect import signature
from pathlib import Path

import pytest

from sadtalker_core.compose.paste import PasteBack, SeamOptions
from sadtalker_core.compose.video import VideoWriter, WriterOptions
from sadtalker_core.errors import OptionError
from sadtalker_core.face.crop import CropOptions
from sadtalker_core.face.extract import extract_mini, extract_released
from sadtalker_core.face.reference_video import ReadingOptions, _FaceTrack
from sadtalker_core.motion import blink
from sadtalker_core.options import NODE_OPTIONS, OPTIONS, Options
from sadtalker_core.pipeline import predict_expression

NODES = json.loads((Path(__file__).parent / "nodes" / "frozen_interface.json").read_text(encoding="utf-8"))
TYPES = {int: "INT", float: "FLOAT", bool: "BOOLEAN", str: "STRING"}


@pytest.mark.parametrize("node", NODES)
def test_the_table_and_the_frozen_interface_of_a_node_agree(node):
    own = NODE_OPTIONS.get(node.removeprefix("SadTalker"), {})
    settable = {name: entry for name, entry in NODES[node]["inputs"].items() if "default" in entry}
    assert set(own) <= set(settable)
    for name, entry in settable.items():
        option = own.get(name) or OPTIONS[name]
        assert entry["type"] == ("COMBO" if "values" in entry else TYPES[option.type]), name
        assert entry["default"] == option.default, name
        assert (entry.get("min"), entry.get("max")) == (option.min, option.max), name
        if name == "model":  # the files of a user's own are choices, too
            assert option.default in entry["values"]
        elif "values" in entry:  # choices may have been appended since
            assert option.choices[: len(entry["values"])] == tuple(entry["values"]), name


def test_nothing_is_named_that_no_node_has():
    assert {f"SadTalker{node}" for node in NODE_OPTIONS} <= set(NODES)
    everywhere = {name for interface in NODES.values() for name in interface["inputs"]}
    assert set(OPTIONS) <= everywhere


def test_every_option_is_described_with_its_range():
    for option in (*OPTIONS.values(), *(one for table in NODE_OPTIONS.values() for one in table.values())):
        assert len(option.help) > 20 and option.help.endswith(".")
        if option.type in (int, float):
            assert option.min <= option.default <= option.max
        assert option.check(option.default) == option.default
    assert {one.name: one.type for one in fields(Options)} == {name: one.type.__name__ for name, one in OPTIONS.items()}


def test_the_core_has_the_nodes_defaults_and_ends():
    rate, strength = OPTIONS["blink_rate"], OPTIONS["blink_strength"]
    assert (
        rate.default
        == blink.NATURAL_RATE
        == signature(predict_expression).parameters["blinks_per_minute"].default
        == 18
    )
    assert (rate.max, strength.max) == (blink.FASTEST_RATE, blink.STRONGEST) == (60, 1.5)


@pytest.mark.parametrize(("arguments", "sentence"), [
    ({"pose_style": 46}, "pose_style: expected a whole number from 0 to 45, got 46."),
    ({"pose_style": 1.5}, "pose_style: expected a whole number from 0 to 45, got 1.5."),
    ({"blink_rate": float("nan")}, "blink_rate: expected a number from 0 to 60, got nan."),
    ({"blink_rate": "18"}, "blink_rate: expected a number from 0 to 60, got '18'."),
    ({"still": 1}, "still: expected true or false, got 1."),
    ({"quality": "nice"}, "quality: expected one of draft, high, best, got 'nice'."),
    ({"yaw": "left"}, "yaw: expected degrees from -180 to 180, such as '-20, 0, 20', got 'left'."),
    ({"model": None}, "model: expected text, got None."),
])  # fmt: skip
def test_a_value_that_is_not_allowed_gets_a_sentence(arguments, sentence):
    with pytest.raises(OptionError) as caught:
        Options(**arguments)
    assert str(caught.value) == sentence


def test_values_come_out_in_the_type_of_their_option():
    import numpy as np

    from sadtalker_core.datatypes import CropMode

    options = Options(seed=np.int64(7), blink_rate=20, crop_mode=CropMode.FULL, yaw=[-20, 0, 20], pitch=5)
    assert (options.seed, options.blink_rate, options.crop_mode) == (7, 20.0, "full")
    assert (options.yaw, options.pitch) == ("-20, 0, 20", "5")
    assert json.loads(json.dumps(asdict(options))) == asdict(options)


@pytest.mark.parametrize(("name", "text", "value"), [
    ("still", "Yes", True), ("still", "0", False), ("seed", "7", 7), ("blink_rate", "1e1", 10.0),
    ("blink", "off", "off"),
])  # fmt: skip
def test_a_text_stands_for_a_value(name, text, value):
    assert OPTIONS[name].read(text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("still", "perhaps"),
        ("seed", "1.5"),
        ("blink_rate", "fast"),
        ("blink", ""),
    ],
)
def test_a_text_that_stands_for_none_gets_a_sentence(name, text):
    with pytest.raises(OptionError, match=f"^{name}: expected .*, got '{text}'"):
        OPTIONS[name].read(text)


@pytest.mark.parametrize(
    ("options", "taken_by", "besides"),
    [
        (WriterOptions, VideoWriter.__init__, {"audio", "alpha"}),
        (SeamOptions, PasteBack.__init__, {"blend"}),
        (CropOptions, extract_mini, {"segmenter"}),
        (CropOptions, extract_released, set()),
        (ReadingOptions, _FaceTrack.__init__, set()),
    ],
)
def test_what_is_passed_on_whole_is_what_the_last_one_takes(options, taken_by, besides):
    """A type checker compares the names that pass; one that the table lacks it would not miss."""
    named = {name for name, one in signature(taken_by).parameters.items() if one.kind is one.KEYWORD_ONLY}
    assert set(options.__annotations__) == named - besides and besides <= named
