"""Clips come in, pairs of frames go out: a portrait, and a frame of the same clip that it is to become.

Both stages of the renderer's training draw them. Letters: `B` pairs, `S` the side of the images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from ..render.facevid2vid.keypoints import DOWNSCALE
from .clips import Clip, read_clips


class Pair(NamedTuple):
    """Numbers of two frames of a clip."""

    clip: Clip
    source: int
    driving: int


class Images(NamedTuple):
    """Both (B, 3, S, S) in 0..1."""

    source: Tensor
    driving: Tensor


def read_pair_clips(folder: Path, levels: int, least_side: int, family: str | None = None) -> list[Clip]:
    """The clips of a folder that pairs can be drawn from.

    levels: how often the renderer's networks halve a quarter of the image;  least_side: of the images, in pixels
    family: the one they have to be of, or None
    Raises InputError where the images are not of one size that the networks can take, and what `read_clips` raises.
    """
    clips = read_clips(folder, family=family, shortest=2, images=True)
    sides = {clip.image_size: clip.name for clip in clips}
    if len(sides) > 1:
        (one, first), (other, second), *_ = sorted(sides.items())
        raise InputError(
            f"expected images of one size in {folder}, got {first} with {one} and {second} with {other} "
            f"pixels. Prepare all videos with the same --size."
        )
    step = DOWNSCALE * 2**levels
    (side,) = sides
    if side % step or side < least_side:
        fit = -(-least_side // step) * step
        raise InputError(
            f"expected images whose side is a multiple of {step} and at least {fit} pixels, got {side} "
            f"in {folder}. Prepare the videos with another --size, or train a network with fewer "
            f"levels."
        )
    return clips


def with_faces(clips: Sequence[Clip]) -> list[Clip]:
    """Those in which the face was found in two frames at least, as `draw_pairs` wants them."""
    return [clip for clip in clips if len(_frames_with_face(clip)) >= 2]


def _frames_with_face(clip: Clip) -> Tensor:
    """Their numbers (n,)."""
    found = clip.coefficients().found
    assert found is not None  # clips know it of every frame
    return found.nonzero().flatten()


def draw_pairs(clips: Sequence[Clip], n: int, generator: torch.Generator) -> list[Pair]:
    """Each clip as likely as any other, and in it two frames in which the face was found.

    Raises InputError for a clip with fewer.
    """
    pairs = []
    for i in torch.randint(len(clips), (n,), generator=generator).tolist():
        found = _frames_with_face(clips[i])
        if len(found) < 2:
            raise InputError(
                f"expected a face in two frames of {clips[i].name} at least, it was found in "
                f"{len(found)}. Take the line of this clip out of the index."
            )
        source, driving = found[torch.randperm(len(found), generator=generator)[:2]].tolist()
        pairs.append(Pair(clips[i], source, driving))
    return pairs


def read_images(pairs: Sequence[Pair], device: torch.device | str = "cpu") -> Images:
    """The frames of the pairs, source and driving, (B, 3, S, S) each."""
    both = torch.stack([pair.clip.images([pair.source, pair.driving]) for pair in pairs])
    source, driving = both.to(device).unbind(dim=1)
    return Images(source, driving)


def jittered(images: Images, strength: float, generator: torch.Generator) -> Images:
    """Brightness, contrast, saturation and hue of each pair changed by up to `strength`, its two images alike.

    A hue is turned about the greys, by `strength` of the circle at most.
    """
    n = len(images.source)
    drawn = strength * (2 * torch.rand(4, n, generator=generator) - 1)
    brightness, contrast, saturation = (1 + drawn[:3])[..., None, None].to(images.source)
    turn = (2 * math.pi * drawn[3])[:, None, None]
    grey = torch.full((3, 3), 1 / 3)
    about_grey = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    hue = (turn.cos() * (torch.eye(3) - grey) + turn.sin() * about_grey).to(images.source)
    colours = brightness * (grey.to(hue) + saturation * hue)

    def change(image: Tensor) -> Tensor:
        flat = colours @ image.flatten(2)
        middle = flat.mean(dim=(1, 2), keepdim=True)
        return (middle + contrast * (flat - middle)).clamp(0, 1).view_as(image)

    return Images(change(images.source), change(images.driving))
