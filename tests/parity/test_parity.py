"""Every stored number of the original within its tolerance, stage by stage; see harness.py for where they lie."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.parity.harness import OWN_VECTORS, PARITY, SLOW_STAGES, Vectors, check_file, default_folder, vector_files
from tests.parity.trim import MAX_BYTES


def _files():
    for path in vector_files(default_folder()):
        marks = [pytest.mark.slow] if Vectors(path).stage in SLOW_STAGES else []
        yield pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", list(_files()))
def test_stage_gives_the_numbers_of_the_original(path):
    out = [str(row) for row in check_file(path) if not row.ok]
    assert not out, "\n".join(out)


@pytest.mark.slow
def test_key_points_are_those_of_the_original_with_the_kernels_of_an_older_processor(project):
    """AVX2 for convolutions, nothing for the rest: sums of 27,648 products in one were up to 1e-5 off there."""
    older = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    command = [sys.executable, "-m", "tests.parity", "--stage", "keypoints", "--vectors", str(OWN_VECTORS)]
    done = subprocess.run(command, env={**os.environ, **older}, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " value " in done.stdout


def test_the_project_carries_vectors_of_every_stage_that_it_checks():
    carried = {Vectors(path).stage for path in vector_files(OWN_VECTORS)}
    assert carried == {path.stem for path in (PARITY / "stages").glob("*.py")}


def test_the_project_carries_the_renderer_in_both_sizes():
    renders = [vectors for path in vector_files(OWN_VECTORS) if (vectors := Vectors(path)).stage == "render"]
    assert {vectors.inputs(case)["image"].shape for vectors in renders for case in vectors.cases} == {
        (256, 256, 3),
        (512, 512, 3),
    }


def test_the_carried_vectors_stay_small():
    assert sum(path.stat().st_size for path in vector_files(OWN_VECTORS)) <= MAX_BYTES
