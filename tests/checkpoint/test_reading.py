"""A weights file gives named tensors, or a sentence that says what it is instead and what it should be."""

from __future__ import annotations

import collections
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sadtalker_core.checkpoint import catalog, tensor_file
from sadtalker_core.checkpoint.reading import METADATA_KEY, read_foreign, read_tensors
from sadtalker_core.checkpoint.tensor_file import TensorFile
from sadtalker_core.errors import Cancelled, CheckpointDamaged, CheckpointError, CheckpointMismatch, CheckpointMissing
from tests.checkpoint import released_files

LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:c211f5d6de0035\nsize 725066984\n"


@pytest.fixture(scope="module")
def mapping_file(tmp_path_factory):
    return released_files.write(catalog.MAPPING_FULL, tmp_path_factory.mktemp("released"))


def _some_released(prefix="audio2exp.mapping1"):
    return released_files.tensors(prefix)


def test_a_released_pickle_is_read_under_our_names(mapping_file):
    read = read_tensors(mapping_file)
    assert read.metadata is None
    assert len(read.tensors) == 18
    fill = released_files.value("mapping_00109.first.0.weight")
    assert read.tensors["mapping_full.stem.weight"].shape == (1024, 73, 7)
    assert torch.all(read.tensors["mapping_full.stem.weight"] == fill)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_both_forms_of_torch_pickles_are_read(tmp_path, zipped):
    content = {"model": {key[len("audio2exp.") :]: t for key, t in released_files.tensors("audio2exp.").items()}}
    path = tmp_path / catalog.OLD_EXPNET.name
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert len(read_tensors(path).nets()["expnet"]) == 93


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_pickle_is_one_whatever_it_is_called(tmp_path, zipped):
    """Newer torch takes what is called so for a safetensors file."""
    torch.save(_some_released(), tmp_path / "x.safetensors", _use_new_zipfile_serialization=zipped)
    assert read_tensors(tmp_path / "x.safetensors").nets().keys() == {"expnet"}
    (tmp_path / "x.safetensors").write_bytes(b"\x80")
    with pytest.raises(CheckpointDamaged, match="cannot be read as weights"):
        read_tensors(tmp_path / "x.safetensors")


def test_optimizers_and_schedules_beside_the_tensors_do_no_harm(tmp_path):
    state = {"best": np.float64(0.5), "milestones": collections.Counter([10]), "by": collections.defaultdict(list)}
    mapping = {key[len("mapping_00109.") :]: t for key, t in released_files.tensors("mapping_00109.").items()}
    path = tmp_path / catalog.MAPPING_FULL.name
    torch.save({"mapping": mapping, "scheduler": state, "epoch": 109}, path)
    assert len(read_tensors(path).tensors) == 18


def test_dropped_tensors_are_left_behind(tmp_path):
    kept_and_dropped = ("audio2pose.netG.decoder.pose_linear", "audio2pose.netD_motion")
    save_file(_some_released(kept_and_dropped), tmp_path / "a.safetensors")
    assert sorted(read_tensors(tmp_path / "a.safetensors").tensors) == [
        "posevae.decoder.pose.bias",
        "posevae.decoder.pose.weight",
    ]


def test_a_pickle_that_wants_to_run_code_is_refused_and_runs_none(tmp_path):
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (type(ran).touch, (ran,))

    path = tmp_path / catalog.MAPPING.name
    torch.save({"mapping": {"first.0.weight": torch.zeros(1)}, "note": Trap()}, path)
    with pytest.raises(CheckpointDamaged, match="would run code"):
        read_tensors(path)
    assert not ran.exists()


@pytest.mark.parametrize(
    "content, message",
    [
        (LFS_POINTER.encode(), "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html><body>Not Found</body></html>", "is a web page"),
        (b"\n <HTML>", "is a web page"),
        (b"", "is empty"),
        (b"no weights at all, only some words about them", "is truncated: 45 of 725,066,984 bytes"),
    ],
    ids=["lfs", "page", "old page", "empty", "words"],
)
def test_what_is_no_weights_file_is_recognised(tmp_path, content, message):
    path = tmp_path / catalog.SAFETENSORS_256.name
    path.write_bytes(content)
    with pytest.raises(CheckpointDamaged) as caught:
        read_tensors(path, catalog.SAFETENSORS_256, [tmp_path, tmp_path / "other"])
    sentence = str(caught.value)
    assert message in sentence
    for fact in (path.name, "725,066,984 bytes", catalog.SAFETENSORS_256.sha256, str(tmp_path / "other"), "again"):
        assert fact in sentence


@pytest.mark.parametrize("kept", [0.5, 0.999], ids=["half", "last bytes"])
def test_a_truncated_safetensors_file_reports_it(tmp_path, kept):
    path = tmp_path / "own.safetensors"
    save_file(_some_released(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(CheckpointDamaged, match="is truncated: its header declares"):
        read_tensors(path)


def test_a_safetensors_file_that_ends_in_its_header_is_truncated(tmp_path):
    path = tmp_path / "own.safetensors"
    save_file(_some_released(), path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(CheckpointDamaged, match="is truncated: its header declares"):
        read_tensors(path)


@pytest.mark.parametrize("kept", [0.3, 0.9999], ids=["a third", "all but the end"])
def test_a_truncated_pickle_states_how_much_is_there(mapping_file, tmp_path, kept):
    whole = mapping_file.read_bytes()
    path = tmp_path / mapping_file.name
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(CheckpointDamaged, match=r"is truncated: [\d,]+ of 155,779,231 bytes"):
        read_tensors(path)


def test_a_truncated_legacy_pickle_is_unreadable(tmp_path):
    path = tmp_path / catalog.OLD_EXPNET.name
    content = {"model": {key[len("audio2exp.") :]: t for key, t in released_files.tensors("audio2exp.").items()}}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointDamaged, match=r"is truncated: [\d,]+ of 34,278,319 bytes"):
        read_tensors(path)


def test_an_unreadable_pickle_is_no_traceback(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(pickle.PROTO + b"\x02nonsense" * 10)
    with pytest.raises(CheckpointDamaged, match="cannot be read as weights"):
        read_tensors(path)


def test_another_model_is_called_another_model(tmp_path):
    save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(2)}, tmp_path / "sd.safetensors")
    with pytest.raises(CheckpointMismatch, match="is another model: none of its 1 tensors is SadTalker's"):
        read_tensors(tmp_path / "sd.safetensors")


def test_tensors_too_many_are_named(tmp_path):
    save_file({**_some_released(), "ema.decay": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointMismatch, match="tensors that SadTalker does not have: ema.decay"):
        read_tensors(tmp_path / "x.safetensors")


def test_a_pickle_without_its_entry_names_what_it_has(tmp_path):
    path = tmp_path / catalog.MAPPING.name
    torch.save({"netG": {}, "epoch": 3}, path)
    with pytest.raises(CheckpointMismatch, match="has no entry 'mapping', only netG, epoch"):
        read_tensors(path)


def test_a_pickle_of_unknown_name_and_layout_names_the_ones_that_can_be_read(tmp_path):
    torch.save({"state": {"a": torch.zeros(1)}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointMismatch, match="keep their original names: .*mapping_00109-model.pth.tar"):
        read_tensors(tmp_path / "x.pth")


def test_a_pickle_of_something_else_states_what(tmp_path):
    torch.save([1, 2], tmp_path / "x.pth")
    with pytest.raises(CheckpointMismatch, match="holds a list, not named tensors"):
        read_tensors(tmp_path / "x.pth")


def test_a_number_where_a_tensor_belongs_is_named(tmp_path):
    path = tmp_path / catalog.MAPPING.name
    torch.save({"mapping": {"fc_t.bias": 3.0}}, path)
    with pytest.raises(CheckpointMismatch, match="no tensor but a float under mapping_00229.fc_t.bias"):
        read_tensors(path)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(CheckpointMissing, match="there is no file x.safetensors"):
        read_tensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    "metadata, message",
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        (json.dumps({"format": 1, "family": "mini"}), "cannot be read"),
        (json.dumps({"format": 1, "family": "mini", "name": "x", "image_size": "big"}), "cannot be read"),
        (json.dumps({"format": 99}), "was written by a newer version of SadTalker Nodes"),
    ],
)
def test_metadata_that_makes_no_sense_is_a_sentence(tmp_path, metadata, message):
    save_file({"expnet.head.bias": torch.zeros(2)}, tmp_path / "x.safetensors", metadata={METADATA_KEY: metadata})
    with pytest.raises(CheckpointDamaged, match=message):
        read_tensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": -5},
        {"image_size": 100_000_000},
        {"image_size": True},
        {"image_size": 100},
        {"name": 3},
        {"family": ["mini"]},
        {"configs": {"expnet": 3}},
        {"base": 7},
        {"image_size": 10**400},
        {"format": "1"},
        {"more": 1},
    ],
)
def test_metadata_of_another_kind_is_a_short_sentence(tmp_path, change):
    header = {"format": 1, "family": "mini", "name": "x", "image_size": 256, "configs": {}} | change
    save_file({"expnet.head.bias": torch.zeros(2)}, tmp_path / "x", metadata={METADATA_KEY: json.dumps(header)})
    with pytest.raises(CheckpointDamaged, match="metadata") as caught:
        read_tensors(tmp_path / "x")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": ' * 50_000, '{"format": 1, "name": "' + "x" * 100_000])
def test_deep_and_long_metadata_is_a_short_sentence(tmp_path, text):
    save_file({"expnet.head.bias": torch.zeros(2)}, tmp_path / "x", metadata={METADATA_KEY: text})
    with pytest.raises(CheckpointDamaged, match="cannot be read") as caught:
        read_tensors(tmp_path / "x")
    assert len(str(caught.value)) < 600


# ------------------------------------------------------------------------------------------ headers that are not true


def _safetensors(header: dict | bytes, n_bytes: int = 8) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(n_bytes)


def _entry(**change):
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | change


@pytest.mark.parametrize(
    "content",
    [
        _safetensors(b"{" + b'"a":{' * 100_000),
        _safetensors(b"{\xff}"),
        _safetensors({"a": 3}),
        _safetensors({"a": _entry(dtype="F3")}),
        _safetensors({"a": _entry(dtype=["F32"])}),
        _safetensors({"a": _entry(shape=[3])}),
        _safetensors({"a": _entry(shape=[-2])}),
        _safetensors({"a": _entry(shape=[2.0])}),
        _safetensors({"a": _entry(shape=[0, 1 << 50], data_offsets=[0, 0])}),
        _safetensors({"a": _entry(data_offsets=[-8, 0])}),
        _safetensors({"a": _entry(data_offsets=[0])}),
        _safetensors({"a": _entry(data_offsets=[8, 0])}),
        _safetensors({f"a{n}": _entry() for n in range(1000)}, 8),
        _safetensors({"__metadata__": [1], "a": _entry()}),
        _safetensors({"__metadata__": {"a": 1}, "a": _entry()}),
        (1 << 63).to_bytes(8, "little") + b"{}",
    ],
)
def test_a_header_that_is_not_true_is_a_short_sentence(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(CheckpointDamaged, match="cannot be read as weights|is truncated") as caught:
        read_foreign(tmp_path / "x.safetensors")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "kind",
    [
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "float8_e4m3fn",
        "float8_e5m2",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "bool",
    ],
)
def test_every_kind_of_number_is_read_as_safetensors_reads_it(tmp_path, kind):
    numbers = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.5, 100.0]]).to(getattr(torch, kind))
    save_file({"a": numbers, "b": numbers[0, 0].clone(), "c": numbers[:0].clone()}, tmp_path / "x.safetensors")
    read, theirs = read_foreign(tmp_path / "x.safetensors"), load_file(tmp_path / "x.safetensors")
    assert read.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert read[name].dtype == tensor.dtype and torch.equal(read[name].float(), tensor.float())


# ------------------------------------------------------------------------------------------------ pickles of any kind


@pytest.mark.parametrize(
    "content",
    [
        b"\x80",
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x04\x95",
        b"PK\x03\x04",
        b"PK\x03\x04" * 9,
        b"\x80\x02]" + b"(" * 5000,
        b"\x80\x02U\xff",
        b"\x80\x02c\xff\n\xff\n.",
    ],
)
def test_a_few_bytes_of_a_pickle_are_a_short_sentence(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointDamaged, match="cannot be read as weights|is truncated") as caught:
        read_tensors(tmp_path / "x.pth")
    assert len(str(caught.value)) < 600


def test_a_zip_that_would_fill_the_memory_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(50_000_000))
    with pytest.raises(CheckpointDamaged, match="that would become 50,000,000"):
        read_tensors(tmp_path / "x.pth")


def test_a_zip_that_was_packed_again_is_read(tmp_path, mapping_file):
    path = tmp_path / mapping_file.name
    with zipfile.ZipFile(mapping_file) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        sizes = [record.file_size for record in old.infolist()]
        for record in old.infolist():
            store = zipfile.ZIP_STORED if record.file_size == max(sizes) else zipfile.ZIP_DEFLATED
            new.writestr(record.filename, old.read(record), store)
    assert len(read_tensors(path).tensors) == 18


@pytest.mark.parametrize("tensor, message", [
    (torch.ones(1).expand(1 << 40), "declares more values than it has"),
    (torch.eye(3).to_sparse(), "contains no plain tensor"),
    (torch.empty(3, device="meta"), "contains no plain tensor"),
])  # fmt: skip
def test_tensors_that_are_not_plain_are_refused(tmp_path, tensor, message):
    torch.save({"a": tensor}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=message):
        read_foreign(tmp_path / "x.pth")


# --------------------------------------------------------------------------------- what happens to the file afterwards


@pytest.mark.parametrize("use_mmap", [True, False], ids=["mapped while read", "never mapped"])
@pytest.mark.parametrize("name", ["x.safetensors", "x.pth", "legacy.pth"])
def test_tensors_are_their_own_whatever_becomes_of_the_file(tmp_path, name, use_mmap):
    path, tensors = tmp_path / name, _some_released(("audio2exp", "generator.decoder.G_middle_0.norm_0"))
    if path.suffix == ".pth":
        torch.save(tensors, path, _use_new_zipfile_serialization=name == "x.pth")
    else:
        save_file(tensors, path)
    read = read_tensors(path, use_mmap=use_mmap).tensors
    before = {key: tensor.clone() for key, tensor in read.items()}
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\xff" * size)
    assert all(torch.equal(tensor, before[key]) for key, tensor in read.items())
    os.truncate(path, 0)  # a mapping that were still read would end the process here (SIGBUS)
    assert all(torch.equal(tensor, before[key]) for key, tensor in read.items())
    memory_maps = Path("/proc/self/maps")  # Linux alone tells what a program maps
    assert str(path) not in (memory_maps.read_text() if memory_maps.exists() else "")


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
def test_reading_counts_its_bytes_and_can_be_stopped(tmp_path, monkeypatch, name):
    tensors = _some_released("audio2exp")
    torch.save(tensors, tmp_path / name) if name == "x.pth" else save_file(tensors, tmp_path / name)
    monkeypatch.setattr(tensor_file, "_POLL_S", 0.0)
    counts = []

    def stop_half_way(done, total):
        counts.append((done, total))
        if done > total / 2:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        read_tensors(tmp_path / name, on_progress=stop_half_way)
    assert counts == sorted(counts) and counts[-1][0] < counts[-1][1] == sum(t.nbytes for t in tensors.values())


def test_a_file_that_shrinks_while_it_is_read_is_truncated(tmp_path):
    save_file(_some_released(), tmp_path / "x.safetensors")
    file = tensor_file.WeightsOnDisk(tmp_path / "x.safetensors", None, ())
    stored, _ = file.header()
    os.truncate(file.path, file.path.stat().st_size - 100)
    with pytest.raises(CheckpointDamaged, match="became .* bytes shorter while it was read"):
        file.read(stored, {key: key for key in stored})


# --------------------------------------------------------------------------------------- files of other projects


@pytest.mark.parametrize("wrap", [lambda tensors: tensors, lambda tensors: {"state_dict": tensors, "epoch": 3}])
def test_a_foreign_file_keeps_its_own_names(tmp_path, wrap):
    tensors = {"features.0.weight": torch.ones(2, 3)}
    torch.save(wrap(tensors), tmp_path / "x.pth")
    save_file(tensors, tmp_path / "x.safetensors")
    for name in ("x.pth", "x.safetensors"):
        read = read_foreign(tmp_path / name)
        assert list(read) == ["features.0.weight"] and torch.equal(read["features.0.weight"], torch.ones(2, 3))


def test_a_foreign_file_without_tensors_is_refused(tmp_path):
    torch.save({"state_dict": {"epoch": 3}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointMismatch, match="x.pth in .* contains no named tensors"):
        read_foreign(tmp_path / "x.pth")


def test_of_a_tensor_file_only_the_rows_that_are_asked_for_are_read(tmp_path, generator):
    numbers = torch.rand(7, 3, generator=generator)
    save_file({"a": numbers, "b": torch.arange(5), "none": torch.zeros(0, 4)}, tmp_path / "x", metadata={"said": "so"})
    file = TensorFile(tmp_path / "x")
    assert file.metadata == {"said": "so"} and "a" in file and "c" not in file
    assert torch.equal(file.rows("a"), numbers) and torch.equal(file.rows("a", 2, 5), numbers[2:5])
    assert file.rows("a", 6, 99).shape == (1, 3) and file.rows("a", 5, 2).shape == (0, 3)
    assert file.rows("b", 4).tolist() == [4] and file.rows("none").shape == (0, 4)
    with pytest.raises(CheckpointMismatch, match="x in .* holds no 'c'"):
        file.rows("c")
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-8])
    with pytest.raises(CheckpointDamaged, match="is truncated"):
        TensorFile(tmp_path / "x")
