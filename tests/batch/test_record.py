"""What was done is remembered, whatever happens to the process that does it."""

from __future__ import annotations

import errno
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from sadtalker_core.batch import record
from sadtalker_core.batch.jobs import Job
from sadtalker_core.batch.record import DONE, FAILED, SKIPPED, Outcome, RunFolder, summary, table
from sadtalker_core.errors import InUse, OptionError
from sadtalker_core.options import Options


def job(folder: Path, name: str = "a") -> Job:
    return Job(2, folder / "face.png", None, folder / f"{name}.mp4", Options(), 50, name)


def done(job: Job) -> Outcome:
    """The outcome of a job whose video of four bytes is there."""
    job.out.write_bytes(b"film")
    return Outcome(job.id, job.line, str(job.out), DONE, seconds=2.0, n_frames=50, n_bytes=4)


def test_what_was_done_is_known_to_the_next_run(tmp_path):
    first, second = job(tmp_path), job(tmp_path, "b")
    RunFolder(tmp_path / "run").add(done(first))
    found = RunFolder(tmp_path / "run").done_before([first, second])
    assert list(found) == [first.id] and found[first.id].status == SKIPPED


@pytest.mark.parametrize("harm", ["deleted", "changed", "failed since"])
def test_a_video_that_is_not_as_it_was_is_made_again(tmp_path, harm):
    one, folder = job(tmp_path), RunFolder(tmp_path / "run")
    folder.add(done(one))
    if harm == "deleted":
        one.out.unlink()
    elif harm == "changed":
        one.out.write_bytes(b"another film")
    else:
        folder.add(Outcome(one.id, 2, str(one.out), FAILED, "no face"))
    assert folder.done_before([one]) == {}


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path):
    folder, jobs = RunFolder(tmp_path / "run"), [job(tmp_path, name) for name in "abc"]
    folder.add(done(jobs[0]))
    folder.add(done(jobs[1]))
    whole = folder.manifest.read_bytes()
    folder.manifest.write_bytes(whole[:-20])
    folder.add(done(jobs[2]))
    assert list(folder.done_before(jobs)) == ["a", "c"]


@pytest.mark.parametrize("odd", [
    {"id": ["a"]}, {"n_bytes": "4"}, {"n_frames": None}, {"seconds": float("nan")}, {"seconds": -1}, {"line": True},
    {"n_frames": 10**400}, {"status": 1}, {"more": 1},
])  # fmt: skip
def test_a_line_that_this_program_did_not_write_costs_only_itself(tmp_path, odd):
    folder, one, other = RunFolder(tmp_path / "run"), job(tmp_path), job(tmp_path, "b")
    folder.add(done(other))
    with folder.manifest.open("a") as file:
        file.write(json.dumps(asdict(done(one)) | odd) + "\n" + "[" * 100_000 + "\n[1]\nnull\n")
    assert list(folder.done_before([one, other])) == ["b"]


def test_a_full_disk_is_reported_and_what_did_not_fit_is_written_when_there_is_room_again(tmp_path, monkeypatch):
    folder, jobs = RunFolder(tmp_path / "run"), [job(tmp_path, name) for name in "abc"]
    append, full = record.append_jsonl, [True]

    def append_line(file, entry):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(file, entry)

    monkeypatch.setattr(record, "append_jsonl", append_line)
    folder.add(done(jobs[0]))
    folder.add(done(jobs[1]))
    assert folder.fault.startswith("the record of this run could not be written to") and "No space left" in folder.fault
    full.clear()
    folder.add(done(jobs[2]))
    assert not folder.fault and list(folder.done_before(jobs)) == ["a", "b", "c"]


def test_a_run_folder_that_cannot_be_made_is_reported_before_anything_begins(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match=r"cannot be written to \(Not a directory\); choose another with --run"):
        RunFolder(tmp_path / "file" / "run")


@pytest.mark.parametrize(("number", "begins"), [(errno.EROFS, False), (errno.ENOSPC, True), (errno.EDQUOT, True)])
def test_a_full_disk_costs_the_record_and_a_read_only_one_is_refused(tmp_path, monkeypatch, number, begins):
    def refuse(*_, **__):
        raise OSError(number, "refused")

    monkeypatch.setattr(Path, "mkdir", refuse)
    if begins:
        assert "could not be written" in RunFolder(tmp_path / "run").fault
    else:
        with pytest.raises(OptionError, match="cannot be written to"):
            RunFolder(tmp_path / "run")


def test_a_second_run_in_the_same_folder_names_who_has_it(tmp_path):
    with RunFolder(tmp_path / "run"):
        with pytest.raises(InUse, match="^the run folder .* is in use by process "):
            RunFolder(tmp_path / "run").__enter__()
    with RunFolder(tmp_path / "run") as again:
        assert not again.fault


def test_a_name_that_is_no_text_can_be_reported(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.write_report(summary([Outcome("a", 2, "/b\udce4tch/a.mp4", DONE)], 1.0, 1))
    assert json.loads(folder.report.read_bytes())["jobs"][0]["out"] == "/b\udce4tch/a.mp4"


def test_the_report_counts_and_the_table_shows_every_job(tmp_path):
    outcomes = [
        Outcome("c", 4, "c.mp4", FAILED, "no face found"),
        Outcome("b", 3, "b.mp4", SKIPPED, n_frames=10),
        Outcome("a", 2, "a.mp4", DONE, seconds=2.0, n_frames=50),
    ]
    report = summary(outcomes, 5.0, 2)
    RunFolder(tmp_path).write_report(report)
    read = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert (read["done"], read["done_before"], read["failed"], read["frames_per_second"]) == (1, 1, 1, 10.0)
    assert [entry["line"] for entry in read["jobs"]] == [2, 3, 4]
    lines = table(report).split("\n")
    assert lines[1].split() == ["2", "done", "50", "2.0", "25.0", "a.mp4"]
    assert lines[4].strip() == "no face found"
    assert lines[-1] == "1 done, 1 done before, 1 failed; 50 frames in 5.0 s: 10.0 frames/s with 2 workers"
