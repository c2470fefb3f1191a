"""The direction of imports: packages import shared types, never one another; nothing imports ComfyUI, and the
command line alone imports training.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = {"audio", "face", "motion", "render", "compose", "checkpoint"}
ORCHESTRATORS = {"pipeline.py", "model.py"}
FRONT_DOOR = {
    "__init__.py",
    "__main__.py",
    "animate.py",
    "api.py",
    "device.py",
    "arguments.py",
    "media.py",
    "options.py",
}
INNER = {"pipeline", "model", "families", "animate", "api", "device", "arguments", "media", "options"}


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Every import of a file, inner ones too: (number of leading dots, dotted name)."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
            if not node.module:
                yield from ((node.level, alias.name) for alias in node.names)


def core_imports(core: Path) -> Iterator[tuple[Path, str]]:
    """(file, first name below sadtalker_core that it imports)"""
    for file in sorted(core.rglob("*.py")):
        depth = len(file.relative_to(core).parts)
        for level, name in imports(file):
            if level == depth and name:
                yield file.relative_to(core), name.split(".")[0]


def test_the_core_imports_itself_relatively_and_nothing_of_comfyui(project):
    foreign = {
        "comfy",
        "comfy_api",
        "comfy_extras",
        "comfy_execution",
        "folder_paths",
        "nodes",
        "server",
        "sadtalker_core",
        "cv2",
        "torchvision",
    }
    core = project / "sadtalker_core"
    found = [
        f"{file.relative_to(core)} imports {name}"
        for file in sorted(core.rglob("*.py"))
        if "training" not in file.relative_to(core).parts
        for level, name in imports(file)
        if level == 0 and name.split(".")[0] in foreign
    ]
    assert found == []


def test_packages_do_not_import_one_another(project):
    found = [
        f"{file} imports {name}"
        for file, name in core_imports(project / "sadtalker_core")
        if name in PACKAGES and file.parts[0] in PACKAGES and name != file.parts[0]
    ]
    assert found == []


def test_packages_and_families_do_not_know_who_calls_them(project):
    found = [
        f"{file} imports {name}"
        for file, name in core_imports(project / "sadtalker_core")
        if file.parts[0] in PACKAGES | {"families"} and name in INNER - {file.parts[0]}
    ]
    assert found == []


def test_shared_types_import_no_package(project):
    found = [
        f"{file} imports {name}"
        for file, name in core_imports(project / "sadtalker_core")
        if len(file.parts) == 1 and file.name not in ORCHESTRATORS | FRONT_DOOR and name in PACKAGES | INNER
    ]
    assert found == []


def test_only_the_command_line_imports_training(project):
    found = [
        str(file)
        for file, name in core_imports(project / "sadtalker_core")
        if name == "training" and file.parts[0] != "training"
    ]
    assert {*found} == {"__main__.py"}


def test_no_package_knows_the_front_door(project):
    found = [
        f"{file} imports {name}"
        for file, name in core_imports(project / "sadtalker_core")
        if file.parts[0] in PACKAGES and name in INNER
    ]
    assert found == []


def test_only_the_command_line_imports_batch(project):
    found = [
        str(file)
        for file, name in core_imports(project / "sadtalker_core")
        if name == "batch" and file.parts[0] != "batch"
    ]
    assert found == ["__main__.py"]


def test_one_file_knows_ray_and_imports_it_only_when_it_is_needed(project):
    core = project / "sadtalker_core"
    files = {file for file in core.rglob("*.py") for _, name in imports(file) if name.split(".")[0] == "ray"}
    assert files == {core / "batch" / "worker_pool.py"}
    at_once = ast.parse((core / "batch" / "worker_pool.py").read_text(encoding="utf-8")).body
    assert [
        line
        for node in at_once
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in [ast.unparse(node)]
        if " ray" in line
    ] == []


def test_only_families_and_what_loads_ask_for_a_family_by_its_name(project):
    """What a family does in its own way is a method of `families.Family`."""
    loading = {"sadtalker_core/model.py", "sadtalker_core/motion/track_file.py"}
    files = [file for folder in ("sadtalker_core", "nodes") for file in sorted((project / folder).rglob("*.py"))]
    found = [
        f"{name}: {ast.unparse(node)}"
        for file in files
        for name in [file.relative_to(project).as_posix()]
        if not name.startswith("sadtalker_core/families/") and name not in loading
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        and {"MINI", "RELEASED"} & {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    ]
    assert found == []


def test_no_test_folder_is_a_package(project):
    assert list((project / "tests").rglob("__init__.py")) == []


@pytest.mark.slow
def test_the_core_imports_with_training_deleted(project, tmp_path):
    shutil.copytree(
        project / "sadtalker_core",
        tmp_path / "under another name" / "renamed_core",
        ignore=shutil.ignore_patterns("training", "__pycache__"),
    )
    core = tmp_path / "under another name" / "renamed_core"
    modules = [
        ".".join(["renamed_core", *file.relative_to(core).with_suffix("").parts]).removesuffix(".__init__")
        for file in sorted(core.rglob("*.py"))
    ]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-c", code, *modules],
        cwd=core.parent,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(core.parent)},
    )
    assert done.returncode == 0, done.stderr
