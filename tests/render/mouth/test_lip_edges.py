"""Frames in which lips close: nothing of the mouth shows through, and it goes step by step."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from sadtalker_core.canonical_face import INNER_LIPS
from sadtalker_core.datatypes import Box, CropMode, FaceCrop, Motion
from sadtalker_core.render.meshwarp.compositor import render_flow_frames
from sadtalker_core.render.meshwarp.network import FlowRenderer, FlowRendererConfig
from sadtalker_core.render.preview import moved_mesh
from tests.render.heads import (
    GRIN,
    NOTHING,
    SIDE,
    SMILE,
    TALKING,
    M,
    driven,
    moving,
    portrait_head,
    portrait_points,
    row,
    transition,
)

SKIN = 0.51  #: and a little more than the grey portrait has
PORTRAITS = pytest.mark.parametrize("portrait", [SMILE, GRIN, TALKING], ids=["smile", "grin", "talking"])


def test_the_preview_shows_the_lips_that_are_rendered():
    crop = FaceCrop(torch.zeros(3, SIDE, SIDE), portrait_points(GRIN), Box(0, 0, SIDE, SIDE), CropMode.CROP)
    motion = Motion(moving(row(M)[None]), moving(row(GRIN[0])[None]))
    head, drawn = portrait_head(GRIN), next(moved_mesh(crop, motion))
    assert (drawn - head.on_crop(driven(head.rig, row(M)[None])[0])).abs().amax() < 1e-3


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
    drawing = Image.new("L", (SIDE, SIDE), 128)
    ImageDraw.Draw(drawing).polygon([tuple(p) for p in points[list(INNER_LIPS), :2].tolist()], fill=255)
    image = (torch.from_numpy(np.array(drawing)).float() / 255).expand(3, -1, -1).contiguous()
    crop = FaceCrop(image, points, Box(0, 0, SIDE, SIDE), CropMode.CROP)
    motion = Motion(moving(rows), moving(row(portrait[0])[None]))
    return image, torch.cat(list(render_flow_frames(net, crop, motion, batch_size=8)))


@PORTRAITS
def test_no_teeth_show_between_lips_that_meet(portrait):
    image, frames = frames_of(portrait, torch.stack([row(portrait[0]), row(M), row(NOTHING)]))
    assert torch.equal(frames[0], image)
    teeth = (frames - SKIN).clamp_min(0).sum((1, 2, 3)) / (image - SKIN).clamp_min(0).sum()
    assert (teeth[1:] < 0.06).all()


def test_teeth_vanish_step_by_step():
    _, frames = frames_of(GRIN, transition(GRIN[0], M, steps=24))
    bright = (frames - SKIN).clamp_min(0).sum((1, 2, 3))
    assert (bright.diff() > -0.4 * bright[0]).all()
    assert (bright.diff() < 0.02 * bright[0]).all()
