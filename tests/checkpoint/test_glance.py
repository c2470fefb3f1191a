"""Which files are offered: those that could be a model, told without unpickling."""

from __future__ import annotations

import torch
from safetensors.torch import save_file

from sadtalker_core.checkpoint import glance
from sadtalker_core.checkpoint.glance import could_be_model
from sadtalker_core.checkpoint.reading import Metadata
from sadtalker_core.checkpoint.writing import write_checkpoint

FLAT = {f"{prefix}some.weight": torch.ones(2) for prefix in glance._PREFIXES}


def test_our_own_and_flat_files_are_offered(tmp_path):
    metadata = Metadata("mini", "mine", 256, {"expnet": {}})
    assert could_be_model(write_checkpoint(tmp_path / "a.safetensors", {"expnet": {"x": torch.ones(1)}}, metadata))
    save_file(FLAT, tmp_path / "b.safetensors")
    torch.save(FLAT, tmp_path / "c.pth")
    torch.save(FLAT, tmp_path / "d.pth", _use_new_zipfile_serialization=False)
    assert all(could_be_model(tmp_path / name) for name in ("b.safetensors", "c.pth", "d.pth"))


def test_other_peoples_models_are_not(tmp_path):
    wav2lip = {"state_dict": {"module.face_encoder_blocks.0.0.conv_block.0.weight": torch.ones(3)}}
    torch.save(wav2lip, tmp_path / "wav2lip.pth")
    torch.save(wav2lip, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"params_ema": {"stylegan_decoder.constant_input.weight": torch.ones(3)}}, tmp_path / "GFPGANv1.4.pth")
    save_file({"model.diffusion_model.in.weight": torch.ones(2)}, tmp_path / "sd.safetensors")
    save_file({"generator.weight": torch.ones(2)}, tmp_path / "gan.safetensors")
    assert [path.name for path in sorted(tmp_path.iterdir()) if could_be_model(path)] == []


def test_what_cannot_be_read_is_offered_for_the_loader_reports_what_is_wrong_with_it(tmp_path):
    contents = [
        b"",
        b"\x80",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"PK\x03\x04 cut",
        b"\x05\0\0\0\0\0\0\0{nope",
    ]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.pth").write_bytes(content)
        assert could_be_model(tmp_path / f"{number}.pth")
    assert not could_be_model(tmp_path / "not there.pth")


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (type(tmp_path).touch, (tmp_path / "ran",))

    torch.save({**FLAT, "note": Trap()}, tmp_path / "x.pth")
    assert could_be_model(tmp_path / "x.pth") and not (tmp_path / "ran").exists()


def test_a_file_is_looked_at_again_only_when_it_has_changed(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_file(FLAT, path)
    looked = []
    names = glance._names_a_model
    monkeypatch.setattr(glance, "_names_a_model", lambda header: looked.append(1) or names(header))
    assert could_be_model(path) and could_be_model(path) and len(looked) == 1
    save_file({"unet.weight": torch.ones(4)}, path)
    assert not could_be_model(path) and len(looked) == 2
