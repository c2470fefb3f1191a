"""A portrait's crop and its motion come in; a drawing of how the face will move goes out, long before it is rendered.

The mini family moves the mesh that its renderer moves, and shows it as a network of lines. The released family has no
mesh here (its 3-D face model is not shipped): it shows the 15 key points that its renderer is driven by.
Letters: `B` frames, `S` side of the crop, `K` key points.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..canonical_face import (
    INNER_LIPS,
    LEFT_EYE,
    N_POINTS,
    OUTER_LIPS,
    RIGHT_EYE,
    SKIN,
    load_canonical_face,
)
from ..datatypes import BlendshapeMotion, FaceCrop, KeypointMotion, Motion
from ..errors import OptionError
from .facevid2vid.keypoints import KeypointDetector
from .facevid2vid.transform import transform_keypoints
from .meshwarp.posed_rig import PosedRig

if TYPE_CHECKING:
    from PIL.Image import Image

SMALLEST, LARGEST = 64, 2048
_AT_ONCE = 32
_PAPER, _NET, _FEATURE, _POINT, _TRAIL = (18, 20, 24), (70, 96, 128), (236, 240, 246), (120, 230, 160), (52, 92, 72)
_FINER = 2  #: drawn so much larger and then reduced, for smooth lines
#: how dark the portrait is behind the drawing, where it is asked for
_FAINT = 0.45
#: lines that are drawn brighter than the net: lips and eyes, closed
_FEATURES = (OUTER_LIPS, INNER_LIPS, RIGHT_EYE, LEFT_EYE)


def preview_mesh(
    crop: FaceCrop, motion: Motion[BlendshapeMotion], *, side: int = 384, behind: bool = False
) -> Iterator[Tensor]:
    """A motion of the mini family -> images (side, side, 3) in 0..1, frame by frame, of the whole crop square.

    behind: lay the drawing over the portrait, darkened, and not over an empty ground
    """
    ground, scale = _ground(crop, side, behind)
    for points in moved_mesh(crop, motion):
        yield _reduced(_draw_mesh(ground, points * scale), side)


def preview_keypoints(
    crop: FaceCrop, motion: Motion[KeypointMotion], detector: KeypointDetector, *, side: int = 384, behind: bool = False
) -> Iterator[Tensor]:
    """The same of the released family, whose motion moves the points that its detector finds."""
    ground, scale = _ground(crop, side, behind)
    first = None
    for points in moved_keypoints(crop, motion, detector):
        first = points if first is None else first
        yield _reduced(_draw_dots(ground, points * scale, first * scale), side)


def moved_mesh(crop: FaceCrop, motion: Motion[BlendshapeMotion]) -> Iterator[Tensor]:
    """The 468 points of every frame, (468, 2) in pixels of the crop: the source's, moved as Face Render moves them."""
    head = PosedRig(crop.landmarks.detach().cpu().float(), crop.pic_size, motion.source)
    for start in range(0, len(motion), _AT_ONCE):
        driving = motion.driving[start : start + _AT_ONCE]
        points, _ = head.rig.driven(driving.weights.cpu().float(), *head.pose(driving))
        yield from head.on_crop(points[:, :N_POINTS])


def moved_keypoints(crop: FaceCrop, motion: Motion[KeypointMotion], detector: KeypointDetector) -> Iterator[Tensor]:
    """The key points of every frame, (K, 2) in pixels of the crop."""
    like = next(detector.parameters())
    with torch.no_grad():
        canonical = detector(crop.image[None].to(like)).float().cpu()
    for start in range(0, len(motion), _AT_ONCE):
        part = motion.driving[start : start + _AT_ONCE]
        rows = KeypointMotion(
            *(t.detach().cpu().float() for t in (part.yaw, part.pitch, part.roll, part.translation, part.offsets))
        )
        yield from (transform_keypoints(canonical, rows)[..., :2] + 1) * (crop.pic_size / 2)


def _ground(crop: FaceCrop, side: int, behind: bool) -> tuple[Image, float]:
    """What is drawn on, larger than asked for, and how many of its pixels one of the crop's is."""
    from PIL import Image

    if not SMALLEST <= side <= LARGEST:
        raise OptionError(f"expected a preview of {SMALLEST} to {LARGEST} pixels, got {side}.")
    side *= _FINER
    scale = side / crop.pic_size
    if not behind:
        return Image.new("RGB", (side, side), _PAPER), scale
    pixels = (crop.image.detach().cpu().float().clamp(0, 1) * _FAINT * 255).round().byte().permute(1, 2, 0)
    return Image.fromarray(pixels.numpy()).resize((side, side), resample=Image.Resampling.BILINEAR), scale


def _reduced(drawn: Image, side: int) -> Tensor:
    return torch.from_numpy(np.array(drawn.resize((side, side), resample=3))).float() / 255


def _draw_mesh(ground: Image, points: Tensor) -> Image:
    """Only what faces us is drawn: a triangle that runs clockwise in the image is seen from behind."""
    from PIL import ImageDraw

    image = ground.copy()
    pen = ImageDraw.Draw(image)
    canonical = load_canonical_face()
    triangles = canonical.triangles[canonical.kind == SKIN]
    a, b, c = points[triangles].unbind(1)
    first, second = b - a, c - a
    facing = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] < 0
    edges = {tuple(sorted((row[i], row[i - 1]))) for row in triangles[facing].tolist() for i in range(3)}
    spots = [tuple(spot) for spot in points.tolist()]
    thin, thick = max(1, image.width // 640), max(2, image.width // 256)
    for p, q in edges:
        pen.line([spots[p], spots[q]], fill=_NET, width=thin)
    for ring in _FEATURES:
        pen.line([spots[i] for i in (*ring, ring[0])], fill=_FEATURE, width=thick, joint="curve")
    return image


def _draw_dots(ground: Image, points: Tensor, first: Tensor) -> Image:
    """Every key point, and a line to where it was in the first frame."""
    from PIL import ImageDraw

    image = ground.copy()
    pen = ImageDraw.Draw(image)
    radius = image.width / 110
    for (x, y), was in zip(points.tolist(), first.tolist(), strict=True):
        pen.line([tuple(was), (x, y)], fill=_TRAIL, width=max(2, round(radius / 2)))
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=_POINT)
    return image


__all__ = ["moved_keypoints", "moved_mesh", "preview_keypoints", "preview_mesh"]
