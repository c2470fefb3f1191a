"""Other Pythons and another numpy: the code compiles on each that is found, and what needs no torch runs there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.comfyui import environment
from tests.tools.comfyui.environment import Steps
from tests.tools.comfyui.layout import home, venv_python

SUPPORTED = ["3.10", "3.11", "3.12", "3.13"]
QUICK = "not slow and not comfyui and not browser"


@pytest.fixture(scope="module")
def interpreters() -> dict[str, list[str]]:
    """Version -> command, for the interpreters found on this machine; the one that runs the tests is always there."""
    found = {
        version: command
        for version in SUPPORTED
        if (command := environment.find_python(tuple(map(int, version.split(".")))))
    }
    return found | {f"{sys.version_info[0]}.{sys.version_info[1]}": [sys.executable]}


def python_files(project: Path) -> list[str]:
    return [
        str(file)
        for part in ("__init__.py", "nodes", "sadtalker_core", "tests")
        for file in ([project / part] if part.endswith(".py") else sorted((project / part).rglob("*.py")))
    ]


@pytest.mark.slow
def test_every_file_compiles_on_every_python_found(project, interpreters, tmp_path, record_property):
    record_property("interpreters", ", ".join(sorted(interpreters)))
    listing = tmp_path / "files"
    listing.write_text("\n".join(python_files(project)), encoding="utf-8")
    code = (
        "import sys, py_compile\n"
        "for name in open(sys.argv[1], encoding='utf-8').read().split('\\n'):\n"
        "    py_compile.compile(name, cfile=sys.argv[2], doraise=True)"
    )
    for version, command in interpreters.items():
        done = subprocess.run(
            [*command, "-W", "error", "-c", code, str(listing), str(tmp_path / f"{version}.pyc")],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"Python {version}:\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("version", [v for v in SUPPORTED if v != f"{sys.version_info[0]}.{sys.version_info[1]}"])
def test_what_needs_no_torch_passes_on_another_python(project, interpreters, version):
    if version not in interpreters:
        print(f"no Python {version} on this machine; found {sorted(interpreters)}")
        return
    folder = home() / "pythons" / version
    folder.mkdir(parents=True, exist_ok=True)
    steps, python = Steps(folder, say=lambda text: None), venv_python(folder / "venv")

    def install() -> None:
        steps.run(*interpreters[version], "-m", "venv", "--clear", folder / "venv")
        steps.run(python, "-m", "pip", "--disable-pip-version-check", "install", environment.TEST_TOOLS[0])

    steps.do("pytest", " ".join([*interpreters[version], environment.TEST_TOOLS[0]]), install, "pytest")
    files = [
        str(file)
        for file in sorted((project / "tests").rglob("test_*.py"))
        if re.search(r"^pytestmark = .*mark\.plain", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert run_pytest(python, project, "-m", "plain", *files) >= 50


@pytest.mark.slow
def test_the_quick_tests_pass_with_numpy_1(project):
    env = {**os.environ, "PYTHONPATH": str(environment.prepare_numpy("1.26")), "OMP_NUM_THREADS": "1"}
    version = subprocess.run(
        [sys.executable, "-c", "import numpy; print(numpy.__version__)"], env=env, capture_output=True, text=True
    )
    assert version.stdout.startswith("1.26.")
    packages = [
        str(project / "tests" / package)
        for package in ("audio", "face", "motion", "render", "compose", "checkpoint", "parity")
        if (project / "tests" / package).is_dir()
    ]
    assert run_pytest(Path(sys.executable), project, "-m", QUICK, "-n", "2", *packages, env=env) >= 50


def run_pytest(python: Path, project: Path, *arguments: str, env: dict | None = None) -> int:
    """Runs pytest elsewhere; how many tests passed there, when none failed."""
    done = subprocess.run(
        [
            str(python),
            "-m",
            "pytest",
            "-c",
            "tests/pytest.ini",
            "--rootdir",
            "tests",
            "-q",
            "-p",
            "no:cacheprovider",
            *arguments,
        ],
        cwd=project,
        env=env or os.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return int(re.search(r"(\d+) passed", done.stdout)[1])
