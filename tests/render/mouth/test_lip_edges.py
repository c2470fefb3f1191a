"""Lips that close, however the portrait holds them: they meet, nothing of the mouth shows through, and the skin follows
without a fold.
"""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from sadtalker_core.canonical_face import HEAD_TO_PICTURE, INNER_LIPS, MOUTH, N_POINTS, OUTER_LIPS, load_canonical_face
from sadtalker_core.coefficients import BLENDSHAPE_INDEX
from sadtalker_core.datatypes import Box, CropMode, FaceCrop, KeypointMotion, Motion
from sadtalker_core.render.meshwarp.flow_renderer import FlowRenderer, FlowRendererConfig, render_flow_frames
from sadtalker_core.render.meshwarp.mesh_flow import _areas, _spread_of_lips
from sadtalker_core.render.meshwarp.posed_rig import PosedRig
from sadtalker_core.render.preview import moved_mesh

SIDE, DENSITY = 256, 85.0
SKIN = 0.51  #: and a little more than the grey portrait has
UPPER, LOWER = list(INNER_LIPS[1:10]), list(INNER_LIPS[:10:-1])
NOTHING = {"jawOpen": 0.0}
M = {"mouthPress": 0.45, "mouthRollLower": 0.2, "mouthRollUpper": 0.2}
A = {"jawOpen": 0.6, "mouthLowerDown": 0.38, "mouthUpperUp": 0.16}
SPOKEN = [
    NOTHING,
    M,
    A,
    {"jawOpen": 0.4, "mouthPucker": 0.4, "mouthFunnel": 0.5},
    {"mouthPucker": 0.85},
    {"mouthRollLower": 0.65, "mouthUpperUp": 0.2},
    {"mouthStretch": 0.5, "mouthSmile": 0.3},
]

#: portraits: what the found weights say of them, and the face that they really make, whose lips are further apart
SMILE = (
    {"mouthSmile": 1.0, "mouthUpperUp": 0.45, "jawOpen": 0.2},
    {"mouthSmile": 1.0, "mouthUpperUp": 0.8, "jawOpen": 0.3},
)
GRIN = (
    {"mouthSmile": 1.0, "mouthUpperUp": 0.6, "jawOpen": 0.4},
    {"mouthSmile": 1.0, "mouthUpperUp": 0.9, "jawOpen": 0.65},
)
TALKING = {"jawOpen": 0.6, "mouthLowerDown": 0.3}, {"jawOpen": 0.75, "mouthLowerDown": 0.4, "mouthUpperUp": 0.2}
PORTRAITS = pytest.mark.parametrize("portrait", [SMILE, GRIN, TALKING], ids=["smile", "grin", "talking"])


def weights(units):
    row = torch.zeros(64)
    for name, amount in units.items():
        for side in ("",) if name in BLENDSHAPE_INDEX else ("Left", "Right"):
            row[BLENDSHAPE_INDEX[name + side]] = amount
    return row


def moving(rows):
    zeros = torch.zeros(len(rows))
    return KeypointMotion(zeros, zeros, zeros, torch.zeros(len(rows), 3), rows)


def portrait_points(portrait):
    """The template with the real face in the middle of the crop."""
    _, real = portrait
    points = (
        load_canonical_face().mean + load_canonical_face().displacements(weights(real)) - torch.tensor([0.0, 7.08, 0.6])
    )
    return points * torch.tensor(HEAD_TO_PICTURE) * DENSITY + torch.tensor([SIDE / 2, SIDE / 2, 0.0])


def placed(portrait):
    return PosedRig(portrait_points(portrait), SIDE, moving(weights(portrait[0])[None]))


def driven(rig, rows):
    """-> (B, 468, 2) in pixels of the stage."""
    still = torch.eye(3).expand(len(rows), 3, 3), torch.zeros(len(rows), 2)
    return rig.driven(rows, *still)[0][:, :N_POINTS]


def gap(rig, points):
    """(B,) the largest distance between facing points of the inner lips, in decimetres."""
    return (points[..., LOWER, :] - points[..., UPPER, :]).norm(dim=-1).amax(-1) / rig.scale


def walk(*units, steps=40):
    """Rows from one face to the next, in even steps."""
    stations = torch.stack([weights(u) for u in units])
    share = torch.linspace(0, 1, steps)[:, None]
    return torch.cat([a + share * (b - a) for a, b in zip(stations[:-1], stations[1:], strict=True)])


@PORTRAITS
def test_lips_that_press_meet_whatever_the_portrait_shows(portrait):
    rig = placed(portrait).rig
    assert gap(rig, rig.source) > 0.1
    assert gap(rig, driven(rig, weights(M)[None])) < 1e-3


@PORTRAITS
def test_a_face_at_rest_has_nearly_closed_lips(portrait):
    rig = placed(portrait).rig
    assert gap(rig, driven(rig, weights(NOTHING)[None])) < 0.1 * gap(rig, rig.source)


@PORTRAITS
def test_the_portraits_own_face_is_the_portraits_own_mesh(portrait):
    rig = placed(portrait).rig
    assert (driven(rig, weights(portrait[0])[None])[0] - rig.source[:N_POINTS]).abs().amax() < 1e-4


@PORTRAITS
def test_a_mouth_that_is_wide_open_is_left_to_the_jaw(portrait):
    rig = placed(portrait).rig
    rows = torch.stack([weights(portrait[0] | {"jawOpen": jaw}) for jaw in torch.linspace(0.85, 1.0, 4).tolist()])
    moved = rig.canonical.displacements(rows) - rig.canonical.displacements(rig.weights)
    expected = rig.source[:N_POINTS] + moved[..., :2] * torch.tensor([1.0, -1.0]) * rig.scale
    # lips of the template that would run through each other at the corners meet instead
    assert (driven(rig, rows) - expected).abs().amax() < 0.2


@PORTRAITS
def test_a_jaw_that_falls_never_closes_the_lips(portrait):
    rig = placed(portrait).rig
    for face in (portrait[0], {}):
        fallen = gap(rig, driven(rig, walk(face | {"jawOpen": 0.0}, face | {"jawOpen": 1.0})))
        assert (fallen.diff() > -1e-3).all()


@PORTRAITS
def test_lips_go_from_shape_to_shape_without_a_jump(portrait):
    rig = placed(portrait).rig
    points = driven(rig, walk(portrait[0], M, A, NOTHING, portrait[0]))
    steps = points.diff(dim=0).norm(dim=-1).amax(1) / rig.scale  # decimetres
    assert steps.max() < 0.04  # forty steps lead from shape to shape; the mouth of A is a third of a decimetre wide
    assert (steps.diff().abs()).max() < 0.03


def test_lips_keep_their_thickness_and_the_nose_its_place():
    rig = placed(GRIN).rig
    closed = driven(rig, weights(GRIN[0] | {"mouthPress": 0.45})[None])[0]
    moved = (closed - rig.source[:N_POINTS]) / rig.scale
    pressed = load_canonical_face().displacements(weights({"mouthPress": 0.45}))[:, :2] * torch.tensor([1.0, -1.0])
    moved = moved - pressed
    for inner, outer in ((13, 0), (14, 17)):
        assert moved[inner].norm() > 0.04
        assert (moved[inner] - moved[outer]).norm() < 0.3 * moved[inner].norm()
    assert moved[[1, 4, 6]].norm(dim=-1).amax() < 0.01


@PORTRAITS
@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_skin_around_the_mouth_never_folds(portrait, share):
    canonical, rig = load_canonical_face(), placed(portrait).rig
    own = weights(portrait[0])
    rows = torch.stack([own + share * (weights(units) - own) for units in SPOKEN])
    near = torch.isin(canonical.triangles, torch.tensor(OUTER_LIPS + INNER_LIPS)).any(1) & (canonical.kind != MOUTH)
    was = _areas(rig.source[canonical.triangles[near]])
    now = _areas(driven(rig, rows)[:, canonical.triangles[near]])
    facing = was < -1.0  # square pixels of the stage; smaller ones are the rims that a closed mouth hides
    assert facing.sum() > 80
    assert (now[:, facing] < 0).all()


def test_each_point_follows_both_lips_by_a_share():
    spread = _spread_of_lips(torch.device("cpu"))
    assert spread.min() > -1e-6 and spread.sum(1).max() < 1 + 1e-5
    assert torch.equal(spread[UPPER + LOWER], torch.eye(18))
    upper, lower = spread[:, :9].sum(1), spread[:, 9:].sum(1)
    assert lower[152] > 0.5 > upper[152]  # the chin goes with the lower lip
    assert spread[[33, 263, 10]].sum(1).max() < 0.05  # eyes and forehead stay


def test_the_preview_shows_the_lips_that_are_rendered():
    crop = FaceCrop(torch.zeros(3, SIDE, SIDE), portrait_points(GRIN), Box(0, 0, SIDE, SIDE), CropMode.CROP)
    motion = Motion(moving(weights(M)[None]), moving(weights(GRIN[0])[None]), "mini")
    head, drawn = placed(GRIN), next(moved_mesh(crop, motion))
    assert (drawn - head.on_crop(driven(head.rig, weights(M)[None])[0])).abs().amax() < 1e-3


# ---- frames ----------------------------------------------------------------------------------------------------------


def frames_of(portrait, rows):
    """A grey portrait with white teeth between its lips -> its crop and its frames, by a network that repairs
    nothing.
    """
    net = FlowRenderer(FlowRendererConfig(encoder=(4, 4, 4), widths=(8, 8, 8, 8))).eval()
    with torch.no_grad():
        for head in (net.shift, net.colours):
            head.weight.zero_()
        net.colours.bias.fill_(-9.0)
    points = portrait_points(portrait)
    picture = Image.new("L", (SIDE, SIDE), 128)
    ImageDraw.Draw(picture).polygon([tuple(p) for p in points[list(INNER_LIPS), :2].tolist()], fill=255)
    image = (torch.from_numpy(np.array(picture)).float() / 255).expand(3, -1, -1).contiguous()
    crop = FaceCrop(image, points, Box(0, 0, SIDE, SIDE), CropMode.CROP)
    motion = Motion(moving(rows), moving(weights(portrait[0])[None]), "mini")
    return image, torch.cat(list(render_flow_frames(net, crop, motion, batch_size=8)))


@PORTRAITS
def test_no_teeth_show_between_lips_that_meet(portrait):
    image, frames = frames_of(portrait, torch.stack([weights(portrait[0]), weights(M), weights(NOTHING)]))
    assert torch.equal(frames[0], image)
    teeth = (frames - SKIN).clamp_min(0).sum((1, 2, 3)) / (image - SKIN).clamp_min(0).sum()
    assert (teeth[1:] < 0.05).all()


def test_teeth_vanish_step_by_step():
    _, frames = frames_of(GRIN, walk(GRIN[0], M, steps=24))
    bright = (frames - SKIN).clamp_min(0).sum((1, 2, 3))
    assert (bright.diff() > -0.4 * bright[0]).all()
    assert (bright.diff() < 0.02 * bright[0]).all()
