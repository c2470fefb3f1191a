"""Files become networks: whichever way they are packed, every tensor once, and a sentence where they do not fit."""

from __future__ import annotations

import os
import sys
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn
from torch.nn import Linear

from sadtalker_core import model
from sadtalker_core.audio.mel import slaney_mel_bands
from sadtalker_core.canonical_face import load_canonical_face
from sadtalker_core.checkpoint import catalog
from sadtalker_core.checkpoint.catalog import ASSETS
from sadtalker_core.checkpoint.reading import Metadata, NamedTensors, read_tensors
from sadtalker_core.checkpoint.writing import write_checkpoint
from sadtalker_core.datatypes import MINI, RELEASED
from sadtalker_core.errors import CheckpointDamaged, CheckpointMismatch, CheckpointMissing, OptionError
from sadtalker_core.face.points import FaceSelector
from sadtalker_core.families import FAMILIES
from sadtalker_core.families.networks import EXPNET, POSEVAE
from sadtalker_core.model import SadTalkerModel, load_model, load_weights, save_model
from sadtalker_core.motion.audio_encoder import AudioEncoderConfig
from sadtalker_core.motion.expnet import ExpNet, ExpNetConfig
from sadtalker_core.render.facevid2vid import fast
from tests.checkpoint import released_files

NARROW = ExpNetConfig(AudioEncoderConfig(width=2))


def _same(one: nn.Module, other: nn.Module) -> bool:
    mine, yours = one.state_dict(), other.state_dict()
    return mine.keys() == yours.keys() and all(torch.equal(mine[name], yours[name]) for name in mine)


def _narrow_expnet_file(path, family=MINI, config=None, **changes):
    """One narrow ExpNet under our names; `changes` replace its tensors, None takes one away."""
    tensors = {**ExpNet(NARROW).state_dict(), **changes}
    config = {"audio": {"width": 2}} if config is None else config
    nets = {"expnet": {name: tensor for name, tensor in tensors.items() if tensor is not None}}
    return write_checkpoint(path, nets, Metadata(family, "narrow", 256, {"expnet": config}))


def _own_expnet(path):
    return model._own_nets(read_tensors(path), nn)["expnet"]


# ------------------------------------------------------------------------------------------------------------- fill


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = Linear(2, 3), nn.BatchNorm1d(3)


def _pair_tensors(**changes):
    tensors = {**{name: tensor.clone() for name, tensor in Pair().state_dict().items()}, **changes}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def test_a_filled_net_is_still_whole_and_float32():
    with torch.device("meta"):
        net = Pair()
    tensors = _pair_tensors()
    tensors["first.weight"] = torch.ones(3, 2, dtype=torch.float16)
    net = load_weights(net, tensors, "a file")
    assert not net.training and not any(p.requires_grad for p in net.parameters())
    assert {t.dtype for t in net.state_dict().values()} == {torch.float32, torch.int64}
    assert not any(t.is_meta for t in net.state_dict().values())
    assert torch.equal(net.first.weight, torch.ones(3, 2))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"first.bias": None}, "it lacks first.bias"),
        ({"third": torch.ones(1)}, "it has too many: third"),
        ({"first.weight": torch.ones(2, 3)}, "it has first.weight 2x3 instead of 3x2"),
        ({"first.weight": torch.ones(3, 2, dtype=torch.int8)}, "it has first.weight in torch.int8"),
        ({"norm.num_batches_tracked": torch.ones(4, dtype=torch.long)}, "4 instead of a single number"),
    ],
)
def test_tensors_that_do_not_fit_are_named_with_the_file(changes, message):
    with pytest.raises(CheckpointMismatch) as caught:
        load_weights(Pair(), _pair_tensors(**changes), "x.pth in /models", " It should be another.")
    assert str(caught.value).startswith("x.pth in /models does not fit Pair: ")
    assert message in str(caught.value) and str(caught.value).endswith(" It should be another.")


def test_many_missing_tensors_are_counted_not_listed():
    with pytest.raises(CheckpointMismatch, match="it lacks first.weight, first.bias, .* and 3 more"):
        load_weights(Pair(), {}, "x")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_numbers_that_are_no_weights_are_refused_with_the_tensors_name(number):
    tensors = _pair_tensors()
    tensors["first.weight"][1, 1] = number
    with pytest.raises(CheckpointDamaged, match="x.pth cannot be used: first.weight of Pair holds .* Get it so."):
        load_weights(Pair(), tensors, "x.pth", " Get it so.")


def test_weights_that_are_all_zero_and_variances_below_zero_are_refused():
    with pytest.raises(CheckpointDamaged, match="all weights of Pair are zero"):
        load_weights(Pair(), _pair_tensors(**{"first.weight": torch.zeros(3, 2)}), "x")
    with pytest.raises(CheckpointDamaged, match="norm.running_var of Pair, a variance, is -1"):
        load_weights(Pair(), _pair_tensors(**{"norm.running_var": -torch.ones(3)}), "x")


def test_biases_of_zero_and_large_variances_are_weights():
    load_weights(
        Pair(), _pair_tensors(**{"first.bias": torch.zeros(3), "norm.running_var": torch.full((3,), 1e8)}), "x"
    )


@pytest.mark.parametrize("net", FAMILIES[RELEASED].networks.names())
def test_every_released_net_can_be_drawn_without_numbers(net):
    assert all(tensor.is_meta for tensor in model.build_released(net).state_dict().values())


# ------------------------------------------------------------------------------------------------- files of our own


def test_our_own_file_states_how_wide_its_nets_are(tmp_path):
    net = _own_expnet(_narrow_expnet_file(tmp_path / "x.safetensors"))
    assert net.config == NARROW


def test_a_config_that_leaves_fields_out_means_the_defaults(tmp_path):
    plan = model.NETWORKS["posevae"]
    assert plan.read_config({"unet_widths": [8, 8, 8, 8]}, "x").unet_widths == (8, 8, 8, 8)
    assert plan.read_config({}, "x").styles == plan.released_config().styles


def test_a_config_from_the_future_is_refused(tmp_path):
    path = _narrow_expnet_file(tmp_path / "x.safetensors", config={"audio": {"width": 2, "attention": True}})
    with pytest.raises(CheckpointMismatch, match="names attention, unknown to this version"):
        _own_expnet(path)


@pytest.mark.parametrize(
    "config",
    [{"audio": {"width": value}} for value in ("2", -1, 2.0, True, None, [2], 10**9, {})]
    + [{"audio": 3}, {"audio": [["x" * 9999]]}, {"x" * 9999: 1}],
)
def test_widths_of_another_kind_are_a_short_sentence(tmp_path, config):
    path = _narrow_expnet_file(tmp_path / "x.safetensors", config=config)
    with pytest.raises(CheckpointMismatch) as caught:
        _own_expnet(path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("net, config", [
    ("posevae", {"frames": 7}), ("posevae", {"unet_widths": [8, 8]}), ("posevae", {"logvar_from_means": 1}),
    ("face_recon", {"blocks": [10**6, 1, 1, 1]}), ("face_recon", {"blocks": []}),
    ("generator", {"volume_blocks": 5000}),
    ("keypoint_detector", {"temperature": "hot"}), ("generator", {"motion": {"levels": 10**9}}),
])  # fmt: skip
def test_widths_that_no_net_can_have_are_refused_before_it_is_built(net, config):
    with pytest.raises(CheckpointMismatch, match="x, the config of"):
        model.NETWORKS[net].read_config(config, "x")


def test_widths_that_do_not_go_together_are_a_sentence(tmp_path):
    metadata = Metadata(RELEASED, "x", 256, {"face_recon": {"blocks": [1], "widths": [64, 64]}})
    path = write_checkpoint(tmp_path / "x", {"face_recon": {"stem.weight": torch.ones(2)}}, metadata)
    with pytest.raises(CheckpointMismatch, match="no face_recon can be made as wide as in the metadata of x"):
        model._own_nets(read_tensors(path), nn)


def test_a_net_that_is_not_as_wide_as_its_metadata_is_refused(tmp_path):
    path = _narrow_expnet_file(tmp_path / "x.safetensors", config={"audio": {"width": 3}})
    with pytest.raises(CheckpointMismatch, match="x.safetensors in .* does not fit ExpNet: it has "):
        _own_expnet(path)


def test_an_own_file_with_a_missing_tensor_names_it(tmp_path):
    path = _narrow_expnet_file(tmp_path / "x.safetensors", **{"head.bias": None})
    with pytest.raises(CheckpointMismatch, match="it lacks head.bias"):
        _own_expnet(path)


def test_a_net_that_the_pack_does_not_have_is_refused(tmp_path):
    nets = {"enhancer": {"weight": torch.ones(1)}}
    path = write_checkpoint(tmp_path / "x.safetensors", nets, Metadata(MINI, "x", 256, {"enhancer": {}}))
    with pytest.raises(CheckpointMismatch, match="holds an unknown network 'enhancer'"):
        load_model("file/" + path.name, [tmp_path])


def test_an_unknown_family_is_refused(tmp_path):
    path = _narrow_expnet_file(tmp_path / "x.safetensors", family="giant")
    with pytest.raises(CheckpointMismatch, match="is of the family 'giant'; known are released, mini"):
        load_model("file/" + path.name, [tmp_path])


def test_a_released_family_file_without_a_base_has_to_be_whole(tmp_path):
    path = _narrow_expnet_file(tmp_path / "x.safetensors", family=RELEASED)
    with pytest.raises(CheckpointMismatch, match="lacks face_recon, posevae, mapping, mapping_full and 2 more"):
        load_model("file/" + path.name, [tmp_path])


# --------------------------------------------------------------------------------------------------- released files


@pytest.mark.parametrize("released", [catalog.OLD_EXPNET, catalog.MAPPING], ids=lambda file: file.name)
def test_our_names_and_the_released_names_give_the_same_net(tmp_path, released):
    read = read_tensors(released_files.write(released, tmp_path))
    ((name, tensors),) = read.nets().items()
    net = load_weights(model.build_released(name), tensors, read.source)
    metadata = Metadata(RELEASED, "x", 256, {name: {}})
    copy = write_checkpoint(tmp_path / "ours.safetensors", {name: net.state_dict()}, metadata)
    assert _same(net, model._own_nets(read_tensors(copy), nn)[name])


def test_a_part_of_a_model_is_not_taken_for_the_model(tmp_path):
    released_files.write(catalog.MAPPING, tmp_path)
    with pytest.raises(CheckpointMismatch, match="holds mapping but not expnet, .* is a partial model.*62a1e060"):
        load_model(f"file/{catalog.MAPPING.name}", [tmp_path])


def test_a_released_file_with_a_missing_key_states_what_it_should_be(tmp_path):
    mapping = {key[len("mapping_00229.") :]: t for key, t in released_files.tensors("mapping_00229.").items()}
    del mapping["fc_t.bias"]
    path = tmp_path / catalog.MAPPING.name
    torch.save({"mapping": mapping}, path)
    read = read_tensors(path, catalog.MAPPING, [tmp_path])
    with pytest.raises(CheckpointMismatch) as caught:
        load_weights(model.build_released("mapping"), read.nets()["mapping"], read.source, read.expected)
    for fact in ("translation.bias", path.name, "155,521,183 bytes", catalog.MAPPING.sha256, str(tmp_path)):
        assert fact in str(caught.value)


def test_a_released_file_that_lacks_a_whole_net_states_what_it_should_be(tmp_path):
    files = [catalog.FoundFile(released_files.write(file, tmp_path), file) for file in catalog.MAPPINGS]
    with pytest.raises(CheckpointMismatch, match="lacks face_recon, expnet, posevae, keypoint_detector") as caught:
        model.assemble_released("SadTalker 256", 256, files, [tmp_path])
    for fact in (*(file.describe() for file in catalog.MAPPINGS), f"Folders searched: {tmp_path}"):
        assert fact in str(caught.value)


def test_nothing_is_fetched_unless_allowed(tmp_path, monkeypatch):
    def call(*arguments, **more):
        raise AssertionError("the line was opened")

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", call)
    with pytest.raises(CheckpointMissing, match="load the model with allow_download on"):
        load_model("SadTalker 256", [tmp_path])


def test_fetching_is_asked_for_the_chosen_model_alone(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(model, "fetch_model", lambda *args, **more: asked.append((args, more)))
    count = [].append
    with pytest.raises(CheckpointMissing):
        load_model("SadTalker 512", [tmp_path], allow_download=True, on_progress=count)
    assert asked == [(("SadTalker 512", [tmp_path]), {"on_progress": count})]


@pytest.fixture(scope="module")
def released_folder(tmp_path_factory):
    """The files of SadTalker 256, in the new style and in the old, in one folder each."""
    new, old = tmp_path_factory.mktemp("new"), tmp_path_factory.mktemp("old")
    for file in (catalog.SAFETENSORS_256, *catalog.MAPPINGS):
        released_files.write(file, new)
    for file in (catalog.OLD_FACE_RECON, catalog.OLD_EXPNET, catalog.OLD_POSEVAE, catalog.OLD_RENDERER):
        released_files.write(file, old)
    for file in catalog.MAPPINGS:
        os.link(new / file.name, old / file.name)
    return new, old


@pytest.fixture
def quick_nets(monkeypatch):
    """Reading and pouring cost seconds and say nothing here: a file gives its networks' names, a network is one
    layer.
    """
    held = {"mapping_00109-model.pth.tar": ["mapping_full"], "mapping_00229-model.pth.tar": ["mapping"]}
    whole = ["face_recon", "expnet", "posevae", "keypoint_detector", "generator"]

    def read(path, released=None, **more):
        return NamedTensors({f"{net}.x": torch.ones(1) for net in held.get(path.name, whole)}, None, path.name)

    monkeypatch.setattr(model, "read_tensors", read)
    monkeypatch.setattr(model, "build_released", lambda net, ops: Linear(1, 1))
    monkeypatch.setattr(model, "load_weights", lambda net, *given: net)


def _touch(folder, *files):
    for file in files:
        (folder / getattr(file, "name", file)).touch()
    return folder


@pytest.mark.parametrize("there, lacks, modes", [
    (catalog.MAPPING, "mapping_full", "full and extfull"),
    (catalog.MAPPING_FULL, "mapping", "crop, extcrop and resize"),
])  # fmt: skip
@pytest.mark.parametrize("model", ["SadTalker 256", "file/mine 256.safetensors"])
def test_a_missing_mapping_file_blocks_the_crop_modes_that_need_it(
    tmp_path, quick_nets, caplog, model, there, lacks, modes
):
    _touch(tmp_path, catalog.SAFETENSORS_256, "mine 256.safetensors", there)
    loaded = load_model(model, [tmp_path])
    assert lacks not in loaded.nets and set(FAMILIES[RELEASED].networks.names()) - set(loaded.nets) == {lacks}
    assert len(loaded.bring(["expnet", "mapping" if lacks != "mapping" else "mapping_full"])) == 2
    with pytest.raises(CheckpointMissing, match=f"crop modes {modes} need mapping_00.*allow_download.*other crop_mode"):
        loaded.bring([lacks])
    assert modes in caplog.text


def test_a_model_that_is_whole_warns_of_nothing(tmp_path, quick_nets, caplog):
    loaded = load_model("SadTalker 256", [_touch(tmp_path, catalog.SAFETENSORS_256, *catalog.MAPPINGS)])
    assert loaded.missing == {} and not caplog.records


@pytest.mark.parametrize(
    "name, side, message",
    [
        ("my 512.safetensors", 512, ""),
        ("my 256.safetensors", 256, ""),
        ("mine.safetensors", 256, "rename it so that its name contains 512"),
        (catalog.SAFETENSORS_512.name, 512, ""),
    ],
)
def test_the_name_of_a_released_file_gives_its_size_and_a_guess_is_logged(
    tmp_path, quick_nets, caplog, name, side, message
):
    caplog.set_level("WARNING")
    loaded = load_model(f"file/{name}", [_touch(tmp_path, name, *catalog.MAPPINGS)])
    assert loaded.image_size == side
    assert message in caplog.text and bool(message) == bool(caplog.records)


def test_loading_and_arranging_take_one_thread_and_give_the_others_back(tmp_path, quick_nets, monkeypatch):
    seen, before = [], torch.get_num_threads()
    monkeypatch.setattr(model, "load_weights", lambda net, *given: seen.append(torch.get_num_threads()) or net)
    monkeypatch.setattr(fast, "FastGenerator", lambda net, *given: seen.append(torch.get_num_threads()) or net)
    torch.set_num_threads(2)
    try:
        load_model("SadTalker 256", [_touch(tmp_path, catalog.SAFETENSORS_256, *catalog.MAPPINGS)])
        fast.accelerate(Linear(1, 1))
        assert len(seen) == 8 and set(seen) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_new_style_old_style_and_our_names_give_the_same_model(released_folder, tmp_path):
    new, old = (load_model("SadTalker 256", [folder]) for folder in released_folder)
    assert (new.family.name, new.image_size, new.name) == (RELEASED, 256, "SadTalker 256")
    assert list(new.nets) == ["face_detector", "face_mesh", "person_segmenter", *FAMILIES[RELEASED].networks.names()]
    assert all(_same(new.nets[name], old.nets[name]) for name in new.nets)
    save_model(tmp_path / "ours.safetensors", new)
    ours = load_model("file/ours.safetensors", [tmp_path])
    assert (ours.family.name, ours.image_size) == (RELEASED, 256)
    assert all(_same(new.nets[name], ours.nets[name]) for name in new.nets)
    for net in ours.nets.values():
        assert not net.training and not any(p.requires_grad for p in net.parameters())


@pytest.mark.slow
def test_a_renamed_released_file_takes_the_mapping_nets_beside_it(released_folder, tmp_path):
    new, _ = released_folder
    os.link(new / catalog.SAFETENSORS_256.name, tmp_path / "a copy, 512.safetensors")
    with pytest.raises(CheckpointMissing, match="needs the mapping networks beside it"):
        load_model("file/a copy, 512.safetensors", [tmp_path])
    loaded = load_model("file/a copy, 512.safetensors", [tmp_path, new])
    assert (loaded.family.name, loaded.image_size) == (RELEASED, 512)


@pytest.mark.slow
def test_a_training_builds_on_a_released_model(released_folder, tmp_path):
    new, _ = released_folder
    base = load_model("SadTalker 256", [new])
    metadata = Metadata(RELEASED, "my voices", 256, {"expnet": {"audio": {"width": 2}}}, base="SadTalker 256")
    write_checkpoint(tmp_path / "mine.safetensors", {"expnet": ExpNet(NARROW).state_dict()}, metadata)
    loaded = load_model("file/mine.safetensors", [tmp_path, new])
    assert loaded.nets["expnet"].config == NARROW
    assert _same(loaded.nets["posevae"], base.nets["posevae"])


# ------------------------------------------------------------------------------------------------------------ the model


def test_nothing_of_the_pack_stays_mapped():
    """An update writes over these files while ComfyUI runs. Only Linux tells what a program maps."""
    loaded, canonical, memory_maps = load_model("mini", []), load_canonical_face(), Path("/proc/self/maps")
    assert loaded.nets and canonical.triangles.numel() and slaney_mel_bands().numel()
    assert str(ASSETS) not in (memory_maps.read_text() if memory_maps.exists() else "")


def test_the_mini_needs_no_folder():
    loaded = load_model("mini", [])
    assert (loaded.name, loaded.family.name, loaded.image_size) == ("mini", MINI, 256)
    assert list(loaded.nets) == ["face_detector", "face_mesh", "person_segmenter", *FAMILIES[MINI].networks.names()]
    for net in loaded.nets.values():
        assert not net.training and not any(p.requires_grad for p in net.parameters())
        assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_a_training_builds_on_the_mini_by_default(tmp_path):
    _narrow_expnet_file(tmp_path / "mine.safetensors")
    loaded, mini = load_model("file/mine.safetensors", [tmp_path]), load_model("mini", [])
    assert loaded.nets["expnet"].config == NARROW and loaded.name == "file/mine.safetensors"
    assert all(_same(loaded.nets[name], mini.nets[name]) for name in mini.nets if name != "expnet")


def test_the_mini_makes_the_round_trip_through_a_file(tmp_path):
    mini = load_model("mini", [])
    save_model(tmp_path / "copy.safetensors", mini)
    copy = load_model("file/copy.safetensors", [tmp_path])
    assert all(_same(copy.nets[name], mini.nets[name]) for name in mini.nets)


def test_a_model_hands_its_nets_out_in_the_order_asked():
    first, second = Linear(1, 1), Linear(1, 1)
    loaded = SadTalkerModel("x", FAMILIES[MINI], 256, {"expnet": first, "posevae": second})
    assert loaded.bring(["posevae", "expnet"], working_bytes=7) == [second, first]
    assert loaded.use(POSEVAE, EXPNET, working_bytes=7) == (second, first)


# --------------------------------------------------------------------------------------------------------- landmarks


def _with_face_alignment(folder, monkeypatch, installed=True):
    """A folder that holds both weight files by name and size (all holes), and a stand-in for the package or none."""
    package = ModuleType("face_alignment")
    package.api = ModuleType("face_alignment.api")
    monkeypatch.setitem(sys.modules, "face_alignment", package)
    monkeypatch.setitem(sys.modules, "face_alignment.api", package.api)
    for file in catalog.FACE_ALIGNMENT:
        (folder / file.name).touch()
        os.truncate(folder / file.name, file.size or 1000)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    return folder


def test_the_face_alignment_package_is_taken_where_it_and_its_weights_are(tmp_path, monkeypatch):
    folder = _with_face_alignment(tmp_path, monkeypatch)
    finder = model.choose_points("auto", FAMILIES[RELEASED], [tmp_path / "other", folder], torch.device("cpu"))
    assert finder is not None and finder(FaceSelector()).folder == folder
    assert finder(FaceSelector()).expected.keys() == {file.name for file in catalog.FACE_ALIGNMENT}
    assert model.choose_points("embedded mesh", FAMILIES[RELEASED], [folder], torch.device("cpu")) is None
    assert model.choose_points("face-alignment", FAMILIES[MINI], [folder], torch.device("cpu")) is None


def test_without_the_weights_auto_takes_the_mesh_and_the_package_is_refused(tmp_path):
    assert model.choose_points("auto", FAMILIES[RELEASED], [tmp_path], torch.device("cpu")) is None
    with pytest.raises(CheckpointMissing, match=r"Missing: s3fd.*; 2DFAN4.*Or choose 'embedded mesh'"):
        model.choose_points("face-alignment", FAMILIES[RELEASED], [tmp_path], torch.device("cpu"))


def test_face_alignment_weights_may_lie_below_but_have_to_lie_together(tmp_path, monkeypatch):
    below = tmp_path / "hub" / "checkpoints"
    below.mkdir(parents=True)
    _with_face_alignment(below, monkeypatch)
    finder = model.choose_points("face-alignment", FAMILIES[RELEASED], [tmp_path], torch.device("cpu"))
    assert finder is not None and finder(FaceSelector()).folder == below
    one = catalog.FACE_ALIGNMENT_DETECTOR.name
    (below / one).rename(tmp_path / one)
    with pytest.raises(CheckpointMissing, match="Missing: one folder that holds both"):
        model.choose_points("face-alignment", FAMILIES[RELEASED], [tmp_path], torch.device("cpu"))


@pytest.mark.parametrize("file", catalog.FACE_ALIGNMENT, ids=lambda file: file.name)
@pytest.mark.parametrize(
    "content, message",
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html>", "is a web page"),
        (b"", "is empty"),
    ],
)
def test_face_alignment_weights_that_are_none_state_what_they_should_be(tmp_path, monkeypatch, file, content, message):
    folder = _with_face_alignment(tmp_path, monkeypatch)
    (folder / file.name).write_bytes(content)
    with pytest.raises(CheckpointDamaged, match=message) as caught:
        model.choose_points("auto", FAMILIES[RELEASED], [tmp_path / "other", folder], torch.device("cpu"))
    for fact in (file.describe(), str(folder), str(tmp_path / "other"), "again"):
        assert fact in str(caught.value)


def test_half_of_the_face_alignment_detector_is_truncated(tmp_path, monkeypatch):
    folder = _with_face_alignment(tmp_path, monkeypatch)
    os.truncate(folder / catalog.FACE_ALIGNMENT_DETECTOR.name, 40_000_000)
    with pytest.raises(CheckpointDamaged, match="truncated: 40,000,000 of 89,843,225 bytes"):
        model.choose_points("face-alignment", FAMILIES[RELEASED], [folder], torch.device("cpu"))


def test_a_broken_package_is_reported_to_who_chose_it_and_costs_others_a_line_in_the_log(tmp_path, monkeypatch, caplog):
    folder = _with_face_alignment(tmp_path, monkeypatch)
    monkeypatch.delattr(sys.modules["face_alignment"], "api")
    monkeypatch.delitem(sys.modules, "face_alignment.api")
    assert model.choose_points("auto", FAMILIES[RELEASED], [folder], torch.device("cpu")) is None
    assert caplog.messages == [
        "SadTalker: landmarks by the built-in face mesh, face-alignment fails (ImportError: "
        "cannot import name 'api' from 'face_alignment' (unknown location))."
    ]
    with pytest.raises(OptionError, match="cannot be imported .ImportError: .*or choose the embedded mesh"):
        model.choose_points("face-alignment", FAMILIES[RELEASED], [folder], torch.device("cpu"))


def test_weights_without_the_package_are_not_enough(tmp_path, monkeypatch):
    folder = _with_face_alignment(tmp_path, monkeypatch, installed=False)
    assert model.choose_points("auto", FAMILIES[RELEASED], [folder], torch.device("cpu")) is None
    with pytest.raises(CheckpointMissing, match="Missing: the package"):
        model.choose_points("face-alignment", FAMILIES[RELEASED], [folder], torch.device("cpu"))
