"""Face Render of the mini family: a portrait and its motion in, frames out.

The mesh says where each pixel comes from (mesh_flow.py), a small network says what that gets wrong: what goes along
with the head and how deep it lies (hair, ears, neck), what has to be shifted a little beside that, and what colour the
source never showed (the far side of a turn). The portrait itself stays sharp, because the flow is applied to it at full
size:

    frame = keep * portrait(warped) + (1 - keep) * paint

Lips keep their edges (lip_edges.py), and what lips and lids uncover is drawn over that at full size, too: interior.py,
lash_line.py.
Where nothing moves, nothing is repaired: such pixels are the portrait's own.
Letters: `B` frames, `S` side of the crop, stage and window as in mesh_flow.py.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datatypes import FaceCrop, KeypointMotion, Motion
from ...threads import pieces_at_once, side_by_side
from ..batches import OnProgress, OutOfMemory, in_batches, memory_ran_out
from ..eyes.lash_line import LashLine
from ..mouth.interior import Mouth
from ..mouth.lip_edges import LipEdges
from .mesh_flow import MAPS, MARGIN, STAGE, WINDOW, FaceRig, MeshFlow
from .posed_rig import PosedRig

#: maps that are looked at pixel by pixel; the others at half the size
FINE_MAPS = ("mouth height", "mouth", "eyes", "backfacing")
_FINE = [MAPS.index(name) for name in FINE_MAPS]
_COARSE = [k for k in range(len(MAPS)) if k not in _FINE]

_STILL, _MOVING = 0.10, 0.60  #: pixels of displacement below which nothing is repaired, above which everything may be
_NOTHING = 0.02 / 256  #: of half the crop's side: a pixel that moves less is the portrait's own
_FADE = 20  #: pixels at the border of the window over which the right to repair fades out
_EVEN = 7  #: pixels at half the size over which what the network says of the flow is averaged, twice


@dataclass(frozen=True)
class FlowRendererConfig:
    """encoder: channels of the source's features at 1/2, 1/4, 1/8 of the stage; widths: of the repairing network at
    1/2, 1/4, 1/8, 1/16 of the window; max_shift: how far the network may move the flow, in pixels of the stage, beside
    what the head takes along; max_depth: how far in front or behind the mesh it may put a spot, in decimetres."""

    encoder: tuple[int, ...] = (16, 24, 40)
    widths: tuple[int, ...] = (32, 56, 88, 128)
    max_shift: float = 5.0
    max_depth: float = 2.0


MINI_FLOW_RENDERER = FlowRendererConfig()


class Repair(NamedTuple):
    """flow (B, 2, 128, 128) the corrected displacement in pixels of the stage, keep (B, 1, 128, 128) and paint
    (B, 3, 128, 128) in 0..1."""

    flow: Tensor
    keep: Tensor
    paint: Tensor


def _block(n_in: int, n_out: int, stride: int = 1, *, ops) -> nn.Sequential:
    return nn.Sequential(ops.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.LeakyReLU(0.1))


class Residual(nn.Module):
    """Two convolutions, whose answer is added to the input; (B, width, H, W) stays that."""

    def __init__(self, width: int, *, ops):
        super().__init__()
        self.first = _block(width, width, ops=ops)
        self.second = nn.Sequential(ops.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.second(self.first(x)), 0.1)


class FlowRenderer(nn.Module):
    """Two calls: `encode` once per source, `forward` once per batch of frames."""

    def __init__(self, config: FlowRendererConfig = MINI_FLOW_RENDERER, *, ops=nn):
        super().__init__()
        self.config = config
        encoder, widths = config.encoder, config.widths
        self.encoder = nn.ModuleList()
        for n_in, n_out in zip((12, *encoder[:-1]), encoder, strict=True):
            self.encoder.append(_block(n_in, n_out, 1 if n_in == 12 else 2, ops=ops))
        n_input = 4 * (3 + len(_FINE)) + len(_COARSE) + 6 + encoder[0]
        self.enter = nn.Sequential(
            ops.Conv2d(n_input, widths[0], 1), nn.LeakyReLU(0.1), _block(widths[0], widths[0], ops=ops)
        )
        self.down, self.meet = nn.ModuleList(), nn.ModuleList()
        for k in range(1, len(widths)):
            self.down.append(_block(widths[k - 1], widths[k], 2, ops=ops))
            n_features = encoder[k] if k < len(encoder) else 0
            self.meet.append(
                nn.Sequential(_block(widths[k] + n_features, widths[k], ops=ops), Residual(widths[k], ops=ops))
            )
        self.up = nn.ModuleList()
        for k in reversed(range(len(widths) - 1)):
            self.up.append(_block(widths[k + 1] + widths[k], widths[k], ops=ops))
        self.last = Residual(widths[0], ops=ops)
        self.shift = ops.Conv2d(widths[0], 4, 3, 1, 1)
        self.colours = ops.Conv2d(widths[0], 16, 3, 1, 1)
        for head in (self.shift, self.colours):
            nn.init.normal_(head.weight, 0, 1e-3)
            nn.init.zeros_(head.bias)

    def encode(self, stage: Tensor) -> list[Tensor]:
        """stage (B, 3, 160, 160) in 0..1 -> features at 80, 40 and 20."""
        x, features = F.pixel_unshuffle(stage * 2 - 1, 2), []
        for layer in self.encoder:
            x = layer(x)
            features.append(x)
        return features

    def forward(
        self,
        stage: Tensor,
        features: list[Tensor],
        displacement: Tensor,
        maps: Tensor,
        rigid: Tensor,
        left_top: Tensor | None = None,
    ) -> Repair:
        """stage (B, 3, 160, 160), its features, displacement (B, 2, 128, 128) of the window in pixels of the stage,
        maps (B, 11, 128, 128), ride (B, 4, 2) as `rigid_flow` gives it. Training gives a part of the window, h x h, and
        where on the stage it begins, left_top (B, 2)."""
        if left_top is None:
            left_top = displacement.new_full((1, 2), MARGIN)
        warped = warp_window(stage, displacement, left_top)
        fine = torch.cat([warped * 2 - 1, maps[:, _FINE]], dim=1)
        taken = _taken_along(rigid, left_top, displacement.shape[-1])
        moves = F.avg_pool2d(torch.cat([displacement.float(), taken.flatten(1, 2)], dim=1), 2) / 16
        half = torch.cat([F.avg_pool2d(maps[:, _COARSE], 2), moves.to(maps)], dim=1)
        carried = [warp_window(f, displacement, left_top) for f in features]
        x = self.enter(torch.cat([F.pixel_unshuffle(fine, 2), half, carried[0]], dim=1))
        heights = [x]
        for k, (down, meet) in enumerate(zip(self.down, self.meet, strict=True), start=1):
            x = down(x)
            if k < len(carried):
                x = torch.cat([x, carried[k]], dim=1)
            x = meet(x)
            heights.append(x)
        heights.pop()
        for up in self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = up(torch.cat([x, heights.pop()], dim=1))
        x = self.last(x)
        may = may_repair(displacement, left_top)
        answers = _without_tears(torch.tanh(self.shift(x).float()))
        answers = F.interpolate(answers, scale_factor=2.0, mode="bilinear", align_corners=False)
        share, depth = answers[:, 2:3], answers[:, 3:] * self.config.max_depth
        shift = answers[:, :2] * self.config.max_shift + share * taken[:, 0] + depth * taken[:, 1]
        colours = F.pixel_shuffle(self.colours(x).float() * 8, 2)
        inside = maps[:, [MAPS.index("mouth")]] + maps[:, [MAPS.index("backfacing")]]
        change = torch.sigmoid(colours[:, 3:] - 2 + 3 * inside.clamp(0, 1))
        return Repair(displacement + shift * may, 1 - may * change, torch.sigmoid(colours[:, :3]))


def rigid_flow(rig: FaceRig, turn: Tensor, shift: Tensor) -> Tensor:
    """(B, 4, 2): times a driving place (x, y, 1, depth) it gives the displacement, in pixels of the stage, of a spot
    that follows the head alone. depth in decimetres from the pivot to the viewer; turn and shift as `FaceRig.flow`
    takes them."""
    up = rig.source.new_tensor([1.0, -1.0])
    back = torch.linalg.inv(turn.float()).to(rig.source)[:, :2]
    flat = back[:, :, :2] * up * up[:, None] - torch.eye(2).to(back)
    origin = rig.fit.origin[0, :2] * up
    moved = (back[:, :, :2] @ shift.to(back)[..., None])[..., 0] * up * rig.scale
    constant = -(flat @ origin) - moved
    deeper = back[:, :, 2] * up * rig.scale
    return torch.cat([flat.mT, constant[:, None], deeper[:, None]], dim=1)


def _without_tears(answers: Tensor) -> Tensor:
    """(B, C, h, h) averaged twice over squares of `_EVEN`: hair and cheeks are moved as one, and nothing folds."""
    for _ in range(2):
        answers = F.avg_pool2d(answers, _EVEN, 1, _EVEN // 2, count_include_pad=False)
    return answers


def _taken_along(rigid: Tensor, left_top: Tensor, side: int) -> Tensor:
    """(B, 2, 2, side, side) in pixels of the stage: how far the head takes along what lies in the plane of its pivot,
    and how much further what lies a decimetre nearer."""
    places = (torch.arange(side, device=rigid.device) + 0.5 + left_top[:, :, None]).expand(len(rigid), -1, -1)
    across = rigid[:, 0, :, None] * places[:, :1]
    down = rigid[:, 1, :, None] * places[:, 1:] + rigid[:, 2, :, None]
    near = (across[:, :, None, :] + down[..., None]).float()
    return torch.stack([near, rigid[:, 3, :, None, None].expand_as(near).float()], dim=1)


def warp_window(picture: Tensor, displacement: Tensor, left_top: Tensor) -> Tensor:
    """What the window, or the part of it that begins at left_top (1 or B, 2), shows of a picture (B, C, h, h) of the
    whole stage, moved by displacement (B, 2, 128, 128). A picture smaller than the stage gives a window as much
    smaller."""
    shrink = STAGE // picture.shape[-1]
    flow = F.avg_pool2d(displacement.float(), shrink) if shrink > 1 else displacement.float()
    centres = (torch.arange(flow.shape[-1], device=flow.device, dtype=torch.float32) + 0.5) * shrink
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    places = torch.stack([x, y]) + left_top[:, :, None, None] + flow
    grid = places.permute(0, 2, 3, 1) * (2 / STAGE) - 1
    if len(picture) != len(grid):
        picture = picture.expand(len(grid), -1, -1, -1)
    return _sample(picture, grid)


def _sample(picture: Tensor, grid: Tensor) -> Tensor:
    """Bilinear, in float32 whatever the picture is: half precision cannot name a pixel's place."""
    found = F.grid_sample(picture.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found.to(picture.dtype)


def may_repair(displacement: Tensor, left_top: Tensor) -> Tensor:
    """(B, 1, 128, 128) in 0..1: near what moves, and not at the border of the window."""
    speed = displacement.float().square().sum(1, keepdim=True).sqrt()
    moving = ((speed - _STILL) / (_MOVING - _STILL)).clamp(0, 1)
    moving = F.avg_pool2d(F.max_pool2d(moving, 5, 1, 2), 5, 1, 2, count_include_pad=False)
    places = torch.arange(speed.shape[-1], device=speed.device) + 0.5 - MARGIN + left_top[:, :, None]
    ramps = (torch.minimum(places, WINDOW - places) / _FADE).clamp(0, 1)
    return moving * (ramps[:, 0, None, :] * ramps[:, 1, :, None])[:, None]


def regions(maps: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 1, 128, 128) twice, in 0..1: around the mouth, and around the eyes, by the spot of the head that is seen."""
    x, y = maps[:, [MAPS.index("x")]], maps[:, [MAPS.index("y")]]
    mouth = torch.exp(-(((x / 0.36) ** 2 + ((y + 0.45) / 0.22) ** 2) ** 2))
    eyes = torch.exp(-((((x.abs() - 0.31) / 0.2) ** 2 + ((y - 0.2) / 0.12) ** 2) ** 2))
    return torch.maximum(mouth, maps[:, [MAPS.index("mouth")]]), eyes


def render_flow_frames(
    net: FlowRenderer,
    crop: FaceCrop,
    motion: Motion,
    *,
    batch_size: int = 8,
    on_progress: OnProgress | None = None,
    is_out_of_memory: OutOfMemory = memory_ran_out,
) -> Iterator[Tensor]:
    """Frames (B, 3, S, S) in 0..1, float32, batch by batch, on the device and with the precision of the net's
    parameters.

    crop.landmarks are the 468 points of the mesh; motion.driving and motion.source hold angles in degrees, the place of
    the head as face/linear_3dmm.py gives it (x and y in -1..1 of the square, y down, and the logarithm of the scale),
    and blendshape weights. Only their difference counts: nobody has to know what the source's are. A frame does not
    depend on the batch it is in, which is halved where memory runs out (batches.py). Raises FaceNotFound and
    OptionError.
    """
    parameter = next(net.parameters())
    head = PosedRig(crop.landmarks.to(parameter.device).float(), crop.pic_size, motion.source)

    @functools.cache
    def clip() -> _MeshClip:
        return _MeshClip(net, crop.image.to(parameter.device).float(), head, motion.driving)

    @torch.inference_mode()
    def make_frames(start: int, stop: int) -> Tensor:
        whole = clip()
        parts = torch.arange(start, stop).tensor_split(pieces_at_once(stop - start, parameter.device))
        edges = [(int(part[0]), int(part[-1]) + 1) for part in parts]
        return torch.cat(list(side_by_side(lambda edge: whole.frames(*edge), edges, parameter.device)))

    return in_batches(make_frames, len(motion), batch_size, on_progress=on_progress, is_out_of_memory=is_out_of_memory)


class _MeshClip:
    """What stays the same for all frames of a clip: the crop, the stage cut out of it, its features and its mesh."""

    def __init__(self, net: FlowRenderer, image: Tensor, head: PosedRig, driving: KeypointMotion):
        self.net, self.image, self.head, self.driving = net, image[None], head, driving
        self.precision = next(net.parameters()).dtype
        self.stage = self._cut_stage()
        self.lips = LipEdges(self.image, head)
        self.mouth = Mouth(self.image, head)
        self.lashes = LashLine(self.image, head)
        self.features = net.encode(self.stage.to(self.precision))
        self.identity, self.on_stage = self._crop_grid()

    def frames(self, start: int, stop: int) -> Tensor:
        driving, device = self.driving[start:stop], self.image.device
        turn, shift = self.head.pose(driving)
        flow = self.head.rig.flow(driving.offsets.to(device), turn.to(device), shift.to(device))
        middle = slice(MARGIN, MARGIN + WINDOW)
        window = flow.displacement[:, :, middle, middle]
        features = [f.expand(len(window), -1, -1, -1) for f in self.features]
        rigid = rigid_flow(self.head.rig, turn, shift)
        repair = self.net(self.stage.to(self.precision), features, window, flow.maps.to(self.precision), rigid)
        displacement = flow.displacement.clone()
        displacement[:, :, middle, middle] = repair.flow.float()
        border = (MARGIN,) * 4
        # Hair, neck and background are only moved: warped too far they look better than painted softly. So are lips and
        # lids, and what they uncover is drawn; paint is seen at the edge of that drawing.
        mouth, eyes = regions(flow.maps)
        opening = F.avg_pool2d(F.max_pool2d(flow.maps[:, [MAPS.index("mouth")]], 5, 1, 2), 3, 1, 1)
        change = (1 - repair.keep).float() * (1 - torch.maximum(mouth * (1 - opening), eyes))
        change = F.pad(change, border) * flow.face
        paint = F.pad(repair.paint.float(), border, mode="replicate")
        return self._compose(displacement, change, paint, flow)

    def _compose(self, displacement: Tensor, change: Tensor, paint: Tensor, flow: MeshFlow) -> Tensor:
        """From the stage to the crop: bilinear in between, nothing outside."""
        n, side = len(displacement), self.image.shape[-1]
        on_crop = _sample(torch.cat([displacement, change, paint], dim=1), self.on_stage.expand(n, -1, -1, -1))
        outside = (self.on_stage.abs().amax(-1) > 1)[:, None]
        moved = (on_crop[:, :2] * (self.head.zoom * 2 / side)).masked_fill(outside, 0)
        change = on_crop[:, 2:3].masked_fill(outside, 0)
        warped = _sample(self.image.expand(n, -1, -1, -1), self.identity + moved.permute(0, 2, 3, 1))
        warped = self.lips.draw(warped, displacement, flow)
        frames = warped + change * (on_crop[:, 3:] - warped)
        frames = self.lashes.draw(self.mouth.fill(frames, flow), flow)
        still = (moved.abs().amax(1, keepdim=True) < _NOTHING) & (change == 0)
        return torch.where(still, self.image, frames).clamp(0, 1)

    def _cut_stage(self) -> Tensor:
        """(1, 3, 160, 160) from the crop; when it is shrunk, what falls between the samples is averaged in."""
        side = self.image.shape[-1]
        several = max(1, math.ceil(float(self.head.zoom)))
        centres = (torch.arange(STAGE * several, device=self.image.device) + 0.5) / several * self.head.zoom
        x, y = (((centres + self.head.left_top[k]) / side) * 2 - 1 for k in (0, 1))
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)[None]
        return F.avg_pool2d(_sample(self.image, grid), several)

    def _crop_grid(self) -> tuple[Tensor, Tensor]:
        """(1, S, S, 2) twice: where the crop's pixels are in the crop and on the stage, both in -1..1."""
        side = self.image.shape[-1]
        centres = torch.arange(side, device=self.image.device) + 0.5
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        places = torch.stack([x, y], dim=-1)[None]
        return places / side * 2 - 1, self.head.on_stage(places) * (2 / STAGE) - 1
