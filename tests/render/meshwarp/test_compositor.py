"""The mini renderer with a network of random weights: which pixels are the portrait's own, and where the others go."""

from dataclasses import replace

import pytest
import torch

from sadtalker_core.canonical_face import HEAD_TO_IMAGE, LEFT_EYE, RIGHT_EYE, load_canonical_face
from sadtalker_core.datatypes import FaceCrop, Motion
from sadtalker_core.errors import FaceNotFound, OptionError
from sadtalker_core.render.meshwarp import compositor
from sadtalker_core.render.meshwarp.compositor import render_flow_frames
from sadtalker_core.render.meshwarp.network import FlowRenderer, FlowRendererConfig
from sadtalker_core.render.preview import moved_mesh
from tests.render.heads import moving, noise_crop, rows, weights

HEAD = 90.0  #: pixels, its radius
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


def frames_of(net, crop, driving, source=None, batch_size=4):
    motion = Motion(driving, source or rows(1))
    return torch.cat(list(render_flow_frames(net, crop, motion, batch_size=batch_size)))


def test_who_does_not_move_is_the_portrait_itself(net):
    crop = noise_crop()
    assert torch.equal(frames_of(net, crop, rows(1))[0], crop.image)


@pytest.mark.parametrize("side", [256, 512])
def test_a_fine_crop_that_does_not_move_is_the_portrait_itself_too(net, side):
    crop = replace(noise_crop(side), fine=True)
    assert torch.equal(frames_of(net, crop, rows(1))[0], crop.image)


def test_a_fine_crop_beside_the_head_stays_as_it_is(net):
    crop = noise_crop()
    aside = replace(crop, fine=True, landmarks=crop.landmarks + torch.tensor([500.0, 0.0, 0.0]))
    assert torch.equal(frames_of(net, aside, rows(2, yaw=9.0, jawOpen=0.7)), crop.image.expand(2, -1, -1, -1))


def test_a_fine_crop_keeps_more_of_its_detail_and_the_same_colours(net):
    with torch.no_grad():
        for head in (net.shift, net.colours):
            head.weight.zero_()
        net.colours.bias.fill_(0.0)
    driving = rows(1, yaw=6.0)
    plain, fine = (frames_of(net, replace(noise_crop(), fine=fine), driving)[0] for fine in (False, True))
    cheeks = (slice(None), slice(120, 150), slice(90, 166))
    assert (plain[cheeks].mean((1, 2)) - fine[cheeks].mean((1, 2))).abs().max() < 0.01
    assert fine[cheeks].std() > 1.15 * plain[cheeks].std()


def test_motion_is_relative_to_the_source(net):
    crop, pose = noise_crop(), dict(yaw=14.0, pitch=-6.0, jawOpen=0.5)
    frame = frames_of(net, crop, rows(1, **pose), source=rows(1, **pose))[0]
    assert torch.equal(frame, crop.image)


def test_the_head_follows_the_translation(net):
    crop = noise_crop()
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
    crop = noise_crop()
    canonical = load_canonical_face()
    smile = rows(1, jawOpen=0.5, mouthUpperUpLeft=0.5, mouthUpperUpRight=0.5)
    points = crop.landmarks + canonical.displacements(smile.weights)[0] * torch.tensor(HEAD_TO_IMAGE) * 85.0
    crop = FaceCrop(0.6 + 0.2 * crop.image, points, crop.box, crop.mode)  # bright enough for teeth
    frame = frames_of(net, crop, rows(1, jawOpen=0.9, mouthUpperUpLeft=0.5, mouthUpperUpRight=0.5), source=smile)[0]
    x, y = points[13, :2].long().tolist()
    kept = (frame - crop.image)[:, y + 6 : y + 10, x - 6 : x + 7].abs().mean()
    below = (frame - crop.image)[:, y + 30 : y + 40, x - 6 : x + 7].abs().mean()
    assert kept < 0.03 < below


def test_no_speck_of_the_portrait_shines_through_what_is_drawn(net, monkeypatch):
    """Between lips that part there is a spot that does not move: it is within the mouth, and no pixel of the lips."""
    monkeypatch.setattr(compositor, "_NOTHING", 1 / 256)  # so large a spot that a few frames have one
    crop = noise_crop()
    with torch.no_grad():
        net.shift.weight.zero_()
        net.colours.weight.zero_()
        net.colours.bias.fill_(-9.0)  # paint nothing
    driving = rows(3, jawOpen=torch.tensor([0.4, 0.7, 1.0]), mouthUpperUpLeft=0.5, mouthUpperUpRight=0.5)
    frames = frames_of(net, crop, driving)
    own = (frames == crop.image).all(1)
    for k, mesh in enumerate(moved_mesh(crop, Motion(driving, rows(1)))):
        (x, top), bottom = mesh[13, :2].long().tolist(), int(mesh[14, 1])
        assert not own[k, top + 2 : bottom - 1, x - 15 : x + 15].any()


@pytest.mark.parametrize("fine", [False, True])
def test_pixels_away_from_the_head_are_the_portraits_own(net, fine):
    crop = replace(noise_crop(pixels_per_decimetre=50.0), fine=fine)  # the stage is then 150 pixels wide
    frame = frames_of(net, crop, rows(1, yaw=15.0, jawOpen=1.0))[0]
    changed = (frame != crop.image).any(0)
    assert changed[100:156, 100:156].float().mean() > 0.8
    outside = torch.ones_like(changed)
    outside[50:206, 50:206] = False
    assert not changed[outside].any()


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("side", [256, 512, 200])
def test_frames_have_the_size_of_the_crop_and_stay_in_range(net, side, fine):
    frames = frames_of(net, replace(noise_crop(side), fine=fine), rows(3, yaw=10.0, jawOpen=0.6), batch_size=2)
    assert frames.shape == (3, 3, side, side)
    assert frames.dtype == torch.float32
    assert frames.amin() >= 0 and frames.amax() <= 1


def before_a_wall(fine=False):
    """A head that is a disc, and noise is what is behind."""
    crop = replace(noise_crop(), fine=fine)
    line = torch.arange(crop.pic_size) + 0.5 - crop.pic_size / 2
    away = (line.square() + line.square()[:, None]).sqrt()
    return replace(crop, person=(away < HEAD).float()[None]), away


def test_a_wall_that_is_known_to_be_behind_stays_when_the_head_turns(net):
    crop, away = before_a_wall()
    above_the_chin = torch.arange(crop.pic_size)[:, None] < 150
    wall = (away > HEAD + 25) & above_the_chin
    known, unknown = (frames_of(net, c, rows(1, yaw=9.0))[0] for c in (crop, replace(crop, person=None)))
    assert (known - crop.image)[:, wall].abs().max() < 1e-5
    assert (unknown - crop.image)[:, wall].abs().max() > 0.1
    assert (known - crop.image)[:, away < HEAD / 2].abs().mean() > 0.1


def test_a_crown_close_to_the_upper_border_stays_round_when_the_head_nods(net):
    """A dark disc before a light wall, 6 pixels below the border."""
    crop, away = before_a_wall()
    person = (HEAD + 32 - away + 0.5).clamp(0, 1)
    crop = replace(crop, image=(0.9 - 0.7 * person).expand(3, -1, -1), person=person[None])
    with torch.no_grad():
        net.shift.weight.zero_()
    frames = frames_of(net, crop, rows(2, pitch=torch.tensor([0.0, 15.0])))
    dark = (frames.mean(1) < 0.5).float()
    wide = []
    for frame in dark:
        top = int(frame.any(1).float().argmax())
        wide.append(float(frame[top + 20].sum()))
    assert abs(wide[1] - wide[0]) < 0.1 * wide[0]


def test_a_person_who_does_not_move_is_the_portrait_itself_too(net):
    crop, _ = before_a_wall(fine=True)
    assert torch.equal(frames_of(net, crop, rows(1))[0], crop.image)


@pytest.mark.slow
@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_a_frame_does_not_depend_on_its_batch(net, fine, known):
    crop = before_a_wall(fine)[0] if known else replace(noise_crop(), fine=fine)
    driving = rows(5, yaw=torch.linspace(-8, 8, 5), jawOpen=torch.linspace(0, 1, 5))
    one, all_at_once = (frames_of(net, crop, driving, batch_size=n) for n in (1, 5))
    assert torch.allclose(one, all_at_once, atol=2e-3)


def test_a_nod_by_the_lower_border_does_not_depend_on_how_the_others_nod(net):
    """Where the image ends below, less moves; what draws the lips once moved it all, as far down as any mouth went."""
    crop = noise_crop()
    low = replace(crop, landmarks=crop.landmarks + torch.tensor([0.0, 45.0, 0.0]))
    one, both = (frames_of(net, low, rows(2, pitch=torch.tensor([-15.0, 15.0])), batch_size=n) for n in (1, 2))
    assert torch.allclose(one, both, atol=2e-3)


def test_the_same_clip_twice_is_the_same(net):
    crop, driving = noise_crop(), rows(2, jawOpen=0.4, yaw=4.0)
    assert torch.equal(frames_of(net, crop, driving), frames_of(net, crop, driving))


def test_a_slow_motion_changes_the_frame_slowly(net):
    crop = noise_crop()
    driving = rows(9, jawOpen=torch.linspace(0.0, 0.08, 9))
    steps = (frames_of(net, crop, driving).diff(dim=0)).abs().mean((1, 2, 3))
    assert steps.amax() < 4 * steps.mean()


def test_progress_counts_frames(net):
    seen = []
    motion = Motion(rows(5, jawOpen=0.2), rows(1))
    for _ in render_flow_frames(net, noise_crop(), motion, batch_size=2, on_progress=lambda *a: seen.append(a)):
        pass
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_half_precision_is_close_to_single(net):
    crop, driving = noise_crop(), rows(1, jawOpen=0.5, yaw=6.0)
    single = frames_of(net, crop, driving)
    half = frames_of(net.to(torch.bfloat16), crop, driving)
    assert half.dtype == torch.float32
    assert (single - half).abs().mean() < 0.02


def test_sixty_eight_points_are_refused(net):
    crop = noise_crop()
    crop = FaceCrop(crop.image, torch.zeros(68, 2), crop.box, crop.mode)
    with pytest.raises(FaceNotFound, match="468"):
        next(render_flow_frames(net, crop, Motion(rows(1), rows(1))))


def test_a_batch_of_nothing_is_refused(net):
    with pytest.raises(OptionError, match="batch_size"):
        next(render_flow_frames(net, noise_crop(), Motion(rows(1), rows(1)), batch_size=0))


def test_a_gaze_that_cannot_be_shown_does_not_move_the_lids(net):
    """Without irises the units that look do nothing, not even to the lids."""
    crop = noise_crop()
    looks = moving(torch.cat([weights(eyeLookDown=0.8), weights(eyeLookOutLeft=0.5)]))
    assert torch.equal(frames_of(net, crop, looks), crop.image.expand(2, -1, -1, -1))


def test_an_iris_that_was_found_looks_about(net):
    crop = noise_crop()
    eyes = [crop.landmarks[list(ring), :2].mean(0) for ring in (LEFT_EYE, RIGHT_EYE)]
    crop = replace(crop, irises=torch.stack([torch.cat([eye, torch.tensor([5.0])]) for eye in eyes]))
    frames = frames_of(net, crop, moving(torch.cat([weights(), weights(eyeLookOutLeft=0.5)])))
    assert torch.equal(frames[0], crop.image)
    change = (frames[1] - crop.image).abs().amax(0)
    x, y = eyes[0].long().tolist()
    assert change[y - 3 : y + 4, x - 3 : x + 4].max() > 0.1


def test_a_mouth_that_is_covered_stays_as_it_is(net):
    """Nothing opens, and nothing is painted, in what lies over the lips; the head still turns."""
    crop = replace(noise_crop(), mouth_covered=True)
    open_mouths = moving(torch.cat([weights(jawOpen=0.8), weights(mouthPucker=0.8)]))
    assert torch.equal(frames_of(net, crop, open_mouths), crop.image.expand(2, -1, -1, -1))
    assert not torch.equal(frames_of(net, crop, moving(weights(), yaw=10.0))[0], crop.image)


def test_glasses_hold_the_brows(net):
    """A light image with noise: where a bar lies across the nose, less of the noise around a brow moves."""
    moved = []
    for bar in (0.0, 0.6):
        crop = noise_crop()
        image = 0.7 + 0.05 * crop.image
        x, y = crop.landmarks[6, :2].long().tolist()
        image[:, y - 1 : y + 2, x - 12 : x + 12] -= bar
        frame = frames_of(net, replace(crop, image=image), moving(weights(browInnerUp=0.3)))[0]
        x, y = crop.landmarks[105, :2].long().tolist()
        moved.append(float((frame - image)[:, y - 6 : y + 6, x - 6 : x + 6].abs().mean()))
    assert 0 < moved[1] < 0.8 * moved[0]
