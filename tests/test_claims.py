"""Nobody gets a name that somebody has; what a kill leaves is found, and used or taken away."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from sadtalker_core import locking
from sadtalker_core.claims import claim_next, claim_path, sweep
from sadtalker_core.errors import InUse
from sadtalker_core.saving import disk_full_error


def publish(claim, words=b"made"):
    claim.part("whole").write_bytes(words)
    path = claim.publish(claim.part("whole"))
    claim.release()
    return path


def test_the_next_number_is_one_that_no_file_has(tmp_path):
    for name in ("a_00007_.png", "a_00003_partial.mp4", "ab_00050_.mp4", "a_x_.mp4", "b_00009_.mp4"):
        (tmp_path / name).touch()
    assert publish(claim_next(tmp_path, "a", ".mp4")).name == "a_00008_.mp4"
    assert publish(claim_next(tmp_path / "new" / "folder", "a", ".mp4")).name == "a_00001_.mp4"


def test_two_writers_at_once_get_two_names(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        held = list(pool.map(lambda _: claim_next(tmp_path, "a", ".mp4"), range(16)))
    assert len({claim.path for claim in held}) == 16
    assert len({publish(claim) for claim in held}) == 16
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"a_{n:05}_.mp4" for n in range(1, 17)]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path, monkeypatch, links):
    if not links:

        def refuse(*paths):
            if paths[1].exists():
                raise FileExistsError
            raise PermissionError("no links here")

        monkeypatch.setattr(os, "link", refuse)
    claim = claim_next(tmp_path, "a", ".mp4")
    claim.path.write_bytes(b"somebody else's")
    assert publish(claim, b"ours").name == "a_00002_.mp4"
    assert (tmp_path / "a_00001_.mp4").read_bytes() == b"somebody else's"
    assert (tmp_path / "a_00002_.mp4").read_bytes() == b"ours" and len(list(tmp_path.iterdir())) == 2


def test_a_path_that_a_living_process_writes_is_refused_to_others(tmp_path):
    first = claim_path(tmp_path / "a.mp4")
    with pytest.raises(InUse, match=f"a.mp4 is in use by process {os.getpid()} on .* since 20"):
        claim_path(tmp_path / "a.mp4")
    first.release()
    assert publish(claim_path(tmp_path / "a.mp4"), b"new").read_bytes() == b"new"


def test_parts_of_the_living_stay(tmp_path):
    with claim_next(tmp_path, "a", ".mp4", partial_ending="partial.mp4") as claim:
        claim.part("video").write_bytes(b"frames")
        sweep(tmp_path, lambda dead: pytest.fail("it lives"))
        assert claim.part("video").read_bytes() == b"frames"
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
from sadtalker_core.claims import claim_next, claim_path
folder, name, partial = Path(sys.argv[1]), sys.argv[2], sys.argv[3] or None
claim = claim_path(folder / name) if name else claim_next(folder, "a", ".mp4", partial_ending=partial)
claim.part("video").write_bytes(b"frames")
claim.part("metadata").write_bytes(b"the prompt")
os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_writer(project, folder, name="", partial=""):
    done = subprocess.run([sys.executable, "-c", KILLED, folder, name, partial], cwd=project, check=False)
    assert done.returncode == -signal.SIGKILL
    return sorted(file.name for file in folder.iterdir())


needs_sigkill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")


@needs_sigkill
@pytest.mark.parametrize("name", ["", "of a table.mp4"])
def test_what_a_killed_process_left_is_named_and_taken_away(tmp_path, project, caplog, name):
    assert len(kill_a_writer(project, tmp_path, name)) == 3
    with caplog.at_level(logging.WARNING):
        sweep(tmp_path)
    assert not list(tmp_path.iterdir())
    assert "metadata.part" in caplog.text and "killed" in caplog.text


@needs_sigkill
def test_a_killed_writer_does_not_hold_its_path(tmp_path, project):
    kill_a_writer(project, tmp_path, "a.mp4")
    assert publish(claim_path(tmp_path / "a.mp4")).name == "a.mp4"
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


@needs_sigkill
def test_a_partial_that_was_asked_for_is_made_before_the_parts_go(tmp_path, project):
    kill_a_writer(project, tmp_path, partial="partial.mp4")
    sweep(tmp_path)  # who cannot make one leaves the parts
    sweep(tmp_path, lambda dead: False)
    assert (tmp_path / "a_00001_.mp4.video.part").read_bytes() == b"frames"
    sweep(tmp_path, lambda dead: bool(dead.publish_partial(dead.part("video"))))
    assert [file.name for file in tmp_path.iterdir()] == ["a_00001_partial.mp4"]
    assert (tmp_path / "a_00001_partial.mp4").read_bytes() == b"frames"


def test_parts_of_the_first_version_go_and_those_of_others_stay(tmp_path):
    ours = [
        "a_00001_.mp4.part",
        "a_00001_.mp4.metadata.part",
        "a_00002_partial.mp4.silent.part",
        "a_00003_.track.safetensors.part",
    ]
    others = ["film.mp4.part", "a_00001_.mp4.metadata.part.txt", "weights.pth.part", "a_00001_.mp4.other.part"]
    for name in ours + others:
        (tmp_path / name).write_bytes(b"half")
    sweep(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(others)


def test_where_a_disk_has_no_locks_nothing_is_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "try_lock", lambda descriptor: None)
    claim = claim_next(tmp_path, "a", ".mp4")
    claim.part("video").write_bytes(b"frames")
    sweep(tmp_path)
    assert claim.part("video").exists()
    assert publish(claim).name == "a_00001_.mp4"


def test_where_a_disk_has_no_locks_a_path_is_written_again(tmp_path, monkeypatch):
    """Otherwise one kill would block it for ever."""
    monkeypatch.setattr(locking, "try_lock", lambda descriptor: None)
    claim_path(tmp_path / "a.mp4").abandon()
    assert publish(claim_path(tmp_path / "a.mp4")).name == "a.mp4"
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT"])
def test_a_full_disk_leaves_no_claim(tmp_path, monkeypatch, code):
    number = getattr(errno, code)

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(OSError) as refused:
        claim_next(tmp_path, "a", ".mp4")
    assert "is full" in str(disk_full_error(refused.value, tmp_path))
    assert not list(tmp_path.iterdir())


def test_an_empty_file_that_a_kill_left_under_the_name_goes(tmp_path):
    """Where a disk has no links, the name is taken for a moment before the part gets it."""
    claim = claim_next(tmp_path, "a", ".mp4")
    claim.path.touch()
    claim.abandon()
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_read_is_not_swept_and_stops_nobody(tmp_path):
    sweep(tmp_path / "nowhere")


def test_a_claim_that_was_swept_between_its_making_and_its_lock_is_made_under_another_number(tmp_path, monkeypatch):
    lock, swept = locking.try_lock, []

    def sweeping(descriptor):
        if not swept:
            swept.append(1)
            (tmp_path / "a_00001_.mp4.claim.part").unlink()
        return lock(descriptor)

    monkeypatch.setattr(locking, "try_lock", sweeping)
    assert publish(claim_next(tmp_path, "a", ".mp4")).name == "a_00002_.mp4"
