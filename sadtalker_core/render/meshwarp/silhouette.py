"""The outline of head and hair in a portrait, beyond which the movement of the head fades out quickly.

The rings around the face (surroundings.py) do not know the hair, and the network's flow is averaged over 14 pixels. So
the head is moved a little, once for each portrait; pixels that follow it most of the way are head; and that mask is
aligned to the edges of the image (guided filter: He, Sun and Tang 2013). In frames the displacement fades out from that
outline on. Below the chin nothing changes: a neck is bent between head and shoulders.

Where the person is known (layers.py), only one part of this is needed: no skin of the face may show beside it.

Letters: `B` frames, `h` side of the stage. Stage as in placement.py.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import FACE_OUTLINE, rotation_of_angles
from ...easing import smoothstep
from .flow_maps import face_at_rest, mesh_flow, rigid_flow
from .network import FlowRenderer
from .placement import MARGIN, STAGE, WINDOW
from .rig import FaceRig
from .warp import largest_around, mean_around, sample

_CHIN = FACE_OUTLINE[18]
#: decimetres to all sides and degrees to both, by which the head is moved to see what goes along; so many moves at
#: once, in the room of a frame
_SHIFT, _ROLL = 0.12, 7.0
_AT_ONCE = 3
_LIKELY_DEPTH = 0.3  #: decimetres in front of the pivot: hair and ears
_LEAST_MOTION = 0.5  #: square pixels of motion below which a spot does not count

# Tuned by eye on the turns of 8 degrees of astronaut, obama, obama2, obama3 and biden: no hair stands still, and
# curtains behind the head do not bend.
_GOES_ALONG = (0.5, 0.8)  #: the share of the motion from where on a spot may be head, and surely is
#: the two steps of the filter: side of the square, and how far colours may differ in it and be one thing
_FILTER = ((19, 1e-4), (11, 1e-5))
_IS_HEAD = 0.5
_REACH = 24  #: pixels of the stage from the outline beyond which everything stands still
_CLOSE = 1  #: pixels within which everything goes along
_LEAST_FADE, _FADE = 5.0, 1.3  #: over how many pixels motion fades, at least, and by the motion beside the outline
_AROUND = 9  #: pixels of a square in which something has to move before skin beside the face is covered
#: pixels of the stage within the portrait's face, from where on what is beside it is led out of it, and from twice as
#: far at the very edge
_DEEP = 2.0
_NECK = (-0.15, 0.15)  #: decimetres below the chin, from where on necks begin, and are all there is


class Silhouette:
    """Of a portrait on its stage (1, 3, 160, 160), with its features by `net.encode`, for weights of the same.

    person (1, 1, 160, 160) in 0..1, where the stage shows the person, if that is known.
    """

    def __init__(
        self, net: FlowRenderer, stage: Tensor, features: list[Tensor], rig: FaceRig, person: Tensor | None = None
    ):
        self.distance, face = None, face_at_rest(rig)
        if person is None:
            self.distance = _distance(_found_head(net, stage, features, rig) > _IS_HEAD)
        self.face = face
        self.within = _distance(face < 0.5)
        down, across = torch.gradient(-self.within, dim=(2, 3))
        outwards = torch.cat([across, down], dim=1)
        self.outwards = outwards / outwards.norm(dim=1, keepdim=True).clamp_min(0.1)
        self.rim, self.free_above = _rims(stage.device, person)
        self.neck = _below_the_chin(rig)

    def __call__(self, displacement: Tensor, on_face: Tensor, face: Tensor) -> Tensor:
        """displacement (B, 2, h, h) in pixels of the stage; on_face (B, 1, h, h) where the face is, and `face` the same
        with a soft edge -> the displacement, that fades out beyond the outline.
        """
        if self.distance is None:
            return self._beside_the_face(self._within_the_stage(displacement), on_face, face)
        away, neck = self._taken_from(displacement, self.distance)
        speed = displacement.square().sum(1, keepdim=True).sqrt()
        beside = (speed * ((away > 0) & (away < _REACH / 2) & (neck < 0.5))).amax((1, 2, 3), keepdim=True)
        fade = (beside * _FADE).clamp(_LEAST_FADE, _REACH - _CLOSE)
        stays = (away - _CLOSE) / fade
        goes = 1 - smoothstep(stays)
        goes = torch.maximum(goes, neck) * self.rim  # rings may end right at the border
        return self._beside_the_face(displacement * goes, on_face, face)

    def _within_the_stage(self, displacement: Tensor) -> Tensor:
        """displacement (B, 2, h, h) -> the same, less of it near the border: of what sinks there, only if it is cut."""
        across, down = displacement.split(1, dim=1)
        free = self.free_above
        return torch.cat([across * free, down * torch.where(down < 0, free, self.rim)], dim=1)

    def _beside_the_face(self, displacement: Tensor, on_face: Tensor, face: Tensor) -> Tensor:
        """What is beside the face of a frame never shows the portrait's face: from where it would, it is led out of it.
        Beside a far cheek, strips of skin would be drawn otherwise. Not where it hardly is, which would draw ears out.
        """
        known = torch.cat([self.within, self.outwards], dim=1).expand(len(displacement), -1, -1, -1)
        within, outwards = sample(known, _grid(_places(displacement.device) + displacement)).split((1, 2), dim=1)
        moves = mean_around(displacement.abs().amax(1, keepdim=True), _AROUND).clamp_max(1)
        beside = torch.lerp(1 - face, 1 - on_face, smoothstep(within / _DEEP - 1))
        return displacement + beside * moves * within * smoothstep(within / _DEEP) * outwards

    def _taken_from(self, displacement: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """-> (B, 1, h, h) how far from the outline, and how far on the neck, is what a displacement brings."""
        known = torch.cat([distance, self.neck], dim=1).expand(len(displacement), -1, -1, -1)
        away, neck = sample(known, _grid(_places(displacement.device) + displacement)).split(1, dim=1)
        return away, neck


def _rims(device: torch.device, person: Tensor | None) -> tuple[Tensor, Tensor]:
    """(1, 1, h, h) 1 within the stage, 0 at its border, beyond which nothing moves; and the same for movement across
    and downwards, of a person (1, 1, h, h) who is known: where nobody is cut by the upper border, a crown close to it
    turns, leans and nods with the rest of the head. Upwards it would be cut.
    """
    place = _places(device)
    rim = (torch.minimum(place, STAGE - place).amin(1, keepdim=True) / MARGIN).clamp(0, 1)
    if person is None:
        return rim, rim
    cut = largest_around(person[:, :, :1], 2 * MARGIN + 1)
    beside = torch.minimum(place[:, :1], STAGE - place).amin(1, keepdim=True) / MARGIN
    return rim, torch.lerp(beside.clamp(0, 1), rim, mean_around(cut, MARGIN + 1))


def _found_head(net: FlowRenderer, stage: Tensor, features: list[Tensor], rig: FaceRig) -> Tensor:
    """(1, 1, h, h) where head and hair are, 0..1."""
    low, high = _GOES_ALONG
    head = ((_share_that_goes_along(net, stage, features, rig) - low) / (high - low)).clamp(0, 1)
    for side, eps in _FILTER:
        head = _guided(stage.float(), head, side, eps).clamp(0, 1)
    return head


def _share_that_goes_along(net: FlowRenderer, stage: Tensor, features: list[Tensor], rig: FaceRig) -> Tensor:
    """(1, 1, h, h) by what share each spot of the stage follows a head that is moved a little."""
    device = rig.source.device
    shift = torch.tensor([[_SHIFT, 0.0], [-_SHIFT, 0.0], [0.0, _SHIFT], [0.0, -_SHIFT], *[[0.0, 0.0]] * 2])
    angles = torch.zeros(len(shift), 3)
    angles[4:, 2] = torch.deg2rad(torch.tensor([_ROLL, -_ROLL]))
    shift, turn = shift.to(device), rotation_of_angles(angles).to(device)
    middle, precision = slice(MARGIN, MARGIN + WINDOW), stage.dtype
    shares, fars = [], []
    for turns, shifts in zip(turn.split(_AT_ONCE), shift.split(_AT_ONCE), strict=True):
        n = len(turns)
        flow = mesh_flow(rig, rig.face.weights.expand(n, -1), turns, shifts)
        rigid = rigid_flow(rig, turns, shifts)
        moved, window = flow.displacement.clone(), flow.displacement[:, :, middle, middle]
        known = [f.expand(n, -1, -1, -1) for f in features]
        moved[:, :, middle, middle] = net(stage, known, window, flow.maps.to(precision), rigid).flow.float()
        whole = _taken_along(rigid, torch.full_like(moved[:, :1], _LIKELY_DEPTH))
        far = whole.square().sum(1, keepdim=True)
        shares.append((moved * whole).sum(1, keepdim=True) / far.clamp_min(_LEAST_MOTION) * far)
        fars.append(far)
    return torch.cat(shares).sum(0, keepdim=True) / torch.cat(fars).sum(0, keepdim=True).clamp_min(_LEAST_MOTION)


def _taken_along(rigid: Tensor, depth: Tensor) -> Tensor:
    """rigid (B, 4, 2), depth (B, 1, h, h) -> (B, 2, h, h) what a spot does that follows the head alone."""
    places = _places(depth.device)
    spots = torch.cat([places, torch.ones_like(places[:, :1])], dim=1).expand(len(depth), -1, -1, -1)
    return torch.einsum("bkc,bkhw->bchw", rigid.float(), torch.cat([spots, depth], dim=1))


def _guided(image: Tensor, mask: Tensor, side: int, eps: float) -> Tensor:
    """image (1, 3, h, h), mask (1, 1, h, h) -> the mask as, in each square, a linear function of the colours."""
    red, green, blue = image.split(1, dim=1)
    products = [red * image, green * image[:, 1:], blue * blue, mask * image, mask]
    means = mean_around(torch.cat([image, *products], dim=1), side)
    mean, squares, together, of_mask = means.split((3, 6, 3, 1), dim=1)
    r, g, b = mean.split(1, dim=1)
    rr, rg, rb, gg, gb, bb = (squares - torch.cat([r * mean, g * mean[:, 1:], b * b], dim=1)).split(1, dim=1)
    slope = _solved(rr + eps, rg, rb, gg + eps, gb, bb + eps, together - mean * of_mask)
    slope, offset = (mean_around(torch.cat([slope, of_mask - (slope * mean).sum(1, keepdim=True)], dim=1), side)).split(
        (3, 1), dim=1
    )
    return (slope * image).sum(1, keepdim=True) + offset


def _solved(aa: Tensor, ab: Tensor, ac: Tensor, bb: Tensor, bc: Tensor, cc: Tensor, right: Tensor) -> Tensor:
    """The upper half of symmetric 3 x 3 matrices, each number of it (1, 1, h, h), and the right sides (1, 3, h, h) ->
    what times the matrix is the right side (1, 3, h, h). By L D L', many times as fast on planes as one by one.
    """
    x, y, z = right.split(1, dim=1)
    ba, ca = ab / aa, ac / aa
    second = bb - ba * ab
    cb = (bc - ba * ac) / second
    third = cc - ca * ac - cb.square() * second
    y = y - ba * x
    z = (z - ca * x - cb * y) / third
    y = y / second - cb * z
    return torch.cat([x / aa - ba * y - ca * z, y, z], dim=1)


def _distance(head: Tensor) -> Tensor:
    """head (1, 1, h, h) bool -> about how many pixels away it is, up to _REACH, without steps."""
    grown, distance = head.float(), torch.zeros_like(head, dtype=torch.float32)
    for step in range(_REACH):
        distance += 1 - grown
        padded = F.pad(grown, (1,) * 4)  # what is shifted is many times as fast as torch's pooling
        across = torch.maximum(torch.maximum(padded[..., :-2], padded[..., 2:]), padded[..., 1:-1])
        above_below = across if step % 2 else padded[..., 1:-1]  # eight neighbours, or four: in turn it is nearly round
        beside = torch.maximum(above_below[..., :-2, :], above_below[..., 2:, :])
        grown = torch.maximum(across[..., 1:-1, :], beside)
    return mean_around(mean_around(distance, 5), 5)


def _below_the_chin(rig: FaceRig) -> Tensor:
    """(1, 1, h, h) 1 below the chin, 0 above."""
    down = rig.face.down_on_stage / rig.face.down_on_stage.square().sum().clamp_min(1e-6)  # to decimetres
    chin = rig.face.points[_CHIN]
    below = torch.einsum("bchw,c->bhw", _places(chin.device) - chin[None, :, None, None], down)[:, None]
    return ((below - _NECK[0]) / (_NECK[1] - _NECK[0])).clamp(0, 1)


def _places(device: torch.device) -> Tensor:
    """(1, 2, h, h) x and y of the pixels of the stage."""
    line = torch.arange(STAGE, device=device) + 0.5
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y])[None]


def _grid(places: Tensor) -> Tensor:
    return places.permute(0, 2, 3, 1) * (2 / STAGE) - 1
