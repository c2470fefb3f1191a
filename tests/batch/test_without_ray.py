"""What ends before Ray begins."""

from __future__ import annotations

import sys

import pytest

from sadtalker_core.batch.__main__ import main
from sadtalker_core.batch.crew import Crew, CrewOptions
from sadtalker_core.batch.jobs import read_jobs
from sadtalker_core.batch.record import FAILED, RunFolder
from sadtalker_core.batch.run import run_jobs
from sadtalker_core.errors import OptionError
from tests.batch.conftest import PORTRAIT


def test_a_file_that_went_away_costs_its_own_job_alone(table, folder):
    """Here without Ray: no call gets as far as that."""
    (folder / "soon gone.wav").write_bytes((folder / "short.wav").read_bytes())
    path = table("gone.csv", "portrait,voice,out", f"{PORTRAIT},soon gone.wav,gone.mp4")
    (job,) = read_jobs(path)
    (folder / "soon gone.wav").unlink()
    crew = Crew(CrewOptions(), 1)
    crew._idle = [object()]
    (outcome,) = run_jobs([job], crew, RunFolder(folder / "gone.run"), cut_frames=1000)
    assert outcome.status == FAILED and outcome.sentence.startswith("FileNotFoundError: ")


def test_without_ray_one_sentence_says_how_to_get_it(table, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    path = table("noray.csv", "portrait,voice,out", f"{PORTRAIT},short.wav,noray.mp4")
    assert main([str(path)]) == 2
    assert 'not installed: pip install "ray' in capsys.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere"])
def test_a_cluster_that_is_not_there_gets_a_sentence(address):
    with pytest.raises(OptionError, match=f"expected a running Ray cluster at --address {address}, got: "):
        Crew(CrewOptions(address=address), 1).__enter__()


def test_a_table_with_faults_begins_nothing(table, folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([str(table("bad.csv", "portrait,voice,out", "gone.png,short.wav,bad.mp4"))]) == 2
    assert capsys.readouterr().err.startswith("bad.csv, line 2: portrait: there is no file")
    assert not (folder / "bad.run").exists()
