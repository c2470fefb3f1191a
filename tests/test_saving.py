"""Files and lines that a kill leaves whole."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from sadtalker_core.errors import DoesNotFit, InUse
from sadtalker_core.saving import append_line, save_arrays, save_bytes, save_whole, whole, whole_lines


def test_a_file_whose_writing_breaks_off_is_as_it_was(tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"before")
    with pytest.raises(OSError), whole(file) as unfinished:
        unfinished.write_bytes(b"ha")
        raise OSError("power")
    assert file.read_bytes() == b"before"
    with whole(file) as unfinished:
        unfinished.write_bytes(b"after")
    assert file.read_bytes() == b"after" and [*tmp_path.iterdir()] == [file]


def test_what_a_killed_process_left_goes_when_the_file_is_written_again(tmp_path, project):
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from sadtalker_core.saving import whole\n"
        "with whole(Path(sys.argv[1])) as part:\n"
        "    part.write_bytes(b'ha')\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    file = tmp_path / "state.pt"
    file.write_bytes(b"before")
    assert subprocess.run([sys.executable, "-c", code, str(file)], cwd=project, check=False).returncode
    assert len([*tmp_path.iterdir()]) == 3 and file.read_bytes() == b"before"
    with whole(file) as part:
        part.write_bytes(b"after")
    assert file.read_bytes() == b"after" and [*tmp_path.iterdir()] == [file]


def test_two_who_write_one_file_do_not_mix(tmp_path):
    file = tmp_path / "state.pt"
    with whole(file) as part:
        part.write_bytes(b"first")
        with pytest.raises(InUse, match=f"state.pt is in use by process {os.getpid()} on "):
            save_bytes(file, b"second")
    assert file.read_bytes() == b"first" and [*tmp_path.iterdir()] == [file]


def test_parts_of_others_are_neither_written_to_nor_removed(tmp_path):
    """A browser's download, and a link that somebody put where the part will be."""
    download, elsewhere = tmp_path / "a.mp4.part", tmp_path / "elsewhere"
    download.write_bytes(b"half of a download")
    elsewhere.write_bytes(b"kept")
    (tmp_path / "a.mp4.whole.part").symlink_to(elsewhere)
    save_bytes(tmp_path / "a.mp4", b"ours")
    assert download.read_bytes() == b"half of a download" and elsewhere.read_bytes() == b"kept"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mp4", "a.mp4.part", "elsewhere"]


def test_who_may_read_other_new_files_may_read_tensors(tmp_path):
    (tmp_path / "other").touch()
    file = save_whole(tmp_path / "a.safetensors", {"x": torch.zeros(2)})
    assert file.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_lines_come_back_and_one_that_was_cut_short_is_neither_read_nor_written_on(tmp_path):
    file = tmp_path / "lines.jsonl"
    assert whole_lines(file) == []
    entries = [{"name": "Zo\u00eb \u2028 \n", "n": n} for n in range(3)]
    for entry in entries[:2]:
        append_line(file, entry)
    with file.open("ab") as torn:
        torn.write(b'{"name": "Zo')
    assert [*map(json.loads, whole_lines(file))] == entries[:2]
    append_line(file, entries[2])
    assert [*map(json.loads, whole_lines(file))] == entries
    file.write_bytes(b'{"n')  # nothing but a beginning
    append_line(file, entries[0])
    assert [*map(json.loads, whole_lines(file))] == entries[:1]


def test_arrays_come_back_and_half_a_file_is_never_there(tmp_path, monkeypatch):
    file = tmp_path / "shard.npz"
    save_arrays(file, {"points": np.arange(6).reshape(2, 3)})

    def half(out, **arrays):
        out.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(DoesNotFit, match="is full"):
        save_arrays(file, {"points": np.zeros(1)})
    assert list(tmp_path.iterdir()) == [file]
    with np.load(file) as stored:
        assert stored["points"].tolist() == [[0, 1, 2], [3, 4, 5]]
