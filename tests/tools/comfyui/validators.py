"""The external validators: programs of other people that look at a node pack. Each lives in an environment of its own.

In: a pack's folder, a ComfyUI tree, API prompts with a live /object_info. Out: a `Verdict` each. No finding, not even a
warning, is the standard here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.tools.comfyui import environment
from tests.tools.comfyui.environment import Environment, Steps
from tests.tools.comfyui.layout import PACK_NAME, PROJECT, SetupError, home, venv_python

PACKAGES = {
    "comfy-cli": "comfy-cli==1.23.0",
    "comfy-test": "comfy-test==0.4.15",
    "comfy-lint": "comfy-lint==0.1.0",
    "comfy-import-guard": "comfy-import-guard==1.3.0",
}
PROGRAMS = {"comfy-cli": "comfy"}
#: comfy-test's run levels that need no internet and can fail. The others, tried with 0.4.15: `instantiation` and
#: `coverage` look for NODE_CLASS_MAPPINGS, where V3 has no nodes; `validation` takes a V3 combo for a socket and the
#: page's seed control for a value, and so reads every later widget wrongly, core's KSampler's too; `install` clones
#: from GitHub; `execution` and the screenshots want playwright's own browser, which is no package (test_page_run.py
#: does what they do); `warnings` wants the built-in model outside of the pack.
RUN_LEVELS = ("syntax", "hazards", "registration", "javascript")
#: how sure `hazards`, which never fails, is that a finding is one; band D is "a human decides every time"
SURE = ("=== A", "=== B", "=== C")


@dataclass(frozen=True)
class Verdict:
    """What a validator said: passed without any finding or not, and its words."""

    validator: str
    clean: bool
    words: str


def program(validator: str) -> Path:
    """The validator's command, installed on first use."""
    folder = home() / "validators" / validator
    folder.mkdir(parents=True, exist_ok=True)
    steps = Steps(folder, say=lambda text: None)

    def install() -> None:
        shutil.rmtree(folder / "venv", ignore_errors=True)
        steps.run(venv_python(home() / "venv"), "-m", "venv", folder / "venv")
        steps.run(
            venv_python(folder / "venv"), "-m", "pip", "--disable-pip-version-check", "install", PACKAGES[validator]
        )

    steps.do(validator, PACKAGES[validator] + sys.platform, install, validator)
    name = PROGRAMS.get(validator, validator) + (".exe" if sys.platform == "win32" else "")
    return venv_python(folder / "venv").parent / name


def export(destination: Path) -> Path:
    """A copy of the pack as a clone would have it: what git tracks or would track, and nothing that it ignores."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=PROJECT, capture_output=True
    )
    if done.returncode:
        raise SetupError(f"the validators look at what git tracks, and git could not say: {done.stderr.decode()}")
    for name in filter(None, done.stdout.decode("utf-8").split("\0")):
        source = PROJECT / name
        if source.is_file():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, destination / name)
    return destination


def registry(pack: Path) -> Verdict:
    """The registry's own gate: `comfy node validate`."""
    code, words = _run([program("comfy-cli"), "--skip-prompt", "--no-enable-telemetry", "node", "validate"], pack)
    return Verdict("comfy node validate", code == 0 and "warning" not in words.lower(), words)


def what_ships(pack: Path) -> set[str]:
    """The files in the archive that the registry would hand out: what `comfy node pack` packs of a copy."""
    code, words = _run([program("comfy-cli"), "--skip-prompt", "--no-enable-telemetry", "node", "pack"], pack)
    if code:
        raise SetupError(f"`comfy node pack` ended with {code}: {words}")
    archive = pack / "node.zip"
    with zipfile.ZipFile(archive) as packed:
        names = set(packed.namelist())
    archive.unlink()
    return names


def comfy_test(pack: Path) -> Verdict:
    """comfy-test's static levels: every Python file, tests included, and the page's scripts."""
    code, words = _run([program("comfy-test"), "lint", "--strict", pack], pack)
    return Verdict("comfy-test lint", code == 0 and "Warnings (non-blocking)" not in words, words)


def comfy_test_run(url: str, scratch: Path) -> Verdict:
    """comfy-test's run levels on a copy of the pack as the registry installs it, against a server that has it."""
    pack = export(scratch / "custom_nodes" / PACK_NAME)
    shutil.rmtree(pack / "tests")  # as .comfyignore says
    settings = scratch / "comfy-test.toml"
    settings.write_text(f"[test]\nlevels = {json.dumps(RUN_LEVELS)}\n", encoding="utf-8")
    code, words = _run(
        [program("comfy-test"), "run", "--server-url", url, "--config", settings],
        pack,
        HOME=str(scratch),
        USERPROFILE=str(scratch),
    )  # it writes its logs there
    passed = all(f"[{level.upper()}] PASSED" in words for level in RUN_LEVELS)
    return Verdict("comfy-test run", code == 0 and passed and not any(band in words for band in SURE), words)


def import_guard(pack: Path, tree: Path) -> Verdict:
    """comfy-import-guard: every comfy.* name and call of the pack against this ComfyUI tree.

    A name that only newer ComfyUIs have may stand in `try ... except ImportError` (it says SOFT and is content).
    """
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch) / "cache" / "ComfyUI"  # it reads names out of a git history, so here is one of one commit
        shutil.copytree(tree, clone, ignore=shutil.ignore_patterns(".git", "models", "output", "input", "__pycache__"))
        git = ["git", "-c", "user.name=validator", "-c", "user.email=validator@localhost"]
        for command in (
            ["init", "-q", "-b", "master"],
            ["add", "-A", "-f"],
            ["commit", "-q", "-m", "the tree"],
            ["update-ref", "refs/remotes/origin/master", "HEAD"],
        ):
            subprocess.run([*git, *command], cwd=clone, check=True, capture_output=True)
        nodes = Path(scratch) / "install" / "custom_nodes" / PACK_NAME
        shutil.copytree(pack, nodes, ignore=shutil.ignore_patterns(".git", "tests"))
        code, words = _run(
            [
                program("comfy-import-guard"),
                "--offline",
                "--cache-dir",
                clone.parent,
                "check",
                "--no-update",
                "--comfy-dir",
                nodes.parents[1],
            ],
            pack,
        )
    findings = ("MISSING", "BADCALL", "SIGDRIFT", "SHIM")
    return Verdict("comfy-import-guard", code == 0 and not any(word in words for word in findings), words)


def comfy_lint(prompts: list[Path], object_info: Path) -> Verdict:
    """comfy-lint: API prompts against the schema that a server answered."""
    code, words = _run([program("comfy-lint"), "--strict", "--schema-cache", object_info, *prompts], object_info.parent)
    return Verdict("comfy-lint", code == 0, words)


def main(host: Environment | None = None) -> int:
    """Every validator that needs no server, on the project as it stands."""
    host = host or environment.prepare()
    with tempfile.TemporaryDirectory() as scratch:
        pack = export(Path(scratch) / PACK_NAME)
        verdicts = [registry(pack), comfy_test(pack), import_guard(pack, host.tree)]
    for verdict in verdicts:
        print(f"{verdict.validator}: {'no finding' if verdict.clean else 'FINDINGS'}\n{verdict.words.strip()}\n")
    return 0 if all(verdict.clean for verdict in verdicts) else 1


def _run(command: list, cwd: Path, **variables: str) -> tuple[int, str]:
    env = {**os.environ, "PYTHONUTF8": "1", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", **variables}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    return done.returncode, done.stdout + done.stderr
