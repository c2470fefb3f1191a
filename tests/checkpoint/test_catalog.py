"""Which files make a model, where they are found, and what is said when they are not."""

from __future__ import annotations

import re

import pytest

from sadtalker_core.checkpoint import catalog
from sadtalker_core.checkpoint.catalog import find_files, missing_files
from sadtalker_core.errors import CheckpointMissing

NEW = ("SadTalker_V0.0.2_256.safetensors", "mapping_00229-model.pth.tar", "mapping_00109-model.pth.tar")
OLD = ("epoch_20.pth", "auido2exp_00300-model.pth", "auido2pose_00140-model.pth", "facevid2vid_00189-model.pth.tar")


def _put(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def _names(found):
    return [file.path.name for file in found]


def test_every_file_has_a_hash_and_an_address_that_ends_in_its_name():
    for file in catalog.RELEASED_FILES:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.url.startswith("https://") and file.url.endswith("/" + file.name)


def test_the_names_of_face_alignments_files_carry_their_hash():
    for file in catalog.FACE_ALIGNMENT:
        assert file.sha256.startswith(re.search(r"-([0-9a-f]{10})\.", file.name).group(1))


def test_a_model_is_found_over_several_folders(tmp_path):
    first, second = _put(tmp_path / "a", *NEW[:1]), _put(tmp_path / "b", *NEW)
    found = find_files("SadTalker 256", [first, second])
    assert _names(found) == list(NEW)
    assert found[0].path.parent == first and found[1].path.parent == second
    assert found[0].released is catalog.SAFETENSORS_256


def test_the_safetensors_file_is_preferred_to_the_old_set(tmp_path):
    assert _names(find_files("SadTalker 256", [_put(tmp_path, *OLD, *NEW)])) == list(NEW)


def test_the_old_set_serves_where_it_is_all_there_is(tmp_path):
    assert _names(find_files("SadTalker 256", [_put(tmp_path, *OLD, *NEW[1:])])) == [*OLD, *NEW[1:]]


def test_any_other_file_of_the_folder_is_left_alone(tmp_path):
    _put(tmp_path, "sd_xl.safetensors", "SadTalker_V0.0.2_512.safetensors", *NEW[1:])
    with pytest.raises(CheckpointMissing, match=r"SadTalker_V0.0.2_256.safetensors \(725,066,984 bytes"):
        find_files("SadTalker 256", [tmp_path])


def test_what_lacks_is_named_with_size_hash_folder_and_switch(tmp_path):
    folder = _put(tmp_path / "models", NEW[1])
    with pytest.raises(CheckpointMissing) as caught:
        find_files("SadTalker 512", [folder])
    sentence = str(caught.value)
    for fact in (
        "SadTalker_V0.0.2_512.safetensors",
        "725,066,984",
        catalog.SAFETENSORS_512.sha256,
        str(folder),
        NEW[2],
        "allow_download",
        "881 MB",
        "github.com/OpenTalker",
        "mini",
    ):
        assert fact in sentence
    assert NEW[1] not in sentence
    assert missing_files("SadTalker 512", [folder]) == (catalog.SAFETENSORS_512, catalog.MAPPING_FULL)


def test_no_folder_at_all_is_reported():
    with pytest.raises(CheckpointMissing, match="no folder"):
        find_files("SadTalker 256", [])


def test_a_file_with_nearly_the_right_name_is_pointed_out(tmp_path):
    _put(tmp_path, "SadTalker_V0.0.2_256 (1).safetensors", *NEW[1:])
    with pytest.raises(CheckpointMissing, match=r"Found SadTalker_V0.0.2_256 \(1\).safetensors: .* exact name"):
        find_files("SadTalker 256", [tmp_path])


# ---------------------------------------------------------------------------------------------- in people's folders


@pytest.mark.parametrize("below", ["checkpoints", "SadTalker/checkpoints", "extensions/SadTalker/a/b/checkpoints"])
def test_a_folder_that_was_copied_whole_is_found_below(tmp_path, below):
    _put(tmp_path / below, *NEW)
    assert [file.path.parent for file in find_files("SadTalker 256", [tmp_path])] == [tmp_path / below] * 3
    assert missing_files("SadTalker 256", [tmp_path]) == ()


def test_what_lies_in_a_folder_itself_wins_over_all_below(tmp_path):
    """So that what was found before is found still, and a graph that ran is not run again."""
    first, second = _put(tmp_path / "a" / "checkpoints", *NEW).parent, _put(tmp_path / "b", *NEW)
    assert [file.path.parent for file in find_files("SadTalker 256", [first, second])] == [second] * 3


def test_the_shallowest_is_taken_and_letters_may_be_of_any_case(tmp_path):
    _put(tmp_path / "a" / "deep", *NEW)
    _put(tmp_path / "b", *(name.lower() for name in NEW))
    assert _names(find_files("SadTalker 256", [tmp_path])) == [name.lower() for name in NEW]


def test_links_are_followed_and_circles_end(tmp_path):
    elsewhere = _put(tmp_path / "elsewhere", *NEW)
    models = _put(tmp_path / "models")
    (models / "linked").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "round").symlink_to(models, target_is_directory=True)
    assert [file.path.parent for file in find_files("SadTalker 256", [models])] == [models / "linked"] * 3
    with pytest.raises(CheckpointMissing):
        find_files("SadTalker 512", [models])


def test_the_look_below_is_bounded(tmp_path, monkeypatch):
    _put(tmp_path / "/".join("abcdefgh"), *NEW)
    with pytest.raises(CheckpointMissing):
        find_files("SadTalker 256", [tmp_path])
    monkeypatch.setattr(catalog, "MOST_NAMES", 10)
    _put(tmp_path / "many", *(f"{number:03}" for number in range(50)))
    assert len([*catalog.files_below(tmp_path)]) <= 10


def test_weights_of_another_package_are_found_together_below(tmp_path):
    names = [file.name for file in catalog.FACE_ALIGNMENT]
    _put(tmp_path / "a", names[0])
    _put(tmp_path / "hub" / "checkpoints", *names)
    assert catalog.find_together(catalog.FACE_ALIGNMENT, [tmp_path]) == tmp_path / "hub" / "checkpoints"
    assert catalog.find_together(catalog.FACE_ALIGNMENT, [tmp_path / "a"]) is None


@pytest.mark.parametrize("lacks", OLD)
def test_an_old_set_that_lacks_one_file_is_completed(tmp_path, lacks):
    _put(tmp_path, *(name for name in OLD if name != lacks), *NEW[1:])
    (missing,) = missing_files("SadTalker 256", [tmp_path])
    assert missing.name == lacks
    with pytest.raises(CheckpointMissing, match="has its old .pth set, which lacks") as caught:
        find_files("SadTalker 256", [tmp_path])
    sentence = str(caught.value)
    assert missing.describe() in sentence and "github.com/Winfredy/SadTalker/releases/download/v0.0.2" in sentence
    assert ("A smaller download also completes it" in sentence) == (lacks == catalog.OLD_RENDERER.name)


def test_two_mapping_files_alone_are_completed_by_the_new_set(tmp_path):
    assert missing_files("SadTalker 256", [_put(tmp_path, *NEW[1:])]) == (catalog.SAFETENSORS_256,)


@pytest.mark.parametrize("own", [NEW[:1], OLD], ids=["new", "old"])
@pytest.mark.parametrize("mapping", NEW[1:])
def test_one_of_the_mapping_files_is_enough_to_begin_with(tmp_path, own, mapping):
    folder = _put(tmp_path, *own, mapping)
    assert _names(find_files("SadTalker 256", [folder])) == [*own, mapping]
    assert len(missing_files("SadTalker 256", [folder])) == 1  # allow_download still makes it whole


def test_no_mapping_file_is_not_enough(tmp_path):
    with pytest.raises(CheckpointMissing, match="mapping_00229.* mapping_00109"):
        find_files("SadTalker 256", [_put(tmp_path, *NEW[:1])])


def test_a_file_of_ones_own_is_found_below_a_folder(tmp_path):
    _put(tmp_path / "b", "mine/run 7/größe.safetensors")
    (found,) = find_files("file/mine/run 7/größe.safetensors", [tmp_path / "a", tmp_path / "b"])
    assert found.path == tmp_path / "b" / "mine" / "run 7" / "größe.safetensors"
    assert found.released is None


@pytest.mark.parametrize("model", ["file/../secret.safetensors", "file//etc/passwd", "file/"])
def test_a_file_outside_the_folders_is_refused(tmp_path, model):
    _put(tmp_path, "secret.safetensors")
    with pytest.raises(CheckpointMissing, match="is not inside a model folder"):
        find_files(model, [_put(tmp_path / "models")])


def test_a_file_that_went_away_is_named(tmp_path):
    with pytest.raises(CheckpointMissing, match="mine.safetensors is in none of the folders searched"):
        find_files("file/mine.safetensors", [tmp_path])


@pytest.mark.parametrize(
    "model", ["x" * 5000, "file/" + "x" * 5000, "file/../" + "x" * 5000, "file/a\0b", "file/" + "x/" * 2500]
)
def test_a_name_that_no_file_can_have_is_a_short_sentence(tmp_path, model):
    with pytest.raises(CheckpointMissing) as caught:
        find_files(model, [tmp_path])
    assert len(str(caught.value)) <= 600 + len(str(tmp_path))


def test_an_unknown_model_names_the_known_ones(tmp_path):
    with pytest.raises(CheckpointMissing, match="choose mini, SadTalker 256, SadTalker 512, or file/"):
        find_files("SadTalker 1024", [tmp_path])
