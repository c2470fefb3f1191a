"""The right node is found by the words that people type, and shows a few widgets at first; boxes and graphs say what
they are and where core's models come from.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.tools.blueprints import BOXES, text_of
from tests.tools.comfyui.layout import PROJECT
from tests.tools.comfyui.shipped import LOADERS

ALIASES = json.loads((PROJECT / "nodes" / "search_aliases.json").read_text(encoding="utf-8"))
FROZEN = json.loads((PROJECT / "tests" / "nodes" / "frozen_interface.json").read_text(encoding="utf-8"))
CHINESE = re.compile("[\u4e00-\u9fff]")
MODEL_FILE = re.compile(r"\.(safetensors|ckpt|pth|pt|bin|gguf)$")
MOST_IN_SIGHT = 5
#: what people type, and a node that must be among those found
TYPED = {
    "lip sync": "SadTalkerExpNet",
    "lipsync": "SadTalkerRenderVideo",
    "talking head": "SadTalkerFaceRender",
    "avatar": "SadTalkerLoadPortrait",
    "dub": "SadTalkerRenderVideo",
    "full body": "SadTalkerPasteBack",
    "watermark": "SadTalkerVisibleLabel",
    "driving video": "SadTalkerReferenceVideo",
    "\u8bf4\u8bdd\u4eba": "SadTalkerFaceRender",
    "\u6570\u5b57\u4eba": "SadTalkerRenderVideo",
    "\u5bf9\u53e3\u578b": "SadTalkerExpNet",
    "\u914d\u97f3": "SadTalkerRenderVideo",
    "\u30ea\u30c3\u30d7\u30b7\u30f3\u30af": "SadTalkerExpNet",
    "\u30a2\u30d0\u30bf\u30fc": "SadTalkerFaceRender",
    "\ub9bd\uc2f1\ud06c": "SadTalkerExpNet",
    "\ub354\ube59": "SadTalkerRenderVideo",
    "synchronisation labiale": "SadTalkerExpNet",
    "sincronizaci\u00f3n labial": "SadTalkerExpNet",
    "Lippensynchronisation": "SadTalkerRenderVideo",
    "sprechender Kopf": "SadTalkerFaceRender",
    "\u043b\u0438\u043f\u0441\u0438\u043d\u043a": "SadTalkerExpNet",
}

OTHER_LIP_SYNCS = [typed for typed, node in TYPED.items() if node == "SadTalkerExpNet" and not typed.isascii()]


def test_every_node_has_aliases_in_every_language_of_the_locales():
    languages = {folder.name for folder in (PROJECT / "locales").iterdir()}
    assert sorted(ALIASES) == sorted(FROZEN)
    for node, words in ALIASES.items():
        assert set(words) == languages and min(map(len, words.values())) >= 2, node
        assert all(CHINESE.search(word) for word in words["zh"]), node
        for language in ("en", "fr", "es", "de"):
            assert not any(re.search("[\u0400-\uffff]", word.replace("\u2019", "")) for word in words[language]), node
        assert "sadtalker" in words["en"], node
        aliases = [word for each in words.values() for word in each]
        assert len(set(aliases)) == len(aliases), node


@pytest.mark.parametrize("typed", TYPED)
def test_what_people_type_finds_the_node(typed):
    found = [node for node, words in ALIASES.items() if any(typed in word for each in words.values() for word in each)]
    assert TYPED[typed] in found


@pytest.mark.comfyui
@pytest.mark.parametrize("node", sorted(FROZEN))
def test_a_node_shows_a_few_widgets_and_folds_the_rest_away(node, object_info):
    in_sight = []
    for section in ("required", "optional"):
        for name, spec in object_info[node]["input"].get(section, {}).items():
            settings = spec[1] if len(spec) > 1 else {}
            if "default" in FROZEN[node]["inputs"][name] and not settings.get("advanced"):
                in_sight.append(name)
    assert len(in_sight) <= MOST_IN_SIGHT


@pytest.mark.comfyui
def test_the_server_sends_the_page_the_aliases_where_it_knows_such(object_info):
    """ComfyUI 0.11 and newer; an older one takes the nodes as they are."""
    aliases = {node: object_info[node].get("search_aliases") for node in FROZEN}
    if "search_aliases" in object_info["KSampler"]:
        assert aliases == {node: [word for each in words.values() for word in each] for node, words in ALIASES.items()}
    else:
        assert set(aliases.values()) == {None}


@pytest.mark.parametrize("make", BOXES, ids=lambda make: make.__name__)
def test_a_box_is_what_its_description_writes(make):
    """Mended by `python -m tests.tools.blueprints`."""
    box = make()
    file = PROJECT / "subgraphs" / f"{box.name}.json"
    assert file.read_text(encoding="utf-8") == text_of(box)
    (inside,) = json.loads(text_of(box))["definitions"]["subgraphs"]
    assert inside["category"] == "SadTalker" and len(inside["description"]) > 40
    assert len(box.shown) == len(set(box.shown)) and CHINESE.search(" ".join(box.aliases))


@pytest.mark.parametrize("box", sorted((PROJECT / "subgraphs").glob("*.json")), ids=lambda file: file.stem)
def test_a_box_is_found_by_what_people_call_lip_sync_in_other_languages(box):
    aliases = json.loads(box.read_text(encoding="utf-8"))["extra"]["BlueprintSearchAliases"]
    assert [word for word in OTHER_LIP_SYNCS if word not in aliases] == []


def test_every_box_is_described():
    assert sorted(file.stem for file in (PROJECT / "subgraphs").glob("*")) == sorted(make().name for make in BOXES)


def test_a_graph_that_names_a_model_of_core_states_where_it_comes_from():
    """The page then offers the file instead of a red node."""
    named, listed = [], []
    for file in sorted((PROJECT / "workflows").glob("*.json")):
        for node in json.loads(file.read_text(encoding="utf-8"))["nodes"]:
            if node["type"].startswith("SadTalker") or node["type"] == "MarkdownNote":
                continue
            values = [value for value in node.get("widgets_values") or [] if isinstance(value, str)]
            named += [(file.stem, value) for value in values if MODEL_FILE.search(value)]
            for model in node["properties"].get("models", ()):
                assert set(model) == {"name", "url", "directory"}
                assert model["url"].startswith("https://huggingface.co/")
                assert model["url"].endswith(f"/{model['name']}")
                listed.append((file.stem, model["name"]))
    assert listed == named
    assert len(listed) >= 2


def test_the_note_of_a_graph_states_what_its_marked_loaders_wait_for():
    """Newer pages mark a loader whose file is not there; an app names none, and opens clean."""
    for file in sorted((PROJECT / "workflows").glob("*.json")):
        nodes = json.loads(file.read_text(encoding="utf-8"))["nodes"]
        named = [node["widgets_values"][0] for node in nodes if node["type"] in LOADERS]
        (note,) = (node["widgets_values"][0] for node in nodes if node["type"] == "MarkdownNote")
        if file.stem.endswith(".app"):
            assert set(named) == {""}
        else:
            assert all(named) and "*issues found*" in note, file.stem
