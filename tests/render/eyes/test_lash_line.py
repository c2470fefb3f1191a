"""Eyes that close: the lashes draw a line, open eyes are left alone."""

import torch

from sadtalker_core.canonical_face import LEFT_EYE, RIGHT_EYE
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.render.eyes.lash_line import LashLine
from sadtalker_core.render.meshwarp.flow_maps import mesh_flow
from tests.render.heads import SIDE, moving, posed_head


def blinks(*amounts, sides=("Left", "Right")):
    offsets = torch.zeros(len(amounts), 64)
    for side in sides:
        offsets[:, BLENDSHAPE_INDEX[f"eyeBlink{side}"]] = torch.tensor(amounts)
    return moving(offsets)


def flow_of(placed, driving):
    return mesh_flow(placed.rig, driving.weights, *placed.pose(driving))


def drawn(driving):
    """-> frames of a grey portrait with black pupils, after the lashes are drawn, less what they were."""
    placed = posed_head()
    image = torch.full((1, 3, SIDE, SIDE), 0.7)
    for ring in (LEFT_EYE, RIGHT_EYE):
        x, y = placed.on_crop(placed.rig.source[list(ring)]).mean(0).long().tolist()
        image[:, :, y - 4 : y + 5, x - 4 : x + 5] = 0.05
    frames = image.repeat(len(driving), 1, 1, 1)
    return LashLine(image, placed).draw(frames.clone(), flow_of(placed, driving)) - frames


def test_eyes_that_stay_open_are_left_alone():
    assert not drawn(blinks(0.0, 0.0)).any()


def test_a_shut_eye_has_a_dark_line_where_the_lids_meet():
    change = drawn(blinks(1.0))[0].mean(0)
    mesh = posed_head().on_crop(flow_of(posed_head(), blinks(1.0)).mesh)[0]
    for point in (159, 386):
        x, y = mesh[point].long().tolist()
        assert change[y - 1 : y + 2, x].min() < -0.15
        assert change[y - 10, x].abs() < 0.02


def test_one_eye_can_wink():
    change = drawn(blinks(1.0, sides=("Left",)))[0].mean(0)
    assert change[:, SIDE // 2 :].min() < -0.2  # her left, the right of the image
    assert change[:, : SIDE // 2].abs().max() == 0


def test_the_line_comes_as_the_eye_closes():
    quarter, half, whole = drawn(blinks(0.25, 0.5, 1.0)).abs().sum((1, 2, 3)).tolist()
    assert 0 < quarter < half < whole
