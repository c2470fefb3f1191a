"""Programs of other people look at the pack: no finding, not even a warning."""

from __future__ import annotations

import json

import pytest

from tests.tools.comfyui import validators, workflow
from tests.tools.comfyui.layout import PACK_NAME, PROJECT
from tests.tools.freeze import OPEN_LISTS

pytestmark = [pytest.mark.comfyui, pytest.mark.slow]


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return validators.export(tmp_path_factory.mktemp("clone") / PACK_NAME)


def approve(verdict: validators.Verdict) -> None:
    assert verdict.clean, f"{verdict.validator}:\n{verdict.words}"


def test_the_registry_would_take_the_pack(pack):
    approve(validators.registry(pack))


def test_what_ships_is_what_should(tmp_path):
    """Everything but what only developers need; what the nodes read at run time is all there."""
    development = ("tests/", ".ci/", ".github/", ".gitignore", ".pre-commit-config.yaml", "CITATION.cff", "Makefile")
    pack = validators.export(tmp_path / PACK_NAME)  # another validator leaves its own things in the one that all share
    files = {file.relative_to(pack).as_posix() for file in pack.rglob("*") if file.is_file()}
    ships = validators.what_ships(pack)
    assert ships == {name for name in files if not name.startswith(development)}
    assert {
        "__init__.py",
        "requirements.txt",
        "sadtalker_core/assets/mini_renderer.safetensors",
        "workflows/talking_portrait.jpg",
        "locales/zh/nodeDefs.json",
        "subgraphs/Talking Portrait.json",
    } <= ships


def test_comfy_test_finds_nothing(pack):
    approve(validators.comfy_test(pack))


def test_comfy_test_would_have_found_something(pack, tmp_path):
    (tmp_path / "pyproject.toml").write_text((pack / "pyproject.toml").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "bad.py").write_text("net.CU\n".replace("CU", "cu" + "da()"), encoding="utf-8")
    assert not validators.comfy_test(tmp_path).clean


def test_comfy_test_is_content_with_the_running_pack(server, client, tmp_path):
    approve(validators.comfy_test_run(server.url, tmp_path))


def test_every_name_taken_from_comfyui_exists_in_the_oldest_one_supported(pack, comfyui):
    approve(validators.import_guard(pack, comfyui.tree))


def test_every_workflow_agrees_with_the_live_schema(tmp_path, object_info):
    schema = tmp_path / "object_info.json"
    prompts = []
    files = sorted((PROJECT / "workflows").glob("*.json"))
    assert files
    for file in files:
        prompt = workflow.to_prompt(workflow.load(file), object_info)
        _offer_uploads(prompt, object_info)
        prompts.append(tmp_path / file.name)
        prompts[-1].write_text(json.dumps(prompt), encoding="utf-8")
    schema.write_text(json.dumps(object_info), encoding="utf-8")
    approve(validators.comfy_lint(prompts, schema))


def _offer_uploads(prompt: dict, object_info: dict) -> None:
    """Lets the schema list the files and checkpoints that a workflow names: they are the person's, not the pack's."""
    for node in prompt.values():
        for name, spec in workflow._specs(object_info[node["class_type"]]):
            value = node["inputs"].get(name)
            choices = spec[0] if isinstance(spec[0], list) else workflow._options(spec).get("options")
            is_file = any(workflow._options(spec).get(flag) for flag in workflow.UPLOADS) or name.endswith("_name")
            is_file = is_file or (node["class_type"], name) in OPEN_LISTS
            if is_file and isinstance(value, str) and isinstance(choices, list) and value not in choices:
                choices.append(value)
