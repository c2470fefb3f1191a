"""The training of the mini renderer, on one made-up pair."""

import numpy as np
import pytest
import torch

from sadtalker_core.canonical_face import HEAD_TO_IMAGE, load_canonical_face
from sadtalker_core.checkpoint.reading import read_tensors
from sadtalker_core.model import load_weights
from sadtalker_core.render.meshwarp.flow_maps import MAPS, mesh_flow, rigid_flow
from sadtalker_core.render.meshwarp.network import FINE_MAPS, MINI_FLOW_RENDERER, FlowRenderer, FlowRendererConfig
from sadtalker_core.render.meshwarp.placement import MARGIN, STAGE, WINDOW
from sadtalker_core.render.meshwarp.rig import FaceRig
from sadtalker_core.training import renderer_mini
from sadtalker_core.training.renderer_mini import PART, Pairs, export, losses, mirrored


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A shard with one person whose head turns a little: noise for an image, the real flow and maps."""
    rng = np.random.default_rng(0)
    points = (load_canonical_face().mean - torch.tensor([0.0, 7.08, 0.6])) * torch.tensor(HEAD_TO_IMAGE) * 53
    rig = FaceRig.from_points(points + torch.tensor([STAGE / 2, STAGE / 2, 0.0]), torch.zeros(64))
    weights = torch.zeros(1, 64)
    weights[0, 24] = 0.6  # jawOpen
    turn, shift = torch.eye(3)[None], torch.tensor([[0.04, 0.0]])
    flow = mesh_flow(rig, weights, turn, shift)
    middle = slice(MARGIN, MARGIN + WINDOW)
    fine = [MAPS.index(name) for name in FINE_MAPS]
    coarse = [k for k in range(len(MAPS)) if k not in fine]
    displacement = flow.displacement[:, :, middle, middle]
    path = tmp_path_factory.mktemp("work") / "prepared_0000.npz"
    np.savez(
        path,
        source=rng.integers(0, 255, (1, STAGE, STAGE, 3), np.uint8),
        driving=rng.integers(0, 255, (1, 1, WINDOW, WINDOW, 3), np.uint8),
        layer=np.zeros((1, 1, WINDOW, WINDOW), np.uint8),
        flow=torch.nn.functional.avg_pool2d(displacement, 2).permute(0, 2, 3, 1)[None].half().numpy(),
        visible=np.ones((1, 1, WINDOW // 2, WINDOW // 2), bool),
        displacement=(displacement * 256).round().short()[None].numpy(),
        ride=rigid_flow(rig, turn, shift)[None].numpy(),
        fine=(flow.maps[:, fine] * 127).round().to(torch.int8)[None].numpy(),
        coarse=(torch.nn.functional.avg_pool2d(flow.maps[:, coarse], 2).clamp(-1, 1) * 127)
        .to(torch.int8)[None]
        .numpy(),
    )
    return path


def test_the_same_draw_gives_the_same_batch(prepared):
    pairs = Pairs([prepared])
    one, other = (pairs.batch(3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_part_holds_the_mouth_when_it_should(prepared, monkeypatch):
    monkeypatch.setattr(renderer_mini, "_PLACES", {"mouth": 1.0, "eyes": 0.0})
    batch = Pairs([prepared]).batch(8, torch.Generator().manual_seed(1))
    assert batch["driving"].shape == (8, 3, PART, PART)
    assert (batch["maps"][:, MAPS.index("mouth")].sum((1, 2)) > 20).all()


def test_mirrored_twice_is_the_pair_itself(prepared):
    pair = Pairs([prepared]).pick(0, 0, 0, lambda x, y: (20, 40))
    again = mirrored(mirrored(pair))
    assert all(torch.equal(pair[name], again[name]) for name in pair)


def test_the_mirrored_warp_is_the_mirror_of_the_warp(prepared):
    from sadtalker_core.render.meshwarp.warp import warp_window

    pair = Pairs([prepared]).pick(0, 0, 0, lambda x, y: (20, 40))
    warps = [
        warp_window(p["source"][None], p["displacement"][None], p["left_top"][None]) for p in (pair, mirrored(pair))
    ]
    assert torch.allclose(warps[0].flip(-1), warps[1], atol=1e-3)


def test_a_head_in_the_mirror_goes_the_mirrored_way(prepared):
    pair = Pairs([prepared]).pick(0, 0, 0, lambda x, y: (20, 40))
    pair["ride"] = torch.randn(4, 2, generator=torch.Generator().manual_seed(2))
    here, there = torch.tensor([[30.0, 50.0, 1.0, 0.7], [STAGE - 30.0, 50.0, 1.0, 0.7]])
    went = there @ mirrored(pair)["ride"]
    assert torch.allclose(went, here @ pair["ride"] * torch.tensor([-1.0, 1.0]), atol=1e-4)


def test_a_few_steps_train_a_colour(prepared):
    torch.manual_seed(0)
    net = FlowRenderer(FlowRendererConfig(encoder=(4, 4, 4), widths=(8, 8, 8, 8)))
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    batch = Pairs([prepared]).batch(2, torch.Generator().manual_seed(0))
    batch["driving"] = torch.full_like(batch["driving"], 0.2)
    paint = []
    for _ in range(8):
        parts = losses(net, batch)
        optimiser.zero_grad()
        sum(parts.values()).backward()
        optimiser.step()
        paint.append(float(parts["paint"].detach()))
    assert paint[-1] < 0.8 * paint[0]


def test_exported_weights_pour_into_the_net_again(tmp_path):
    torch.manual_seed(0)
    net = FlowRenderer(MINI_FLOW_RENDERER)
    export(net.state_dict(), tmp_path / "r.safetensors", step=3, hours=0.1, n_pairs=7)
    read = read_tensors(tmp_path / "r.safetensors")
    assert read.metadata.configs["flow_renderer"]["widths"] == list(MINI_FLOW_RENDERER.widths)
    other = load_weights(FlowRenderer(MINI_FLOW_RENDERER), read.nets()["flow_renderer"], "r.safetensors")
    for name, tensor in net.state_dict().items():
        assert torch.allclose(tensor.float(), other.state_dict()[name].float(), atol=2e-3)
