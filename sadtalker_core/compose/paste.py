"""Frames of the head come in at any resolution, frames of the whole image go out, batch by batch.

Letters: `B` frames of a batch, `h w` a frame, `H W` the image. The square that was animated lies at
`portrait.crop.box`; outside that box every pixel stays the image's, to the bit.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor

from ..choices import one_of
from ..datatypes import Box, FaceCrop, Portrait
from ..easing import smoothstep
from ..errors import ImageError, OptionError, VideoError
from ..lanczos import resize_lanczos
from .multiband import Multiband
from .poisson import seamless

FEATHER = 0.1
WIDEST_FEATHER = 0.5

#: colours are compared in a band along the edge of the box, this part of its shorter side wide
COLOUR_BAND = 0.08
#: how far a colour may be stretched and moved; beyond it is not the renderer's colour cast but something else that came
#: into the band
GAIN_LIMITS = (0.8, 1.25)
SHIFT_LIMIT = 0.2
#: the colour transfer is averaged over this many frames, so that a lock of hair that crosses the band does not flicker
COLOR_FRAMES = 25


class Blend(str, Enum):
    """How the head gets its place back."""

    FEATHER = "feather"  #: fades into the image along the edge of the box
    MULTIBAND = "multiband"  #: colours fade as widely, detail over a few pixels: nothing shows double where it fades
    SEAMLESS = "seamless"  #: as the original: the head keeps its gradients and takes its colours from the border (slow)


class SeamOptions(TypedDict, total=False):
    """What is passed on to a `PasteBack`, which describes it and has the defaults."""

    feather: float
    colour_match: float
    mask: Tensor | None


class PasteBack:
    """Holds the image, the mask and the running colour transfer; call it with one batch of frames after the other, in
    order.

    mask: (H, W) in 0..1, where and how much the frames show
    """

    def __init__(
        self,
        portrait: Portrait,
        *,
        feather: float = FEATHER,
        colour_match: float = 1.0,
        mask: Tensor | None = None,
        blend: Blend | str = Blend.FEATHER,
    ):
        """portrait: with its face cut out (3DMM Extract).

        feather: width of the fade as a part of the box's shorter side, 0 to 0.5. No fade along edges of the image
                 itself.
        colour_match: 0 leaves the colours of the frames, 1 moves them all the way to those of the image near the edge
        mask: the user's own (H, W), (1, H, W), or of another size and then stretched; 1 shows the frames, 0 the image
        Raises OptionError or ImageError for a portrait, widths and masks that cannot be used.
        """
        _check_range("feather", feather, WIDEST_FEATHER)
        _check_range("colour_match", colour_match, 1.0)
        self.image = portrait.image.permute(2, 0, 1)
        alpha = portrait.alpha()
        self.portrait_alpha = torch.ones(1, 1).expand(portrait.image.shape[:2]) if alpha is None else alpha
        self.crop = portrait.require_crop()
        self.box = self.crop.box
        self.visible_box = _inside(self.box, portrait.size_wh)
        self.blend = one_of("blend", blend, Blend)
        self.colour_match = colour_match
        self.mask = torch.zeros(portrait.image.shape[:2])
        shorter = min(self.visible_box.width, self.visible_box.height)
        width = feather * shorter
        edges = fade(self.visible_box, portrait.size_wh, width)
        self._under(self.mask).copy_(torch.ones_like(edges) if self.blend is Blend.SEAMLESS else edges)
        user_mask = torch.ones_like(self.mask) if mask is None else _users_mask(mask, portrait.size_wh)
        self.mask *= user_mask
        if self.blend is Blend.MULTIBAND:
            # the hard edge lies in the middle of the fade, and the little that gets as far as the box ends there
            inner = ~near_a_seam(self.visible_box, portrait.size_wh, width / 2)
            self._bands = Multiband(inner * self._under(user_mask), width)
            self._border = fade(self.visible_box, portrait.size_wh, width / 4)
        near = near_a_seam(self.visible_box, portrait.size_wh, max(COLOUR_BAND * shorter, 1.0))
        self._color_transfer = ColorTransfer(self._under(self.image), near)
        self._image_bytes: Tensor | None = None

    @property
    def size_wh(self) -> tuple[int, int]:
        """Of the whole image, in pixels."""
        height, width = self.mask.shape
        return width, height

    def __call__(self, frames: Tensor, background: Tensor | None = None) -> Tensor:
        """frames (B, 3, h, w) in 0..1 -> (B, 3, H, W), on the device of the frames.

        background: (B, 3, H, W), what the head is put into; None stands for the image, which stands still
        """
        if background is None:
            background = self.image.expand(frames.shape[0], -1, -1, -1)
        elif background.shape != (frames.shape[0], *self.image.shape):
            height, width = self.image.shape[1:]
            raise VideoError(
                f"expected a background of the portrait image's size, {width} x {height}, got "
                f"{background.shape[-1]} x {background.shape[-2]}; connect a Paste Back of the same image."
            )
        whole = background.to(frames).clone()
        self._under(whole).copy_(self._covered(frames, self._under(whole)))
        return whole

    def as_bytes(self, frames: Tensor) -> Tensor:
        """frames (B, 3, h, w) in 0..1 -> (B, H, W, 3) bytes on the CPU, for a video: what `__call__` gives, rounded.

        Only the box is computed; around it the bytes of the image are copied.
        """
        covered = to_bytes(self._covered(frames, self._under(self.image).to(frames))).permute(0, 2, 3, 1).cpu()
        if self._image_bytes is None:
            self._image_bytes = to_bytes(self.image).permute(1, 2, 0).contiguous().cpu()
        whole = self._image_bytes.expand(frames.shape[0], -1, -1, -1).clone()
        whole[:, _rows(self.visible_box), _columns(self.visible_box)] = covered
        return whole

    def alpha(self, heads: Tensor, whole: Tensor | None = None) -> Tensor:
        """The alpha of heads (B, 1, h, w), of any size -> that of the whole images (B, 1, H, W): the portrait's own,
        and in the box the head's, which fades in as its colours do.

        whole: (B, 1, H, W), the alpha of whole images into which another head was pasted, instead of the portrait's
        """
        own = (self.portrait_alpha.expand(len(heads), 1, -1, -1) if whole is None else whole).to(heads).clone()
        head = self._under_box(resize(without_doubled_row(heads, self.crop), (self.box.height, self.box.width)))
        under = self._under(own)
        under += self._under(self.mask).to(heads) * (head.clamp(0, 1) - under)
        return own

    def _covered(self, frames: Tensor, under: Tensor) -> Tensor:
        """(B, 3, h, w) -> the part of the whole frames that the box covers; under: what lies there."""
        _check_frames(frames)
        frames = without_doubled_row(frames, self.crop)
        head = self._under_box(resize(frames, (self.box.height, self.box.width)))
        if self.blend is Blend.SEAMLESS:
            head = seamless(head, under)
        elif self.colour_match:
            head = self._color_transfer.remove(head, self.colour_match)
        if self.blend is Blend.MULTIBAND:
            return (under + self._border.to(frames) * self._bands(head - under)).clamp(0, 1)
        mask = self._under(self.mask).to(frames)
        # (1 - m) p + m f would leave p a rounding error away where m is 0
        return under + mask * (head.clamp(0, 1) - under)

    def _under(self, image: Tensor) -> Tensor:
        """The part of an image (..., H, W) that the box covers; a view."""
        return image[..., _rows(self.visible_box), _columns(self.visible_box)]

    def _under_box(self, head: Tensor) -> Tensor:
        """The part of the resized head (..., box height, box width) that lies on the image."""
        left, top = self.visible_box.x - self.box.x, self.visible_box.y - self.box.y
        return head[..., top : top + self.visible_box.height, left : left + self.visible_box.width]


class ColorTransfer:
    """The colour cast of the frames against the image, measured in a band of pixels and averaged over time.

    Frames must come in order; how they are cut into batches makes no difference.
    """

    def __init__(self, image: Tensor, band: Tensor):
        """image (3, h, w), band (h, w) of truths."""
        self.band = band.flatten().nonzero().flatten()
        self.wanted = self._moments(image) if len(self.band) else None
        self.found: Tensor | None = None
        self.n_frames = 0

    def remove(self, frames: Tensor, amount: float = 1.0) -> Tensor:
        """frames (B, 3, h, w) -> the same with the mean and the spread that the image has in the band, or on the way
        to them: amount 0..1.
        """
        if self.wanted is None:  # the box is the whole image: there is no seam to hide
            return frames
        gains, offsets = [], []
        want_mean, want_spread = (x.to(frames) for x in self.wanted)
        for moments in self._moments(frames).unbind(1):
            self.n_frames += 1
            old = moments if self.found is None else self.found
            self.found = old + (moments - old) / min(self.n_frames, COLOR_FRAMES)
            mean, spread = self.found
            gain = (want_spread / spread.clamp(min=1e-3)).clamp(*GAIN_LIMITS)
            goal = mean + (want_mean - mean).clamp(-SHIFT_LIMIT, SHIFT_LIMIT)
            gains.append(1 + amount * (gain - 1))
            offsets.append(amount * (goal - gain * mean))
        gain, offset = (torch.stack(numbers)[..., None, None] for numbers in (gains, offsets))
        return torch.addcmul(offset, frames, gain)

    def _moments(self, images: Tensor) -> Tensor:
        """(..., 3, h, w) -> (2, ..., 3): mean and spread in the band."""
        pixels = images.flatten(-2)[..., self.band.to(images.device)]
        return torch.stack([pixels.mean(dim=-1), pixels.std(dim=-1, correction=0)])


def fade(visible_box: Box, size_wh: tuple[int, int], width: float) -> Tensor:
    """(h, w) of a box on an image: 0 at its edges, 1 from `width` pixels inside on, smooth in between.

    An edge that is the image's own edge does not fade: nothing lies behind it.
    """
    if width <= 0:
        return torch.ones(visible_box.height, visible_box.width)
    across, down = (smoothstep(d / width) for d in _distances(visible_box, size_wh))
    return across * down[:, None]


def near_a_seam(visible_box: Box, size_wh: tuple[int, int], width: float) -> Tensor:
    """(h, w) of truths: pixels of a box on an image that are less than `width` away from an edge behind which it
    goes on.
    """
    across, down = _distances(visible_box, size_wh)
    return torch.minimum(across, down[:, None]) < width


def _distances(visible_box: Box, size_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(w,) and (h,): pixels from each column and row to the nearer seam."""
    across = _distance(visible_box.width, visible_box.x > 0, visible_box.right < size_wh[0])
    return across, _distance(visible_box.height, visible_box.y > 0, visible_box.bottom < size_wh[1])


def _distance(n: int, from_first: bool, from_last: bool) -> Tensor:
    """(n,) from the pixel centres to the nearer of the two edges that count; infinite when none does."""
    centres = torch.arange(n) + 0.5
    far = torch.full((n,), math.inf)
    return torch.minimum(centres if from_first else far, n - centres if from_last else far)


def without_doubled_row(frames: Tensor, crop: FaceCrop) -> Tensor:
    """(B, 3, h, w) without the last row that made an odd height even, whatever the frames were scaled to since. Frames
    of another height, such as one in the very aspect of the box, come back as they are.

    The width is that of the square, which is even.
    """
    made, side = crop.frame_hw
    height, width = frames.shape[-2:]
    in_the_aspect = width * crop.box.height / crop.box.width
    apart, apart_if_doubled = (abs(height - n) for n in (in_the_aspect, width * (made + 1) / side))
    if made % 2 == 0 or apart_if_doubled >= 0.5 or apart <= apart_if_doubled or height * side == made * width:
        return frames
    return frames[..., : round(height * made / (made + 1)), :]


def resize(frames: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """(B, 3, h, w) -> (B, 3, *size_hw): by Lanczos' kernel when no side gets larger, in float32; else cubic."""
    height, width = frames.shape[-2:]
    if (height, width) == tuple(size_hw):
        return frames
    if height >= size_hw[0] and width >= size_hw[1]:
        return resize_lanczos(frames, size_hw)
    return F.interpolate(frames, size_hw, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


def to_bytes(image: Tensor) -> Tensor:
    """0..1 -> 0..255, rounded as the video writer rounds."""
    return (image.float().clamp(0, 1) * 255).round().to(torch.uint8)


def _inside(box: Box, size_wh: tuple[int, int]) -> Box:
    """The part of a box that lies on the image."""
    width, height = size_wh
    left, top = max(box.x, 0), max(box.y, 0)
    visible_box = Box(left, top, min(box.right, width) - left, min(box.bottom, height) - top)
    if visible_box.width < 1 or visible_box.height < 1:
        raise ImageError(f"expected the face box on the image of {width} x {height} pixels, got {tuple(box)}.")
    return visible_box


def _rows(box: Box) -> slice:
    return slice(box.y, box.bottom)


def _columns(box: Box) -> slice:
    return slice(box.x, box.right)


def _users_mask(mask: Tensor, size_wh: tuple[int, int]) -> Tensor:
    """-> (H, W) in 0..1."""
    if mask.dim() == 3 and mask.shape[0] == 1:
        mask = mask[0]
    if mask.dim() != 2 or 0 in mask.shape:
        raise OptionError(f"expected one mask (height, width), got the shape {tuple(mask.shape)}.")
    if not torch.isfinite(mask).all():
        raise OptionError("expected mask values between 0 and 1, got NaN or infinity.")
    width, height = size_wh
    mask = mask.detach().float().cpu()
    if mask.shape != (height, width):
        mask = F.interpolate(mask[None, None], (height, width), mode="bilinear", align_corners=False)[0, 0]
    return mask.clamp(0, 1)


def _check_frames(frames: Tensor) -> None:
    if frames.dim() != 4 or frames.shape[1] != 3 or 0 in frames.shape:
        raise VideoError(f"expected frames (batch, 3, height, width), got the shape {tuple(frames.shape)}.")
    if not torch.isfinite(frames).all():
        raise VideoError("expected finite frames, got NaN or infinity; try precision fp32.")


def _check_range(what: str, value: float, largest: float) -> None:
    if not 0 <= value <= largest:
        raise OptionError(f"expected {what} between 0 and {largest:g}, got {value:g}.")


__all__ = ["FEATHER", "WIDEST_FEATHER", "Blend", "PasteBack"]
