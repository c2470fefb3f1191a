"""Face Render of the mini family: a portrait and its motion in, frames out.

The mesh gives where each pixel comes from (flow_maps.py), the network what that gets wrong (network.py). The portrait
itself stays sharp, because the flow is applied to it at full size. Over it come, in this order:

    irises that look elsewhere  eyes/gaze.py            the warp, corrected within the eyes
    a cheek that was far        far_cheek.py            the other one, mirrored, where the warp would draw it out
    lips up to their edges      mouth/lip_edges.py      the warp, carried on over the edge of each lip
    the network's colours                               a fifth of it at most, right beside the opening of the mouth
    what lips uncover           mouth/interior.py       teeth, tongue, the dark, and the rim of the lips
    what lids draw              eyes/lid_skin.py, eyes/lash_line.py

A crop that knows where its person is has the person alone warped; what is behind stays (layers.py).
Where nothing moves, nothing is repaired: such pixels are the portrait's own.
A crop with alpha has it carried along as a fourth channel, by the warp and by the face's edge, which move the colours,
too; what is drawn over them lies within the face and leaves it as it is.
Laid on its own plain background, such a frame is the opaque one within a level, but for a rim of two pixels: what is
flat beside an edge does not ring (warp.py, face/crop.py), front and matte are looked up alike, and a cut-out ends where
its alpha does. `python -m tests.tools.mini_evaluator.alpha` measures it.
Letters: `B` frames, `S` side of the crop, stage and window as in placement.py.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...canonical_face import INNER_LIPS, N_POINTS
from ...coefficients import BLENDSHAPE_INDEX
from ...datatypes import BlendshapeMotion, FaceCrop, Motion, OnProgress
from ...threads import pieces_at_once, side_by_side
from ..batches import OutOfMemory, in_batches, memory_ran_out
from ..eyes.gaze import GAZE_UNITS, Gaze
from ..eyes.glasses import KEPT, RIM_UNITS, wears_glasses
from ..eyes.lash_line import LashLine
from ..eyes.lid_skin import LidSkin
from ..mouth.corners import with_measured_corners
from ..mouth.flat import FlatMouth, is_flat
from ..mouth.interior import Mouth
from ..mouth.lip_edges import LipEdges
from ..mouth.measured_lips import with_measured_lips
from ..mouth.seam import with_measured_seam, without_specks
from .edge_curves import pixels_around
from .face_edge import both_sides_of_edge, draw_edge
from .far_cheek import FarCheek
from .flow_maps import MAPS, MeshFlow, mesh_flow, rigid_flow
from .layers import Layers
from .network import FlowRenderer, folded
from .placement import MARGIN, STAGE, WINDOW
from .posed_rig import PosedRig
from .silhouette import Silhouette
from .warp import (
    Lookup,
    largest_around,
    mean_around,
    pixel_centres,
    room_to_the_sides,
    sample,
    sum_around,
    within_the_image,
)

_NOTHING = 0.02 / 256  #: of half the crop's side: a pixel that moves less is the portrait's own
_IN_CACHE = 1 << 16  #: pixels that are composed at once on a CPU, so that what one step writes the next finds nearby
_CARRIED = 11  #: pixels of the stage that what the network changes of a face reaches beyond its edge
_REPAIR_REACH = 5  #: pixels of the stage around the edges of the lips: the network changes nothing further away
_MOUTH_UNITS = [k for name, k in BLENDSHAPE_INDEX.items() if name.startswith(("jaw", "mouth", "cheekPuff", "tongue"))]

# Tuned by eye on the sheet of portraits that `make eval-mini` draws (docs/MINI.md, "The sheet"): lips and lids in its
# columns of mouth shapes and of the blink stay as sharp as the portrait. Middle and half axes in the units of the maps
# "x" and "y", about decimetres: soft ellipses around the mouth, and around each eye.
_MOUTH_MIDDLE_Y, _MOUTH_AXES = -0.45, (0.36, 0.22)
_EYE_MIDDLE, _EYE_AXES = (0.31, 0.2), (0.2, 0.12)


def render_flow_frames(
    net: FlowRenderer,
    crop: FaceCrop,
    motion: Motion[BlendshapeMotion],
    *,
    batch_size: int = 8,
    together: int | None = None,
    on_progress: OnProgress | None = None,
    is_out_of_memory: OutOfMemory = memory_ran_out,
) -> Iterator[Tensor]:
    """Frames (B, 3, S, S) in 0..1, float32, batch by batch, on the device and with the precision of the network's
    parameters; (B, 4, S, S) for a crop with alpha, which is the fourth channel and does not affect the other three.

    crop.landmarks are the 468 points of the mesh; motion.driving and motion.source hold angles in degrees, the place of
    the head as face/linear_3dmm.py gives it (x and y in -1..1 of the square, y down, and the logarithm of the scale),
    and blendshape weights. Only their difference counts. A frame does not
    depend on the batch it is in, which is halved where memory runs out (batches.py). Raises FaceNotFound and
    OptionError.

    together: of how many frames a piece is, of those that a CPU makes side by side; None for as many pieces as there
              are cores
    """
    parameter = next(net.parameters())
    image, points = crop.image.to(parameter.device).float(), crop.landmarks.to(parameter.device).float()
    # other meshes are refused below, by PosedRig; hidden lips have no seam to measure
    if points.shape == (N_POINTS, 3) and not crop.mouth_covered:
        found, points = points, with_measured_seam(points, image[None])
        if points is not found:
            image = without_specks(image[None], points)[0]
        points = with_measured_lips(with_measured_corners(points, image[None]), image[None])
    head = PosedRig(points, crop.pic_size, motion.source, crop.person)

    @functools.cache
    def clip() -> _MeshClip:
        return _MeshClip(net, image, crop.fine, head, motion.driving, crop)

    @torch.inference_mode()
    def make_frames(start: int, stop: int) -> Tensor:
        whole = clip()
        every = torch.arange(start, stop)
        n_pieces = pieces_at_once(stop - start, parameter.device)
        parts = every.tensor_split(n_pieces) if together is None else every.split(together)
        edges = [(int(part[0]), int(part[-1]) + 1) for part in parts]
        made = list(side_by_side(lambda edge: whole.frames(*edge), edges, parameter.device))
        return made[0] if len(made) == 1 else torch.cat(made)

    return in_batches(make_frames, len(motion), batch_size, on_progress=on_progress, is_out_of_memory=is_out_of_memory)


class _MeshClip:
    """What stays the same for all frames of a clip: the crop, the stage cut out of it, its features and its mesh."""

    def __init__(
        self,
        net: FlowRenderer,
        image: Tensor,
        fine: bool,
        head: PosedRig,
        driving: BlendshapeMotion,
        crop: FaceCrop,
    ):
        self.net, self.image, self.head = folded(net), image[None], head
        # what is warped: the colours, and the alpha where there is one
        self.layers = self.image if crop.alpha is None else torch.cat([image, crop.alpha.to(image)])[None]
        self.gaze = None if crop.irises is None else Gaze(crop.irises, head)
        if not self.gaze:  # without irises to move, lids would follow a gaze that is not there
            driving = _damped(driving, head, list(GAZE_UNITS), 0.0)
        if wears_glasses(self.image, head):
            driving = _damped(driving, head, RIM_UNITS, KEPT)
        if crop.mouth_covered:  # hidden lips would tear what lies over them
            driving = _damped(driving, head, _MOUTH_UNITS, 0.0)
        self.driving = driving
        self.precision = next(net.parameters()).dtype
        self.stage = self._crop_stage()
        self.features = self.net.encode(self.stage.to(self.precision))
        self.silhouette = Silhouette(self.net, self.stage.to(self.precision), self.features, head.rig, head.person)
        self.identity, self.on_stage = self._crop_grid()
        self.parts = None if crop.person is None else self._in_layers(crop.person.to(image), crop.cut_out)
        self.lookup = Lookup(self.layers if self.parts is None else self.parts.with_matte, fine)
        self.far_cheek = FarCheek.of(self.stage, self.lookup.colours(), head)
        self.lips = LipEdges(self.lookup.colours(), self.image.shape[-1], head)
        drawn = FlatMouth if is_flat(self.image, head) else Mouth
        self.mouth = None if crop.mouth_covered else drawn(self.image, head)
        self.lids = LidSkin(self.image, head)
        self.lashes = LashLine(self.image, head)
        self.covered = _rectangle(self.on_stage[0].abs().amax(-1) <= 1)
        stage_on_crop = head.on_crop(pixel_centres(STAGE, self.image.device)) * (2 / self.image.shape[-1]) - 1
        self.room = room_to_the_sides(stage_on_crop, None if self.parts is None else self.parts.matte, MARGIN)

    def _in_layers(self, person: Tensor, cut_out: bool) -> Layers:
        """person (1, S, S). The face is the person's, whatever the mask has there; a cut-out has all that."""
        if cut_out:
            return Layers.of(self.layers, person[None])
        face = sample(self.silhouette.face, self.on_stage) * (self.on_stage.abs().amax(-1) <= 1)[:, None]
        return Layers.of(self.layers, torch.maximum(person[None], face))

    def frames(self, start: int, stop: int) -> Tensor:
        driving, device = self.driving[start:stop], self.image.device
        turn, shift = self.head.pose(driving)
        flow = mesh_flow(self.head.rig, driving.weights.to(device), turn.to(device), shift.to(device))
        middle = slice(MARGIN, MARGIN + WINDOW)
        window = flow.displacement[:, :, middle, middle]
        features = [f.expand(len(window), -1, -1, -1) for f in self.features]
        rigid = rigid_flow(self.head.rig, turn, shift)
        repair = self.net(self.stage.to(self.precision), features, window, flow.maps.to(self.precision), rigid)
        displacement = flow.displacement.clone()
        displacement[:, :, middle, middle] = repair.flow.float()
        if self.parts:
            displacement = evenly_beyond(flow, displacement)
        displacement = self.silhouette(displacement, flow.on_face, flow.face)
        border = (MARGIN,) * 4
        # Hair, neck, background and the cheek that a turn uncovers are only moved: warped too far they look better than
        # changed softly. So are lips and lids, and what they uncover is drawn.
        mouth, eyes = regions(flow.maps)
        opening = sum_around(largest_around(flow.maps[:, [MAPS.index("mouth")]], 5), 3) / 9
        change = (1 - repair.keep).float() * (1 - torch.maximum(mouth, eyes)) * opening
        change = F.pad(change, border) * flow.face
        colour = F.pad(repair.colour.float(), border, mode="replicate")
        return self._compose(displacement, change, colour, flow, driving.weights.to(device), turn.to(device))

    def _compose(
        self, displacement: Tensor, change: Tensor, colour: Tensor, flow: MeshFlow, weights: Tensor, turn: Tensor
    ) -> Tensor:
        """From the stage to the part of the crop that it covers: bilinear in between. Elsewhere nothing changes."""
        n, side = len(displacement), self.image.shape[-1]
        bands, (rows, columns) = self._bands(n), self.covered
        if not bands:  # the head is not on the crop
            return self.layers.repeat(n, 1, 1, 1)
        layers = self.layers.new_empty(n, self.layers.shape[1], side, side)
        frames, moved = layers[:, :3], self.image.new_empty(n, 2, side, side)
        still = moved.new_empty(n, 1, side, side, dtype=torch.bool)
        for outside in self._outside():
            layers[outside], moved[outside] = self.layers[outside], 0
        to_crop = self.head.zoom * 2 / side
        on_stage = within_the_image(displacement * to_crop, self.room)
        moved[:, :, rows, columns] = sample(on_stage, self.on_stage[:, rows, columns].expand(n, -1, -1, -1))
        if self.gaze:
            self.gaze.move_irises(moved, weights, flow)
        for band in bands:
            still[band] = moved[band].abs().amax(1, keepdim=True) < _NOTHING
            places = self.identity[:, band[1], band[2]] + moved[band].permute(0, 2, 3, 1)
            found = self.lookup(places)
            layers[band] = self.parts.put_together(found, band) if self.parts else found
        if self.far_cheek:
            self.far_cheek.draw(frames, turn, flow)
        displacement = on_stage / to_crop
        if self.mouth:
            self.lips.draw(frames, displacement, flow)
        draw_edge(
            layers,
            still,
            self.parts or self.layers,
            self.on_stage,
            self.covered,
            both_sides_of_edge(displacement, flow.on_face, flow.face),
            to_crop,
        )
        if self.mouth:
            for window, unchanged in (self._apply_repair(frames, change, colour, flow), self.mouth.fill(frames, flow)):
                still[window] &= unchanged
        self.lids.draw(frames, moved, flow)
        self.lashes.draw(frames, flow)
        for band in bands:
            if still[band].any():  # by lerp several times as fast as by `where`, and the portrait's own to the bit, too
                own = self.layers[band].expand(n, -1, -1, -1)
                layers[band] = torch.lerp(layers[band], own, still[band].to(layers))
        return layers.clamp_(0, 1)

    def _bands(self, n_frames: int) -> list[tuple[Any, ...]]:
        """The covered part of (B, C, S, S) in pieces of rows that are composed together."""
        rows, columns = self.covered
        wide, high = columns.stop - columns.start, rows.stop - rows.start
        step = max(1, _IN_CACHE // max(wide * n_frames, 1)) if self.image.device.type == "cpu" else max(high, 1)
        starts = range(rows.start, rows.stop, step)
        return [(..., slice(start, min(start + step, rows.stop)), columns) for start in starts]

    def _outside(self) -> list[tuple[Any, ...]]:
        """What the stage does not cover of (B, C, S, S)."""
        rows, columns = self.covered
        above, below = slice(0, rows.start), slice(rows.stop, None)
        left, right = slice(0, columns.start), slice(columns.stop, None)
        return [(..., above, slice(None)), (..., below, slice(None)), (..., rows, left), (..., rows, right)]

    def _apply_repair(
        self, frames: Tensor, change: Tensor, colour: Tensor, flow: MeshFlow
    ) -> tuple[tuple[Any, ...], Tensor]:
        """Blend the network's repair into frames, in place -> the rectangle of (B, C, S, S) around the mouth, and
        where it was left unchanged.
        """
        lips = self.head.on_crop(flow.mesh[:, list(INNER_LIPS)])
        rows, columns, _ = pixels_around(lips, _REPAIR_REACH * float(self.head.zoom), frames.shape[-1])
        window, on_stage = (..., rows, columns), self.on_stage[:, rows, columns]
        layers = sample(torch.cat([change, colour], dim=1), on_stage.expand(len(frames), -1, -1, -1))
        amount = layers[:, :1].masked_fill((on_stage.abs().amax(-1) > 1)[:, None], 0)
        frames[window] += amount * (layers[:, 1:] - frames[window])
        return window, amount == 0

    def _crop_stage(self) -> Tensor:
        """(1, 3, 160, 160) from the crop; when it is shrunk, what falls between the samples is averaged in."""
        side = self.image.shape[-1]
        several = max(1, math.ceil(float(self.head.zoom)))
        centres = (torch.arange(STAGE * several, device=self.image.device) + 0.5) / several * self.head.zoom
        x, y = (((centres + self.head.left_top[k]) / side) * 2 - 1 for k in (0, 1))
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)[None]
        return F.avg_pool2d(sample(self.image, grid), several)

    def _crop_grid(self) -> tuple[Tensor, Tensor]:
        """(1, S, S, 2) twice: where the crop's pixels are in the crop and on the stage, both in -1..1."""
        side = self.image.shape[-1]
        places = pixel_centres(side, self.image.device)
        return places / side * 2 - 1, self.head.on_stage(places) * (2 / STAGE) - 1


def evenly_beyond(flow: MeshFlow, repaired: Tensor) -> Tensor:
    """What the network changes of the mesh's displacement (B, 2, h, h) within the face, and beyond it only so much that
    nothing tears: rings that know where the head ends lead hair and ears more evenly than the network.
    """
    change, face = repaired - flow.displacement, flow.face
    near = mean_around(F.avg_pool2d(torch.cat([change * face, face], dim=1), 2), _CARRIED)
    beyond = F.interpolate(near[:, :2] / near[:, 2:].clamp_min(0.5), scale_factor=2.0, mode="bilinear")
    return flow.displacement + torch.lerp(beyond, change, face)


def _rectangle(where: Tensor) -> tuple[slice, slice]:
    """Rows and columns of the rectangle that where (S, S) is true in; of nothing, where it is nowhere."""
    sides = []
    for axis in (1, 0):
        found = torch.nonzero(where.any(axis)).flatten().tolist()
        sides.append(slice(found[0], found[-1] + 1) if found else slice(0, 0))
    return sides[0], sides[1]


def _damped(driving: BlendshapeMotion, head: PosedRig, units: list[int], kept: float) -> BlendshapeMotion:
    """The same, with that share of what these blendshapes do beyond the portrait's own weights."""
    weights = driving.weights.clone()
    weights[:, units] = torch.lerp(head.rig.face.weights[units].to(weights), weights[:, units], kept)
    return replace(driving, weights=weights)


def regions(maps: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 1, 128, 128) twice, in 0..1: around the mouth, and around the eyes, by the spot of the head that is
    visible.
    """
    x, y, inside = (maps[:, [MAPS.index(name)]] for name in ("x", "y", "mouth"))
    mouth = torch.exp(-(((x / _MOUTH_AXES[0]) ** 2 + ((y - _MOUTH_MIDDLE_Y) / _MOUTH_AXES[1]) ** 2) ** 2))
    across, down = (x.abs() - _EYE_MIDDLE[0]) / _EYE_AXES[0], (y - _EYE_MIDDLE[1]) / _EYE_AXES[1]
    eyes = torch.exp(-((across**2 + down**2) ** 2))
    return torch.maximum(mouth, inside), eyes
