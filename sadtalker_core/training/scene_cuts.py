"""The images of a video come in; the spans of frames that show one head in one shot go out.

A span ends

    where the face is not found;
    at a cut: from one image to the next the brightness of the whole image changes by more than CUT, or the face
        jumps by more than JUMP of its box;
    where the head has left its box: its middle is more than AWAY of the box from where the box was set, or it has
        become SIZE times larger or smaller;
    after LONGEST frames.

Each span has a box of its own, set at its first frame exactly as 3DMM from Video sets it. A cut between two images of
the same head at nearly the same place is not noticed. Letters: `H W` an image in pixels.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from ..datatypes import Box
from ..errors import FaceNotFound
from ..face.crop import head_bounds
from ..face.points import PointFinder

CUT, JUMP, AWAY, SIZE = 0.1, 0.25, 0.25, 1.4
LONGEST = 500
#: while no face is found, so many images are skipped before the next try
STRIDE = 5
#: cells a side in which the brightness of two images is compared
CELLS = 32


@dataclass(frozen=True)
class Span:
    """Frames start..stop, cut at box."""

    start: int
    stop: int
    box: Box


@dataclass(frozen=True, eq=False)
class FrameSummary:
    """What is remembered of a frame: its brightness in cells, the middle and the size of the head in pixels."""

    cells: Tensor
    x: float
    y: float
    size: float

    @classmethod
    def of(cls, image: Tensor, points: Tensor) -> FrameSummary:
        """image (H, W, 3) in 0..1, points (68, 2) of its face"""
        grey = image.mean(dim=-1)[None, None]
        left, top, right, bottom = head_bounds(points, extended=False)
        cells = torch.nn.functional.adaptive_avg_pool2d(grey, CELLS)
        return cls(cells, (left + right) / 2, (top + bottom) / 2, right - left)

    def distance(self, other: FrameSummary) -> float:
        """How far the head has gone, in sizes of the other head."""
        return math.hypot(self.x - other.x, self.y - other.y) / other.size

    def follows(self, last: FrameSummary) -> bool:
        """Whether there is no cut between the two."""
        return float((self.cells - last.cells).abs().mean()) <= CUT and self.distance(last) <= JUMP

    def fits(self, first: FrameSummary) -> bool:
        """Whether the head is still in the box that was set for the first."""
        return self.distance(first) <= AWAY and 1 / SIZE <= self.size / first.size <= SIZE


def find_spans(
    images: Iterable[Tensor], finder: PointFinder, set_box: Callable[[Tensor, Tensor], Box]
) -> Iterator[Span]:
    """Images (H, W, 3), 25 a second -> spans of any length, from front to back.

    set_box: (first image of a span, points (68, 2) of its face) -> the box; may raise FaceNotFound
    """
    coming = Returnable(images)
    while coming.has_more():
        start, first, faceless = coming.index, None, False
        for image, points in finder.follow(coming):
            try:
                if points is None:
                    raise FaceNotFound("none was found.")
                now = FrameSummary.of(image, points)
                if first is None:
                    box = set_box(image, points)
                    first = last = now
            except FaceNotFound:
                faceless = True
                break
            if not (now.follows(last) and now.fits(first)):
                break
            last = now
            coming.keep()
            if coming.index - start == LONGEST:
                break
        if coming.index > start:
            yield Span(start, coming.index, box)
        coming.give_back()
        if faceless:
            coming.skip(STRIDE)


class Returnable(Iterator[Tensor]):
    """Images that can be had again until they are kept, because a finder may look ahead.  index: of the next one."""

    def __init__(self, images: Iterable[Tensor]):
        self.images = iter(images)
        self.index = 0
        self._returned: deque[Tensor] = deque()
        self._lent: deque[Tensor] = deque()

    def __next__(self) -> Tensor:
        self._lent.append(self._returned.popleft() if self._returned else next(self.images))
        return self._lent[-1]

    def keep(self) -> None:
        """Release the oldest image that was lent."""
        self._lent.popleft()
        self.index += 1

    def give_back(self) -> None:
        self._returned.extendleft(reversed(self._lent))
        self._lent.clear()

    def has_more(self) -> bool:
        more = next(self, None) is not None
        self.give_back()
        return more

    def skip(self, n_frames: int) -> None:
        for _ in islice(self, n_frames):
            self.keep()
