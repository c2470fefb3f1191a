"""A saved graph becomes the prompt that the page itself would have sent."""

from __future__ import annotations

import pytest

from tests.tools.comfyui import workflow

pytestmark = pytest.mark.plain

SCHEMA = {
    "Load": {
        "input": {
            "required": {"image": [["a.png", "b.png"], {"image_upload": True}], "index": ["INT", {}]},
            "optional": {"order": ["COMBO", {"options": ["left", "right"], "default": "right"}]},
        },
        "display_name": "Load it",
    },
    "Noise": {
        "input": {
            "required": {
                "picture": ["IMAGE", {}],
                "seed": ["INT", {"control_after_generate": True}],
                "strength": ["FLOAT", {"default": 0.5}],
            }
        },
        "input_order": {"required": ["picture", "seed", "strength"]},
    },
    "Show": {"input": {"required": {"picture": ["IMAGE", {}], "title": ["STRING", {"default": ""}]}}},
}


def graph(*nodes: dict, links: list | None = None) -> dict:
    return {"nodes": list(nodes), "links": links or []}


def node(number: int, kind: str, values: list | dict | None = None, mode: int = 0, sockets=(), outputs=("IMAGE",)):
    return {
        "id": number,
        "type": kind,
        "mode": mode,
        "widgets_values": values,
        "inputs": [{"name": name, "type": "IMAGE", "link": link} for name, link in sockets],
        "outputs": [{"type": kind} for kind in outputs],
    }


def test_widgets_get_their_values_in_the_order_of_the_schema():
    prompt = workflow.to_prompt(graph(node(1, "Load", ["b.png", 3, "image", "left"])), SCHEMA)
    assert prompt["1"]["inputs"] == {"image": "b.png", "index": 3, "order": "left"}
    assert prompt["1"]["class_type"] == "Load"


def test_a_graph_saved_without_the_upload_button_reads_the_same():
    assert workflow.widget_values(node(1, "Load", ["b.png", 3, "left"]), SCHEMA["Load"]) == {
        "image": "b.png",
        "index": 3,
        "order": "left",
    }


def test_the_way_a_seed_changes_belongs_to_the_page_and_is_left_out():
    assert workflow.widget_values(node(1, "Noise", [7, "randomize", 0.25]), SCHEMA["Noise"]) == {
        "seed": 7,
        "strength": 0.25,
    }


def test_widgets_that_were_not_saved_take_their_defaults():
    assert workflow.widget_values(node(1, "Load", ["a.png"]), SCHEMA["Load"]) == {"image": "a.png", "order": "right"}


def test_values_saved_by_name_are_taken_by_name():
    assert workflow.widget_values(node(1, "Load", {"image": "a.png", "index": 1, "gone": 2}), SCHEMA["Load"]) == {
        "image": "a.png",
        "index": 1,
    }


def test_more_values_than_widgets_is_an_error_that_names_the_node():
    with pytest.raises(workflow.WorkflowError, match=r"node 1 \(Show\).*9"):
        workflow.widget_values(node(1, "Show", ["title", 9]), SCHEMA["Show"])


def test_a_link_wins_over_the_widget_under_it():
    saved = graph(
        node(1, "Load", ["a.png", 0, "image", "left"], outputs=("IMAGE", "INT")),
        node(2, "Noise", [7, "fixed", 0.25], sockets=[("picture", 1), ("seed", 2)]),
        links=[[1, 1, 0, 2, 0, "IMAGE"], [2, 1, 1, 2, 1, "INT"]],
    )
    assert workflow.to_prompt(saved, SCHEMA)["2"]["inputs"] == {"picture": ["1", 0], "seed": ["1", 1], "strength": 0.25}


def test_a_bypassed_node_hands_its_input_on():
    saved = graph(
        node(1, "Load", ["a.png", 0]),
        node(2, "Noise", [7, "fixed", 0.2], mode=4, sockets=[("picture", 1)]),
        node(3, "Show", [""], sockets=[("picture", 2)]),
        links=[[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]],
    )
    prompt = workflow.to_prompt(saved, SCHEMA)
    assert set(prompt) == {"1", "3"}
    assert prompt["3"]["inputs"]["picture"] == ["1", 0]


def test_a_muted_node_takes_its_links_with_it():
    saved = graph(
        node(1, "Load", ["a.png", 0], mode=2),
        node(3, "Show", [""], sockets=[("picture", 1)]),
        links=[[1, 1, 0, 3, 0, "IMAGE"]],
    )
    assert workflow.to_prompt(saved, SCHEMA) == {
        "3": {"class_type": "Show", "inputs": {"title": ""}, "_meta": {"title": "Show"}}
    }


def test_reroutes_notes_and_primitives_stay_on_the_page():
    saved = graph(
        node(1, "Load", ["a.png", 0]),
        node(2, "Reroute", sockets=[("", 1)]),
        node(4, "Note", ["read me"]),
        node(5, "PrimitiveNode", ["hello", "fixed"]),
        node(3, "Show", ["old"], sockets=[("picture", 2), ("title", 3)]),
        links=[[1, 1, 0, 2, 0, "*"], [2, 2, 0, 3, 0, "IMAGE"], [3, 5, 0, 3, 1, "STRING"]],
    )
    prompt = workflow.to_prompt(saved, SCHEMA)
    assert set(prompt) == {"1", "3"}
    assert prompt["3"]["inputs"] == {"picture": ["1", 0], "title": "hello"}


def test_an_unknown_node_is_named():
    with pytest.raises(workflow.WorkflowError, match="node 8 is a Mystery"):
        workflow.to_prompt(graph(node(8, "Mystery")), SCHEMA)


def test_an_api_prompt_comes_back_as_it_is():
    prompt = {"1": {"class_type": "Load", "inputs": {"image": "a.png"}}}
    assert workflow.to_prompt(prompt, SCHEMA) is prompt


def test_uploads_are_found_by_the_schema():
    prompt = workflow.to_prompt(graph(node(1, "Load", ["a.png", 0])), SCHEMA)
    assert workflow.uploads(prompt, SCHEMA, "image") == [("1", "image")]
    assert workflow.uploads(prompt, SCHEMA, "audio") == []


@pytest.mark.parametrize("text", ["not json", "[]", "{}"])
def test_a_file_that_is_no_workflow_gets_a_sentence(tmp_path, text):
    file = tmp_path / "w.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(workflow.WorkflowError, match=r"w\.json is not"):
        workflow.load(file)
