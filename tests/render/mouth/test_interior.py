"""What is drawn behind the lips: where, in which light, and not over teeth that the portrait has of its own."""

import torch

from sadtalker_core.canonical_face import INNER_LIPS
from sadtalker_core.render.meshwarp.flow_maps import mesh_flow
from sadtalker_core.render.mouth.interior import Mouth, without_notches
from tests.render.heads import DENSITY, SIDE, posed_head, rows


def filled(placed, driving, grey=0.5):
    """-> frames (B, 3, 256, 256) of a grey portrait whose mouth is filled, and the mesh on them."""
    image = torch.full((1, 3, SIDE, SIDE), grey)
    flow = mesh_flow(placed.rig, driving.weights, *placed.pose(driving))
    frames = image.repeat(len(driving), 1, 1, 1)
    Mouth(image, placed).fill(frames, flow)
    return frames, placed.on_crop(flow.mesh)


def test_a_closed_mouth_is_left_alone():
    frames, _ = filled(posed_head(), rows(3, browInnerUp=torch.tensor([0.0, 0.5, 1.0])))
    assert (frames - 0.5).abs().amax() < 0.02


def test_an_open_mouth_is_filled_between_the_lips_and_nowhere_else():
    frames, mesh = filled(posed_head(), rows(jawOpen=0.7))
    changed = ((frames - 0.5).abs().amax(1) > 0.02)[0].nonzero().float() + 0.5
    upper, lower = mesh[0, 13], mesh[0, 14]
    left, right = mesh[0, 78, 0], mesh[0, 308, 0]
    assert upper[1] - 2 < changed[:, 0].min() and changed[:, 0].max() < lower[1] + 2
    assert left - 2 < changed[:, 1].min() and changed[:, 1].max() < right + 2
    assert len(changed) > 0.4 * (lower[1] - upper[1]) * (right - left)


def test_where_nothing_is_drawn_is_known():
    placed, driving = posed_head(), rows(2, jawOpen=torch.tensor([0.0, 0.7]))
    image = torch.full((1, 3, SIDE, SIDE), 0.5)
    flow = mesh_flow(placed.rig, driving.weights, *placed.pose(driving))
    frames = image.repeat(2, 1, 1, 1)
    window, untouched = Mouth(image, placed).fill(frames, flow)
    drawn = ~untouched
    assert not drawn[0].any()
    assert torch.equal(drawn[1, 0], (frames[window][1] != 0.5).any(0)) and drawn[1].any()


def test_teeth_hang_under_the_upper_lip_and_it_is_dark_below_them():
    frames, mesh = filled(posed_head(), rows(jawOpen=0.9))
    x, top, bottom = mesh[0, 13, 0].long(), mesh[0, 13, 1], mesh[0, 14, 1]
    column = frames[0, :, :, x - 3 : x + 4].mean((0, 2))
    teeth = column[int(top) : int(top + 0.04 * DENSITY)].amax()
    hole, lower_row = column[int(top + 0.08 * DENSITY)], column[int(bottom - 0.06 * DENSITY) : int(bottom - 1)].amax()
    assert hole < 0.1
    assert teeth > 4 * hole and lower_row > 3 * hole


def test_the_tongue_stands_out_against_the_dark_behind_it():
    frames, mesh = filled(posed_head(), rows(jawOpen=0.9))
    x, top, bottom = mesh[0, 13, 0].long(), mesh[0, 13, 1], mesh[0, 14, 1]
    column = frames[0, 0, :, x - 8 : x + 9].amax(1)
    red = column[int(top + 0.5 * (bottom - top)) : int(bottom - 0.1 * (bottom - top))].amax()
    throat = column[int(top + 0.08 * DENSITY) : int(top + 0.5 * (bottom - top))].amin()
    assert red > 4 * throat


def test_lower_teeth_lie_in_shade():
    """Half to seven tenths as bright as the upper ones, in the middle of a wide open mouth."""
    frames, mesh = filled(posed_head(), rows(jawOpen=1.0))
    x, top, bottom = mesh[0, 13, 0].long(), int(mesh[0, 13, 1]), int(mesh[0, 14, 1])
    column = frames[0, 1, :, x - 6 : x + 7].amax(1)  # green, of which tongue and gums have little
    upper, lower = column[top : top + 12].amax(), column[bottom - 10 : bottom].amax()
    assert 0.5 < lower / upper < 0.75


def test_the_corners_of_a_wide_open_mouth_are_red_and_not_black():
    frames, mesh = filled(posed_head(), rows(jawOpen=0.9))
    left, right, middle = mesh[0, 78, 0], mesh[0, 308, 0], mesh[0, 13]
    hole = frames[0, :, int(middle[1] + 0.08 * DENSITY), int(middle[0])]
    for corner, inwards in ((left, right - left), (right, left - right)):
        x = int(corner + 0.07 * inwards)
        column = frames[0, :, :, x]
        within = (column - 0.5).abs().amax(0) > 0.1
        red, green, _ = column[:, within].amin(1)
        assert red > 1.5 * hole[0] and red > 1.4 * green


def test_it_is_red_below_the_teeth_of_a_mouth_that_is_hardly_open():
    """Where the lower lip has just left the teeth its inner side is seen, no black line."""
    frames, mesh = filled(posed_head(), rows(jawOpen=0.12, mouthLowerDownLeft=0.3, mouthLowerDownRight=0.3))
    x, top, bottom = mesh[0, 13, 0].long(), int(mesh[0, 13, 1]), int(mesh[0, 14, 1])
    red, green, blue = frames[0, :, top + 1 : bottom, x - 6 : x + 7].flatten(1)
    darkest = (red + green + blue).argmin()
    assert bottom - top > 4 and red[darkest] > 0.2
    assert red[darkest] > 1.1 * torch.maximum(green[darkest], blue[darkest])


def test_the_lower_arch_shows_from_above_in_a_wide_open_mouth():
    """Its sides then follow the lip: the row reaches further up there than in the middle."""
    frames, mesh = filled(posed_head(), rows(jawOpen=1.0))
    centre, low = mesh[0, 14].long().tolist()
    red, green, _ = frames[0, :, low - 14 : low + 1]
    bright = (green > 0.2) & (green > 0.72 * red)  # gums and tongue are redder
    middle, side = (int(bright[:, centre + x].float().argmax()) for x in (0, 9))
    assert side < middle


def test_the_mouth_of_a_portrait_in_the_dark_is_dark():
    day, night = (filled(posed_head(), rows(jawOpen=0.8), grey)[0] for grey in (0.6, 0.15))
    inside = (day - 0.6).abs().amax(1, keepdim=True) > 0.05
    assert (night * inside).sum() < 0.5 * (day * inside).sum()


def test_nothing_is_drawn_before_a_smile_opens_further():
    smile = rows(jawOpen=0.3, mouthUpperUpLeft=0.6, mouthUpperUpRight=0.6)
    same, _ = filled(posed_head(smile), smile)
    assert (same - 0.5).abs().amax() < 0.02


def test_a_wide_mouth_has_no_notch_beside_its_corners_and_others_keep_their_shape():
    head = posed_head()
    driving = rows(3, jawOpen=torch.tensor([0.0, 0.1, 1.0]))
    lips = head.on_crop(mesh_flow(head.rig, driving.weights, *head.pose(driving)).mesh[:, list(INNER_LIPS)])
    lips[:, 11] += torch.tensor([-2.0, -2.0])  # the lower lip reaches into the opening beside its left corner
    mended = without_notches(lips)
    assert torch.equal(mended[:2], lips[:2])
    start, beside, further = mended[2, [10, 11, 13]]
    (x, y), (u, v) = (beside - start).tolist(), (further - start).tolist()
    assert abs(x * v - y * u) < 1e-2


def test_an_opening_ends_softly_in_its_corners():
    """No two neighbouring pixels differ by half of what lies between lip and dark."""
    grey, dark = 0.7, 0.1
    frames, mesh = filled(posed_head(), rows(jawOpen=0.9), grey)
    for inwards in (0.03, 0.06):
        for x in (mesh[0, 78, 0] + inwards * DENSITY, mesh[0, 308, 0] - inwards * DENSITY):
            column = frames[0, :, :, int(x)].mean(0)
            assert column.min() < 0.3
            assert column.diff().abs().amax() < 0.45 * (grey - dark)
