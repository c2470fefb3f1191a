"""The frame of the parity check: what it reads, when it says no, and what it says."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.parity.__main__ import main
from tests.parity.harness import ParityError, Vectors, check_file, compare, fixed, spread, thinned


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "made.npz"
    np.savez(
        path,
        **{
            "stage": "blink",
            "in/track": np.arange(6.0).reshape(3, 2),
            "in/a/whole": "@track",
            "in/a/two": "@track[:2]",
            "in/a/n": 5,
            "in/a/mode": "crop",
            "out/a/value": np.ones(2),
            "in/b/n": 6,
            "out/b/value": np.zeros(2),
        },
    )
    return path


def test_references_stand_for_shared_arrays_or_their_first_rows(vectors):
    inputs = Vectors(vectors).inputs("a")
    np.testing.assert_array_equal(inputs["whole"], np.arange(6.0).reshape(3, 2))
    np.testing.assert_array_equal(inputs["two"], [[0, 1], [2, 3]])
    assert (inputs["n"], inputs["mode"]) == (5, "crop")


def test_cases_keep_their_order_and_their_own_outputs(vectors):
    read = Vectors(vectors)
    assert (read.stage, read.cases) == ("blink", ["a", "b"])
    np.testing.assert_array_equal(read.outputs("b")["value"], [0, 0])


def test_a_reference_to_nothing_is_named(tmp_path):
    np.savez(tmp_path / "v.npz", **{"stage": "blink", "in/a/x": "@elsewhere", "out/a/y": 1})
    with pytest.raises(ParityError, match="refers to @elsewhere"):
        Vectors(tmp_path / "v.npz").inputs("a")


def test_a_file_that_is_no_npz_is_named(tmp_path):
    (tmp_path / "v.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ParityError, match="v.npz cannot be read"):
        Vectors(tmp_path / "v.npz")


@pytest.mark.parametrize(
    "got, ok",
    [([1.0, 2.0], True), ([1.0, 2.09], True), ([1.0, 2.11], False), ([1.0, float("nan")], False), ([1.0], False)],
)
def test_compare_is_in_up_to_the_tolerance_and_never_for_nan_or_another_shape(got, ok):
    assert compare("s", "c", "f", torch.tensor(got), np.array([1.0, 2.0]), 0.1).ok is ok


def test_compare_asks_the_mean_too():
    got, want = np.array([0, 1, 1, 1]), np.zeros(4)
    assert compare("s", "c", "f", got, want, 1).ok
    assert not compare("s", "c", "f", got, want, 1, mean_tol=0.5).ok


def test_bytes_are_subtracted_without_wrapping():
    assert compare("s", "c", "f", np.array([255], np.uint8), np.array([0], np.uint8), 1).max_abs == 255


def test_a_fixed_row_gives_the_reason():
    row = fixed("croper", "tall", "box", "the chin is kept", np.array([3]), np.array([3]))
    assert row.ok and row.note == "fixed: the chin is kept"


def test_spread_is_a_share_of_the_deviation_and_never_nothing():
    assert spread(np.array([-1.0, 1.0])) == pytest.approx(1e-4)
    assert spread(np.zeros(3)) > 0


def test_thinned_finds_the_step_in_the_name():
    value, step = thinned({"prediction_ds3": np.ones(4)}, "prediction")
    assert step == 3 and value.shape == (4,)
    with pytest.raises(ParityError, match="no output is called picture"):
        thinned({"prediction_ds3": 1}, "picture")


def test_an_unknown_stage_is_a_sentence(tmp_path):
    np.savez(tmp_path / "v.npz", **{"stage": "telepathy", "in/a/x": 1, "out/a/y": 1})
    with pytest.raises(ParityError, match="nothing here checks the stage 'telepathy'"):
        list(check_file(tmp_path / "v.npz"))


def test_a_file_without_cases_proves_nothing(tmp_path):
    np.savez(tmp_path / "v.npz", stage="blink")
    with pytest.raises(ParityError, match="holds no case"):
        list(check_file(tmp_path / "v.npz"))


def test_the_command_line_refuses_a_stage_that_the_folder_lacks(vectors, capsys):
    assert main(["--vectors", str(vectors.parent), "--stage", "mel"]) == 2
    assert "no vectors of a stage 'mel'; there are blink" in capsys.readouterr().err


def test_the_command_line_refuses_an_empty_folder(tmp_path, capsys):
    assert main(["--vectors", str(tmp_path)]) == 2
    assert "holds no file of vectors" in capsys.readouterr().err


def test_the_table_runs_without_pytest(project, tmp_path):
    np.savez(tmp_path / "v.npz", **{"stage": "telepathy", "in/a/x": 1, "out/a/y": 1})
    command = [sys.executable, "-m", "tests.parity", "--vectors", str(tmp_path)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "nothing here checks the stage 'telepathy'" in done.stdout
