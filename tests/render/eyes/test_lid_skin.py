"""Lids that come down are skin: what was dark around the open eye is not drawn out over them."""

import pytest
import torch
import torch.nn.functional as F

from sadtalker_core.canonical_face import LEFT_EYE, RIGHT_EYE
from sadtalker_core.render.eyes.lid_skin import LidSkin
from sadtalker_core.render.meshwarp.edge_curves import below_edge, edge_curve, line_coordinates
from sadtalker_core.render.meshwarp.flow_maps import mesh_flow
from tests.render.heads import DENSITY, SIDE, posed_head, weights

SKIN, EYE, LINER = 0.6, 0.95, 0.05
_Y, _X = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
PIXELS = torch.stack([_X, _Y], dim=-1)
UPPER = (LEFT_EYE[8::-1], RIGHT_EYE[:9])
LOWER = ((*LEFT_EYE[8:], LEFT_EYE[0]), (RIGHT_EYE[0], *RIGHT_EYE[:7:-1]))


def over(points):
    """(S, S) decimetres above the edge of a lid (9, 2), and where along it, 0..1."""
    u, v = line_coordinates(PIXELS[None], points[None])
    return (below_edge(edge_curve(points[None]), u) - v)[0] / DENSITY, u[0]


def portrait(liner=0.0):
    """(1, 3, S, S) skin with two white eyes and black make-up so many decimetres above them; its head."""
    placed = posed_head()
    image = torch.full((SIDE, SIDE), SKIN)
    for upper, lower in zip(UPPER, LOWER, strict=True):
        (above, u), (below, _) = (over(placed.on_crop(placed.rig.source[list(e)])) for e in (upper, lower))
        within = (u > 0) & (u < 1)
        image[within & (above < 0) & (below > 0)] = EYE
        image[within & (above >= 0) & (above < liner)] = LINER
    return image.expand(1, 3, -1, -1), placed


def shown(image, placed, faces):
    """-> frames as the mesh alone moves them (B, 3, S, S), their movement in halves of the side, and the flow."""
    still = torch.eye(3).expand(len(faces), 3, 3), torch.zeros(len(faces), 2)
    flow = mesh_flow(placed.rig, faces, *still)
    on_stage = placed.on_stage(PIXELS) * (2 / 160) - 1
    moved = F.grid_sample(
        flow.displacement, on_stage.expand(len(faces), -1, -1, -1), padding_mode="border", align_corners=False
    )
    moved = moved * (placed.zoom * 2 / SIDE)
    grid = PIXELS * (2 / SIDE) - 1 + moved.permute(0, 2, 3, 1)
    return F.grid_sample(image.expand(len(faces), -1, -1, -1), grid, align_corners=False), moved, flow


def lids(shown, placed, flow):
    """(n,) brightness of the lids in the middle of the eyes, from .02 to .06 decimetres above their edge."""
    seen = []
    for edge in UPPER:
        above, u = over(placed.on_crop(flow.mesh[0, list(edge)]))
        seen.append(shown[0].mean(0)[(above > 0.02) & (above < 0.06) & (u > 0.3) & (u < 0.7)])
    return torch.cat(seen)


def test_eyes_that_stay_open_are_left_alone():
    image, placed = portrait(0.04)
    frames, moved, flow = shown(image, placed, weights(jawOpen=0.5))
    assert torch.equal(LidSkin(image, placed).draw(frames.clone(), moved, flow), frames)


def test_make_up_of_the_open_eye_is_not_drawn_out():
    """The mesh alone makes half of the lid black."""
    image, placed = portrait(0.045)
    frames, moved, flow = shown(image, placed, weights(eyeBlink=1.0))
    before = lids(frames, placed, flow)
    after = lids(LidSkin(image, placed).draw(frames.clone(), moved, flow), placed, flow)
    assert before.mean() < 0.75 * SKIN
    assert after.mean() > 0.85 * SKIN and (after - SKIN).abs().max() < 0.5 * (before - SKIN).abs().max()


def test_lashes_that_point_up_are_not_left_standing_on_a_lid_that_comes_down():
    image, placed = portrait()
    image = image.clone()
    for upper in UPPER:
        above, u = over(placed.on_crop(placed.rig.source[list(upper)]))
        image[:, :, (above > -0.005) & (above < 0.06) & ((u * 14) % 1 < 0.15) & (u > 0.2) & (u < 0.8)] = LINER
    frames, moved, flow = shown(image, placed, weights(eyeBlink=1.0))
    before = lids(frames, placed, flow)
    after = lids(LidSkin(image, placed).draw(frames.clone(), moved, flow), placed, flow)
    assert (before < 0.8 * SKIN).float().mean() > 0.1
    assert (after < 0.8 * SKIN).float().mean() < 0.2 * (before < 0.8 * SKIN).float().mean()


def test_lids_of_clean_skin_stay_as_they_are():
    image, placed = portrait()
    frames, moved, flow = shown(image, placed, weights(eyeBlink=1.0))
    change = lids(LidSkin(image, placed).draw(frames.clone(), moved, flow), placed, flow) - lids(frames, placed, flow)
    assert change.abs().max() < 0.02


def test_a_shut_eye_shows_no_rim_of_itself():
    """Where the mesh has the lower lid a little too high, white is left below the line; not so when half shut."""
    image, placed = portrait()
    low = torch.roll(image, 2, dims=2)
    for amount, least in ((1.0, 0.5), (0.5, -0.05)):
        frames, moved, flow = shown(low, placed, weights(eyeBlink=amount))
        drawn = LidSkin(low, placed).draw(frames.clone(), moved, flow)
        white = [(shown[0, 0] > 0.8).sum().item() for shown in (frames, drawn)]
        assert white[0] > 20
        assert (1 - white[1] / white[0] > least) == (amount == 1.0) or white[1] == white[0]


def test_only_the_eye_that_closes_changes():
    image, placed = portrait(0.045)
    frames, moved, flow = shown(image, placed, weights(eyeBlinkLeft=1.0))
    change = (LidSkin(image, placed).draw(frames.clone(), moved, flow) - frames).abs().amax((0, 1))
    assert change[:, SIDE // 2 :].max() > 0.2 and change[:, : SIDE // 2].max() == 0
    x, y = placed.on_crop(placed.rig.source[list(LEFT_EYE)]).mean(0).long().tolist()
    assert change[: y - 30].max() == 0 and change[y + 20 :].max() == 0


@pytest.mark.parametrize("k", range(3))
def test_a_frame_does_not_depend_on_those_beside_it(k):
    image, placed = portrait(0.045)
    faces = torch.cat([weights(eyeBlink=0.3), weights(eyeBlink=1.0), weights(eyeBlinkLeft=0.6)])
    frames, moved, flow = shown(image, placed, faces)
    together = LidSkin(image, placed).draw(frames.clone(), moved, flow)[k]
    alone = LidSkin(image, placed).draw(*shown(image, placed, faces[k : k + 1]))[0]
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-4)
