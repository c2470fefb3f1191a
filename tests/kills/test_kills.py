"""kill -9 at three moments of every writer: files are whole, and the next run goes on or sweeps what was begun."""

from __future__ import annotations

import pytest

from tests.kills.nursery import Nursery, kill_and_run_again
from tests.kills.writers import WRITERS

pytestmark = [pytest.mark.slow, pytest.mark.comfyui]


@pytest.fixture(scope="module")
def nursery(tmp_path_factory):
    with Nursery(tmp_path_factory.mktemp("nursery")) as nursery:
        yield nursery


@pytest.mark.parametrize("writer", WRITERS)
def test_a_kill_leaves_whole_files_and_parts_that_the_next_run_clears_away(writer, nursery, tmp_path):
    n_killed, faults = kill_and_run_again(nursery, writer, tmp_path, n_moments=3, seed=9)
    assert not faults, "\n".join(faults)
    assert n_killed == 3
