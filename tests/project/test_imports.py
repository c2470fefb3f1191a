"""The direction of imports: packages import shared types, never one another; nothing imports ComfyUI, and the
command line alone imports training.
"""

from __future__ import annotations

import ast
import functools
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


@functools.cache
def names_in(module: Path) -> frozenset[str]:
    """What can be imported from a module of this repository: what it defines or imports, and the modules below it."""
    file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    names = {below.stem for below in module.iterdir()} if module.is_dir() else set()
    if not file.is_file():
        return frozenset(names)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return frozenset(names)


def imported_from_here(file: Path, project: Path) -> Iterator[tuple[Path, str]]:
    """(module of this repository, name) for each name that the file imports from one."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        parts = node.module.split(".") if node.module else []
        if not node.level and parts[0] not in ("sadtalker_core", "tests"):
            continue
        base = file.parents[node.level - 1] if node.level else project
        yield from ((base.joinpath(*parts), alias.name) for alias in node.names)


#: runs on earlier versions of the pack, too
OF_EARLIER_VERSIONS = {"earlier.py"}


@pytest.mark.slow
def test_every_name_that_is_imported_from_this_repository_exists(project):
    """In benchmarks and makers of images, which no test runs, as well."""
    files = [
        file
        for folder in ("sadtalker_core", "nodes", "tests")
        for file in (project / folder).rglob("*.py")
        if file.name not in OF_EARLIER_VERSIONS
    ]
    missing = [
        f"{file.relative_to(project)}: {name} from {module.relative_to(project)}"
        for file in files
        for module, name in imported_from_here(file, project)
        if name != "*" and name not in names_in(module)
    ]
    assert len(files) > 500 and missing == []
