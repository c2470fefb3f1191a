"""What shared workflow files depend on: ids, inputs, wire types, order of outputs and stored values never go away.

frozen_interface.json is the checked-in list. It only grows: after appending an input or a node, write it anew with
`python -m tests.tools.freeze` (see there).
"""

from __future__ import annotations

import json
from math import inf
from pathlib import Path

import pytest

from tests.tools.freeze import interface_of

pytestmark = pytest.mark.comfyui

FROZEN = json.loads((Path(__file__).parent / "frozen_interface.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("node", sorted(FROZEN))
def test_nothing_that_was_published_has_gone_or_moved(node, object_info):
    assert node in object_info, f"the node {node} has gone"
    then, now = FROZEN[node], interface_of(object_info[node])
    assert now["display_name"] == then["display_name"]
    assert now["outputs"][: len(then["outputs"])] == then["outputs"]
    assert list(now["inputs"])[: len(then["inputs"])] == list(then["inputs"]), "inputs were reordered or taken away"
    for name, was in then["inputs"].items():
        is_now = now["inputs"][name]
        assert is_now["type"] == was["type"], name
        assert is_now["required"] <= was["required"], f"{name} was optional and is required now"
        assert set(was.get("values", ())) <= set(is_now.get("values", ())), name
        assert is_now.get("default") == was.get("default"), name
        assert is_now.get("min", -inf) <= was.get("min", -inf), f"{name} takes less than it did"
        assert is_now.get("max", inf) >= was.get("max", inf), f"{name} takes less than it did"
        assert is_now.get("control_after_generate") == was.get("control_after_generate"), name


def test_every_node_that_exists_is_in_the_list(object_info):
    ours = {name for name in object_info if name.startswith("SadTalker")}
    assert ours == set(FROZEN)


def test_every_node_input_and_output_states_what_it_is(object_info):
    silent = []
    for node in FROZEN:
        info = object_info[node]
        assert info["category"] == "SadTalker"
        if len(info["description"]) < 20:
            silent.append(node)
        for section in ("required", "optional"):
            for name, spec in info["input"].get(section, {}).items():
                if not (spec[1] if len(spec) > 1 else {}).get("tooltip"):
                    silent.append(f"{node}.{name}")
        tooltips = info["output_tooltips"]
        silent += [f"{node} -> {name}" for name, tip in zip(info["output_name"], tooltips, strict=True) if not tip]
    assert not silent


def test_the_models_are_always_listed(object_info):
    values = interface_of(object_info["SadTalkerLoadModel"])["inputs"]["model"]["values"]
    assert values[:3] == ["mini", "SadTalker 256", "SadTalker 512"]
    allow = object_info["SadTalkerLoadModel"]["input"]["required"]["allow_download"]
    assert allow[1]["default"] is False, "a shared workflow must never start a download by itself"
