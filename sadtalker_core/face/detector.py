"""Faces in an image: (H, W, 3) in, boxes with six points each out.

Two small networks look for faces, `ShortRangeNet` for those that fill the view and `FullRangeNet` for those further
away. Both are BlazeFace detectors (see blaze.py) whose weights come from MediaPipe (see assets/NOTICE). They are
convolutional, so an image with small faces is looked at again at a finer scale.

Letters: `B` batch, `N` places where a network may see a face, `H W` an image, `S` the side of a network's input.
Points are (x, y) in pixels, x right, y down, the centre of the first pixel at 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blaze import DoubleBlazeBlock, blaze_chain, conv
from .sampling import Square, sample_squares, shrink


@dataclass(frozen=True, eq=False)
class DetectedFace:
    """A face somewhere in an image.

    box:       (x, y, width, height) in pixels, brows to chin and about as wide; may reach over the image's edge
    score:     how sure the network is, 0..1
    keypoints: (6, 2) see KEYPOINT_NAMES
    """

    box: tuple[float, float, float, float]
    score: float
    keypoints: Tensor

    def scaled(self, factor: float) -> DetectedFace:
        """The same face in the image enlarged by `factor`."""
        x, y, width, height = self.box
        box = (x * factor, y * factor, width * factor, height * factor)
        return DetectedFace(box, self.score, self.keypoints * factor)

    def turned_back(self, quarters: int, width: int, height: int) -> DetectedFace:
        """The face that was found in torch.rot90(image, quarters), in the image, which is width x height pixels."""
        x, y, wide, high = self.box
        ends = torch.tensor([[x, y], [x + wide, y + high]])
        (left, top), (right, bottom) = turn_back(ends, quarters, width, height).tolist()
        box = (min(left, right), min(top, bottom), abs(right - left), abs(bottom - top))
        return DetectedFace(box, self.score, turn_back(self.keypoints, quarters, width, height))

    @property
    def centre(self) -> tuple[float, float]:
        x, y, width, height = self.box
        return x + width / 2, y + height / 2

    @property
    def area(self) -> float:
        return self.box[2] * self.box[3]

    @property
    def roll(self) -> float:
        """How far the head is tilted clockwise, in radians, by the line between the eyes."""
        across = self.keypoints[1] - self.keypoints[0]
        return math.atan2(float(across[1]), float(across[0]))


def turn_back(points: Tensor, quarters: int, width: int, height: int) -> Tensor:
    """Points (N, 2) of torch.rot90(image, quarters) -> of the image, which is width x height pixels."""
    x, y = points.unbind(-1)
    turned = ((x, y), (width - y, x), (width - x, height - y), (y, height - x))[quarters % 4]
    return torch.stack(turned, dim=-1)


#: the six points of a detected face; left and right are the image's when the face is upright
KEYPOINT_NAMES = ("left eye", "right eye", "nose tip", "mouth", "left ear", "right ear")


@dataclass(frozen=True)
class ShortRangeConfig:
    """side: of the image the network was trained on; fine, coarse: (channels, stride) of the blocks."""

    side: int = 128
    stem: int = 24
    fine: tuple[tuple[int, int], ...] = (
        (24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1), (88, 1),
    )  # fmt: skip
    coarse: tuple[tuple[int, int], ...] = ((96, 2), (96, 1), (96, 1), (96, 1), (96, 1))
    fine_faces: int = 2  #: anchors for each cell of 8 pixels
    coarse_faces: int = 6  #: anchors for each cell of 16 pixels


@dataclass(frozen=True)
class FullRangeConfig:
    """pyramid: blocks (squeezed channels, channels, stride) of the levels with cells of 4, 8, 16 and 32 pixels."""

    side: int = 192
    stem: int = 32
    pyramid: tuple[tuple[tuple[int, int, int], ...], ...] = (
        ((8, 32, 1), (8, 32, 1), (12, 48, 2), (12, 48, 1), (16, 64, 1)),
        ((24, 96, 2), (32, 128, 1), (32, 128, 1)),
        ((36, 144, 2), (48, 192, 1), (64, 256, 1)),
        ((96, 384, 2), (96, 384, 1), (96, 384, 1), (96, 384, 1)),
    )
    #: coming back from the coarsest level: channels, and blocks after each merge
    merged: tuple[tuple[int, int], ...] = ((96, 2), (64, 2), (48, 1))


MEDIAPIPE_SHORT_RANGE = ShortRangeConfig()
MEDIAPIPE_FULL_RANGE = FullRangeConfig()

#: an anchor gives a box (centre, size) and six points, all as offsets from the centre of its cell, in input pixels
VALUES_PER_ANCHOR = 4 + 2 * len(KEYPOINT_NAMES)


def cell_centres(rows: int, columns: int, cell: int, per_cell: int) -> Tensor:
    """(rows * columns * per_cell, 2) the (x, y) of cell centres in input pixels, row by row."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    centres = (torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5) * cell
    return centres.repeat_interleave(per_cell, dim=0)


def decode_anchors(
    features: Tensor, faces: nn.Module, places: nn.Module, cell: int, per_cell: int
) -> tuple[Tensor, Tensor]:
    """The output of two 1 x 1 heads at each cell: logits (B, N), boxes and points (B, N, 16) moved from the cell to the
    image.
    """
    logits = faces(features).permute(0, 2, 3, 1).flatten(1)
    offsets = places(features).permute(0, 2, 3, 1).reshape(logits.shape[0], -1, VALUES_PER_ANCHOR)
    centres = cell_centres(features.shape[2], features.shape[3], cell, per_cell).to(offsets)
    size = torch.zeros_like(centres)
    return logits, offsets + torch.cat([centres, size] + [centres] * len(KEYPOINT_NAMES), dim=-1)


class ShortRangeNet(nn.Module):
    """Images (B, 3, S, S) in 0..1, S a multiple of 16 -> logits (B, N), boxes and points (B, N, 16) in input pixels.

    An anchor gives (x, y of the box centre, width, height, then x, y of the six points).
    """

    cell = 16

    def __init__(self, config: ShortRangeConfig = MEDIAPIPE_SHORT_RANGE, *, ops: Any = nn):
        super().__init__()
        self.config = config
        self.stem = nn.Sequential(conv(3, config.stem, 5, 2, ops=ops), nn.ReLU())
        self.fine = blaze_chain(config.stem, config.fine, ops=ops)
        self.coarse = blaze_chain(config.fine[-1][0], config.coarse, ops=ops)
        n_fine, n_coarse = config.fine[-1][0], config.coarse[-1][0]
        self.fine_faces = ops.Conv2d(n_fine, config.fine_faces, 1)
        self.fine_places = ops.Conv2d(n_fine, config.fine_faces * VALUES_PER_ANCHOR, 1)
        self.coarse_faces = ops.Conv2d(n_coarse, config.coarse_faces, 1)
        self.coarse_places = ops.Conv2d(n_coarse, config.coarse_faces * VALUES_PER_ANCHOR, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(self.stem(2 * images - 1))
        coarse = self.coarse(fine)
        near = decode_anchors(fine, self.fine_faces, self.fine_places, self.cell // 2, self.config.fine_faces)
        nearer = decode_anchors(coarse, self.coarse_faces, self.coarse_places, self.cell, self.config.coarse_faces)
        return torch.cat([near[0], nearer[0]], dim=1), torch.cat([near[1], nearer[1]], dim=1)


class FullRangeNet(nn.Module):
    """Images (B, 3, S, S) in 0..1, S a multiple of 32 -> logits (B, N), boxes and points (B, N, 16) in input pixels.

    Goes down a pyramid of four levels and comes back up, so that small faces are detected with their surroundings.
    """

    cell = 32

    def __init__(self, config: FullRangeConfig = MEDIAPIPE_FULL_RANGE, *, ops: Any = nn):
        super().__init__()
        self.config = config
        self.stem = nn.Sequential(conv(3, config.stem, 3, 2, ops=ops), nn.ReLU())
        self.levels = nn.ModuleList()
        width, widths = config.stem, []
        for level in config.pyramid:
            blocks = nn.Sequential()
            for squeezed, n_out, stride in level:
                blocks.append(DoubleBlazeBlock(width, squeezed, n_out, stride, ops=ops))
                width = n_out
            self.levels.append(blocks)
            widths.append(width)
        self.meetings = nn.ModuleList()  # the weights in assets/ have this name
        for n_side, (n_out, n_blocks) in zip(reversed(widths[:-1]), config.merged, strict=True):
            self.meetings.append(FusionBlock(width, n_side, n_out, n_blocks, ops=ops))
            width = n_out
        self.faces = ops.Conv2d(width, 1, 1)
        self.places = ops.Conv2d(width, VALUES_PER_ANCHOR, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, heights = self.stem(2 * images - 1), []
        for level in self.levels:
            features = level(features)
            heights.append(features)
        for fusion, side in zip(self.meetings, reversed(heights[:-1]), strict=True):
            features = fusion(features, side)
        return decode_anchors(features, self.faces, self.places, 4, 1)


class FusionBlock(nn.Module):
    """Coarse features and those of the next finer level -> the finer level, informed by both."""

    def __init__(self, n_coarse: int, n_side: int, n_out: int, n_blocks: int, *, ops: Any = nn):
        super().__init__()
        self.coarse = ops.Conv2d(n_coarse, n_out, 1)
        self.side = ops.Conv2d(n_side, n_out, 1)
        self.blocks = nn.Sequential(*(DoubleBlazeBlock(n_out, n_out // 2, n_out, ops=ops) for _ in range(n_blocks)))

    def forward(self, coarse: Tensor, side: Tensor) -> Tensor:
        side = F.relu(self.side(side))
        coarse = F.interpolate(F.relu(self.coarse(coarse)), size=side.shape[2:], mode="bilinear", align_corners=False)
        return self.blocks(side + coarse)


class FaceDetector(nn.Module):
    """Both networks in one, so that they travel together. Use `detect_faces`, or the networks `short_range` and
    `full_range` themselves.
    """

    def __init__(
        self,
        short_range: ShortRangeConfig = MEDIAPIPE_SHORT_RANGE,
        full_range: FullRangeConfig = MEDIAPIPE_FULL_RANGE,
        *,
        ops: Any = nn,
    ):
        super().__init__()
        self.short_range = ShortRangeNet(short_range, ops=ops)
        self.full_range = FullRangeNet(full_range, ops=ops)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Square images (B, 3, S, S), S a multiple of 32 -> what both networks find: (B, N), (B, N, 16)."""
        short, full = self.short_range(images), self.full_range(images)
        return torch.cat([short[0], full[0]], dim=1), torch.cat([short[1], full[1]], dim=1)


# ----------------------------------------------------------------- looking for faces

#: black border added around the whole image, so that faces which fill it or touch its edge are detected
MARGINS = (1.0, 1.5)
#: then again so that its longer side has so many pixels, as far as it has them; the full-range network sees faces of 14
#: and more
FINER_SIDES = (384, 768, 1536)
#: a bigger image is first averaged down by a whole number of pixels, so that little more than this is left
WORKING_SIDE = 1536
#: small patterns look like faces more easily
FINER_MIN_SCORE = 0.6
#: upright faces of portraits score .92 and more; inverted ones that the networks take for upright .5 to .9
SURE = 0.92
#: such a face is looked at again from each side, in squares so many times its size; radians, clockwise
FOUR_WAYS, AROUND = (0.0, math.pi / 2, math.pi, -math.pi / 2), (1.5, 2.5)
#: the right look scores .8 to .97 there, an inverted face that is taken for upright at most .84
AROUND_MIN_SCORE, SURE_AROUND = 0.75, 0.88
#: two looks at a face contradict each other when its tilt differs by more, in radians
OTHER_WAY = math.radians(40)
#: two boxes that share this much of their union, or of the smaller one, are the same face
SAME_UNION, SAME_PART = 0.3, 0.6


@torch.no_grad()
def detect_faces(
    net: FaceDetector, image: Tensor, *, min_score: float = 0.5, thorough: bool = True
) -> list[DetectedFace]:
    """All faces of an image (H, W, 3) in 0..1, the surest first. The same image gives the same faces.

    thorough: look again at finer scales for small faces in a big image (up to a second or so of work on a CPU);
              without it faces smaller than about a twelfth of the longer side are missed.
    Faces may be tilted by any angle: the networks know up to about 60 degrees, and a face that is found without
    certainty is looked at from all four sides. When none is found, the image is looked at on its side and on its
    head. A face that is certain is the detection in the upright image, to the last bit.
    """
    block = max(1, max(image.shape[:2]) // WORKING_SIDE)
    small = shrink(image, block)
    found = _detect_upright(net, small, min_score, thorough)
    if not found:
        found = apart(
            face
            for angle in (math.pi / 2, -math.pi / 2, math.pi)
            for face in merge_same(_detect_in_whole(net, small, max(min_score, FINER_MIN_SCORE), (angle,)))
        )
    elif found[-1].score < SURE:
        found = _with_turned_faces(net, small, found, min_score, thorough)
    return [face.scaled(block) for face in found]


def _detect_upright(net: FaceDetector, image: Tensor, min_score: float, thorough: bool) -> list[DetectedFace]:
    """The image as it is, as a whole and, if thorough, at finer scales."""
    found = _detect_in_whole(net, image, min_score, (0.0,))
    if thorough:
        for side in FINER_SIDES:
            if side <= max(image.shape[:2]):
                found += _detect_finer(net, image, max(min_score, FINER_MIN_SCORE), side)
    return merge_same(found)


def _with_turned_faces(
    net: FaceDetector, image: Tensor, found: list[DetectedFace], min_score: float, thorough: bool
) -> list[DetectedFace]:
    """Faces found in the upright image -> the same, each turned one as it is found in the turned image.

    Where no face is upright, the image itself is turned, which shows more faces.
    """
    turned = [face if face.score >= SURE else _best_turn(net, image, face) for face in found]
    changed = [new for new, old in zip(turned, found, strict=True) if new is not old]
    if not changed:
        return found
    kept = [old for new, old in zip(turned, found, strict=True) if new is old]
    if any(face.score >= SURE for face in kept):
        return apart([*kept, *changed])
    quarters = round(changed[0].roll / (math.pi / 2)) % 4
    height, width = image.shape[:2]
    again = _detect_upright(net, torch.rot90(image, quarters).contiguous(), min_score, thorough)
    more = [face.turned_back(quarters, width, height) for face in again if face.score >= FINER_MIN_SCORE]
    return apart([*changed, *more, *kept])


def _best_turn(net: FaceDetector, image: Tensor, face: DetectedFace) -> DetectedFace:
    """The face as the surest of four detections has it, each with the image turned by another angle; the face itself
    where they do not contradict it.
    """
    seen = best_face_around(net, image, *face.centre, max(face.box[2:]))
    if seen is None or seen.score <= face.score:
        return face
    return seen if abs(math.remainder(seen.roll - face.roll, 2 * math.pi)) > OTHER_WAY else face


def best_face_around(net: FaceDetector, image: Tensor, x: float, y: float, size: float) -> DetectedFace | None:
    """The surest of four detections around a place, each with the image turned by another angle; None where no face is.

    x, y, size: the middle and the longer side of where a face is supposed, pixels
    """
    (upright,) = _detect_around(net, image, x, y, size, FOUR_WAYS[:1])
    if upright is not None and upright.score >= SURE_AROUND:
        return upright
    ways = [upright, *_detect_around(net, image, x, y, size, FOUR_WAYS[1:])]
    return max((seen for seen in ways if seen is not None), key=lambda seen: seen.score, default=None)


@torch.no_grad()
def _detect_around(
    net: FaceDetector, image: Tensor, x: float, y: float, size: float, angles: Sequence[float]
) -> list[DetectedFace | None]:
    """The short-range network on those surroundings, turned by each angle -> the surest face, or None, of each."""
    side = net.short_range.config.side
    squares = [Square(x, y, max(size, 1.0) * margin, angle) for angle in angles for margin in AROUND]
    images = sample_squares(image, squares, side).to(next(net.short_range.parameters()).device)
    logits, places = (t.cpu() for t in net.short_range(images))
    seen: list[list[DetectedFace]] = [[] for _ in angles]
    for i, square in enumerate(squares):
        faces = _read(logits[i], places[i], AROUND_MIN_SCORE, partial(square.to_image, side=side), square.size / side)
        seen[i // len(AROUND)] += [face for face in faces if math.dist(face.centre, (x, y)) < size / 2]
    return [max(faces, key=lambda face: face.score, default=None) for faces in seen]


def _detect_in_whole(net: FaceDetector, image: Tensor, min_score: float, angles: Sequence[float]) -> list[DetectedFace]:
    """Both networks, on squares around the whole image."""
    height, width = image.shape[:2]
    squares = [Square(width / 2, height / 2, max(height, width) * m, angle) for angle in angles for m in MARGINS]
    found = []
    for detector in (net.short_range, net.full_range):
        side = detector.config.side
        images = sample_squares(image, squares, side).to(next(detector.parameters()).device)
        logits, places = (t.cpu() for t in detector(images))
        for square, row_logits, row_places in zip(squares, logits, places, strict=True):
            to_image = partial(square.to_image, side=side)
            found += _read(row_logits, row_places, min_score, to_image, square.size / side)
    return found


def _detect_finer(net: FaceDetector, image: Tensor, min_score: float, longer_side: int) -> list[DetectedFace]:
    """The full-range network, on the image shrunk so that its longer side has `longer_side` pixels."""
    height, width = image.shape[:2]
    scale = longer_side / max(height, width)
    shape = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(image.permute(2, 0, 1)[None].float(), size=shape, mode="bilinear", antialias=True)
    small = F.pad(small, (0, -shape[1] % net.full_range.cell, 0, -shape[0] % net.full_range.cell))
    logits, places = (t.cpu() for t in net.full_range(small.to(next(net.full_range.parameters()).device)))
    return _read(logits[0], places[0], min_score, lambda xy: xy / scale, 1 / scale)


def _read(
    logits: Tensor, places: Tensor, min_score: float, to_image: Callable[[Tensor], Tensor], scale: float
) -> list[DetectedFace]:
    """Logits and anchors (N,), (N, 16) in input pixels -> faces in pixels of the image, those sure enough."""
    scores = logits.float().clamp(-80, 80).sigmoid()
    keep = (scores >= min_score).nonzero()[:, 0]
    faces = []
    for i in keep[torch.argsort(scores[keep], descending=True, stable=True)].tolist():
        points = to_image(torch.cat([places[i, :2], places[i, 4:]]).float().reshape(-1, 2))
        width, height = (abs(float(v)) * scale for v in places[i, 2:4])
        x, y = points[0].tolist()
        faces.append(DetectedFace((x - width / 2, y - height / 2, width, height), float(scores[i]), points[1:]))
    return faces


def overlap(one: DetectedFace, other: DetectedFace) -> tuple[float, float]:
    """What two boxes share: as a part of their union, and as a part of the smaller box."""
    (x1, y1, w1, h1), (x2, y2, w2, h2) = one.box, other.box
    shared = max(0.0, min(x1 + w1, x2 + w2) - max(x1, x2)) * max(0.0, min(y1 + h1, y2 + h2) - max(y1, y2))
    return shared / max(one.area + other.area - shared, 1e-9), shared / max(min(one.area, other.area), 1e-9)


def merge_same(faces: Sequence[DetectedFace]) -> list[DetectedFace]:
    """One face for each cluster of detections: the mean of those that agree with the surest, weighted by their
    scores.
    """
    left = sorted(faces, key=lambda face: -face.score)  # stable: equal scores keep their order
    merged = []
    while left:
        surest = left[0]
        shares = [overlap(surest, face) for face in left]
        agreeing = [face for face, (union, _) in zip(left, shares, strict=True) if union > 0.5]
        weights = torch.tensor([face.score for face in agreeing])
        weights = weights / weights.sum()
        x, y, width, height = (weights[:, None] * torch.tensor([face.box for face in agreeing])).sum(0).tolist()
        keypoints = (weights[:, None, None] * torch.stack([face.keypoints for face in agreeing])).sum(0)
        merged.append(DetectedFace((x, y, width, height), surest.score, keypoints))
        others = zip(left[1:], shares[1:], strict=True)
        left = [face for face, (union, part) in others if union <= SAME_UNION and part <= SAME_PART]
    return merged


def apart(faces: Iterable[DetectedFace]) -> list[DetectedFace]:
    """The faces that are no other look at a surer one, the surest first; each stays as it is."""
    kept: list[DetectedFace] = []
    for face in sorted(faces, key=lambda face: -face.score):
        shares = [overlap(other, face) for other in kept]
        if all(union <= SAME_UNION and part <= SAME_PART for union, part in shares):
            kept.append(face)
    return kept
