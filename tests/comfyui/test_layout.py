"""Folders and links, with the names that people really have."""

from __future__ import annotations

import pytest

from tests.tools.comfyui import layout

pytestmark = pytest.mark.plain

NAMES = ["plain", "with space", "\u4f60\u597d \u0444\u0430\u0439\u043b", "quote's & 100%"]


@pytest.mark.parametrize("name", NAMES)
def test_the_pack_is_linked_into_custom_nodes(tmp_path, name):
    pack = tmp_path / name / "pack"
    pack.mkdir(parents=True)
    (pack / "__init__.py").write_text("", encoding="utf-8")
    base = layout.make_base(tmp_path / name / "base", pack)
    assert (base / "custom_nodes" / "sadtalker-nodes" / "__init__.py").is_file()


def test_linking_again_follows_the_pack_to_its_new_place(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for pack in (old, new):
        pack.mkdir()
        (pack / "which").write_text(pack.name, encoding="utf-8")
        base = layout.make_base(tmp_path / "base", pack)
    assert (base / "custom_nodes" / "sadtalker-nodes" / "which").read_text(encoding="utf-8") == "new"


def test_a_broken_link_is_replaced(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    layout.make_base(tmp_path / "base", old)
    old.rmdir()
    base = layout.make_base(tmp_path / "base", new)
    assert (base / "custom_nodes" / "sadtalker-nodes").resolve() == new.resolve()


def test_removing_a_servers_folder_leaves_the_pack_alone(tmp_path):
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "precious.py").write_text("", encoding="utf-8")
    base = layout.make_base(tmp_path / "base", pack)
    layout.remove_base(base)
    assert not base.exists()
    assert (pack / "precious.py").is_file()


def test_a_real_folder_where_the_link_belongs_is_not_deleted(tmp_path):
    mine = tmp_path / "base" / "custom_nodes" / "sadtalker-nodes"
    mine.mkdir(parents=True)
    (mine / "my_change.py").write_text("", encoding="utf-8")
    with pytest.raises(OSError):
        layout.make_base(tmp_path / "base", tmp_path)
    assert (mine / "my_change.py").is_file()
