"""Packages that are there and broken cost what needs them, not the video."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import pytest
import soxr

from tests.face.images import astronaut
from tests.without_packages import ERROR, a_voice

#: what requirements.txt brings, itself or with another, and ComfyUI does not
OPTIONAL = ("librosa", "numba", "llvmlite", "cv2", "face_alignment", "skimage", "sklearn", "soundfile", "imageio")


@pytest.mark.slow
def test_mini_talks_where_librosa_numba_opencv_and_face_alignment_are_broken(project, tmp_path):
    np.save(tmp_path / "face.npy", astronaut()[:256, 80:336].numpy())
    done = subprocess.run(
        [sys.executable, "-m", "tests.without_packages", str(tmp_path), *OPTIONAL],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = json.loads(done.stdout)
    assert [line for line in lines["film"] if "resample" in line] == []
    assert [line for line in lines["44.1 kHz"] if "resample" in line] == [
        f"SadTalker: librosa fails (ValueError: {ERROR}), so soxr resamples the audio."
    ]
    expected = soxr.resample(a_voice(44_100, 44_100).numpy(), 44_100, 16_000, quality="HQ")
    np.testing.assert_array_equal(np.load(tmp_path / "wave.npy"), expected)
    n_frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "film.mp4"))
    assert n_frames == 4 and seconds == pytest.approx(0.16, abs=0.05)


def test_no_node_imports_a_package_that_may_be_broken(project):
    found = [
        f"{file.name} imports {name}"
        for file in [project / "__init__.py", *(project / "nodes").rglob("*.py")]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
        if name.partition(".")[0] in OPTIONAL
    ]
    assert found == []
