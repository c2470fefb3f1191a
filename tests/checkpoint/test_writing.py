"""What is written with our names comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sadtalker_core.checkpoint.reading import Metadata, read_tensors
from sadtalker_core.checkpoint.writing import write_checkpoint

MINE = Metadata("mini", "my training", 256, {"expnet": {"audio": {"width": 4}}, "mapping": {}}, base="mini")


def test_tensors_and_metadata_make_the_round_trip(tmp_path):
    weight = torch.randn(6, 4)
    nets = {"expnet": {"head.weight": weight.T, "head.bias": weight[0]}, "mapping": {"n": torch.tensor(3)}}
    path = write_checkpoint(tmp_path / "mine.safetensors", nets, MINE)
    read = read_tensors(path)
    assert read.metadata == MINE
    assert {name: sorted(parts) for name, parts in read.nets().items()} == {
        "expnet": ["head.bias", "head.weight"],
        "mapping": ["n"],
    }
    assert torch.equal(read.nets()["expnet"]["head.weight"], weight.T)
    assert read.nets()["mapping"]["n"].dtype == torch.long


def test_half_precision_is_kept_in_the_file(tmp_path):
    path = write_checkpoint(tmp_path / "m.safetensors", {"expnet": {"w": torch.ones(2).half()}}, MINE)
    assert read_tensors(path).tensors["expnet.w"].dtype == torch.float16


def test_nothing_half_written_bears_the_name(tmp_path, monkeypatch):
    def breaks(path, data):
        path.touch()
        raise OSError("a broken disk")

    monkeypatch.setattr(Path, "write_bytes", breaks)
    with pytest.raises(OSError, match="a broken disk"):
        write_checkpoint(tmp_path / "m.safetensors", {"expnet": {"w": torch.ones(2)}}, MINE)
    assert not list(tmp_path.iterdir())


def test_a_net_without_a_config_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no config for generator"):
        write_checkpoint(tmp_path / "m.safetensors", {"generator": {"w": torch.ones(2)}}, MINE)


def test_whoever_may_read_other_new_files_may_read_it(tmp_path):
    (tmp_path / "other").touch()
    path = write_checkpoint(tmp_path / "m.safetensors", {"expnet": {"w": torch.ones(2)}}, MINE)
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
