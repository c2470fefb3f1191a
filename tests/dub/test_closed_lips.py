"""Lips that have to close from open are those of a frame in which they are closed, in the light of the frame."""

from __future__ import annotations

import math

import pytest
import torch

from sadtalker_core.canonical_face import OUTER_LIPS, load_canonical_face
from sadtalker_core.coefficients import BLENDSHAPE_INDEX, EXPRESSION
from sadtalker_core.dub.closed_lips import ClosedLips, LipsToClose, mouth_of, nearness, usual_mouths, with_lips_touching
from sadtalker_core.dub.follow import read_person
from sadtalker_core.dub.mouth import DubbedHead
from sadtalker_core.dub.rest import in_head
from sadtalker_core.face.points import FaceSelector
from sadtalker_core.families.networks import FACE_DETECTOR, FACE_MESH, LINEAR_3DMM
from sadtalker_core.model import load_model
from sadtalker_core.render.meshwarp.flow_maps import mesh_flow
from tests.dub.videos import FPS, gliding

SIDE, PER_DM = 200, 120.0
SKIN, PAINTED = ((0.6, 0.4, 0.3), (0.6, 0.4, 0.1))


def face(jaw: float, yaw_deg: float = 0.0) -> torch.Tensor:
    """(468, 3) pixels of a square of SIDE around the mouth; jaw 0: lips touch."""
    canonical, weights = load_canonical_face(), torch.zeros(1, EXPRESSION)
    weights[0, BLENDSHAPE_INDEX["jawOpen"]] = jaw
    head = canonical.mean + canonical.displacements(weights)[0]
    c, s = (f(math.radians(yaw_deg)) for f in (math.cos, math.sin))
    turn = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    points = (head - canonical.mean[[13, 14]].mean(0)) @ turn.T * torch.tensor([PER_DM, -PER_DM, -PER_DM])
    return points + torch.tensor([SIDE / 2, SIDE / 2, 0])


def plain(colour: tuple[float, ...], light: float = 1.0) -> torch.Tensor:
    return light * torch.tensor(colour)[:, None, None].expand(-1, SIDE, SIDE)


def kept(lips: tuple[float, ...] = PAINTED) -> ClosedLips:
    """Skin with lips of another colour, closed."""
    points = face(0.0)
    x, y = (points[list(OUTER_LIPS), k].clone() for k in (0, 1))
    image = plain(SKIN).clone()
    image[:, int(y.min()) : int(y.max()) + 1, int(x.min()) : int(x.max()) + 1] = torch.tensor(lips)[:, None, None]
    return ClosedLips((image * 255).round().byte(), points)


def drawn(jaw: float, to_jaw: float = 0.0, *, yaw_deg: float = 0.0, light: float = 1.0) -> torch.Tensor:
    """(3, SIDE, SIDE): plain skin, whose mouth with its jaw as it is goes to another."""
    weights = torch.zeros(EXPRESSION)
    weights[BLENDSHAPE_INDEX["jawOpen"]] = jaw
    head = DubbedHead(face(jaw, yaw_deg), in_head(face(0.0)), weights)
    weights = torch.zeros(EXPRESSION)
    weights[BLENDSHAPE_INDEX["jawOpen"]] = to_jaw
    flow = mesh_flow(head.rig, weights[None], torch.eye(3)[None], torch.zeros(1, 2))
    return LipsToClose(kept(), head).draw(plain(SKIN, light).clone()[None], flow)[0]


MIDDLE = (slice(None), SIDE // 2, SIDE // 2)


@pytest.mark.parametrize("light", [1.0, 0.7])
def test_open_lips_that_close_are_the_kept_ones_in_the_light_of_the_frame(light):
    assert drawn(0.9, light=light)[MIDDLE].tolist() == pytest.approx([light * v for v in PAINTED], abs=0.03)


def test_nothing_changes_away_from_the_lips():
    made = drawn(0.9)
    away = torch.cdist(face(0.0)[:, :2], face(0.0)[list(OUTER_LIPS), :2]).amin(1) > 0.4 * PER_DM
    x, y = face(0.0)[away, :2].round().long().T
    inside = (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
    assert inside.sum() > 20
    assert (made[:, y[inside], x[inside]] == plain(SKIN)[:, y[inside], x[inside]]).all()


@pytest.mark.parametrize(("jaw", "to_jaw"), [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.9, 0.6)])
def test_lips_that_need_not_close_are_the_frames_own(jaw, to_jaw):
    assert (drawn(jaw, to_jaw) == plain(SKIN)).all()


def test_a_head_that_looks_elsewhere_keeps_its_own_lips():
    assert (drawn(0.9, yaw_deg=40) == plain(SKIN)).all()
    half = drawn(0.9, yaw_deg=25)[MIDDLE][2]
    assert PAINTED[2] + 0.03 < half < SKIN[2] - 0.03, "between the two nothing switches"


def test_a_red_tongue_below_the_lip_does_not_make_skin_red():
    frame = plain(SKIN).clone()
    frame[:, SIDE // 2 :] = torch.tensor([0.8, 0.3, 0.3])[:, None, None]
    weights = torch.zeros(EXPRESSION)
    weights[BLENDSHAPE_INDEX["jawOpen"]] = 0.9
    head = DubbedHead(face(0.9), in_head(face(0.0)), weights)
    flow = mesh_flow(head.rig, torch.zeros(1, EXPRESSION), torch.eye(3)[None], torch.zeros(1, 2))
    made = LipsToClose(kept(lips=SKIN), head).draw(frame[None], flow)[0][MIDDLE]
    assert made[0] / made[1] < 1.13 * SKIN[0] / SKIN[1], "the tongue's is 2.7 instead of 1.5"


def test_the_lips_are_covered_wholly_and_the_nose_is_not():
    near = nearness()
    assert near[list(OUTER_LIPS)].min() == 1
    assert near[[1, 4, 5]].max() == 0


def test_a_mouth_behind_a_hand_is_none_of_the_usual_ones_and_a_tilted_head_is():
    c, s = math.cos(0.4), math.sin(0.4)
    points, middle = face(0.0), torch.tensor([SIDE / 2, SIDE / 2, 0])
    tilted = (points - middle) @ torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + middle
    image = (plain(SKIN) * 255).round().byte()
    painted = [ClosedLips(image.clone(), at) for at in (points, points, tilted, points)]
    for mouth in painted:
        x, y = mouth.points[list(OUTER_LIPS), :2].long().T
        mouth.image[:, y, x] = torch.tensor([200, 40, 40], dtype=torch.uint8)[:, None]
    painted[1].image[:, SIDE // 2 :] = 20
    painted[3].image[:, SIDE // 2 :] = 250
    assert sorted(usual_mouths(painted).tolist()) == [0, 2]


@pytest.mark.parametrize(("apart", "after"), [(0.04, 0.0), (0.15, 0.15)])
def test_lips_that_are_hardly_apart_meet_half_way_and_those_over_teeth_stay(apart, after):
    points = face(0.0)
    points[14, :2] = points[13, :2] + torch.tensor([0, apart * PER_DM])
    met = with_lips_touching(kept()._replace(points=points)).points
    assert float(met[14, 1] - met[13, 1]) == pytest.approx(after * PER_DM, abs=0.1)
    assert met[[13, 14], 1].mean() == pytest.approx(float(points[[13, 14], 1].mean()), abs=0.01)


@pytest.mark.parametrize("larger", [1, 4])
def test_a_mouth_is_cut_out_where_its_mesh_has_it_and_grows_no_larger_than_needed(larger):
    centres = torch.arange(SIDE * larger) + 0.5
    y, x = torch.meshgrid(centres / larger, centres / larger, indexing="ij")
    frame = torch.stack([y, x, x], dim=-1).byte()
    cut = mouth_of(frame, face(0.0) * larger)
    x, y = cut.points[14, :2].int().tolist()
    assert cut.image[:2, y, x].tolist() == pytest.approx([SIDE / 2, SIDE / 2], abs=1.5), "its place in the frame"
    assert cut.image.shape[-1] == min(PER_DM * larger, 320)


def test_beyond_the_border_of_the_frame_a_mouth_goes_on_as_it_is_there():
    cut = mouth_of(torch.full((SIDE // 2, SIDE, 3), 90, dtype=torch.uint8), face(0.0))
    assert (cut.image == 90).all()


def test_a_video_gives_the_mouth_of_a_calm_frame():
    model = load_model("mini", [])
    frames = (gliding(3) * 255).round().byte().repeat_interleave(10, 0)
    closed = read_person(*model.use(FACE_DETECTOR, FACE_MESH, LINEAR_3DMM), frames, FPS, FaceSelector()).closed
    middle = closed.points[list(OUTER_LIPS), :2].mean(0) / closed.image.shape[-1]
    assert middle.tolist() == pytest.approx([0.5, 0.5], abs=0.06)
