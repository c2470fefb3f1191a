"""What goes along with the head, and what beside it stays: a dark head before a light wall."""

import pytest
import torch

from sadtalker_core.render.meshwarp.flow_maps import mesh_flow
from sadtalker_core.render.meshwarp.network import FlowRenderer, FlowRendererConfig
from sadtalker_core.render.meshwarp.placement import STAGE
from sadtalker_core.render.meshwarp.silhouette import Silhouette, _solved
from sadtalker_core.render.meshwarp.warp import mean_around
from tests.render.heads import STILL, rig

HAIR = 62.0, 70.0  #: pixels of the stage: half axes of the head
SHIFT = torch.tensor([[0.08, 0.0]])


@pytest.fixture(scope="module")
def moved():
    """-> what the mesh says of a head that is shifted, the same with the outline found, and how far from the middle of
    the head each spot is, 1 at the end of the hair.
    """
    net = FlowRenderer(FlowRendererConfig(encoder=(4, 4, 4), widths=(8, 8, 8, 8))).eval()
    with torch.no_grad():
        net.shift.weight.zero_()
    line = torch.arange(STAGE) + 0.5 - STAGE / 2
    away = ((line / HAIR[0]).square() + (line / HAIR[1]).square()[:, None]).sqrt()
    stage = torch.where(away < 1, 0.2, 0.9).expand(1, 3, -1, -1).contiguous()
    face = rig()
    with torch.inference_mode():
        outline = Silhouette(net, stage, net.encode(stage), face)
        flow = mesh_flow(face, torch.zeros(1, 64), STILL[0], SHIFT)
        rest = mesh_flow(face, torch.zeros(1, 64), *STILL)
        now = outline(flow.displacement, flow.on_face, flow.face)
        still = outline(rest.displacement, rest.on_face, rest.face)
    return flow.displacement[0], now[0], away, still


def test_a_wall_behind_the_head_moves_less_than_before(moved):
    before, now, away, _ = moved
    wall = (away > 1.15) & (torch.arange(STAGE)[:, None] < STAGE / 2)
    assert now[:, wall].norm(dim=0).mean() < 0.7 * before[:, wall].norm(dim=0).mean()


def test_the_face_moves_as_before(moved):
    before, now, away, _ = moved
    assert (now - before)[:, away < 0.3].abs().max() < 1e-4


def test_hair_is_not_torn_from_the_wall(moved):
    """What is looked up goes on from pixel to pixel in the same order: nothing is shown twice."""
    _, now, away, _ = moved
    beside = (away > 0.8) & (torch.arange(STAGE)[:, None] < STAGE / 2)
    assert (now[0].diff(dim=1)[beside[:, 1:]] > -0.9).all()
    assert (now[1].diff(dim=0)[beside[1:]] > -0.9).all()


def test_a_head_that_does_not_move_moves_nothing(moved):
    assert moved[3].abs().max() < 1e-4


def test_three_by_three_is_solved_on_planes_as_one_by_one():
    """Of colours that vary along one line, as in a grey portrait, too, which an eps alone keeps from being flat."""
    factor = torch.randn(5, 4, 3, 3)
    factor[0, :, 1:] = 0
    matrix = factor.mT @ factor + 1e-4 * torch.eye(3)
    right = torch.randn(5, 4, 3)
    upper = [matrix[..., i, j][None, None] for i in range(3) for j in range(i, 3)]
    solved = _solved(*upper, right.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    left = (matrix.double() @ solved.double()[..., None])[..., 0]
    assert (left - right).abs().max() < 1e-5 * (matrix.abs().amax((2, 3))[..., None] * solved.abs() + 1).max()


@pytest.mark.parametrize("down", [-3.0, 3.0])
def test_a_crown_close_to_the_border_goes_with_the_head_but_not_up_and_one_that_is_cut_stays(down):
    """What a crown shows comes from the right, and from above, when the head nods, or from below."""
    net = FlowRenderer(FlowRendererConfig(encoder=(4, 4, 4), widths=(8, 8, 8, 8))).eval()
    stage, face = torch.full((1, 3, STAGE, STAGE), 0.5), rig()
    pushed = torch.tensor([-3.0, down]).view(1, 2, 1, 1).expand(-1, -1, STAGE, STAGE)
    no_face = torch.zeros(1, 1, STAGE, STAGE)
    crowns = []
    for top in (3, 0):
        person = torch.zeros(1, 1, STAGE, STAGE)
        person[..., top:, 40:120] = 1
        with torch.inference_mode():
            moved = Silhouette(net, stage, [], face, person)(pushed, no_face, no_face)
        crowns.append(moved[0, :, 3, STAGE // 2])
        assert moved[0, :, :, 0].abs().max() < 0.2
    free, cut = crowns
    assert free[0] < -2.9 and cut[0] > -0.8
    assert cut[1].abs() < 0.8
    assert free[1] == cut[1] if down > 0 else free[1] < -2.9


def test_no_face_shows_beside_an_edge_that_has_come_over_it():
    """Right beside the face of a frame, the portrait's face is looked up 8 pixels deep: it is led all the way out."""
    net = FlowRenderer(FlowRendererConfig(encoder=(4, 4, 4), widths=(8, 8, 8, 8))).eval()
    with torch.inference_mode():
        outline = Silhouette(net, torch.full((1, 3, STAGE, STAGE), 0.5), [], rig(), torch.ones(1, 1, STAGE, STAGE))
        row = int(outline.within[0, 0].amax(1).argmax())
        inside = outline.within[0, 0, row] > 1
        edge = int(torch.nonzero(inside)[-1])
        on_face = torch.zeros(1, 1, STAGE, STAGE)
        on_face[..., : edge + 5] = 1
        soft = mean_around(mean_around(on_face, 3), 3)
        pushed = torch.tensor([-12.0, 0.0]).view(1, 2, 1, 1).expand(-1, -1, STAGE, STAGE)
        led = outline(pushed, on_face, soft)[0, 0, row]
    beside = edge + 5
    assert soft[0, 0, row, beside] > 0.3
    assert led[beside - 1] == -12
    assert beside + led[beside] >= edge - 1
