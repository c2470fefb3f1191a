"""Where released models are looked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sadtalker_core.model_folders import VARIABLE, around_the_pack, cache_folder, model_folders


def test_named_folders_come_first_then_the_variable_then_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, os.pathsep.join([str(tmp_path / "b"), str(tmp_path / "c")]))
    monkeypatch.setattr("sadtalker_core.model_folders.around_the_pack", lambda: [tmp_path / "comfy"])
    found = model_folders([tmp_path / "a", tmp_path / "b"])
    assert found == [*(tmp_path / name for name in ("a", "b", "c", "comfy")), cache_folder() / "models"]


def test_a_pack_in_custom_nodes_knows_its_comfyui_and_another_none(tmp_path):
    pack = tmp_path / "ComfyUI" / "custom_nodes" / "sadtalker-nodes"
    assert around_the_pack([pack / "sadtalker_core"]) == [tmp_path / "ComfyUI" / "models" / "sadtalker"]
    assert around_the_pack([tmp_path / "site-packages" / "sadtalker_core"]) == []
    assert around_the_pack([Path("/sadtalker_core")]) == []


@pytest.mark.parametrize(("system", "variable", "wanted"), [
    ("linux", "XDG_CACHE_HOME", ".cache/sadtalker"), ("darwin", "", "Library/Caches/sadtalker"),
    ("win32", "LOCALAPPDATA", "AppData/Local/sadtalker"),
])  # fmt: skip
def test_the_cache_folder_follows_the_system(monkeypatch, tmp_path, system, variable, wanted):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == tmp_path / wanted
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
        assert cache_folder() == tmp_path / "elsewhere" / "sadtalker"
