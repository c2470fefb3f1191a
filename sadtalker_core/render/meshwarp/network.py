"""The network of the mesh renderer: corrects the flow of the mesh, and inpaints what the portrait does not show.

In: the stage of the portrait, the displacement that the mesh gives for the window, maps of what is visible there
(flow_maps.py), and how the head moves as a whole. Out: a corrected displacement, what to keep of the warped portrait,
and a colour for the rest:

    frame = keep * portrait(warped) + (1 - keep) * colour

Its parts of the flow: which pixels move with the head, and their depth (hair, ears, neck), and a small free shift on
top. Where nothing moves, nothing is repaired.

Letters: `B` frames, `h` side of the window, or of a part of it in training. Stage and window as in placement.py.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...batchnorm_folding import fold_batchnorm
from .flow_maps import MAPS
from .placement import MARGIN, WINDOW
from .warp import halved, largest_around, mean_around, warp_window

#: maps that enter at full size; the others at half the size
FINE_MAPS = ("mouth height", "mouth", "eyes", "backfacing")
_FINE = slice(MAPS.index(FINE_MAPS[0]), MAPS.index(FINE_MAPS[-1]) + 1)  # they lie side by side

# The network was trained with these. _EVEN was tuned by eye on the columns of turns of the sheet that `make eval-mini`
# draws (docs/MINI.md, "The sheet"): with less, hair was torn.
_STILL, _MOVING = 0.10, 0.60  #: pixels of displacement below which nothing is repaired, above which everything may be
_FADE = 20  #: pixels at the border of the window over which the right to repair fades out
_EVEN = 7  #: pixels at half the size over which the network's parts of the flow are averaged, twice


@dataclass(frozen=True)
class FlowRendererConfig:
    """Widths and reach of `FlowRenderer`.

    encoder     channels of the portrait's features at 1/2, 1/4, 1/8 of the stage
    widths      channels of the repairing network at 1/2, 1/4, 1/8, 1/16 of the window
    max_shift   how far it may move the flow, in pixels of the stage, beside what the head takes along
    max_depth   how far in front of the pivot of the head or behind it may put a spot, in decimetres
    """

    encoder: tuple[int, ...] = (16, 24, 40)
    widths: tuple[int, ...] = (32, 56, 88, 128)
    max_shift: float = 5.0
    max_depth: float = 2.0


MINI_FLOW_RENDERER = FlowRendererConfig()


class Repair(NamedTuple):
    """The network's prediction for the window.

    flow (B, 2, 128, 128)    the corrected displacement in pixels of the stage
    keep (B, 1, 128, 128)    in 0..1, how much of the warped portrait stays
    colour (B, 3, 128, 128)   in 0..1, the colour of the rest
    """

    flow: Tensor
    keep: Tensor
    colour: Tensor


class FlowRenderer(nn.Module):
    """Two calls: `encode` once per source, `forward` once per batch of frames."""

    def __init__(self, config: FlowRendererConfig = MINI_FLOW_RENDERER, *, ops: Any = nn):
        super().__init__()
        self.config = config
        encoder, widths = config.encoder, config.widths
        self.encoder = nn.ModuleList()
        for n_in, n_out in zip((12, *encoder[:-1]), encoder, strict=True):
            self.encoder.append(_block(n_in, n_out, 1 if n_in == 12 else 2, ops=ops))
        n_fine = len(FINE_MAPS)
        n_input = 4 * (3 + n_fine) + len(MAPS) - n_fine + 6 + encoder[0]
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
            # A file fills a meta tensor, and drawing into one makes torch import its compiler.
            if head.weight.is_meta:
                continue
            nn.init.normal_(head.weight, 0, 1e-3)
            nn.init.zeros_(head.bias)
        _by_channel_last(self)
        self.register_load_state_dict_post_hook(_by_channel_last)  # type: ignore[no-untyped-call]

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
        maps (B, 11, 128, 128), rigid (B, 4, 2) as `rigid_flow` gives it. Training gives a part of the window, h x h,
        and where on the stage it begins, left_top (B, 2).
        """
        if left_top is None:
            left_top = displacement.new_full((1, 2), MARGIN)
        warped = warp_window(stage, displacement, left_top)
        fine = torch.cat([warped * 2 - 1, maps[:, _FINE]], dim=1)
        taken = _taken_along(rigid, left_top, displacement.shape[-1])
        moves = halved(torch.cat([displacement.float(), taken.flatten(1, 2)], dim=1)) / 16
        half = [halved(maps[:, : _FINE.start]), halved(maps[:, _FINE.stop :]), moves.to(maps)]
        carried = [warp_window(f, displacement, left_top) for f in features]
        x = self.enter(torch.cat([F.pixel_unshuffle(fine, 2), *half, carried[0]], dim=1))
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
        predicted = _without_tears(torch.tanh(self.shift(x).float()))
        predicted = F.interpolate(predicted, scale_factor=2.0, mode="bilinear", align_corners=False)
        share, depth = predicted[:, 2:3], predicted[:, 3:] * self.config.max_depth
        shift = predicted[:, :2] * self.config.max_shift + share * taken[:, 0] + depth * taken[:, 1]
        colours = F.pixel_shuffle(self.colours(x).float() * 8, 2)
        inside = maps[:, [MAPS.index("mouth")]] + maps[:, [MAPS.index("backfacing")]]
        change = torch.sigmoid(colours[:, 3:] - 2 + 3 * inside.clamp(0, 1))
        return Repair(displacement + shift * may, 1 - may * change, torch.sigmoid(colours[:, :3]))


def _by_channel_last(net: nn.Module, _: Any = None) -> None:
    """Weights as oneDNN takes them without a copy: the network takes a sixth less time on a CPU. Those of 1 x 1 stay as
    they are, since torch would take a slow path for them.
    """
    for part in net.modules():
        if isinstance(part, nn.Conv2d) and part.kernel_size != (1, 1):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def folded(net: FlowRenderer) -> FlowRenderer:
    """The same network, in eval mode, for frames alone: each batch norm is folded into the convolution before it, and
    what a convolution gives is not kept for gradients. It does not follow weights that change later.
    """
    quick = _folded(net)
    assert isinstance(quick, FlowRenderer)
    return quick


@torch.no_grad()
def _folded(module: nn.Module) -> nn.Module:
    if isinstance(module, nn.Sequential) and len(module) > 1 and isinstance(module[1], nn.BatchNorm2d):
        return _FoldedBlock(module)
    twin = copy.copy(module)
    twin._modules = {name: child and _folded(child) for name, child in module._modules.items()}
    return twin


class _FoldedBlock(nn.Module):
    """A `_block` with its batch norm folded; the activation is left out where the block has none."""

    def __init__(self, block: nn.Sequential):
        super().__init__()
        conv: Any = block[0]
        weight, self.bias = fold_batchnorm(conv, block[1])
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        self.stride, self.padding, self.is_last = conv.stride, conv.padding, len(block) == 2

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding)
        return y if self.is_last else F.leaky_relu_(y, 0.1)


def _block(n_in: int, n_out: int, stride: int = 1, *, ops: Any) -> nn.Sequential:
    return nn.Sequential(ops.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.LeakyReLU(0.1))


class Residual(nn.Module):
    """Two convolutions, added to their input: (B, width, H, W) -> the same shape."""

    def __init__(self, width: int, *, ops: Any):
        super().__init__()
        self.first = _block(width, width, ops=ops)
        self.second = nn.Sequential(ops.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.second(self.first(x)), 0.1)


def _without_tears(predicted: Tensor) -> Tensor:
    """(B, C, h, h) averaged twice over squares of `_EVEN`: hair and cheeks move as one, and the flow does not fold."""
    for _ in range(2):
        predicted = mean_around(predicted, _EVEN)
    return predicted


def _taken_along(rigid: Tensor, left_top: Tensor, side: int) -> Tensor:
    """(B, 2, 2, side, side) in pixels of the stage: how far the head takes along what lies in the plane of its pivot,
    and how much further what lies a decimetre nearer.
    """
    places = (torch.arange(side, device=rigid.device) + 0.5 + left_top[:, :, None]).expand(len(rigid), -1, -1)
    across = rigid[:, 0, :, None] * places[:, :1]
    down = rigid[:, 1, :, None] * places[:, 1:] + rigid[:, 2, :, None]
    near = (across[:, :, None, :] + down[..., None]).float()
    return torch.stack([near, rigid[:, 3, :, None, None].expand_as(near).float()], dim=1)


def may_repair(displacement: Tensor, left_top: Tensor) -> Tensor:
    """(B, 1, 128, 128) in 0..1: near what moves, and not at the border of the window."""
    speed = displacement.float().square().sum(1, keepdim=True).sqrt()
    moving = ((speed - _STILL) / (_MOVING - _STILL)).clamp(0, 1)
    moving = mean_around(largest_around(moving, 5), 5)
    places = torch.arange(speed.shape[-1], device=speed.device) + 0.5 - MARGIN + left_top[:, :, None]
    ramps = (torch.minimum(places, WINDOW - places) / _FADE).clamp(0, 1)
    return moving * (ramps[:, 0, None, :] * ramps[:, 1, :, None])[:, None]
