"""Teeth that a portrait shows: found by their colour, kept with the skull or the jaw, and joined by the drawn ones."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from sadtalker_core.canonical_face import INNER_LIPS
from sadtalker_core.render.meshwarp.flow_maps import mesh_flow
from sadtalker_core.render.meshwarp.mouth_anchors import LOWER_TEETH, UPPER_TEETH
from sadtalker_core.render.mouth.interior import Mouth
from sadtalker_core.render.mouth.opening import opening
from sadtalker_core.render.mouth.own_teeth import OwnTeeth, _shade_above
from tests.render.heads import (
    GRIN,
    SIDE,
    TALKING,
    A,
    M,
    moving,
    portrait_head,
    portrait_points,
    posed_head,
    row,
    transition,
)

SKIN, WHITE = 0.4, torch.full((3,), 0.95)


def portrait_of(portrait, top: float, bottom: float):
    """A grey face whose mouth is dark, but white from `top` to `bottom` of its height -> its crop and its head."""
    head = portrait_head(portrait)
    lips = portrait_points(portrait)[list(INNER_LIPS), :2]
    drawn = Image.new("L", (SIDE, SIDE), 0)
    ImageDraw.Draw(drawn).polygon([tuple(p) for p in lips.tolist()], fill=255)
    inside = torch.from_numpy(np.array(drawn)) > 0
    grid = torch.arange(SIDE) + 0.5
    places = torch.stack(torch.meshgrid(grid, grid, indexing="ij")[::-1], dim=-1)
    gap = opening(lips[None], places[None])
    share = (gap.above / gap.height.clamp_min(1.0))[0, 0]
    image = torch.full((SIDE, SIDE), SKIN)
    image[inside] = 0.05
    image[inside & (share >= top) & (share <= bottom)] = 0.95
    return image.expand(1, 3, -1, -1).contiguous(), head


def filled(image, head, frames, flow):
    """The frames, on which the mouths are filled."""
    Mouth(image, head).fill(frames, flow)
    return frames


def flow_of(head, rows):
    driving = moving(rows)
    return mesh_flow(head.rig, driving.weights, *head.pose(driving))


@pytest.mark.parametrize("top, bottom, kept", [(0.0, 0.5, UPPER_TEETH), (0.55, 1.0, LOWER_TEETH), (2.0, 3.0, None)])
def test_the_row_that_a_portrait_shows_is_known(top, bottom, kept):
    image, head = portrait_of(TALKING, top, bottom)
    own = OwnTeeth(image, head, WHITE)
    assert list(own.rows) == ([] if kept is None else [kept])
    if kept is not None:
        assert own.rows[kept].colour.mean() > 0.7  # that of the white, not of the dark beside it


def test_both_rows_of_an_open_mouth_are_kept_each_in_its_own_light():
    image, head = portrait_of(TALKING, 0.0, 0.3)
    lower, _ = portrait_of(TALKING, 0.7, 1.0)
    own = OwnTeeth(torch.maximum(0.7 * image, lower), head, WHITE)
    assert list(own.rows) == [UPPER_TEETH, LOWER_TEETH]
    upper, below = (own.rows[row] for row in own.rows)
    assert not (upper.mask * below.mask).any()
    assert upper.colour.mean() < 0.75 * below.colour.mean()
    dim, bright = own.enamel(WHITE)
    assert dim.mean() < 0.75 * bright.mean()


@pytest.mark.parametrize("light", [0.53, 0.3])
def test_upper_teeth_beside_lower_ones_in_the_sun_are_as_dark_as_the_portrait_has_them(light):
    image, head = portrait_of(TALKING, 0.7, 1.0)
    upper, _ = portrait_of(TALKING, 0.0, 0.3)
    inside = (upper > 0.9).float()
    own = OwnTeeth(image + inside * (light * 0.95 - 0.05), head, WHITE)
    assert list(own.rows) == [LOWER_TEETH]
    drawn, lit = own.enamel(WHITE)
    assert (drawn / lit).mean() == pytest.approx(max(light, 0.58), abs=0.06)


def test_upper_teeth_in_the_shade_keep_its_hue():
    image, head = portrait_of(TALKING, 0.7, 1.0)
    upper, _ = portrait_of(TALKING, 0.0, 0.3)
    warm = torch.tensor([0.56, 0.42, 0.3]).view(3, 1, 1)
    drawn, lit = OwnTeeth(image + (upper > 0.9) * (warm - 0.05), head, WHITE).enamel(WHITE)
    assert (drawn / lit).mean() == pytest.approx(0.58, abs=0.03)
    assert (drawn / lit)[2] / (drawn / lit)[0] == pytest.approx(0.3 / 0.56, abs=0.05)


@pytest.mark.parametrize("red", [(0.25, 0.08, 0.08), (0.55, 0.15, 0.12)])
def test_upper_teeth_have_not_the_hue_of_a_red_cavity(red):
    image, head = portrait_of(TALKING, 0.7, 1.0)
    upper, _ = portrait_of(TALKING, 0.0, 0.3)
    drawn, lit = OwnTeeth(image + (upper > 0.9) * (torch.tensor(red).view(3, 1, 1) - 0.05), head, WHITE).enamel(WHITE)
    assert (drawn / lit).amin() > 0.9 * (drawn / lit).amax()


def test_upper_teeth_in_the_shade_are_in_no_colour_brighter_than_nine_tenths_of_lower_ones():
    lower, seen = torch.full((3,), 0.95), torch.tensor([0.93, 0.84, 0.75])
    assert _shade_above(seen[:, None].repeat(1, 40), lower).amax() == pytest.approx(0.9)


@pytest.mark.parametrize("yaw", [-20.0, 20.0])
@pytest.mark.parametrize("portrait", [GRIN, TALKING], ids=["grin", "talking"])
def test_a_turn_alone_draws_nothing_into_a_mouth_that_shows_teeth(portrait, yaw):
    image, head = portrait_of(portrait, 0.0, 0.9)
    driving = moving(row(portrait[0])[None], yaw=yaw)
    flow = mesh_flow(head.rig, driving.weights, *head.pose(driving))
    _, untouched = Mouth(image, head).fill(image.clone(), flow)
    assert untouched.all()


def test_own_lower_teeth_are_less_bright_once_the_mouth_is_another():
    """Though the portrait has the lower row in the sun, and the upper one half as bright. Darker than by a sixth, they
    flash where the jaw passes the portrait's opening.
    """
    image, head = portrait_of(TALKING, 0.7, 1.0)
    upper, _ = portrait_of(TALKING, 0.0, 0.3)
    image = image + (upper > 0.9).float() * (0.5 * 0.95 - 0.05)
    flow = flow_of(head, row({**TALKING[0], "jawOpen": 0.9})[None])
    frame = filled(image, head, image.clone(), flow)[0].mean(0)
    lips = head.on_crop(flow.mesh)[0]
    x, top, bottom = int(lips[13, 0]), int(lips[13, 1]), int(lips[14, 1])
    column = frame[:, x - 5 : x + 6].amax(1)
    half = (top + bottom) // 2
    assert column[half : bottom - 1].amax() < 1.7 * column[top + 1 : half].amax()


def test_teeth_go_on_behind_the_lip_that_hides_them():
    """Where the lower lip uncovers more of a row than the portrait shows, no second row appears below it."""
    image, head = portrait_of(TALKING, 0.6, 1.0)
    own = OwnTeeth(image, head, WHITE)
    shown, whole = own.rows[LOWER_TEETH].mask, own.both[LOWER_TEETH][:, 3:]
    x = int(head.on_crop(head.rig.source[14])[0])
    seen, carried = (mask[0, 0, :, x].nonzero()[:, 0] for mask in (shown > 0.5, whole > 0.5))
    assert carried.min() == seen.min() and carried.max() - seen.max() > 0.03 * head.density
    assert own.both[LOWER_TEETH][0, :3, int(carried.max()), x].mean() > 0.9


def test_a_closed_mouth_shows_none():
    assert OwnTeeth(torch.full((1, 3, SIDE, SIDE), 0.9), posed_head(), WHITE).rows == {}


def test_the_drawn_row_ends_where_the_own_one_does():
    long, short = (OwnTeeth(*portrait_of(TALKING, 0.0, bottom), WHITE).rows[UPPER_TEETH].lift for bottom in (0.6, 0.35))
    assert long < short - 0.02


def test_lower_teeth_go_with_the_jaw_and_upper_ones_do_not():
    rows = torch.stack([row(TALKING[0]), row({**TALKING[0], "jawOpen": 0.8})])
    for top, bottom, goes in ((0.0, 0.4, False), (0.6, 1.0, True)):
        image, head = portrait_of(TALKING, top, bottom)
        grid = torch.arange(SIDE) + 0.5
        places = torch.stack(torch.meshgrid(grid, grid, indexing="ij")[::-1], dim=-1)
        row_kept = LOWER_TEETH if goes else UPPER_TEETH
        _, shown = OwnTeeth(image, head, WHITE).sampled(row_kept, places, flow_of(head, rows))
        heights = (shown[:, 0] * places[..., 1]).sum((1, 2)) / shown.sum((1, 2, 3))
        assert (heights[1] - heights[0] > 3) == goes


@pytest.mark.parametrize("portrait", [GRIN, TALKING], ids=["grin", "talking"])
def test_no_frame_lacks_teeth_between_frames_that_have_them(portrait):
    """From a smile that shows teeth to the widest vowel: the upper row is there in each frame."""
    image, head = portrait_of(portrait, 0.0, 0.45)
    flow = flow_of(head, transition(portrait[0], A, {"jawOpen": 0.9}, steps=9))
    frames = filled(image, head, image.repeat(len(flow.mesh), 1, 1, 1), flow)
    lips = head.on_crop(flow.mesh)
    for frame, mesh in zip(frames, lips, strict=True):
        x, top = int(mesh[13, 0]), mesh[13, 1]
        below_the_lip = frame[:, int(top) + 1 : int(top) + 6, x - 4 : x + 5].mean((0, 2))
        assert below_the_lip.amax() > 0.45


def test_teeth_of_ones_own_are_gone_when_the_lips_meet():
    image, head = portrait_of(TALKING, 0.6, 1.0)
    flow = flow_of(head, row(M)[None])
    untouched = torch.full_like(image, SKIN)
    assert (filled(image, head, untouched, flow) - SKIN).abs().sum() < 0.02 * (image - SKIN).abs().sum()


def test_no_rim_of_teeth_stays_on_the_lower_lip():
    """Upper teeth shine into the lip below them in the portrait: what is drawn once it has left them covers that."""
    image, head = portrait_of(TALKING, 0.0, 0.9)
    flow = flow_of(head, 1.3 * row(A)[None])
    rim = torch.full_like(image, 0.95)
    mesh = head.on_crop(flow.mesh)[0]
    x, below = int(mesh[14, 0]), int(mesh[14, 1].ceil())
    assert filled(image, head, rim, flow)[0, :, below, x].mean() < 0.8


def test_lower_teeth_do_not_flash_when_the_jaw_passes_where_the_portrait_has_it():
    """Their light is the portrait's there and less elsewhere: it changes by steps, as the jaw does."""
    image, head = portrait_of(TALKING, 0.6, 1.0)
    flow = flow_of(head, transition(TALKING[0], {**TALKING[0], "jawOpen": 0.9}, steps=9))
    light = Mouth(image, head)._lit(flow).mean((1, 2, 3))
    assert light[0] == 1 and light[-1] < 0.85
    assert (light.diff() <= 0).all() and light.diff().abs().max() < 0.12
