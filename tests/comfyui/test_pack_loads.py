"""The pack in a real ComfyUI: it loads without a complaint and brings its nodes."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.comfyui

NODES = {
    "SadTalkerLoadModel",
    "SadTalkerLoadPortrait",
    "SadTalkerPortraitFromImage",
    "SadTalker3DMMExtract",
    "SadTalkerReferenceVideo",
    "SadTalkerAudioEncode",
    "SadTalkerExpNet",
    "SadTalkerPoseVAE",
    "SadTalkerMappingNet",
    "SadTalkerFaceRender",
    "SadTalkerPasteBack",
    "SadTalkerVideoCombine",
}


def test_the_pack_loads(server, client):
    assert "IMPORT FAILED" not in server.log
    assert "Error while calling comfy_entrypoint" not in server.log
    assert "sadtalker-nodes" in server.log


def test_every_node_is_there(object_info):
    assert NODES <= set(object_info)


def test_nodes_come_from_the_pack_and_stand_in_its_category(object_info):
    for node in NODES:
        assert object_info[node]["python_module"] == "custom_nodes.sadtalker-nodes"
        assert object_info[node]["category"].split("/")[0] == "SadTalker"


@pytest.mark.slow
def test_the_pack_loads_from_a_folder_with_another_name_and_other_scripts(new_server, tmp_path):
    from tests.tools.comfyui import validators
    from tests.tools.comfyui.client import Client

    base = tmp_path / "\u4f60\u597d ComfyUI"
    validators.export(base / "custom_nodes" / "my sadtalker \u00e9")
    server = new_server(base=base)
    assert "IMPORT FAILED" not in server.log
    assert NODES <= set(Client(server.url).object_info())
