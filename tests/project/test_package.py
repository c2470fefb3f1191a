"""What the registry, the Manager and pip read about the pack agrees with itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib


@pytest.fixture(scope="module")
def pyproject(project: Path) -> dict:
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(project: Path) -> list[str]:
    return (project / "requirements.txt").read_text(encoding="utf-8").split()


def test_pip_and_the_manager_install_the_same(project, pyproject):
    assert pyproject["project"]["dependencies"] == requirements(project)


#: by another name than that of the package that brings it
PACKAGES = {
    "PIL": "Pillow",
    "face_alignment": "face-alignment",
    "imageio_ffmpeg": "imageio-ffmpeg",
    "c2pa": "c2pa-python",
}


class _RunAlone(ast.NodeTransformer):
    """Leaves out what `if TYPE_CHECKING:` guards."""

    def visit_If(self, node: ast.If) -> ast.If | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


RUN_ALONE = _RunAlone()


def imported(folder: Path) -> set[str]:
    """The packages of other people that the files of a folder import, anywhere in them but for a type checker."""
    names = set()
    for file in folder.rglob("*.py"):
        if "training" not in file.relative_to(folder).parts:
            for node in ast.walk(RUN_ALONE.visit(ast.parse(file.read_text(encoding="utf-8")))):
                if isinstance(node, ast.Import):
                    names |= {name.name.split(".")[0] for name in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names.add((node.module or "").split(".")[0])
    return {PACKAGES.get(name, name) for name in names - sys.stdlib_module_names - {"torch"}}


def names_of(lines: list[str]) -> set[str]:
    return {re.split(r"[<>=~! ]", line)[0] for line in lines}


def test_every_package_that_the_core_imports_is_named_as_needed_or_as_an_extra(project, pyproject):
    found, needed = imported(project / "sadtalker_core"), names_of(requirements(project))
    extras = names_of([line for lines in pyproject["project"]["optional-dependencies"].values() for line in lines])
    assert found - needed <= {"av", "ray", "tqdm", "c2pa-python"} & extras
    # librosa is asked for by name (audio.resample)
    assert needed - found <= {"librosa"}, "named and imported by nobody"


def test_torch_is_left_to_comfyui_and_nothing_is_pinned(project):
    assert [line for line in requirements(project) if line.startswith("torch") or "==" in line or "<" in line] == []


def test_what_training_imports_is_named(project, pyproject):
    """Training needs all that the nodes need, the extra `train`, and what ComfyUI brings (torch)."""
    modules = {"Pillow": "PIL"}
    extra = pyproject["project"]["optional-dependencies"]["train"]
    names = [re.split(r"[<>=]", line)[0] for line in [*requirements(project), *extra]]
    known = {modules.get(name, name.replace("-", "_")) for name in names} | {"torch"} | sys.stdlib_module_names
    found = {
        f"{file.name} imports {name}"
        for file in (project / "sadtalker_core" / "training").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
        if name.partition(".")[0] not in known
    }
    assert found == set()


def test_the_registry_finds_what_it_asks_for(pyproject):
    assert pyproject["project"]["name"] == "sadtalker-nodes"
    assert pyproject["project"]["license"] == {"file": "LICENSE"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", pyproject["project"]["version"])
    assert pyproject["project"]["urls"]["Repository"].startswith("https://github.com/")
    assert pyproject["tool"]["comfy"]["PublisherId"] and pyproject["tool"]["comfy"]["DisplayName"] == "SadTalker Nodes"
    assert {"train", "cluster"} <= set(pyproject["project"]["optional-dependencies"])


def test_the_version_stands_in_one_place(project, pyproject):
    version = pyproject["project"]["version"]
    files = [file for folder in ("nodes", "sadtalker_core") for file in (project / folder).rglob("*.py")]
    assert [
        file.name for file in [project / "__init__.py", *files] if f'"{version}"' in file.read_text(encoding="utf-8")
    ] == []


def test_the_changelog_opens_with_what_is_unreleased_and_then_this_version(project, pyproject):
    headings = re.findall(r"^## (\S+)", (project / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    released = headings[1:] if headings[0] == "Unreleased" else headings
    assert released[0] == pyproject["project"]["version"]


def test_the_readme_and_the_licence_are_there(project, pyproject):
    assert "Apache License" in (project / "LICENSE").read_text(encoding="utf-8")
    assert (project / pyproject["project"]["readme"]).is_file()


def test_nothing_heavy_travels_with_the_clone(project):
    names = subprocess.run(["git", "ls-files", "-z"], cwd=project, capture_output=True, check=True).stdout
    sizes = {name: (project / name).stat().st_size for name in names.decode().split("\0") if (project / name).is_file()}
    data = {name: size for name, size in sizes.items() if not name.endswith(".py")}
    assert sum(size for name, size in data.items() if name.startswith("tests/")) <= 5 * 2**20
    assert sum(size for name, size in sizes.items() if name.startswith("sadtalker_core/assets/")) <= 20 * 2**20


def test_the_images_of_the_registry_are_there_in_the_sizes_that_it_takes(project, pyproject):
    """Icon: square, 400 pixels at most; banner: 21:9. Made by tests.tools.images.make_registry_images."""
    from PIL import Image

    sizes = {}
    for name in ("Icon", "Banner"):
        address = pyproject["tool"]["comfy"][name]
        repository = pyproject["project"]["urls"]["Repository"].replace("github.com", "raw.githubusercontent.com")
        assert address.startswith(f"{repository}/main/")
        file = project / address.removeprefix(f"{repository}/main/")
        assert file.stat().st_size < 100_000
        with Image.open(file) as image:
            sizes[name] = image.size
    assert sizes["Icon"][0] == sizes["Icon"][1] <= 400
    assert sizes["Banner"][0] * 9 == sizes["Banner"][1] * 21


def test_the_registry_knows_where_the_pack_runs(pyproject):
    classifiers = [line for line in pyproject["project"]["classifiers"] if line.startswith("Environment :: GPU")]
    assert {line.rsplit(" :: ", 1)[1] for line in classifiers} == {"NVIDIA CUDA", "AMD ROCm", "Apple Metal"}
    assert "Operating System :: OS Independent" in pyproject["project"]["classifiers"], "and on a CPU"


def test_the_release_list_names_the_tag_and_everything_that_ships(project):
    classifiers = (project / "docs" / "RELEASE.md").read_text(encoding="utf-8")
    assert "git tag v<version>" in classifiers
    ignored = (project / ".comfyignore").read_text(encoding="utf-8").split("\n")
    done = subprocess.run(["git", "ls-files"], cwd=project, capture_output=True, text=True, check=True)
    tops = {name.split("/")[0] + ("/" if "/" in name else "") for name in done.stdout.splitlines()}
    ships = {top for top in tops if top not in ignored and top != ".comfyignore"}
    assert [top for top in sorted(ships) if f"`{top}`" not in classifiers] == []
