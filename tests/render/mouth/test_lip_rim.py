"""The rim of the lips: of their own colour, softer in the corners, and never as bright as a tooth that shines in."""

import torch

from sadtalker_core.canonical_face import INNER_LIPS
from sadtalker_core.render.meshwarp.flow_maps import mesh_flow
from sadtalker_core.render.mouth.lip_rim import LipRim
from sadtalker_core.render.mouth.opening import opening
from tests.render.heads import DENSITY, SIDE, posed_head, rows


def rim_of(frame, portrait):
    """frame and portrait (1, 3, 256, 256) -> colour and visibility of the rim of a wide open mouth, and its lips."""
    head, driving = posed_head(), rows(jawOpen=0.8)
    lips = head.on_crop(mesh_flow(head.rig, driving.weights, *head.pose(driving)).mesh[:, list(INNER_LIPS)])
    grid = torch.arange(SIDE) + 0.5
    places = torch.stack(torch.meshgrid(grid, grid, indexing="ij")[::-1], dim=-1)
    colour, shown = LipRim(portrait, head)(frame, places, lips, opening(lips, places[None]))
    return colour[0], shown[0, 0], lips[0].round().long()


def test_each_rim_has_the_colour_of_its_lip():
    grey = torch.full((1, 3, SIDE, SIDE), 0.5)
    frame = grey.clone()
    _, _, lips = rim_of(grey, grey)
    x, top, bottom = int(lips[5, 0]), int(lips[5, 1]), int(lips[15, 1])
    frame[:, 2, : (top + bottom) // 2] = 0.3
    frame[:, 0, (top + bottom) // 2 :] = 0.3
    colour, shown, _ = rim_of(frame, grey)
    assert colour[0, top, x] > 1.3 * colour[2, top, x]
    assert colour[2, bottom - 1, x] > 1.3 * colour[0, bottom - 1, x]
    assert shown[top, x] > 0.5 and shown[bottom - 1, x] > 0.5
    assert shown[(top + bottom) // 2, x] < 0.01


def test_the_rim_reaches_further_in_the_corners():
    grey = torch.full((1, 3, SIDE, SIDE), 0.5)
    _, shown, lips = rim_of(grey, grey)
    (left, right), (top, bottom) = lips[[0, 10], 0].tolist(), lips[[5, 15], 1].tolist()
    inside = shown[top:bottom]
    share = [(inside[:, int(x)] > 0.5).sum() for x in (left + 0.05 * DENSITY, (left + right) / 2)]
    assert share[0] > 2 * share[1]


def test_teeth_that_shine_into_a_lip_do_not_light_its_rim_nor_does_ink_blacken_it():
    grey = torch.full((1, 3, SIDE, SIDE), 0.4)
    levels = [rim_of(torch.full_like(grey, level), grey)[0][0].amax() for level in (0.02, 0.4, 0.95)]
    assert levels[0] > 0.65 * levels[1] and levels[2] < 1.25 * levels[1]
