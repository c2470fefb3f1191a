"""Eyes that look elsewhere: the iris goes where it is told, the lids and all that is outside stay."""

import pytest
import torch
import torch.nn.functional as F

from sadtalker_core.canonical_face import LEFT_EYE, RIGHT_EYE
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.render.eyes.gaze import GAZE_UNITS, Gaze
from sadtalker_core.render.meshwarp.flow_maps import mesh_flow
from sadtalker_core.render.meshwarp.placement import STAGE
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


def looked(faces, mesh=False):
    """(B, 64) weights -> the movement (B, 2, S, S) of the gaze alone, in pixels; with the mesh's that of both."""
    _, placed, irises = portrait()
    flow = flow_of(placed, faces)
    before = carried(placed, flow) if mesh else torch.zeros(len(faces), 2, SIDE, SIDE)
    return Gaze(irises, placed).move_irises(before, faces, flow) * (SIDE / 2)


def flow_of(placed, faces):
    return mesh_flow(placed.rig, faces, torch.eye(3).expand(len(faces), 3, 3), torch.zeros(len(faces), 2))


def carried(placed, flow):
    """The movement (B, 2, S, S) of the mesh alone, in halves of the side."""
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    on_stage = placed.on_stage(torch.stack([x, y], dim=-1)) * (2 / STAGE) - 1
    grid = on_stage.expand(len(flow.mesh), -1, -1, -1)
    moved = F.grid_sample(flow.displacement, grid, padding_mode="border", align_corners=False)
    return moved * (placed.zoom * 2 / SIDE)


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


@pytest.mark.parametrize(("unit", "far"), [("eyeLookUp", -0.0269), ("eyeLookDown", 0.0396)])
def test_eyes_look_up_and_down(unit, far):
    """Where the middle of the iris is to be, it is; the lids that come along have no part in it."""
    _, _, irises = portrait()
    moved = looked(weights(**{unit: 0.5}), mesh=True)[0]
    for x, y, _ in irises.tolist():
        place = int(y + 0.5 * far * DENSITY), int(x)
        assert moved[1][place] == pytest.approx(-0.5 * far * DENSITY, rel=0.1)
        assert moved[0][place].abs() < 0.2


@pytest.mark.parametrize("units", [{"eyeWide": 0.8}, {"eyeSquint": 1.0, "cheekSquint": 0.4}])
def test_lids_that_move_leave_the_iris_as_it_is(units):
    """Between the lids, but for what lies right behind them, the frame is the portrait; the mesh stretches it."""
    image, placed, _ = portrait()
    faces = weights(**units)
    flow = flow_of(placed, faces)
    alone, both = seen(image, carried(placed, flow) * (SIDE / 2))[0], seen(image, looked(faces, mesh=True))[0]
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    for ring in (LEFT_EYE, RIGHT_EYE):
        now, was = (placed.on_crop(mesh[list(ring)]) for mesh in (flow.mesh[0], placed.rig.source))
        top = max(float(lids[3:6, 1].max()) for lids in (now, was))
        bottom = min(float(lids[11:14, 1].min()) for lids in (now, was))
        left, right = sorted((float(was[3, 0]), float(was[5, 0])))
        between = (y > top + 1.5) & (y < bottom - 1.5) & (x > left) & (x < right)
        assert between.sum() >= 10
        off = [(shown - image[0, 0]).abs()[between].mean() for shown in (alone, both)]
        assert off[1] < 0.03 and off[1] < 0.9 * off[0]


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
    moved = looked(weights(**{unit: 1.0}), mesh=True)[0]
    assert (moved[0].diff(dim=1) > -1).all() and (moved[1].diff(dim=0) > -1).all()


def test_eyes_that_look_as_the_portrait_does_are_left_alone():
    image, placed, irises = portrait()
    flow = mesh_flow(placed.rig, weights(jawOpen=0.5), torch.eye(3)[None], torch.zeros(1, 2))
    before = torch.rand(1, 2, SIDE, SIDE)
    assert torch.equal(Gaze(irises, placed).move_irises(before.clone(), weights(jawOpen=0.5), flow), before)


def test_a_frame_does_not_depend_on_those_beside_it():
    faces = torch.cat([weights(eyeLookUp=0.5), weights(eyeLookDown=0.7, eyeBlink=0.6), weights(eyeLookOutLeft=0.4)])
    together = looked(faces)
    for k in range(3):
        torch.testing.assert_close(looked(faces[k : k + 1])[0], together[k], rtol=0, atol=1e-5)


def test_the_units_are_those_of_the_gaze():
    assert sorted(GAZE_UNITS) == sorted(k for name, k in BLENDSHAPE_INDEX.items() if name.startswith("eyeLook"))
