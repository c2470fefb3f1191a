"""The mini renderer with a network of random numbers: what holds whatever it has learnt."""

import pytest
import torch

from sadtalker_core.canonical_face import HEAD_TO_PICTURE, N_POINTS, load_canonical_face, rotation_of_angles
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import BlendshapeMotion, Box, CropMode, FaceCrop, Motion
from sadtalker_core.errors import FaceNotFound, OptionError
from sadtalker_core.render.meshwarp.flow_renderer import (
    FlowRenderer,
    FlowRendererConfig,
    may_repair,
    render_flow_frames,
    rigid_flow,
)
from sadtalker_core.render.meshwarp.mesh_flow import MAPS, MARGIN, STAGE, WINDOW, FaceRig

SMALL = FlowRendererConfig(encoder=(4, 4, 4), widths=(8, 8, 8, 8))


@pytest.fixture
def net():
    """Not trained, and so eager that it would repaint everything it may."""
    torch.manual_seed(3)
    net = FlowRenderer(SMALL)
    with torch.no_grad():
        net.colours.bias.fill_(1.0)
        net.shift.weight.normal_(0, 0.1)
    return net.eval()


def head_crop(side=256, pixels_per_decimetre=85.0, seed=0):
    """A picture of noise with the template's mesh in the middle of it."""
    image = torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))
    points = (load_canonical_face().mean - torch.tensor([0.0, 7.08, 0.6])) * torch.tensor(HEAD_TO_PICTURE)
    points = points * pixels_per_decimetre * side / 256 + torch.tensor([side / 2, side / 2, 0.0])
    return FaceCrop(image, points, Box(0, 0, side, side), CropMode.CROP)


def rows(n, yaw=0.0, pitch=0.0, **units):
    offsets = torch.zeros(n, 64)
    for name, amount in units.items():
        offsets[:, BLENDSHAPE_INDEX[name]] = torch.as_tensor(amount)
    angles = [torch.as_tensor(a, dtype=torch.float32).expand(n).clone() for a in (yaw, pitch, 0.0)]
    return BlendshapeMotion(*angles, torch.zeros(n, 3), offsets)


def frames_of(net, crop, driving, source=None, batch_size=4):
    motion = Motion(driving, source or rows(1))
    return torch.cat(list(render_flow_frames(net, crop, motion, batch_size=batch_size)))


def test_who_does_not_move_is_the_portrait_itself(net):
    crop = head_crop()
    assert torch.equal(frames_of(net, crop, rows(1))[0], crop.image)


def test_motion_is_relative_to_the_source(net):
    crop, pose = head_crop(), dict(yaw=14.0, pitch=-6.0, jawOpen=0.5)
    frame = frames_of(net, crop, rows(1, **pose), source=rows(1, **pose))[0]
    assert torch.equal(frame, crop.image)


def test_the_head_goes_where_the_translation_says(net):
    crop = head_crop()
    driving = rows(1)
    driving.translation[0, :2] = torch.tensor([8 / 128, -6 / 128])  # pixels of a square of 256
    with torch.no_grad():
        for head in (net.shift, net.colours):
            head.weight.zero_()
        net.colours.bias.fill_(-9.0)  # paint nothing
    frame = frames_of(net, crop, driving)[0]
    nose = frame[:, 118:128, 124:134]
    assert (nose - crop.image[:, 124:134, 116:126]).abs().mean() < 0.02
    assert (nose - crop.image[:, 118:128, 124:134]).abs().mean() > 0.1


def test_a_mouth_that_shows_teeth_keeps_them_while_the_jaw_falls(net):
    crop = head_crop()
    canonical = load_canonical_face()
    smile = rows(1, jawOpen=0.5, mouthUpperUpLeft=0.5, mouthUpperUpRight=0.5)
    points = crop.landmarks + canonical.displacements(smile.weights)[0] * torch.tensor(HEAD_TO_PICTURE) * 85.0
    crop = FaceCrop(0.6 + 0.2 * crop.image, points, crop.box, crop.mode)  # bright enough for teeth
    frame = frames_of(net, crop, rows(1, jawOpen=0.9, mouthUpperUpLeft=0.5, mouthUpperUpRight=0.5), source=smile)[0]
    x, y = points[13, :2].long().tolist()
    kept = (frame - crop.image)[:, y + 6 : y + 10, x - 6 : x + 7].abs().mean()
    below = (frame - crop.image)[:, y + 30 : y + 40, x - 6 : x + 7].abs().mean()
    assert kept < 0.03 < below


def test_pixels_away_from_the_head_are_the_portraits_own(net):
    crop = head_crop(pixels_per_decimetre=50.0)  # the stage is then 150 pixels wide
    frame = frames_of(net, crop, rows(1, yaw=15.0, jawOpen=1.0))[0]
    changed = (frame != crop.image).any(0)
    assert changed[100:156, 100:156].float().mean() > 0.8
    outside = torch.ones_like(changed)
    outside[50:206, 50:206] = False
    assert not changed[outside].any()


@pytest.mark.parametrize("side", [256, 512, 200])
def test_frames_have_the_size_of_the_crop_and_stay_in_range(net, side):
    frames = frames_of(net, head_crop(side), rows(3, yaw=10.0, jawOpen=0.6), batch_size=2)
    assert frames.shape == (3, 3, side, side)
    assert frames.dtype == torch.float32
    assert frames.amin() >= 0 and frames.amax() <= 1


def test_a_frame_does_not_depend_on_its_batch(net):
    crop = head_crop()
    driving = rows(5, yaw=torch.linspace(-8, 8, 5), jawOpen=torch.linspace(0, 1, 5))
    one, all_at_once = (frames_of(net, crop, driving, batch_size=n) for n in (1, 5))
    assert torch.allclose(one, all_at_once, atol=2e-3)


def test_the_same_clip_twice_is_the_same(net):
    crop, driving = head_crop(), rows(2, jawOpen=0.4, yaw=4.0)
    assert torch.equal(frames_of(net, crop, driving), frames_of(net, crop, driving))


def test_a_slow_motion_changes_the_frame_slowly(net):
    crop = head_crop()
    driving = rows(9, jawOpen=torch.linspace(0.0, 0.08, 9))
    steps = (frames_of(net, crop, driving).diff(dim=0)).abs().mean((1, 2, 3))
    assert steps.amax() < 4 * steps.mean()


def test_progress_counts_frames(net):
    seen = []
    motion = Motion(rows(5, jawOpen=0.2), rows(1))
    for _ in render_flow_frames(net, head_crop(), motion, batch_size=2, on_progress=lambda *a: seen.append(a)):
        pass
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_half_precision_is_close_to_single(net):
    crop, driving = head_crop(), rows(1, jawOpen=0.5, yaw=6.0)
    single = frames_of(net, crop, driving)
    half = frames_of(net.to(torch.bfloat16), crop, driving)
    assert half.dtype == torch.float32
    assert (single - half).abs().mean() < 0.02


def test_sixty_eight_points_are_refused(net):
    crop = head_crop()
    crop = FaceCrop(crop.image, torch.zeros(68, 2), crop.box, crop.mode)
    with pytest.raises(FaceNotFound, match="468"):
        next(render_flow_frames(net, crop, Motion(rows(1), rows(1))))


def test_a_batch_of_nothing_is_refused(net):
    with pytest.raises(OptionError, match="batch_size"):
        next(render_flow_frames(net, head_crop(), Motion(rows(1), rows(1)), batch_size=0))


def test_the_net_is_differentiable_and_leaves_its_inputs_alone():
    net = FlowRenderer(SMALL).train()
    stage, displacement = torch.rand(2, 3, STAGE, STAGE), torch.randn(2, 2, WINDOW, WINDOW)
    maps = torch.rand(2, len(MAPS), WINDOW, WINDOW)
    before = [t.clone() for t in (stage, displacement, maps)]
    repair = net(stage, net.encode(stage), displacement, maps, torch.randn(2, 4, 2))
    (repair.flow.sum() + repair.keep.sum() + repair.paint.sum()).backward()
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
    assert torch.allclose(whole.paint[inner], corner.paint[inner], atol=1e-5)
    assert torch.allclose(whole.keep[inner], corner.keep[inner], atol=1e-5)
    assert torch.allclose(whole.flow[inner], corner.flow[inner], atol=1e-4)


def test_a_spot_that_follows_the_head_alone_goes_where_its_ride_says():
    crop = head_crop(STAGE)
    rig = FaceRig(crop.landmarks, torch.zeros(64))
    turn = rotation_of_angles(torch.tensor([[0.15, 0.2, -0.1]])) * 1.1
    shift = torch.tensor([[0.1, -0.05]])
    driving, depth = (moved[:, :N_POINTS] for moved in rig.driven(torch.zeros(1, 64), turn, shift))
    places = torch.cat([driving, torch.ones(1, N_POINTS, 1), depth[..., None]], dim=-1)
    back = crop.landmarks[:, :2] - driving
    assert back.abs().amax() > 10
    assert torch.allclose(places @ rigid_flow(rig, turn, shift), back, atol=1e-3)


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
