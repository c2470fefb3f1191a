"""Every stored number of the original within its tolerance, stage by stage; see harness.py for where they lie."""

from __future__ import annotations

import pytest

from tests.parity.harness import SLOW_STAGES, Vectors, check_file, default_folder, vector_files


def _files():
    for path in vector_files(default_folder()):
        marks = [pytest.mark.slow] if Vectors(path).stage in SLOW_STAGES else []
        yield pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", _files())
def test_stage_gives_the_numbers_of_the_original(path):
    out = [str(row) for row in check_file(path) if not row.ok]
    assert not out, "\n".join(out)
