"""The mesh renderer's network with random weights: what holds whatever it has learnt."""

import torch

from sadtalker_core.render.meshwarp.flow_maps import MAPS
from sadtalker_core.render.meshwarp.network import FlowRenderer, FlowRendererConfig, folded, may_repair
from sadtalker_core.render.meshwarp.placement import MARGIN, STAGE, WINDOW

SMALL = FlowRendererConfig(encoder=(4, 4, 4), widths=(8, 8, 8, 8))


def test_the_net_is_differentiable_and_leaves_its_inputs_alone():
    net = FlowRenderer(SMALL).train()
    stage, displacement = torch.rand(2, 3, STAGE, STAGE), torch.randn(2, 2, WINDOW, WINDOW)
    maps = torch.rand(2, len(MAPS), WINDOW, WINDOW)
    before = [t.clone() for t in (stage, displacement, maps)]
    repair = net(stage, net.encode(stage), displacement, maps, torch.randn(2, 4, 2))
    (repair.flow.sum() + repair.keep.sum() + repair.colour.sum()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, (stage, displacement, maps), strict=True))


def test_a_part_of_the_window_is_repaired_as_the_whole_is():
    torch.manual_seed(0)
    net = FlowRenderer(SMALL).eval()
    stage, maps = torch.rand(1, 3, STAGE, STAGE), torch.rand(1, len(MAPS), WINDOW, WINDOW)
    displacement = torch.randn(1, 2, WINDOW, WINDOW) * 3
    features, rigid = net.encode(stage), torch.randn(1, 4, 2) / 100
    whole = net(stage, features, displacement, maps, rigid)
    part = (slice(None), slice(None), slice(0, 96), slice(0, 96))
    corner = net(stage, features, displacement[part], maps[part], rigid, torch.full((1, 2), float(MARGIN)))
    inner = (slice(None), slice(None), slice(0, 16), slice(0, 16))
    assert torch.allclose(whole.colour[inner], corner.colour[inner], atol=1e-5)
    assert torch.allclose(whole.keep[inner], corner.keep[inner], atol=1e-5)
    assert torch.allclose(whole.flow[inner], corner.flow[inner], atol=1e-4)


def taken_along(rigid, share, depth):
    """How a network that says the same of every pixel moves a window whose displacement is 3 pixels."""
    net = FlowRenderer(SMALL).eval()
    with torch.no_grad():
        net.shift.weight.zero_()
        net.shift.bias.copy_(torch.tensor([0.0, 0.0, share, depth]).atanh())
    stage, maps = torch.rand(1, 3, STAGE, STAGE), torch.zeros(1, len(MAPS), WINDOW, WINDOW)
    displacement = torch.full((1, 2, WINDOW, WINDOW), 3.0)
    return (net(stage, net.encode(stage), displacement, maps, rigid).flow - displacement)[0].detach()


def test_a_still_head_takes_nothing_along():
    assert taken_along(torch.zeros(1, 4, 2), share=0.9, depth=-0.9).abs().amax() == 0


def test_a_turning_head_takes_along_what_is_near_further_than_what_is_far():
    rigid = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [2.0, 0.0], [8.0, -1.0]]])
    moved = taken_along(rigid, share=0.5, depth=0.25)[:, 64, 64]
    assert torch.allclose(moved, torch.tensor([2.0 * 0.5 + 8 * 0.25 * SMALL.max_depth, -0.25 * SMALL.max_depth]))


def test_nothing_is_repaired_at_the_border_of_the_window():
    may = may_repair(torch.full((1, 2, WINDOW, WINDOW), 9.0), torch.full((1, 2), float(MARGIN)))
    assert may[0, 0, 64, 64] == 1
    assert may[0, 0, 0].amax() < 0.1 and may[0, 0, :, -1].amax() < 0.1


def test_layers_come_from_the_factory():
    layer = torch.nn.Conv2d

    class Ops(torch.nn.Module):
        made = 0

        @staticmethod
        def Conv2d(*a, **k):
            Ops.made += 1
            return layer(*a, **k)

    net = FlowRenderer(SMALL, ops=Ops)
    assert Ops.made == sum(isinstance(m, torch.nn.Conv2d) for m in net.modules())


def test_a_folded_network_predicts_what_the_network_predicts():
    torch.manual_seed(0)
    net = FlowRenderer(SMALL).eval()
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.uniform_(-0.1, 0.1)
                part.running_var.uniform_(0.5, 2.0)
                part.weight.uniform_(0.5, 2.0)
                part.bias.uniform_(-0.1, 0.1)
        net.shift.weight.normal_(0, 0.3)
        stage, maps = torch.rand(2, 3, STAGE, STAGE), torch.rand(2, len(MAPS), WINDOW, WINDOW)
        displacement, rigid = torch.randn(2, 2, WINDOW, WINDOW) * 3, torch.randn(2, 4, 2) / 100
        quick = folded(net)
        whole = net(stage, net.encode(stage), displacement, maps, rigid)
        parts = quick(stage, quick.encode(stage), displacement, maps, rigid)
    assert (whole.flow - displacement).abs().mean() > 0.1
    for ours, theirs in zip(parts, whole, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)
    assert any(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules())  # which is as it was
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in quick.modules())
