"""pip installs the library and its command alone; an installed copy and the pack never load each other."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.face.images import astronaut
from tests.waves import write_wave

PROGRAM = Path(__file__).parent / "installed.py"


def test_nodes_reach_the_core_of_their_own_pack_alone(project):
    found = []
    for file in (project / "__init__.py", *(project / "nodes").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            found += [f"{file.name}: {name}" for name in names if name.startswith("sadtalker_core")]
    assert found == []


def python(*arguments: str, path: Path | None = None, cwd: Path, blocked: tuple[str, ...] = ()) -> str:
    """What a Python of its own prints. path: its PYTHONPATH;  blocked: packages that it does not have."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"OMP_NUM_THREADS": "1", **({"PYTHONPATH": str(path)} if path else {})}
    if blocked:
        lines = f"import runpy, sys; sys.modules.update(dict.fromkeys({blocked!r})); sys.argv[:] = sys.argv[1:]"
        arguments = ("-c", f"{lines}; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)", *arguments)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python_fails(*arguments: str, path: Path, cwd: Path) -> tuple[int, str]:
    env = os.environ | {"PYTHONPATH": str(path)}
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def pack(project, tmp_path_factory) -> Path:
    """The files that git knows or would take, where ComfyUI would have them."""
    folder = tmp_path_factory.mktemp("ComfyUI") / "custom_nodes" / "sadtalker-nodes"
    what = ("*.py", "*.md", "*.toml", "LICENSE", "sadtalker_core")
    named = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z", "--", *what],
        cwd=project,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, named.stdout.split("\0")):
        if (project / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(pack, tmp_path_factory) -> Path:
    """Built without a network and without anything but setuptools."""
    source = tmp_path_factory.mktemp("source") / "tree"
    shutil.copytree(pack, source)
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", str(source), cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder that the wheel was installed into."""
    folder = tmp_path_factory.mktemp("site") / "packages"
    python(
        "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(folder), str(wheel), cwd=folder.parent
    )
    return folder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A folder with a portrait and half a second of sound."""
    import torch

    folder = tmp_path_factory.mktemp("inputs")
    Image.fromarray((astronaut() * 255).byte().numpy()).save(folder / "face.png")
    noise = torch.randn(8_000, generator=torch.Generator().manual_seed(1)).clamp(-4, 4) * 0.1
    write_wave(folder / "hello.wav", noise, 16_000)
    return folder


@pytest.mark.slow
def test_the_wheel_holds_the_core_all_of_its_files_and_nothing_else(wheel, project):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"sadtalker_core"}
    listed = subprocess.run(["git", "ls-files", "-z", "sadtalker_core"], cwd=project, capture_output=True, check=True)
    there = {name for name in listed.stdout.decode().split("\0") if name and (project / name).is_file()}
    assert there - set(names) == set()
    (entry,) = [name for name in names if name.endswith("entry_points.txt")]
    assert "sadtalker = sadtalker_core.__main__:main" in zipfile.ZipFile(wheel).read(entry).decode()


@pytest.mark.slow
def test_an_installed_copy_makes_a_video_without_comfyui_ray_av_and_tqdm(installed, inputs):
    blocked = ("comfy", "folder_paths", "ray", "av", "tqdm")
    output = python(
        "sadtalker_core",
        "face.png",
        "hello.wav",
        "-o",
        "talk.mp4",
        "--device",
        "cpu",
        "--quality",
        "draft",
        path=installed,
        cwd=inputs,
        blocked=blocked,
    )
    assert output.startswith(str(inputs / "talk.mp4")) and "12 frames" in output
    assert (inputs / "talk.mp4").read_bytes()[4:8] == b"ftyp"
    status, words = python_fails(
        "-m", "sadtalker_core", "face.png", "hello.wav", "-o", "talk.mp4", path=installed, cwd=inputs
    )
    assert status == 2 and words.count("\n") == 1 and "talk.mp4 cannot be written: it exists" in words


@pytest.mark.slow
def test_the_pack_and_an_installed_copy_live_in_one_process_and_share_nothing(installed, pack):
    """The pack is loaded as ComfyUI does it: by its folder, under a name that is no identifier."""
    code = """
import importlib, importlib.util, json, sys
name = sys.argv[1].replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, sys.argv[1] + "/__init__.py")
sys.modules[name] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
light = "torch" not in sys.modules
core = importlib.import_module(name + ".sadtalker_core.batch.worker")
alone = not any(other.split(".")[0] == "sadtalker_core" for other in sys.modules)
import sadtalker_core.batch.worker as other
homes = {key: getattr(value, "__file__", "") for key, value in sys.modules.items() if "sadtalker_core" in key}
print(json.dumps([light, alone, core.Worker is not other.Worker, homes]))
"""
    light, alone, apart, homes = json.loads(python("-c", code, str(pack), path=installed, cwd=pack.parent))
    assert light, "that the pack is there costs ComfyUI no import of ours"
    assert alone and apart
    assert [
        key for key, file in homes.items() if Path(file).is_relative_to(pack) is key.startswith("sadtalker_core")
    ] == []


@pytest.mark.slow
@pytest.mark.parametrize("leads", ["the pack", "the installed copy"])
def test_workers_of_a_batch_load_the_copy_that_began_them(installed, pack, tmp_path, leads):
    """Both are within reach, the other one where Ray looks first or second."""
    shutil.copy(PROGRAM, tmp_path / "where.py")
    if leads == "the pack":  # as python -m does in the folder of the pack
        code = "import runpy, sys; sys.path.insert(0, ''); runpy.run_path(sys.argv[1], run_name='__main__')"
        leader, worker = json.loads(python("-c", code, str(tmp_path / "where.py"), path=installed, cwd=pack))
        home = pack
    else:  # as its console script does, called in the folder of the pack
        leader, worker = json.loads(python(str(tmp_path / "where.py"), path=installed, cwd=pack))
        home = installed
    assert leader == worker and Path(leader).is_relative_to(home)
