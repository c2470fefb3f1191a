"""Files and lines that a kill leaves whole."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sadtalker_core.claims import claim_path, sweep
from sadtalker_core.errors import DoesNotFit, InUse
from sadtalker_core.motion.track_file import load_tracks
from sadtalker_core.saving import append_jsonl, atomic_write, complete_lines, save_arrays, save_bytes, save_tensors


def test_a_file_whose_writing_breaks_off_is_as_it_was(tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"before")
    with pytest.raises(OSError), atomic_write(file) as unfinished:
        unfinished.write_bytes(b"ha")
        raise OSError("power")
    assert file.read_bytes() == b"before"
    with atomic_write(file) as unfinished:
        unfinished.write_bytes(b"after")
    assert file.read_bytes() == b"after" and [*tmp_path.iterdir()] == [file]


def test_what_a_killed_process_left_goes_when_the_file_is_written_again(tmp_path):
    file = tmp_path / "state.pt"
    file.write_bytes(b"before")
    killed = claim_path(file)
    killed.part("whole").write_bytes(b"ha")
    killed.abandon()  # as a kill does
    assert len([*tmp_path.iterdir()]) == 3 and file.read_bytes() == b"before"
    with atomic_write(file) as part:
        part.write_bytes(b"after")
    assert file.read_bytes() == b"after" and [*tmp_path.iterdir()] == [file]


KILLED = """
import sys, time
from itertools import count
from pathlib import Path
import numpy as np, torch
from sadtalker_core.claims import claim_next
from sadtalker_core.coefficients import POSE
from sadtalker_core.datatypes import MINI, HeadPose
from sadtalker_core.motion.track_file import save_tracks
from sadtalker_core.saving import append_jsonl, save_arrays, save_bytes, save_tensors
folder = Path(sys.argv[1])
for n in count():
    save_tensors(folder / "a.safetensors", {"x": torch.full((50_000,), float(n))})
    save_arrays(folder / "a.npz", {"x": np.full(50_000, n)})
    save_bytes(folder / "a.bin", bytes([n % 256]) * 200_000)
    append_jsonl(folder / "a.jsonl", {"n": n, "more": "x" * 5_000})
    with claim_next(folder, "t", ".track.safetensors") as claim:
        save_tracks(claim, pose=HeadPose(torch.full((500, POSE), float(n)), MINI))
    if n == 1:
        print("begun", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_writer_that_is_killed_at_any_moment_leaves_whole_files_and_parts_that_are_swept(tmp_path, project, seed):
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=project, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None and writer.stdout.readline() == "begun\n"
    time.sleep(random.Random(seed).uniform(0, 0.2))
    writer.kill()
    assert writer.wait() != 0
    writer.stdout.close()

    sweep(tmp_path)
    tracks = sorted(tmp_path.glob("t_*_.track.safetensors"))
    wanted = {"a.safetensors", "a.npz", "a.bin", "a.jsonl", *(track.name for track in tracks)}
    assert {file.name for file in tmp_path.iterdir()} == wanted
    assert len(load_file(tmp_path / "a.safetensors")["x"].unique()) == 1
    with np.load(tmp_path / "a.npz") as arrays:
        assert len(np.unique(arrays["x"])) == 1
    assert len({*(tmp_path / "a.bin").read_bytes()}) == 1
    assert [json.loads(line)["n"] for line in complete_lines(tmp_path / "a.jsonl")][:2] == [0, 1]
    assert [load_tracks(track).pose.coefficients[0, 0].item() for track in tracks] == [*range(len(tracks))]


def test_two_who_write_one_file_do_not_mix(tmp_path):
    file = tmp_path / "state.pt"
    with atomic_write(file) as part:
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
    file = save_tensors(tmp_path / "a.safetensors", {"x": torch.zeros(2)})
    assert file.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_lines_come_back_and_one_that_was_cut_short_is_neither_read_nor_written_on(tmp_path):
    file = tmp_path / "lines.jsonl"
    assert complete_lines(file) == []
    entries = [{"name": "Zo\u00eb \u2028 \n", "n": n} for n in range(3)]
    for entry in entries[:2]:
        append_jsonl(file, entry)
    with file.open("ab") as torn:
        torn.write(b'{"name": "Zo')
    assert [*map(json.loads, complete_lines(file))] == entries[:2]
    append_jsonl(file, entries[2])
    assert [*map(json.loads, complete_lines(file))] == entries
    file.write_bytes(b'{"n')  # nothing but a beginning
    append_jsonl(file, entries[0])
    assert [*map(json.loads, complete_lines(file))] == entries[:1]


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
