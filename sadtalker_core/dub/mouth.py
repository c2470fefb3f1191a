"""One frame with another mouth: jaw and lips moved by the speech, everything else as it was recorded.

In: a square of the frame around mouth and chin, the mesh in it, and the person's face at rest (rest.py). Out: the same
square. The renderer of the mini family does the work (render/meshwarp, render/mouth) with a rig of its own: the frame
is sampled where its mesh was detected, and appears where the resting face would be with the expression of the speech,
each point as far as `reach_of_the_mouth` allows.

Letters: `S` side of the square, stage and head coordinates as in render/meshwarp/placement.py.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..canonical_face import (
    FACE_OUTLINE,
    INNER_LIPS,
    N_POINTS,
    load_canonical_face,
)
from ..coefficients import BLENDSHAPE_INDEX, EXPRESSION
from ..datatypes import Box
from ..easing import smoothstep
from ..render.meshwarp.flow_maps import MeshFlow, mesh_flow
from ..render.meshwarp.lip_contact import spread_of_lips
from ..render.meshwarp.mouth_anchors import UPPER_TEETH
from ..render.meshwarp.placement import STAGE, HeadFit, PlacedFace, fit_head
from ..render.meshwarp.posed_rig import PosedRig
from ..render.meshwarp.rig import FaceRig
from ..render.meshwarp.surroundings import Surroundings, carried_along, surroundings_of
from ..render.meshwarp.warp import Lookup, sample
from ..render.mouth.interior import Mouth, inner_lip
from ..render.mouth.light import light_of
from ..render.mouth.lip_edges import LipEdges
from ..render.mouth.opening import Opening
from ..render.mouth.own_teeth import OwnTeeth
from .closed_lips import LOWER_LIP, UPPER_LIP, LipsToClose, distance_from_lips
from .lips import with_lip_edges
from .rest import Person

_MOUTH_BLENDSHAPES = [k for name, k in BLENDSHAPE_INDEX.items() if name.startswith(("jaw", "mouth"))]
#: decimetres by which blendshapes of the mouth move a point at most: from the first on it follows the speech, fully
#: from the second on
_STIRS, _FOLLOWS = 0.008, 0.05
#: points between which the movement fades out upwards: the edge of the upper lip, the base of the nose
_LIP_TOP, _NOSE_BASE = 0, 2
_NEAR, _FAR = 0.08, 0.35  #: decimetres from the lips, see `nearness_of_lips`
#: decimetres to each side of the middle of the face: beyond the first cheeks move less, from the second on not at all
_CHEEK, _JAW = 0.3, 0.55
_PARTED = 0.02  #: decimetres between lips that are parted
_NOSE_HIGH = 0.08  #: decimetres above the base of the nose from which nothing moves

# The mask, in decimetres about the middle of the resting mouth, x across and y up the face.
MASK_MIDDLE, MASK_AXES = (0.0, -0.36), (0.74, 0.62)
MASK_FEATHER = 0.14
_ROUNDNESS = 3  #: 2 is an ellipse, more is more of a rectangle
_MARGIN = 0.12  #: decimetres around the mask in its square, from which pixels are moved in
#: degrees from the frontal view: from the first on a head is dubbed less, from the second on not at all
AWAY_DEG = (48.0, 62.0)
#: drawings of teeth are cached for sizes that differ by this factor
_SIZES = math.sqrt(2)
_SHADE_OF_REAL = 0.5  #: how much of the shade on drawn teeth falls on the person's own, which were lit when recorded
_FINEST = 400


class MouthColours(NamedTuple):
    """Colours of a mouth in the light of the frame: white, enamel, lip, (3,) each in 0..1; see mouth/interior.py."""

    white: Tensor
    enamel: Tensor
    lip: Tensor


@dataclass(frozen=True, eq=False)
class _DubbedRig(FaceRig):
    """`face` is the resting face in the pose of the frame, `source` the points where the frame has it.

    found: the face as detected in the frame, its weights relative to the resting face
    share: (468, 1) how far each point follows, 0..1
    """

    found: PlacedFace
    share: Tensor

    def driven(self, weights: Tensor, turn: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Stage points and depth for these weights; turn and shift are not used, the head keeps its recorded pose."""
        weights, was = weights.to(self.source), self.found.camera_points
        to_contact = self._lips_closed(self.face.camera_points + self._expression(weights)) - was
        since = self.face.canonical.displacements(weights - self.found.weights) @ self.face.fit.rotation.T
        moved = torch.lerp(since, to_contact, nearness_of_lips()[:, None]) * self.share
        still = torch.zeros_like(moved[:, _OUTLINE])  # necks and collars stay
        places, depth = carried_along(self.around, self.found, turn, F.pad(shift, (0, 1))[:, None], still)
        points = was + moved
        return torch.cat([self.face.to_stage(points), places], 1), torch.cat([points[..., 2], depth], 1)

    def _lips_closed(self, spoken: Tensor) -> Tensor:
        """The points with lips that meet: the mesh has closed lips a little apart, because it lies within their edges.
        Where the frame has them open, it shows the edges themselves, and the gap has to close fully.
        """
        down = self.face.down
        apart, was_apart, at_rest = (
            ((at[..., LOWER_LIP, :] - at[..., UPPER_LIP, :]) @ down)
            for at in (spoken, self.found.camera_points[None], self.face.camera_points[None])
        )
        hidden_gap = at_rest.clamp_min(0)
        open_by = ((was_apart - hidden_gap).mean(1, keepdim=True) / _PARTED).clamp(0, 1)
        closer = torch.minimum(hidden_gap * open_by, apart.clamp_min(0))[..., None] * down
        return spoken + spread_of_lips(spoken.device) @ torch.cat([closer / 2, -closer / 2], dim=1)


_OUTLINE = list(FACE_OUTLINE)


class DubbedHead(PosedRig):
    """What `PosedRig` is for a portrait: the head of one frame on its stage.

    landmarks (468, 3) in pixels of the square;  rest (468, 3) decimetres from the pivot, in head coordinates;  own
    (64,) the blendshape weights of the frame beyond the resting face's;  amount: 0 leaves the mouth as recorded, 1
    replaces it
    """

    def __init__(self, landmarks: Tensor, rest: Tensor, own: Tensor, amount: float = 1.0):
        fit = fit_head(landmarks)
        self.left_top = fit.stage_centre() - fit.stage_side() / 2
        self.zoom = fit.stage_side() / STAGE
        self.density = float(fit.scale)
        on_stage = torch.cat([self.on_stage(landmarks[:, :2]), landmarks[:, 2:] / self.zoom], dim=1)
        left, top = self.left_top.unbind()
        origin = torch.stack([fit.origin[0] - left, fit.origin[1] + top, fit.origin[2]]) / self.zoom
        here = HeadFit(fit.rotation, fit.scale / self.zoom, origin)
        canonical, nothing = load_canonical_face(), torch.zeros(EXPRESSION)
        found = PlacedFace(canonical, here, on_stage[:, :2], (-on_stage[:, 2] - origin[2]) / here.scale, own)
        resting = rest @ here.rotation.T
        face = PlacedFace(canonical, here, found.to_stage(resting), resting[:, 2], nothing)
        around: Surroundings = surroundings_of(found)
        self.rig = _DubbedRig(
            face,
            around,
            torch.ones(EXPRESSION),
            torch.cat([found.points, around.places()]),
            found,
            amount * reach_of_the_mouth()[:, None],
        )


class _DubbedMouth(Mouth):
    """The inside of the mouth, drawn wherever lips are or were apart, so that the recorded teeth do not come and go."""

    def __init__(self, image: Tensor, head: PosedRig, colours: MouthColours, amount: float, teeth: Tensor | None):
        self.image, self.head, self.density = image, head, head.density
        self.own = OwnTeeth(image, head, colours.white, find=False)
        lips = head.on_crop(head.rig.source[list(INNER_LIPS)])[None]
        self.across = torch.linspace(0.1, 0.9, 17)[None, None]
        self.was, self.amount = self._apart(lips, self.across), amount
        finer = _SIZES ** math.ceil(math.log(max(self.density, 1.0), _SIZES))
        self._draw(min(finer, _FINEST), colours.white, colours.enamel, colours.lip)
        self.real = teeth is not None
        if teeth is not None:
            self.layers[UPPER_TEETH] = torch.cat([teeth[:3] * colours.enamel[:, None, None], teeth[3:]])

    def _lights(self, gap: Opening, below_teeth: Tensor) -> tuple[list[Tensor], Tensor]:
        """The shade on the teeth; the person's own have part of it in their colours already."""
        lights, opened = super()._lights(gap, below_teeth)
        if self.real:
            lights[UPPER_TEETH] = torch.lerp(torch.ones_like(lights[UPPER_TEETH]), lights[UPPER_TEETH], _SHADE_OF_REAL)
        return lights, opened

    def _changed(self, lips: Tensor, flow: MeshFlow) -> Tensor:
        parted = (self._apart(lips, self.across) - self.was.clamp_min(0)).flatten(1).amax(1) / _PARTED
        was_open = (self.was.amax() / _PARTED - 1).clamp(0, 1)
        return (self.amount * torch.maximum(parted, was_open).clamp(0, 1))[:, None, None, None]


def mouth_colours(image: Tensor, head: PosedRig) -> MouthColours:
    """image (1, 3, S, S) of the whole face, its head -> the colours of its mouth."""
    white = light_of(image, head)
    enamel, _ = OwnTeeth(image, head, white).enamel(white)
    return MouthColours(white, enamel, inner_lip(image, head, white))


@functools.lru_cache(maxsize=1)
@torch.inference_mode(False)
def reach_of_the_mouth() -> Tensor:
    """(468,) in 0..1: how far each point of the face follows the speech: 1 around mouth and chin, 0 at the nose, the
    cheeks, the sides of the jaw and above. The edge of the jaw would tremble with reading errors of the video's own
    mouth.
    """
    canonical = load_canonical_face()
    reach = canonical.blendshapes[_MOUTH_BLENDSHAPES].norm(dim=-1).amax(0)
    follows = _smooth_step(_STIRS, _FOLLOWS, reach)
    aside, up = canonical.mean[:, 0].abs(), canonical.mean[:, 1]
    follows = follows * _smooth_step(_JAW, _CHEEK, aside)
    return follows * _smooth_step(float(up[_NOSE_BASE]) + _NOSE_HIGH, float(up[_LIP_TOP]), up)


@functools.lru_cache(maxsize=1)
@torch.inference_mode(False)
def nearness_of_lips() -> Tensor:
    """(468,) in 0..1: 1 on the lips, which move to where the resting face has them; 0 where a point moves by the
    difference of spoken and recorded expression, so that the edges of cheeks and neck stay still.
    """
    return _smooth_step(_FAR, _NEAR, distance_from_lips())


def _smooth_step(low: float, high: float, x: Tensor) -> Tensor:
    """0 at low, 1 at high, smooth between."""
    return smoothstep((x - low) / (high - low))


# ----------------------------------------------------------------------------------------------- where a frame changes


class MouthPlace(NamedTuple):
    """Where the mask lies in the frame.  middle (2,) pixels;  across (2,), up (2,): a decimetre, in pixels."""

    middle: Tensor
    across: Tensor
    up: Tensor

    def square(self) -> Box:
        """The square of the frame around the mask, with a margin; it may reach outside the frame."""
        reach = math.hypot(*MASK_AXES) if abs(float(self.across[1])) > 1e-3 else max(MASK_AXES)
        half = (reach + MASK_FEATHER + _MARGIN) * float(self.across.norm())
        x, y = (int(v) for v in (self.middle - half).floor())
        side = math.ceil(2 * half / 2) * 2
        return Box(x, y, side, side)

    def mask(self, box: Box) -> Tensor:
        """(side, side) in 0..1: 1 where the new mouth shows, 0 where the frame's own pixels stay."""
        centres = torch.arange(box.width) + 0.5
        x = centres + box.x - float(self.middle[0])
        y = (centres + box.y - float(self.middle[1]))[:, None]
        size = float(self.across.square().sum())
        u = (x * float(self.across[0]) + y * float(self.across[1])) / size / MASK_AXES[0]
        v = (x * float(self.up[0]) + y * float(self.up[1])) / size / MASK_AXES[1]
        far = (u.abs() ** _ROUNDNESS + v.abs() ** _ROUNDNESS) ** (1 / _ROUNDNESS)
        inner = 1 - MASK_FEATHER / min(MASK_AXES)
        return _smooth_step(1.0, inner, far)


def place_of(points: Tensor, rest: Tensor) -> MouthPlace:
    """points (468, 3) in pixels of the frame, rest (468, 3) -> where the mask lies."""
    fit = fit_head(points)
    upright = fit.rotation[:2, 1] * points.new_tensor([1.0, -1.0])
    up = upright / upright.norm().clamp_min(1e-6) * fit.scale
    across = torch.stack([-up[1], up[0]])
    lips = rest[[13, 14]].mean(0) @ fit.rotation.T * fit.scale + fit.origin
    mouth = lips[:2] * points.new_tensor([1.0, -1.0])
    return MouthPlace(mouth + MASK_MIDDLE[0] * across + MASK_MIDDLE[1] * up, across, up)


# --------------------------------------------------------------------------------------------------------- the frame


def with_mouth(
    square: Tensor,
    points: Tensor,
    person: Person,
    own: Tensor,
    weights: Tensor,
    amount: float,
    colours: MouthColours,
) -> Tensor:
    """square (3, S, S) in 0..1, points (468, 3) in its pixels, own (64,) of the frame, weights (64,) of the speech ->
    the same square with the new mouth. amount: 0 as recorded, 1 as spoken. Pixels that do not move are unchanged to the
    bit.
    """
    image, side = square[None], square.shape[-1]
    head = DubbedHead(with_lip_edges(square, points, person.corners), person.rest, own, amount)
    flow = mesh_flow(head.rig, weights[None], torch.eye(3)[None], torch.zeros(1, 2))
    frames = _warped(image, head, flow)
    lookup = Lookup(image, fine=True, enlarged=False)
    LipEdges(lookup, side, head).draw(frames, flow.displacement, flow)
    if person.closed is not None:
        LipsToClose(person.closed, head).draw(frames, flow)
    _DubbedMouth(image, head, colours, amount, person.teeth).fill(frames, flow)
    return frames[0].clamp_(0, 1)


_NOTHING = 0.02  #: pixels of the square; what moves less stays unchanged


def _warped(image: Tensor, head: DubbedHead, flow: MeshFlow) -> Tensor:
    side = image.shape[-1]
    centres = torch.arange(side) + 0.5
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    places = torch.stack([x, y], dim=-1)[None]
    on_stage = head.on_stage(places) * (2 / STAGE) - 1
    moved = sample(flow.displacement, on_stage).permute(0, 2, 3, 1) * head.zoom
    grid = (places + moved) * (2 / side) - 1
    frames = F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=False)
    still = (moved.abs().amax(-1) < _NOTHING)[:, None]
    return torch.where(still, image, frames)


__all__ = [
    "AWAY_DEG",
    "N_POINTS",
    "DubbedHead",
    "MouthColours",
    "MouthPlace",
    "mouth_colours",
    "place_of",
    "with_mouth",
]
