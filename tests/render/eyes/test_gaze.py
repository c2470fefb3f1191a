"""Eyes that look elsewhere: the iris goes where it is told, the lids and all that is outside stay."""

import pytest
import torch
import torch.nn.functional as F

from sadtalker_core.canonical_face import LEFT_EYE, RIGHT_EYE
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.render.eyes.gaze import GAZE_UNITS, Gaze
from sadtalker_core.render.meshwarp.flow_maps import mesh_flow
from tests.render.heads import DENSITY, SIDE, posed_head, row, weights

RADIUS = 0.06


def portrait():
    """-> (1, 1, S, S) white with a black disc in each eye, its mesh, and where the discs are (2, 3)."""
    placed = posed_head()
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    image, irises = torch.ones(SIDE, SIDE), []
    for ring in (LEFT_EYE, RIGHT_EYE):
        lids = placed.on_crop(placed.rig.source[[ring[k] for k in (3, 4, 5, 11, 12, 13)]])
        cx, cy = lids.mean(0).tolist()
        image *= (((x - cx).square() + (y - cy).square()).sqrt() - RADIUS * DENSITY + 0.5).clamp(0, 1)
        irises.append([cx, cy, RADIUS * DENSITY])
    return image[None, None], placed, torch.tensor(irises)


def seen(image, moved):
    """The image that a frame shows, (B, S, S)."""
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    grid = (torch.stack([x, y], dim=-1) + moved.permute(0, 2, 3, 1)) * (2 / SIDE) - 1
    return F.grid_sample(image.expand(len(moved), -1, -1, -1), grid, padding_mode="border", align_corners=False)[:, 0]


def looked(faces):
    """(B, 64) weights -> the movement (B, 2, S, S) of the gaze alone, in pixels."""
    image, placed, irises = portrait()
    still = torch.eye(3).expand(len(faces), 3, 3), torch.zeros(len(faces), 2)
    flow = mesh_flow(placed.rig, faces, *still)
    return Gaze(irises, placed).look(torch.zeros(len(faces), 2, SIDE, SIDE), faces, flow) * (SIDE / 2)


def dark_places(shown, irises):
    """(2, 2) the middle of what is dark around each iris."""
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    found = []
    for cx, cy, _ in irises.tolist():
        near = (1 - shown) * (((x - cx).abs() < 15) & ((y - cy).abs() < 12))
        found.append([float((near * x).sum() / near.sum()), float((near * y).sum() / near.sum())])
    return torch.tensor(found)


@pytest.mark.parametrize(
    ("units", "across"),
    [
        ({"eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5}, 0.5 * 0.0534),
        ({"eyeLookInLeft": 0.4, "eyeLookOutRight": 0.4}, -0.4 * 0.0561),
        ({"eyeLookOutLeft": 0.1, "eyeLookInRight": 0.1}, 0.1 * 0.0534),
    ],
)
def test_irises_go_as_far_as_eyeballs_would(units, across):
    """Less what the mesh moves with the lids already, an eighth; the disc keeps its shape."""
    image, _, irises = portrait()
    shown = seen(image, looked(row(units)[None]))[0]
    came = dark_places(shown, irises) - dark_places(image[0, 0], irises)
    assert came[:, 0] == pytest.approx(across * DENSITY, rel=0.2, abs=0.1)
    assert came[:, 1].abs().max() < 0.2
    assert float((1 - shown).sum()) == pytest.approx(float((1 - image).sum()), rel=0.06)


def test_eyes_look_up_and_down():
    """Beyond what the lids take along: .0115 and .0212 decimetres at full weight, wholly in the middle."""
    _, _, irises = portrait()
    up, down = looked(torch.cat([weights(eyeLookUp=0.8), weights(eyeLookDown=0.8)]))
    for x, y, _ in irises.long().tolist():
        assert up[1, y, x] == pytest.approx(0.8 * 0.0115 * DENSITY, rel=0.2)  # seen there is what was below
        assert down[1, y, x] == pytest.approx(-0.8 * 0.0212 * DENSITY, rel=0.2)
        assert up[0, y, x].abs() < 0.1 and down[0, y, x].abs() < 0.1


def test_one_eye_can_look_aside_alone():
    moved = looked(weights(eyeLookOutLeft=0.5))[0]
    assert moved[0, :, SIDE // 2 :].abs().max() > 1.5 and not moved[:, :, : SIDE // 2].any()


def test_corners_stay_and_so_does_everything_outside():
    _, placed, _ = portrait()
    moved = looked(row({"eyeLookOutLeft": 0.4, "eyeLookInRight": 0.4})[None])[0]
    for ring in (LEFT_EYE, RIGHT_EYE):
        for corner in (ring[0], ring[8]):
            x, y = placed.on_crop(placed.rig.source[corner]).long().tolist()
            assert moved[:, y, x].abs().max() < 0.25
        x, y = placed.on_crop(placed.rig.source[list(ring)]).mean(0).long().tolist()
        assert moved[:, y, x].norm() > 1.2
        reach = round(0.35 * DENSITY)
        assert not moved[:, :, : x - reach].any() or ring is LEFT_EYE
        assert not moved[:, : y - 20].any() and not moved[:, y + 20 :].any()


@pytest.mark.parametrize("unit", ["eyeLookOut", "eyeLookIn", "eyeLookUp", "eyeLookDown"])
def test_nothing_folds_over(unit):
    """Along a row, what is seen of the portrait comes in its order."""
    moved = looked(weights(**{unit: 1.0}))[0]
    assert (moved[0].diff(dim=1) > -1).all() and (moved[1].diff(dim=0) > -1).all()


def test_eyes_that_look_as_the_portrait_does_are_left_alone():
    image, placed, irises = portrait()
    flow = mesh_flow(placed.rig, weights(jawOpen=0.5), torch.eye(3)[None], torch.zeros(1, 2))
    before = torch.rand(1, 2, SIDE, SIDE)
    assert torch.equal(Gaze(irises, placed).look(before.clone(), weights(jawOpen=0.5), flow), before)


def test_a_frame_does_not_depend_on_those_beside_it():
    faces = torch.cat([weights(eyeLookUp=0.5), weights(eyeLookDown=0.7, eyeBlink=0.6), weights(eyeLookOutLeft=0.4)])
    together = looked(faces)
    for k in range(3):
        torch.testing.assert_close(looked(faces[k : k + 1])[0], together[k], rtol=0, atol=1e-5)


def test_the_units_are_those_of_the_gaze():
    assert sorted(GAZE_UNITS) == sorted(k for name, k in BLENDSHAPE_INDEX.items() if name.startswith("eyeLook"))
