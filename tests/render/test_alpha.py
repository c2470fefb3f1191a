"""Alpha moves as the pixels do, in both families: laid on its own background, a cut-out is the opaque video again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sadtalker_core.datatypes import FaceCrop, KeypointMotion, Motion
from sadtalker_core.render.facevid2vid.alpha import move_alpha
from sadtalker_core.render.facevid2vid.animate import render_frames
from sadtalker_core.render.facevid2vid.dense_motion import MIN_MASK, MotionField
from sadtalker_core.render.facevid2vid.fast import accelerate
from sadtalker_core.render.facevid2vid.generator import Generator
from sadtalker_core.render.meshwarp.compositor import render_flow_frames
from sadtalker_core.render.meshwarp.network import FlowRenderer, FlowRendererConfig
from tests.render import tiny
from tests.render.heads import noise_crop, rows

BACKGROUND = torch.tensor([0.2, 0.5, 0.8])[:, None, None]


def an_oval(side: int, wide: float, high: float, below: float = 0.0) -> Tensor:
    """(1, side, side) with an edge of a pixel."""
    y, x = torch.meshgrid(*[torch.arange(side) + 0.5] * 2, indexing="ij")
    far = ((x - side / 2) / wide).hypot((y - side / 2 - below) / high)
    return ((1 - far) * min(wide, high) + 0.5).clamp(0, 1)[None]


def cut_out(crop: FaceCrop, alpha: Tensor) -> FaceCrop:
    """The crop's head on a plain background, with the alpha that says where it is."""
    return replace(crop, image=alpha * crop.image + (1 - alpha) * BACKGROUND, alpha=alpha)


def worst_beside_the_rim(frames: Tensor) -> float:
    """frames (T, 4, S, S) -> by how many levels they, laid on the background, are not their own colours, two pixels and
    more away from what is neither opaque nor transparent.
    """
    colours, alpha = frames[:, :3], frames[:, 3:]
    laid = torch.lerp(BACKGROUND.expand_as(colours), colours, alpha)
    rim = F.max_pool2d(((alpha > 1 / 512) & (alpha < 511 / 512)).float(), 5, 1, 2) > 0
    assert 0.005 < rim.float().mean() < 0.35 and (alpha == 0).any() and (alpha == 1).any()
    return float(((laid - colours).abs() * ~rim).max() * 255)


# ----------------------------------------------------------------------------------------------------------------- mini


@pytest.fixture
def net():
    """Not trained, and eager to move and to paint."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = FlowRenderer(FlowRendererConfig(encoder=(4, 4, 4), widths=(8, 8, 8, 8)))
        with torch.no_grad():
            net.colours.bias.fill_(1.0)
            net.shift.weight.normal_(0, 0.1)
    return net.eval()


def mini_frames(net, crop, driving):
    return torch.cat(list(render_flow_frames(net, crop, Motion(driving, rows(1)))))


SPEAKING = rows(3, yaw=torch.tensor([-14.0, 3.0, 14.0]), pitch=torch.tensor([4.0, 0.0, -5.0]), jawOpen=0.5)


@pytest.mark.parametrize("fine", [False, True])
def test_a_cut_out_on_its_own_background_is_the_opaque_video(net, fine):
    crop = replace(cut_out(noise_crop(), an_oval(256, 84, 112)), fine=fine)
    assert worst_beside_the_rim(mini_frames(net, crop, SPEAKING)) <= 1


@pytest.mark.parametrize("fine", [False, True])
def test_so_is_a_cut_out_person_in_front_of_what_stays(net, fine):
    crop = cut_out(noise_crop(), an_oval(256, 84, 112))
    crop = replace(crop, fine=fine, person=crop.alpha, cut_out=True)
    assert worst_beside_the_rim(mini_frames(net, crop, SPEAKING)) <= 1


@pytest.mark.parametrize("fine", [False, True])
def test_alpha_does_not_affect_the_colours(net, fine):
    crop = replace(cut_out(noise_crop(), an_oval(256, 84, 112)), fine=fine)
    with_alpha, without = (mini_frames(net, replace(crop, alpha=a), SPEAKING) for a in (crop.alpha, None))
    assert without.shape[1] == 3 and torch.equal(with_alpha[:, :3], without)


def test_who_does_not_move_keeps_every_hair_of_its_edge(net):
    crop = cut_out(noise_crop(), an_oval(256, 84, 112))
    assert torch.equal(mini_frames(net, crop, rows(1))[0, 3:], crop.alpha)


def test_the_edge_moves_with_the_head(net):
    crop, driving = cut_out(noise_crop(), an_oval(256, 84, 112)), rows(1)
    driving.translation[0, 0] = 10 / 128  # to the right
    still, moved = (frame[0, 3, 128] for frame in (mini_frames(net, crop, rows(1)), mini_frames(net, crop, driving)))
    assert moved[:128].sum() < still[:128].sum() - 3 and moved[128:].sum() > still[128:].sum() + 3


# ------------------------------------------------------------------------------------------------------------- released

SIDE = 128


class Faithful(Generator):
    """In place of a decoder's: each frame painted from the portrait, by every layer of the volume for itself, in the
    convention that the features are laid out in.
    """

    portrait: Tensor

    def decode(self, source, motion: MotionField) -> Tensor:
        known = torch.where(motion.mask < MIN_MASK, 0.0, motion.mask).sum(dim=1)[..., None]
        places = (motion.deformation / known)[..., :2]
        depth, n = places.shape[1], places.shape[2]
        painted = 0.0
        for layer in places.unbind(dim=1):
            voxels = (layer + 1) / 2 * (n - 1)
            corner = (voxels + 0.5) * (SIDE / n)  # pixels, from the corner of the image
            fine = F.interpolate(corner.permute(0, 3, 1, 2), (SIDE, SIDE), mode="bilinear", align_corners=False)
            # what interpolation holds still beyond the outermost centres goes on here as it would inside
            own = F.interpolate(_centres(n, SIDE / n), (SIDE, SIDE), mode="bilinear", align_corners=False)
            grid = (fine - own + _centres(SIDE, 1.0)).permute(0, 2, 3, 1) * (2 / SIDE) - 1
            image = self.portrait.expand(len(grid), -1, -1, -1)
            painted = painted + F.grid_sample(image, grid, padding_mode="border", align_corners=False) / depth
        return painted


def _centres(n: int, wide: float) -> Tensor:
    """(1, 2, n, n) x and y of the centres of cells so wide."""
    y, x = torch.meshgrid(*[(torch.arange(n) + 0.5) * wide] * 2, indexing="ij")
    return torch.stack([x, y])[None]


def a_turn(n_frames: int) -> Motion[KeypointMotion]:
    """Every key point goes from one side of where it was to the other."""
    n_offsets = 3 * tiny.N_KEYPOINTS
    still = KeypointMotion(*torch.zeros(3, n_frames), torch.zeros(n_frames, 3), torch.zeros(n_frames, n_offsets))
    offsets = torch.linspace(-0.1, 0.1, n_frames)[:, None].expand(-1, n_offsets)
    return Motion(replace(still, offsets=offsets), still[:1])


def released_frames(net, crop, motion):
    return torch.cat(list(render_frames(tiny.keypoint_detector(), net, crop, motion)))


def test_the_same_holds_where_features_are_moved():
    crop = replace(tiny.crop(SIDE), image=tiny.uniform(3, SIDE, SIDE, seed=5))
    crop = cut_out(crop, an_oval(SIDE, 40, 50))
    net = Faithful(tiny.GENERATOR).eval()
    net.load_state_dict(tiny.generator().state_dict())
    net.portrait = crop.image[None]
    frames = released_frames(net, crop, a_turn(3))
    assert (frames[0, :3] - frames[2, :3]).abs().mean() > 0.01  # it does move
    assert worst_beside_the_rim(frames) <= 1


@pytest.mark.parametrize("make", [tiny.generator, lambda: accelerate(tiny.generator())])
def test_released_alpha_does_not_affect_the_colours_and_rests_with_the_key_points(make):
    crop = cut_out(tiny.crop(), an_oval(tiny.SIDE, 9, 12))
    driving = tiny.keypoint_motion(2)
    motion = Motion(driving, driving[:1])  # the first frame is the source's own pose
    with_alpha, without = (released_frames(make(), replace(crop, alpha=a), motion) for a in (crop.alpha, None))
    assert without.shape[1] == 3 and torch.equal(with_alpha[:, :3], without)
    assert (with_alpha[0, 3:] - crop.alpha).abs().max() < 1e-4


def test_a_volume_that_is_shifted_shifts_the_alpha_as_far():
    n, alpha = 8, an_oval(32, 9, 12)
    line = torch.arange(n) * (2 / (n - 1)) - 1
    z, y, x = torch.meshgrid(torch.linspace(-1, 1, 4), line, line, indexing="ij")
    places = torch.stack([x + 2 / (n - 1), y, z], dim=-1)[None]  # a voxel to the right, four pixels
    mask = torch.ones(1, 1, 4, n, n)
    moved = move_alpha(alpha, MotionField(0.9 * places, 0.9 * mask, mask[:, :, 0]))  # small masks have fallen away
    assert (moved[0, :, :, :-4] - alpha[:, :, 4:]).abs().max() < 1e-4
