"""What is imported before anybody can wait for it: by names, as `python -X importtime` lists them, not by seconds."""

import os
import subprocess
import sys

import pytest

#: libraries that take a good part of a second to import, or more
HEAVY = {"torch", "numpy", "scipy", "kornia", "PIL", "librosa", "numba", "soxr", "cv2", "av", "imageio", "torchvision",
         "face_alignment", "torchaudio", "skimage", "sympy", "matplotlib", "ray", "safetensors"}  # fmt: skip
#: ComfyUI has imported these by the time it asks for the nodes
COMFYUIS = {"torch", "numpy", "PIL", "safetensors"}
#: parts of torch that it imports when it is asked for something unusual, in one to three seconds
OF_TORCH = {"torch._dynamo", "torch._inductor", "torch.fx.experimental.symbolic_shapes", "torch.onnx"}

LOAD = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("pack", "__init__.py", submodule_search_locations=["."])
pack = sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
import pack.sadtalker_core
"""
ALL_STAGES = "import sadtalker_core.pipeline, sadtalker_core.model, sadtalker_core.options, sadtalker_core.api"


def imported(project, program, *options):
    """The full names of all modules that the program, or the module behind -m, imports."""
    line = [sys.executable, "-X", "importtime", *(options or ("-c", program))]
    done = subprocess.run(line, cwd=project, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [row for row in done.stderr.splitlines() if row.startswith("import time:")]
    return {row.rpartition("|")[2].strip() for row in rows}


@pytest.fixture(scope="module")
def torchs_own(project):
    """What torch of this version imports by itself."""
    return imported(project, "import torch")


def libraries(names):
    return {name.partition(".")[0] for name in names}


def test_the_pack_itself_imports_no_heavy_library(project):
    names = imported(project, LOAD)
    assert "pack.sadtalker_core" in names and libraries(names) & HEAVY == set()


@pytest.mark.slow
def test_the_stages_import_nothing_heavy_that_comfyui_has_not(project, torchs_own):
    names = imported(project, ALL_STAGES)
    assert "sadtalker_core.api" in names
    assert libraries(names) & HEAVY <= COMFYUIS and names & OF_TORCH <= torchs_own


@pytest.mark.slow
def test_the_way_to_the_first_image_of_mini_imports_nothing_slow(project, torchs_own):
    names = imported(project, "", "-m", "tests.tools.bench.start")
    assert "sadtalker_core.render.meshwarp.compositor" in names
    assert libraries(names) & HEAVY <= COMFYUIS | {"scipy"} and names & OF_TORCH <= torchs_own
