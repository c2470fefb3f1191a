"""What is drawn behind the lips: where, in which light, and not over teeth that the portrait has of its own."""

import pytest
import torch

from sadtalker_core.canonical_face import HEAD_TO_PICTURE, load_canonical_face
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import BlendshapeMotion
from sadtalker_core.render.meshwarp.posed_rig import PosedRig
from sadtalker_core.render.mouth.interior import _LOWER, _UPPER, Mouth, light_of, teeth, tongue

SIDE, DENSITY = 256, 85.0


def rows(n=1, **units):
    offsets = torch.zeros(n, 64)
    for name, amount in units.items():
        offsets[:, BLENDSHAPE_INDEX[name]] = torch.as_tensor(amount)
    zeros = torch.zeros(n)
    return BlendshapeMotion(zeros, zeros, zeros, torch.zeros(n, 3), offsets)


def head(source=None):
    """The template in the middle of the crop, with the face of `source`."""
    source = source or rows()
    points = (
        load_canonical_face().mean
        + load_canonical_face().displacements(source.weights)[0]
        - torch.tensor([0.0, 7.08, 0.6])
    )
    points = points * torch.tensor(HEAD_TO_PICTURE) * DENSITY + torch.tensor([SIDE / 2, SIDE / 2, 0.0])
    return PosedRig(points, SIDE, source)


def filled(placed, driving, grey=0.5):
    """-> frames (B, 3, 256, 256) of a grey portrait whose mouth is filled, and the mesh on them."""
    image = torch.full((1, 3, SIDE, SIDE), grey)
    flow = placed.rig.flow(driving.weights, *placed.pose(driving))
    return Mouth(image, placed).fill(image.expand(len(driving), -1, -1, -1), flow), placed.on_crop(flow.mesh)


def test_a_closed_mouth_is_left_alone():
    frames, _ = filled(head(), rows(3, browInnerUp=torch.tensor([0.0, 0.5, 1.0])))
    assert (frames - 0.5).abs().amax() < 0.02


def test_an_open_mouth_is_filled_between_the_lips_and_nowhere_else():
    frames, mesh = filled(head(), rows(jawOpen=0.7))
    changed = ((frames - 0.5).abs().amax(1) > 0.02)[0].nonzero().float() + 0.5
    upper, lower = mesh[0, 13], mesh[0, 14]
    left, right = mesh[0, 78, 0], mesh[0, 308, 0]
    assert upper[1] - 2 < changed[:, 0].min() and changed[:, 0].max() < lower[1] + 2
    assert left - 2 < changed[:, 1].min() and changed[:, 1].max() < right + 2
    assert len(changed) > 0.4 * (lower[1] - upper[1]) * (right - left)


def test_teeth_hang_under_the_upper_lip_and_it_is_dark_below_them():
    frames, mesh = filled(head(), rows(jawOpen=0.9))
    x, top, bottom = mesh[0, 13, 0].long(), mesh[0, 13, 1], mesh[0, 14, 1]
    column = frames[0, :, :, x - 3 : x + 4].mean((0, 2))
    bright = column[int(top + 0.2 * (bottom - top))]
    dark = column[int(top + 0.55 * (bottom - top))]
    assert bright > 1.3 * dark  # over a flat grey, which both are drawn towards


def test_the_mouth_of_a_portrait_in_the_dark_is_dark():
    day, night = (filled(head(), rows(jawOpen=0.8), grey)[0] for grey in (0.6, 0.15))
    inside = (day - 0.6).abs().amax(1, keepdim=True) > 0.05
    assert (night * inside).sum() < 0.5 * (day * inside).sum()


def test_light_is_never_below_that_of_the_cheeks():
    image = torch.full((1, 3, SIDE, SIDE), 0.6)
    assert (light_of(image, head()) > 0.6).all()


def test_teeth_turn_with_the_head():
    placed = head()
    driving = rows(2, jawOpen=0.8)
    driving.yaw[1] = 15.0  # to the left of the picture
    still, turned = placed.rig.flow(driving.weights, *placed.pose(driving)).mouth_anchors.anchors[:, 0]
    assert turned[0] < still[0] - 3


def test_the_jaw_takes_the_lower_teeth_along_and_not_the_upper():
    placed = head()
    driving = rows(2, jawOpen=torch.tensor([0.0, 0.8]))
    eye_closure, opened = placed.rig.flow(driving.weights, *placed.pose(driving)).mouth_anchors.anchors
    assert (opened[0] - eye_closure[0]).abs().amax() < 1e-3
    assert opened[1, 1] > eye_closure[1, 1] + 5


def test_nothing_is_drawn_before_a_smile_opens_further():
    smile = rows(jawOpen=0.3, mouthUpperUpLeft=0.6, mouthUpperUpRight=0.6)
    same, _ = filled(head(smile), smile)
    assert (same - 0.5).abs().amax() < 0.02


@pytest.mark.parametrize("side_teeth", [_UPPER, _LOWER])
def test_a_row_of_teeth_is_symmetric_and_has_its_edge_at_zero(side_teeth):
    drawing = teeth(100.0, side_teeth)
    assert torch.allclose(drawing, drawing.flip(2), atol=1e-3)
    cover = drawing[3, :, drawing.shape[2] // 2 + 2]
    edge = int((cover > 0.5).nonzero().max())
    assert abs(edge - drawing.shape[1] / 2) <= 2


def test_teeth_are_parted_by_dark_lines():
    row = teeth(200.0, _UPPER)[:3, 30].mean(0)
    middle = len(row) // 2
    assert row[middle] < 0.85 * row[middle + 8]


def test_drawings_have_as_many_pixels_as_they_are_asked_for():
    assert teeth(100.0, _UPPER).shape == tongue(100.0).shape == (4, 40, 72)
    assert teeth(50.0, _UPPER).shape == (4, 20, 36)
