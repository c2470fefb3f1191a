"""The person's own closed lips, from a frame that shows them, for frames in which an open mouth has to close.

Lips that are moved from wide open to touching keep the shape, the shade and the corners of open ones. A video shows how
they look when they touch in the frames in which they do. Of the calm frames the one most like the resting face is
kept (a smile that never closes keeps its teeth); its lips are laid where the frame wants closed ones, in the light of
that frame.
In: a frame of the sample with its mesh, and later the warped frames. Out: the frames with those lips.
Letters: `B` frames, `S` side of their square, `s` side of the image that is kept, `h w` pixels of the stage.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..canonical_face import INNER_LIPS, LOWER_INNER_LIP, OUTER_LIPS, UPPER_INNER_LIP, load_canonical_face
from ..easing import smoothstep
from ..render.meshwarp.flow_maps import MeshFlow, on_the_mesh
from ..render.meshwarp.placement import STAGE, fit_head
from ..render.meshwarp.posed_rig import PosedRig
from ..render.meshwarp.warp import sample, sum_around

#: pixels of its largest side, and decimetres from the middle of the mouth to the borders of the image
_LARGEST, _HALF = 320, 0.5
#: decimetres by which the frame's own lips have opened further, since rest, than they have to be apart: from the first
#: on the kept lips show, from the second on alone
_CLOSES = (0.015, 0.045)
#: decimetres by which the lips that are wanted are further apart than at rest: up to the first the kept lips show
#: wholly, from the second on not at all, however much further the frame's own were
_STILL_OPEN = (0.02, 0.06)
#: degrees between the two heads: up to the first the kept lips show wholly, from the second on not at all
_TURNED = (18.0, 32.0)
#: decimetres from the lips, upwards and downwards, where a lip that was open hangs: within the first the kept ones show
#: alone, beyond the second not at all
_ABOVE, _BELOW = (0.05, 0.15), (0.1, 0.32)
_HARDLY = (0.05, 0.09)  #: decimetres: lips no further apart than the first touch, from the second on they do not
_LIGHT = 0.07  #: decimetres over which the light is compared
_LEAST, _MOST = 0.6, 1.6  #: limits of the ratio of lights
_TINT = 0.06  #: by which a channel's ratio differs from that of all at most: what hangs below a lip may be a red tongue
#: points of the upper and of the lower inner edge, in pairs
UPPER_LIP, LOWER_LIP = list(UPPER_INNER_LIP), list(LOWER_INNER_LIP[::-1])


class ClosedLips(NamedTuple):
    """image (3, s, s) bytes around a mouth that is closed;  points (468, 3) its mesh, pixels of the image"""

    image: Tensor
    points: Tensor


def mouth_of(frame: Tensor, points: Tensor) -> ClosedLips:
    """frame (H, W, 3) bytes, points (468, 3) -> its mouth, closed or not; beyond the frame its border is repeated."""
    x, y = points[list(INNER_LIPS), :2].mean(0).tolist()
    side = math.ceil(2 * _HALF * float(fit_head(points).scale))
    left, top = (math.floor(v - side / 2) for v in (x, y))
    height, width = frame.shape[:2]
    rows = (torch.arange(side) + top).clamp(0, height - 1)
    columns = (torch.arange(side) + left).clamp(0, width - 1)
    image = frame[rows][:, columns].permute(2, 0, 1).contiguous()
    points = points - points.new_tensor([left, top, 0])
    if side > _LARGEST:
        image = F.interpolate(image[None].float(), (_LARGEST, _LARGEST), mode="area")[0].round().byte()
        points = points * (_LARGEST / side)
    return ClosedLips(image, points)


def usual_mouths(mouths: list[ClosedLips]) -> Tensor:
    """The numbers of the half of them that is coloured most like their median, point by point of the mesh, so that none
    with a hand before it is kept.
    """
    near = nearness() > 0
    colours = []
    for image, points in mouths:
        grid = points[near, :2] * (2 / image.shape[-1]) - 1
        found = F.grid_sample(image[None].float(), grid[None, None], padding_mode="border", align_corners=False)
        colours.append(found / found.mean().clamp_min(1))
    seen = torch.cat(colours)
    off = (seen - seen.median(0).values).abs().mean((1, 2, 3))
    return off.argsort(stable=True)[: (len(mouths) + 1) // 2]


def with_lips_touching(mouth: ClosedLips) -> ClosedLips:
    """The same with both edges half-way between lips that are hardly apart: what the image has between them is the line
    where they meet, which would become dashes. A smile keeps its edges, which are those of its teeth.
    """
    points, scale = mouth.points.clone(), fit_head(mouth.points).scale
    upper, lower = points[UPPER_LIP], points[LOWER_LIP]
    low, high = _HARDLY
    share = ((high - (lower - upper)[:, :2].norm(dim=-1, keepdim=True) / scale) / (high - low)).clamp(0, 1) / 2
    points[UPPER_LIP], points[LOWER_LIP] = torch.lerp(upper, lower, share), torch.lerp(lower, upper, share)
    return mouth._replace(points=points)


class LipsToClose:
    """Lays the kept lips over warped frames.  head: of the frame"""

    def __init__(self, kept: ClosedLips, head: PosedRig):
        self.kept, self.head = kept, head
        self.per_stage = float(head.zoom) / head.density  # decimetres
        was, self.at_rest = (self._apart(mesh[None]) for mesh in (head.rig.source, head.rig.face.points))
        self.was_open_by = was - self.at_rest
        between = ((head.rig.face.fit.rotation * fit_head(kept.points).rotation).sum() - 1) / 2
        degrees = math.degrees(math.acos(min(max(float(between), -1.0), 1.0)))
        low, high = _TURNED
        self.alike = float(smoothstep(torch.tensor((high - degrees) / (high - low))))

    def _apart(self, mesh: Tensor) -> Tensor:
        """mesh (B, P, 2) on the stage -> (B,) decimetres between the lips, the mean from corner to corner."""
        return (mesh[:, LOWER_LIP] - mesh[:, UPPER_LIP]).norm(dim=-1).mean(1) * self.per_stage

    def draw(self, frames: Tensor, flow: MeshFlow) -> Tensor:
        """frames (B, 3, S, S) in 0..1, whose lips were moved by `flow` -> the same, in place."""
        share = self._share(self._apart(flow.mesh))
        if float(share.max()) <= 0:
            return frames
        rows, columns, across, down = self._rectangle(flow, frames.shape[-1])
        side = self.kept.image.shape[-1]
        near = nearness()[:, None].to(flow.mesh)
        values = torch.cat([self.kept.points[:, :2] * (2 / side) - 1, near], dim=1)
        whole = slice(0, STAGE)
        onto = on_the_mesh(values.expand(len(frames), -1, -1), flow, whole, whole)
        y, x = torch.meshgrid(down + 0.5, across + 0.5, indexing="ij")
        places = self.head.on_stage(torch.stack([x, y], -1)) * (2 / STAGE) - 1
        found = sample(onto, places[None].expand(len(frames), -1, -1, -1))
        face, grid, near = found[:, :1], found[:, 1:3], found[:, 3:]
        grid = (grid / face.clamp_min(0.5)).permute(0, 2, 3, 1)
        image = (self.kept.image.float() / 255)[None].expand(len(frames), -1, -1, -1)
        lips = F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=False)
        was = frames[..., rows, columns]
        lips = lips * self._light(was, lips, near)
        mask = share[:, None, None, None] * smoothstep(near) * (face > 0.99)
        frames[..., rows, columns] = torch.lerp(was, lips, mask)
        return frames

    def _share(self, apart: Tensor) -> Tensor:
        """apart (B,) decimetres between the lips that are wanted -> (B,) how much of the kept ones shows."""
        (low, high), (shut, open_) = _CLOSES, _STILL_OPEN
        closes = smoothstep((self.was_open_by - apart - low) / (high - low))
        return self.alike * closes * smoothstep((open_ - (apart - self.at_rest)) / (open_ - shut))

    def _rectangle(self, flow: MeshFlow, side: int) -> tuple[slice, slice, Tensor, Tensor]:
        """The rows and the columns of the square that the lips and their surroundings take, as slices and numbers."""
        lips = self.head.on_crop(flow.mesh[:, list(OUTER_LIPS)]).flatten(0, 1)
        reach = (_BELOW[1] + 2 * _LIGHT) * self.head.density
        low, high = (lips.amin(0) - reach).floor(), (lips.amax(0) + reach).ceil()
        (left, top), (right, below) = (edge.clamp(0, side).int().tolist() for edge in (low, high))
        return slice(top, below), slice(left, right), torch.arange(left, right), torch.arange(top, below)

    def _light(self, was: Tensor, lips: Tensor, near: Tensor) -> Tensor:
        """The light of the frame by that of the kept image, by the skin around the lips; (B, 3, h, w)."""
        rim = (4 * near * (1 - near)).clamp(0, 1) + 1e-4
        both = torch.cat([was * rim, lips * rim], dim=1)
        wide = max(round(_LIGHT * self.head.density), 1)
        for _ in range(2):
            both = sum_around(both, 2 * wide + 1)
        of_frame, of_kept = both.clamp_min(1e-6).split(3, dim=1)
        brighter = of_frame.sum(1, keepdim=True) / of_kept.sum(1, keepdim=True)
        tint = (of_frame / of_kept / brighter).clamp(1 - _TINT, 1 + _TINT)
        return brighter.clamp(_LEAST, _MOST) * tint


@functools.lru_cache(maxsize=1)
@torch.inference_mode(False)
def nearness() -> Tensor:
    """(468,) in 0..1: 1 on the lips and close to them, 0 from some millimetres on; it falls evenly between."""
    places, far = load_canonical_face().mean[:, :2], distance_from_lips()
    corners = places[[INNER_LIPS[0], INNER_LIPS[10]], 1].mean()
    above, below = (((beyond - far) / (beyond - near)).clamp(0, 1) for near, beyond in (_ABOVE, _BELOW))
    return torch.lerp(above, below, smoothstep((corners - places[:, 1]) / _ABOVE[1]))


def distance_from_lips() -> Tensor:
    """(468,) decimetres from each point of the canonical face to the nearest point of the lips, seen from the front."""
    places = load_canonical_face().mean[:, :2]
    return torch.cdist(places, places[list(OUTER_LIPS + INNER_LIPS)]).amin(1)


__all__ = [
    "LOWER_LIP",
    "UPPER_LIP",
    "ClosedLips",
    "LipsToClose",
    "distance_from_lips",
    "mouth_of",
    "usual_mouths",
    "with_lips_touching",
]
