"""One file at the end of a training, and the models that one can start from. (test_overfit runs such files.)"""

from __future__ import annotations

import json

import pytest
import torch

from sadtalker_core.checkpoint.reading import read_tensors
from sadtalker_core.errors import CheckpointMissing, OptionError
from sadtalker_core.training.export import export, load_base_model


@pytest.fixture(scope="module")
def mini():
    return load_base_model("mini")


def test_the_file_is_the_base_with_the_new_net_and_states_what_it_is(mini, tmp_path):
    from sadtalker_core.training.expnet import pretrained_net

    net = pretrained_net(mini.nets["expnet"])
    with torch.no_grad():
        net.head.bias.fill_(0.25)
    file = export(tmp_path / "new" / "mine.safetensors", mini, {"expnet": net})
    metadata = read_tensors(file).metadata
    assert (metadata.family, metadata.name, metadata.image_size, metadata.base) == ("mini", "mine", 256, None)
    assert json.loads(metadata.to_json())["configs"]["expnet"] == {
        "audio": {"width": 8},
        "ahead": True,
        "from_rest": True,
        "half_frames": True,
        "temporal": {"width": 96, "blocks": 0},  # what is trained on is the network of windows alone
    }
    read = load_base_model(str(file))
    assert (read.nets["expnet"].head.bias == 0.25).all()
    for name in ("posevae", "mapping", "flow_renderer", "linear_3dmm"):
        for path, tensor in mini.nets[name].state_dict().items():
            assert torch.equal(read.nets[name].state_dict()[path], tensor), f"{name}.{path}"


def test_a_name_of_another_kind_and_a_net_of_another_family_are_refused(mini, tmp_path):
    with pytest.raises(OptionError, match="ends in .safetensors to export to, got mine.pth"):
        export(tmp_path / "mine.pth", mini, {})
    with pytest.raises(OptionError, match="a mini model has no network 'generator'; it has"):
        export(tmp_path / "mine.safetensors", mini, {"generator": mini.nets["expnet"]})


def test_a_base_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointMissing, match="gone.safetensors is in none of the folders searched"):
        load_base_model(str(tmp_path / "gone.safetensors"))
    with pytest.raises(CheckpointMissing, match="SadTalker 256 needs files that are in none of the folders"):
        load_base_model("SadTalker 256", [tmp_path])
