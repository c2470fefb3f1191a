"""Drawings in flat colours get flat mouths with a line of ink; photographs, however smooth, do not."""

import pytest
import torch
import torch.nn.functional as F

from sadtalker_core.canonical_face import INNER_LIPS
from sadtalker_core.render.meshwarp.flow_maps import mesh_flow
from sadtalker_core.render.mouth.flat import FlatMouth, is_flat
from sadtalker_core.render.mouth.interior import Mouth
from tests.face.images import astronaut
from tests.render.heads import SIDE, posed_head, rows

SKIN, INK = (0.95, 0.8, 0.68), 0.1
_Y, _X = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")


def drawing(placed, ink=INK):
    """(1, 3, S, S) skin of one colour, with a line between the lips."""
    image = torch.tensor(SKIN)[None, :, None, None].repeat(1, 1, SIDE, SIDE)
    for x, y in placed.on_crop(placed.rig.source[list(INNER_LIPS)]).round().int().tolist():
        image[:, :, y - 1 : y + 2, x - 4 : x + 5] = ink
    return image


def noise():
    return torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def colours_inside(mouth, placed, image, jaw=0.9):
    """How many colours of 32 levels each cover a hundredth of the opening or more."""
    driving = rows(jawOpen=jaw)
    flow = mesh_flow(placed.rig, driving.weights, *placed.pose(driving))
    frames = image.clone()
    window, untouched = mouth(image, placed).fill(frames, flow)
    inside = (frames[window][0].permute(1, 2, 0)[~untouched[0, 0]] * 31).round().long()
    counts = inside.unique(dim=0, return_counts=True)[1]
    return int((counts > 0.01 * counts.sum()).sum()), frames[window][0], ~untouched[0, 0]


def test_a_drawing_without_shades_is_flat_and_so_are_inked_areas_of_few_colours():
    placed = posed_head()
    hatched = torch.where(((_X + _Y) % 5 < 2)[None, None], INK, drawing(placed))
    assert is_flat(drawing(placed), placed) and is_flat(hatched, placed)


@pytest.mark.parametrize("shade", ["noise", "gradient", "blocks", "dark"])
def test_what_a_camera_sees_is_not(shade):
    placed = posed_head()
    image = drawing(placed)
    blocks = (noise()[..., ::8, ::8] * 0.02).repeat_interleave(8, -1).repeat_interleave(8, -2)
    image = {
        "noise": image + 0.01 * noise(),
        "gradient": image * (0.6 + 0.4 * _X / SIDE),
        "blocks": image + blocks,
        "dark": (image * 0.1 * 255).round() / 255,
    }[shade]
    assert not is_flat(image.clamp(0, 1), placed)


@pytest.mark.parametrize("gain", [1.3, 1.4, 1.6, 1.8, 2.0])
def test_a_photograph_with_too_much_light_is_not(gain):
    """Though most of its skin is white."""
    placed, face = posed_head(), astronaut()[15:219, 125:329].permute(2, 0, 1)[None]
    image = F.interpolate(face, (SIDE, SIDE), mode="bilinear")
    assert not is_flat(((image * gain).clamp(0, 1) * 255).round() / 255, placed)


def test_ink_on_white_paper_is_flat():
    placed = posed_head()
    white = drawing(placed).fill_(1.0)
    hatched = torch.where(((_X + _Y) % 5 < 2)[None, None], INK, white)
    outline = torch.where(((_X - SIDE // 2).abs() % 40 < 3)[None, None], INK, white)
    assert all(is_flat(image, placed) for image in (white, hatched, outline))


def test_a_cartoon_with_one_colour_at_its_limit_is_flat():
    placed = posed_head()
    yellow = drawing(placed)
    yellow[:, 0] = 1.0
    assert is_flat(yellow, placed)


def test_a_flat_mouth_has_few_colours_and_no_shade():
    placed = posed_head()
    image = drawing(placed)
    flat, shaded = (colours_inside(mouth, placed, image)[0] for mouth in (FlatMouth, Mouth))
    assert flat < 0.5 * shaded


def test_the_opening_is_lined_with_the_ink_of_the_portraits_mouth():
    placed = posed_head()
    dark = []
    for ink in (INK, SKIN[2]):
        _, frame, inside = colours_inside(FlatMouth, placed, drawing(placed, ink))
        dark.append(float(((frame - INK).abs().amax(0) < 0.04)[inside].float().mean()))
    assert dark[0] > 0.08 and dark[1] < 0.02
