"""A portrait that looks to the side, and turns to the viewer: its far cheek is the other one, in its own light."""

import torch

from sadtalker_core.canonical_face import rotation_of_angles
from sadtalker_core.render.meshwarp.far_cheek import FarCheek
from sadtalker_core.render.meshwarp.flow_maps import mesh_flow
from sadtalker_core.render.meshwarp.placement import STAGE
from sadtalker_core.render.meshwarp.posed_rig import PosedRig
from sadtalker_core.render.meshwarp.warp import Lookup, pixel_centres, sample
from tests.render.heads import SIDE, head_points, rows, weights

ASIDE, BACK = 0.3, 0.35  #: radians
DARKER = 0.6  #: what light falls on the far side, which is the left one in the image
FAR, NEAR, UPPER_LIDS, UPPER_LIP = (50, 187), (280, 411), (159, 386), 13  #: points of the mesh
MIDDLE = torch.tensor([SIDE / 2, SIDE / 2, 0.0])


def _points(angle: float) -> torch.Tensor:
    return (head_points() - MIDDLE) @ rotation_of_angles(torch.tensor([[0.0, angle, 0.0]]))[0].T + MIDDLE


def turned(angle: float, person=True) -> PosedRig:
    return PosedRig(_points(angle), SIDE, rows(), torch.ones(1, SIDE, SIDE) if person else None)


def portrait(head: PosedRig) -> torch.Tensor:
    """(1, 3, S, S) flat and dark on the far side of the nose, noise on the near one."""
    nose = float(head.on_crop(head.rig.source[[1]])[0, 0])
    noise = 0.6 + 0.3 * torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return torch.where(torch.arange(SIDE) < nose, 0.75 * DARKER, noise)


def cheek_of(image: torch.Tensor, head: PosedRig) -> FarCheek | None:
    grid = head.on_crop(pixel_centres(STAGE, image.device)) * (2 / SIDE) - 1
    return FarCheek.of(sample(image, grid), Lookup(image, fine=False), head)


def drawn(head: PosedRig, angle: float):
    """What is drawn onto black, and the mesh on the crop."""
    cheek = cheek_of(portrait(head), head)
    assert cheek is not None
    turn = rotation_of_angles(torch.tensor([[0.0, angle, 0.0]]))
    flow = mesh_flow(head.rig, weights(), turn, torch.zeros(1, 2))
    frames = torch.zeros(1, 3, SIDE, SIDE)
    cheek.draw(frames, turn, flow)
    return frames[0], head.on_crop(flow.mesh)[0]


def patch(frame, points, at: int, half: int = 4):
    x, y = points[at].round().long().tolist()
    return frame[:, y - half : y + half + 1, x - half : x + half + 1]


def test_the_far_cheek_has_the_detail_of_the_other_in_its_own_light():
    frame, points = drawn(turned(ASIDE), BACK)
    for spot in FAR:
        skin = patch(frame, points, spot)
        assert abs(skin.mean() - 0.75 * DARKER) < 0.05
        assert skin.std() > 0.06


def test_what_the_portrait_shows_well_stays_and_so_do_eyes_and_mouth():
    frame, points = drawn(turned(ASIDE), BACK)
    for spot in (*NEAR, *UPPER_LIDS, UPPER_LIP):
        assert not patch(frame, points, spot).any()


def test_a_head_that_turns_further_away_is_not_drawn_over():
    assert not drawn(turned(ASIDE), -BACK)[0].any()


def test_what_is_not_the_person_stays_within_the_mesh_too():
    head = turned(ASIDE)
    nobody = PosedRig(_points(ASIDE), SIDE, rows(), torch.zeros(1, SIDE, SIDE))
    assert drawn(head, BACK)[0].any() and not drawn(nobody, BACK)[0].any()


def test_who_looks_into_the_camera_or_is_not_known_needs_none():
    image = portrait(turned(ASIDE))
    assert cheek_of(image, turned(ASIDE)) is not None
    assert cheek_of(image, turned(0.02)) is None
    assert cheek_of(image, turned(ASIDE, person=False)) is None
