"""Images looked up at other places: one way to sample for all of render/.

Letters: `B` frames, `C` channels, `h w` pixels. Stage and window as in placement.py.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ...lanczos import resize_lanczos
from .placement import STAGE

#: A portrait that is looked up finely has been made so many times larger, with so many lobes of the sinc on each side:
#: between two of its pixels lies then what a sharp lens would have seen there. Photographs need the most: over shifts
#: of parts of a pixel the sharpness of biden's skin varies by 1.5 % of its mean; with 6 lobes by 2.7, bilinearly by 19.
#: What has steps from pixel to pixel rings with as many, and is sharper between its pixels than on them (obama3,
#: posterised, 5.3 %; with 5 lobes 1.7): it gets the most of these with which it hardly is.
_FINER, _LOBES = 2, (16, 10, 7, 6, 5, 4)
_HARDLY_SHARPER = 1.05
_LOOKED_AT = 0.5  #: of its side, the square in the middle of the portrait whose sharpness is compared
_NEAR = 5  #: pixels, the side of the square around a pixel whose darkest and lightest bound it, so that nothing rings
#: where the range of a smaller square is at most this part of it, flat beside an edge, that square bounds: colours ring
#: there to both sides, an alpha of 0 cannot, and a cut-out would differ from the opaque video
_FLAT_NEAR, _FLAT = 3, 0.1

#: the part of the way to the side of the image that may be moved as it is
_FREE = 0.3
_NOBODY = 1e-3  #: of a side, up to which nobody is cut by it


class Lookup:
    """A portrait's crop (1, C, S, S), or the front layer of it, in -1..1, looked up between its pixels.

    fine: keep its sharpness wherever a pixel falls; otherwise bilinear, which blurs most half-way between two pixels
    enlarged: of a fine one, False looks it up at its own size, bicubically
    """

    def __init__(self, image: Tensor, fine: bool, *, enlarged: bool = True):
        self.fine = fine
        self.image = _finer(image) if fine and enlarged else image

    def colours(self) -> Lookup:
        """The same lookup of the first three channels alone."""
        colours = copy.copy(self)
        colours.image = self.image[:, :3]
        return colours

    def __call__(self, grid: Tensor) -> Tensor:
        """grid (B, h, w, 2) as `sample` takes it -> (B, C, h, w), float32 where it is fine."""
        image = self.image.expand(len(grid), -1, -1, -1)
        if not self.fine:
            return sample(image, grid)
        return F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=False)


def _finer(image: Tensor) -> Tensor:
    """(1, C, S, S) -> (1, C, 2 S, 2 S)."""
    return _enlarged(image, _lobes(image[:, :3]))


def _enlarged(image: Tensor, lobes: int) -> Tensor:
    """The same, with so many lobes."""
    side = _FINER * image.shape[-1]
    low, high = _bounds(image, _NEAR)
    lower, upper = _bounds(image, _FLAT_NEAR)
    beside = upper - lower <= _FLAT * (high - low)
    bounds = (torch.where(beside, near, far) for near, far in ((lower, low), (upper, high)))
    finer = resize_lanczos((image + 1) / 2, (side, side), lobes=lobes) * 2 - 1  # it takes 0..1
    return finer.clamp_(*(F.interpolate(bound, scale_factor=_FINER) for bound in bounds))


def _lobes(colours: Tensor) -> int:
    """(1, 3, S, S) -> the most with which it is hardly sharper half a pixel further, to the right and down."""
    side = colours.shape[-1]
    left = round(side * (1 - _LOOKED_AT) / 2)
    middle = colours[..., left : side - left, left : side - left]
    places = (pixel_centres(middle.shape[-1], middle.device) + 0.5) * (2 / middle.shape[-1]) - 1
    most = _HARDLY_SHARPER * _sharpness(middle)
    for lobes in _LOBES[:-1]:
        finer = _enlarged(middle, lobes)
        between = F.grid_sample(finer, places, mode="bicubic", padding_mode="border", align_corners=False)
        if _sharpness(between) <= most:
            return lobes
    return _LOBES[-1]


def _sharpness(image: Tensor) -> float:
    """(1, C, h, w) -> the mean absolute Laplacian of its light, without the border."""
    light = image.mean(1)
    inner = light[:, 1:-1, 1:-1]
    around = light[:, :-2, 1:-1] + light[:, 2:, 1:-1] + light[:, 1:-1, :-2] + light[:, 1:-1, 2:]
    return float((4 * inner - around).abs().mean())


def _bounds(image: Tensor, wide: int) -> tuple[Tensor, Tensor]:
    """(1, C, S, S) -> its darkest and its lightest around each pixel"""
    return -largest_around(-image, wide), largest_around(image, wide)


def largest_around(image: Tensor, wide: int) -> Tensor:
    """(B, C, h, w) -> the same, of each pixel the largest in the square of `wide` pixels around it, wide odd."""
    padded = F.pad(image, (wide // 2,) * 4, value=-torch.inf)
    return _over_the_square(torch.maximum, padded, wide)


def mean_around(image: Tensor, wide: int) -> Tensor:
    """(B, C, h, w) -> the same, the mean of what lies of the square of `wide` pixels within the image, wide odd."""
    down, across = (_pixels_in_reach(n, wide, image.device) for n in image.shape[-2:])
    return sum_around(image, wide) / (down[:, None] * across)


def sum_around(image: Tensor, wide: int) -> Tensor:
    """(B, C, h, w) -> the same, the sum of the square of `wide` pixels around each, nothing beyond the image."""
    return _over_the_square(torch.add, F.pad(image, (wide // 2,) * 4), wide)


def halved(image: Tensor) -> Tensor:
    """(B, C, h, w), both even -> (B, C, h / 2, w / 2), means of two by two, many times as fast as torch's pooling."""
    rows = image[..., ::2, :] + image[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def _over_the_square(two: Callable[[Tensor, Tensor], Tensor], padded: Tensor, wide: int) -> Tensor:
    """Rows first, then columns, as operations on what is shifted: many times as fast on a CPU as torch's pooling."""
    return _over_runs(two, _over_runs(two, padded, wide, -1), wide, -2)


def pixel_centres(side: int, device: torch.device) -> Tensor:
    """(1, side, side, 2) the centres of a square's pixels, in pixels."""
    centres = torch.arange(side, device=device) + 0.5
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y], dim=-1)[None]


def _over_runs(two: Callable[[Tensor, Tensor], Tensor], values: Tensor, wide: int, axis: int) -> Tensor:
    """Over each run of `wide` of them along an axis: made of runs of 1, 2, 4, 8, ... of which each is two of half."""
    n = values.shape[axis] - wide + 1
    parts, covered, run, length = [], 0, values, 1
    while True:
        if wide & length:
            parts.append(run.narrow(axis, covered, n))
            covered += length
        if covered == wide:
            return functools.reduce(two, parts)
        left = run.shape[axis] - length
        run = two(run.narrow(axis, 0, left), run.narrow(axis, length, left))
        length *= 2


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def _pixels_in_reach(n: int, wide: int, device: torch.device) -> Tensor:
    """(n,) how many of the n pixels of a line are at most wide // 2 away from each of them."""
    place = torch.arange(n, device=device)
    return place.clamp(max=wide // 2) + (n - 1 - place).clamp(max=wide // 2) + 1


def sample(image: Tensor, grid: Tensor) -> Tensor:
    """image (B, C, H, W), grid (B, h, w, 2) of x, y in -1..1 from edge to edge (`align_corners=False`) -> (B, C, h,
    w). Bilinear, the border carried on, in float32 whatever the image is: half precision cannot name a pixel's
    place.
    """
    found = F.grid_sample(image.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found.to(image.dtype)


def warp_window(image: Tensor, displacement: Tensor, left_top: Tensor) -> Tensor:
    """What the window, or the part of it that begins at left_top (1 or B, 2), shows of an image (B, C, h, h) of the
    whole stage, moved by displacement (B, 2, 128, 128). An image smaller than the stage gives a window as much
    smaller.
    """
    shrink = STAGE // image.shape[-1]
    flow = displacement.float()
    for _ in range(shrink.bit_length() - 1):  # 1, 2, 4 or 8
        flow = halved(flow)
    centres = (torch.arange(flow.shape[-1], device=flow.device, dtype=torch.float32) + 0.5) * shrink
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    places = torch.stack([x, y]) + left_top[:, :, None, None] + flow
    grid = places.permute(0, 2, 3, 1) * (2 / STAGE) - 1
    if len(image) != len(grid):
        image = image.expand(len(grid), -1, -1, -1)
    return sample(image, grid)


def within_the_image(moved: Tensor, room: tuple[Tensor, Tensor]) -> Tensor:
    """moved (B, 2, h, w) in halves of an image's side, room as `room_to_the_sides` gives it -> the same, but smaller
    near a side of the image that it comes close to or would look beyond: what is there is pressed together instead of
    the last row being drawn out.
    """
    limit = torch.where(moved < 0, *room)
    part = moved / limit
    beyond = ((part.abs() - _FREE) / (1 - _FREE)).clamp_min(0)
    pressed = _FREE + (1 - _FREE) * beyond / (1 + beyond)
    return torch.where(beyond > 0, pressed * part.sign() * limit, moved)


def room_to_the_sides(identity: Tensor, person: Tensor | None = None, reach: int = 0) -> tuple[Tensor, Tensor]:
    """identity (1, h, w, 2), where pixels are in an image, -1..1 -> (1, 2, h, w) twice, how far they may look to the
    left and up, and to the right and down.

    person (1, 1, S, S) in 0..1, where the image shows somebody: where a side cuts nobody, by `reach` pixels of the h
    and w along it, there is nothing beyond to be drawn out, and as much room as one likes.
    """
    places = identity.permute(0, 3, 1, 2)
    rooms = []
    for sign, end in ((1, 0), (-1, -1)):
        room = (1 + sign * places).clamp_min(1e-6)
        if person is not None:
            rows, columns = person[..., end], person[..., end, :]  # the first or last of each row, and of each column
            of_rows, of_columns = (
                _cut(cut, along, reach)
                for cut, along in ((rows, identity[0, :, 0, 1]), (columns, identity[0, 0, :, 0]))
            )
            cut = torch.stack([of_rows[:, None].expand(room.shape[2:]), of_columns.expand(room.shape[2:])])
            room = room / cut.clamp_min(_NOBODY)
        rooms.append(room)
    return rooms[0], rooms[1]


def _cut(person: Tensor, along: Tensor, reach: int) -> Tensor:
    """person (1, 1, S) along one side of an image, along (h,) places there, -1..1 -> (h,) 1 within `reach` of somebody,
    0 further away, soft.
    """
    grid = torch.stack([along, torch.zeros_like(along)], dim=-1)[None, None]
    wide = F.max_pool1d(sample(person[:, :, None], grid)[:, :, 0], 2 * reach + 1, 1, reach)
    return F.avg_pool1d(wide, 2 * (reach // 2) + 1, 1, reach // 2, count_include_pad=False)[0, 0]
