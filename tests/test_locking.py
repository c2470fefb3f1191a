"""One process holds a lock, and its end releases it, however it ends."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from sadtalker_core import locking
from sadtalker_core.errors import InUse
from sadtalker_core.locking import held, sweep_work_folders, work_folder

HOLDER = """
import sys, time
from pathlib import Path
from sadtalker_core.locking import held, work_folder
with held(Path(sys.argv[1]), "it"), work_folder("swept-") as folder:
    (folder / "film.mp4").write_bytes(b"half")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Temporary files lie in tmp_path, here and in processes that are started."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def holder(temporary, project):
    """A process that holds temporary/lock and a work folder, and the name of that folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(temporary / "lock")], cwd=project, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()


def test_who_comes_second_learns_who_has_it_until_that_one_is_killed(holder, temporary):
    process, _ = holder
    with pytest.raises(InUse, match=f"^the folder is in use by process {process.pid} on .+ since 20"):
        held(temporary / "lock", "the folder").__enter__()
    process.kill()
    process.wait()
    with held(temporary / "lock", "the folder"):
        assert str(os.getpid()) in (temporary / "lock").read_text()


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"pid": 1}', b"[" * 5000])
def test_a_lock_without_a_holder_is_held_all_the_same(tmp_path, content):
    with held(tmp_path / "lock", "It"):
        (tmp_path / "lock").write_bytes(content)
        with pytest.raises(InUse, match="^It is in use by another process"):
            held(tmp_path / "lock", "It").__enter__()


def test_the_folder_of_a_killed_process_is_swept_and_named_and_that_of_a_living_one_is_not(holder, temporary, caplog):
    process, left = holder
    with work_folder("swept-") as mine:
        assert sweep_work_folders("swept-") == []
        process.kill()
        process.wait()
        with caplog.at_level(logging.WARNING):
            assert [str(folder) for folder in sweep_work_folders("swept-")] == [left]
        assert left in caplog.text
        assert mine.is_dir() and not Path(left).exists()
    assert not mine.exists()


def test_a_folder_that_was_made_this_moment_is_left_alone_and_an_old_empty_one_is_not(temporary):
    folder = temporary / "swept-empty"
    folder.mkdir()
    assert sweep_work_folders("swept-") == []
    os.utime(folder, (time.time() - 3600,) * 2)
    assert sweep_work_folders("swept-") == [folder]


def test_a_folder_that_a_sweep_took_while_it_was_made_is_made_anew(temporary, monkeypatch):
    lock, swept = locking.try_lock, []

    def sweeping(descriptor):
        if not swept:
            swept.extend(temporary.iterdir())
            shutil.rmtree(swept[0])
        return lock(descriptor)

    monkeypatch.setattr(locking, "try_lock", sweeping)
    with work_folder("swept-") as folder:
        assert folder.is_dir() and folder != swept[0]


def test_a_lock_file_goes_with_its_lock_and_one_that_stayed_is_no_lock(tmp_path):
    (tmp_path / "lock").write_bytes(b"of a process that was killed")
    with held(tmp_path / "lock", "It"):
        assert str(os.getpid()) in (tmp_path / "lock").read_text()
    assert not (tmp_path / "lock").exists()


def test_a_lock_file_that_its_holder_removes_while_another_opens_it_is_made_anew(tmp_path, monkeypatch):
    lock, removed = locking.try_lock, []

    def removing(descriptor):
        if not removed:
            removed.append((tmp_path / "lock").unlink())
        return lock(descriptor)

    monkeypatch.setattr(locking, "try_lock", removing)
    with held(tmp_path / "lock", "It"), pytest.raises(InUse):
        held(tmp_path / "lock", "It").__enter__()


def test_a_file_system_without_locks_keeps_nobody_out_and_sweeps_nothing(temporary, monkeypatch):
    monkeypatch.setattr(locking, "try_lock", lambda descriptor: None)
    with work_folder("swept-") as folder, held(folder / "lock of two", "It"), held(folder / "lock of two", "It"):
        assert sweep_work_folders("swept-") == [] and folder.is_dir()


@pytest.mark.parametrize(("code", "answer"), [("EAGAIN", False), ("EACCES", False), ("ENOLCK", None), ("EINVAL", None)])
@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock there")
def test_somebody_elses_lock_and_no_locks_at_all_are_distinguished(monkeypatch, code, answer):
    def refuse(*_):
        raise OSError(getattr(errno, code), "refused")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert locking.try_lock(0) is answer


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_is_not_followed(temporary):
    (temporary / "kept").mkdir()
    (temporary / "swept-link").symlink_to(temporary / "kept")
    os.utime(temporary / "kept", (time.time() - 3600,) * 2)
    assert sweep_work_folders("swept-") == [] and (temporary / "kept").is_dir()
