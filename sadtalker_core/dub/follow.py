"""Tracks one person: frames of a video come in; each goes out with that person's mesh, or without.

The mesh of the previous frame gives the place to look for the next. Where that fails, or the image has changed as a
whole (a cut), faces are detected anew, and the one most like the person and nearest to the last position is taken.
Meshes are smoothed in time by a local parabola, for which a few frames ahead are held; never over a cut.
Letters: `H W` a frame.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..canonical_face import OUTER_LIPS
from ..datatypes import BlendshapeMotion
from ..face.covered import STILL, cover_of
from ..face.detector import FaceDetector, detect_faces
from ..face.linear_3dmm import Linear3DMM
from ..face.mesh import MIN_SCORE, FaceMesh, MeshLandmarks, detect_landmarks, face_square, mesh_square
from ..face.points import FaceSelector, select_face
from ..face.sampling import Square, sample_squares
from ..render.meshwarp.placement import fit_head
from ..render.meshwarp.posed_rig import PosedRig
from .closed_lips import ClosedLips, mouth_of, usual_mouths, with_lips_touching
from .corners import corners_below
from .lips import with_lip_edges
from .mouth import AWAY_DEG, DubbedHead, MouthColours, mouth_colours
from .rest import Person, calm_frames, in_head, read_weights
from .teeth import drawing_of, visible_teeth

#: a frame's brightness is compared in a grid of cells; at a cut they change by more than this on average
_CELLS, _CUT = (18, 32), 0.1
#: from frame to frame a face moves by at most this part of its size, and grows by at most this factor
_JUMP, _GROWTH = 0.5, 1.6
_PLACE = 0.02  #: decimetres of difference that count as much as one size of the face of distance from its last place
_SMOOTHED_S = 0.08  #: seconds to each side that the parabola is fitted to
_LIGHT_SIDE = 192  #: pixels: the side of the square in which the light is measured
_LARGEST = 1024  #: pixels: the largest side of the square from which teeth are taken
_LIGHT_EVERY, _LIGHT_SHARE = 6, 0.3  #: frames between two measurements of the light, and the weight of a new one
_SAMPLE, _SAMPLE_EVERY_S = 60, 0.2  #: frames that a person is estimated from, and seconds between them


@dataclass(frozen=True, eq=False)
class Followed:
    """A frame (H, W, 3) uint8 and the person in it.

    points:  (468, 3) pixels of the frame, smoothed; None where the person is not found
    own:     (64,) blendshape weights of the frame beyond those of the resting face
    amount:  how far it can be dubbed, 0..1: less where the face is about to be lost, turns away, or is covered
    colours: of the mouth in the light of the frame
    """

    frame: Tensor
    points: Tensor | None = None
    own: Tensor | None = None
    amount: float = 0.0
    colours: MouthColours | None = None


@dataclass(eq=False)
class FrameCounts:
    """How many frames were tracked, how many of them without the person, and how many cuts there were."""

    n_frames: int = 0
    n_without: int = 0
    n_cuts: int = 0


@dataclass(frozen=True, eq=False)
class _Tracked:
    frame: Tensor
    points: Tensor | None
    cut: bool


class _Tracker:
    """Tracks frame by frame.  person: who is searched for after a loss; None before the first face"""

    def __init__(self, detector: FaceDetector, mesh: FaceMesh, selector: FaceSelector, person: Person | None):
        self.detector, self.mesh, self.selector, self.person = detector, mesh, selector, person
        self.previous: MeshLandmarks | None = None
        self.last: MeshLandmarks | None = None
        self.cells: Tensor | None = None

    @torch.no_grad()
    def track(self, frame: Tensor) -> _Tracked:
        cells = _cells_of(frame)
        cut = self.cells is not None and float((cells - self.cells).abs().mean()) > _CUT
        self.cells = cells
        found = None
        if self.previous is not None and not cut:
            found = self._landmarks_in(frame, mesh_square(self.previous.points))
            if found is not None and _jumps(self.previous, found):
                found, cut = None, True
        if found is None:
            found = self._search(frame.float() / 255)
        self.previous = found
        self.last = found or self.last
        return _Tracked(frame, None if found is None else found.points, cut)

    def _landmarks_in(self, frame: Tensor, square: Square) -> MeshLandmarks | None:
        """The mesh in a square; only that part of the frame is converted to floats."""
        height, width = frame.shape[:2]
        reach = square.size * 0.75 + 4
        left, top = (min(max(int(v - reach), 0), n - 1) for v, n in ((square.x, width), (square.y, height)))
        part = frame[top : int(square.y + reach) + 1, left : int(square.x + reach) + 1]
        if not part.numel():
            return None
        here = square._replace(x=square.x - left, y=square.y - top)
        found = detect_landmarks(self.mesh, part.float() / 255, [here])[0]
        if found.score < MIN_SCORE:
            return None
        return replace(found, points=found.points + found.points.new_tensor([left, top, 0]))

    def _search(self, image: Tensor) -> MeshLandmarks | None:
        """The person's mesh, or the selected face's, among all that are detected in the image (H, W, 3) in 0..1."""
        detected = detect_faces(self.detector, image, thorough=self.last is None)
        if not detected:
            return None
        meshes = detect_landmarks(self.mesh, image, [face_square(face) for face in detected])
        found = {face: mesh for face, mesh in zip(detected, meshes, strict=True) if mesh.score >= MIN_SCORE}
        if not found:
            return None
        again = {face: detect_landmarks(self.mesh, image, [mesh_square(own.points)])[0] for face, own in found.items()}
        if self.person is None and self.last is None:
            return again[select_face(list(found), self.selector, image)]
        meshes = [mesh for mesh in again.values() if mesh.score >= MIN_SCORE]
        if self.person is None:
            return min(meshes, key=self._distance, default=None)
        alike = [mesh for mesh in meshes if self.person.may_be(mesh.points)]
        if self.last is None:
            selected = again[select_face(list(found), self.selector, image)]
            if any(mesh is selected for mesh in alike):
                return selected
        return min(alike, key=self._difference, default=None)

    def _difference(self, mesh: MeshLandmarks) -> float:
        """From the person's resting face, and from the last position, in decimetres."""
        assert self.person is not None
        difference = self.person.difference(mesh.points)
        return difference if self.last is None else difference + _PLACE * self._distance(mesh)

    def _distance(self, mesh: MeshLandmarks) -> float:
        """From the last position, in sizes of the face."""
        assert self.last is not None
        square, last = mesh_square(mesh.points), mesh_square(self.last.points)
        return math.hypot(square.x - last.x, square.y - last.y) / max(last.size, 1.0)


def read_person(
    detector: FaceDetector,
    mesh: FaceMesh,
    linear_3dmm: Linear3DMM | None,
    frames: Iterable[Tensor],
    fps: float,
    selector: FaceSelector,
    n_frames: int | None = None,
) -> Person | None:
    """Reads frames of the video from its beginning until the person was found often enough; None without any face.

    n_frames: how many there are, where that is known; of a short video more of them are read
    """
    tracker = _Tracker(detector, mesh, selector, None)
    every = round(_SAMPLE_EVERY_S * fps) if n_frames is None else min(round(_SAMPLE_EVERY_S * fps), n_frames // _SAMPLE)
    every = max(every, 1)
    meshes: list[Tensor] = []
    faces: list[tuple[Tensor, Tensor]] = []  #: their images, bytes, and their points in these
    mouths: list[ClosedLips] = []  #: the same around their mouths, closed or not
    smile, most = None, 0.0
    for k, frame in enumerate(frames):
        if k % every:
            continue
        tracked = tracker.track(frame)
        if tracked.points is not None:
            image, points = _face_of(frame, tracked.points, _LIGHT_SIDE)
            meshes.append(tracked.points)
            faces.append(((image[0] * 255).round().byte(), points))
            mouths.append(mouth_of(frame, tracked.points))
            if len(meshes).bit_count() == 1:  # at 1, 2, 4, 8 ...: whom to find again after a cut
                tracker.person = Person.of(None, torch.stack(meshes))
            if (teeth := visible_teeth(image, _as_portrait(points, _LIGHT_SIDE))) > most:
                smile, most = tracked, teeth
            if len(meshes) == _SAMPLE:
                break
    if not meshes:
        return None
    person = _with_lip_lines(linear_3dmm, meshes, faces)
    person = replace(person, closed=_closed_lips(mouths, meshes, person))
    return person if smile is None else replace(person, teeth=_teeth_of(smile, linear_3dmm, person))


def _with_lip_lines(linear_3dmm: Linear3DMM | None, meshes: list[Tensor], faces: list[tuple[Tensor, Tensor]]) -> Person:
    """meshes (468, 3) in frames, and the images (3, S, S) of their faces as bytes with the same points in these -> the
    person, touching lips where the images have the line between them.
    """
    images, points = (torch.stack(parts) for parts in zip(*faces, strict=True))
    calm = calm_frames(torch.stack([in_head(mesh) for mesh in meshes]))
    corners = corners_below(images[calm].float() / 255, points[calm])
    moved = torch.stack(meshes)
    for mesh, image, in_square in zip(moved, images, points, strict=True):
        scale = fit_head(mesh).stage_side() / _LIGHT_SIDE
        mesh[:, :2] += (
            scale * (with_lip_edges(image.float() / 255, in_square, corners, open_too=False) - in_square)[:, :2]
        )
    return replace(Person.of(linear_3dmm, moved), corners=corners)


def _closed_lips(mouths: list[ClosedLips], meshes: list[Tensor], person: Person) -> ClosedLips:
    """Of the calm ones the one most like the resting face, its mesh corrected by its image."""
    heads = torch.stack([in_head(mesh) for mesh in meshes])
    calm = calm_frames(heads)
    usual = calm[usual_mouths([mouths[k] for k in calm.tolist()])]
    off = (heads[usual] - person.rest)[:, list(OUTER_LIPS)].norm(dim=-1).mean(1)
    image, points = mouths[int(usual[off.argmin()])]
    return with_lips_touching(ClosedLips(image, with_lip_edges(image.float() / 255, points, person.corners)))


def _teeth_of(smile: _Tracked, linear_3dmm: Linear3DMM | None, person: Person) -> Tensor | None:
    assert smile.points is not None
    side = min(max(round(float(fit_head(smile.points).stage_side())), _LIGHT_SIDE), _LARGEST)
    image, points = _face_of(smile.frame, smile.points, side)
    own = read_weights(linear_3dmm, smile.points[None])[0] - person.weights
    return drawing_of(image, DubbedHead(with_lip_edges(image[0], points, person.corners), person.rest, own))


def follow_person(
    detector: FaceDetector,
    mesh: FaceMesh,
    linear_3dmm: Linear3DMM | None,
    frames: Iterable[Tensor],
    fps: float,
    selector: FaceSelector,
    person: Person,
    count: FrameCounts | None = None,
) -> Iterator[Followed]:
    """Yields every frame, in order, with the person in it.  count: is updated"""
    tracker, light = _Tracker(detector, mesh, selector, person), _Light()
    reach = min(max(round(_SMOOTHED_S * fps), 2), 5)
    count = FrameCounts() if count is None else count
    around: deque[_Tracked] = deque()
    middle = 0  #: of the frames in `around`, the next to go out

    def out() -> Followed:
        nonlocal middle
        tracked = around[middle]
        followed = _smoothed(linear_3dmm, list(around), middle, reach, person)
        if tracked.cut:
            light.forget()
        if followed.points is not None:
            colours, bare = light.at(tracked.frame, followed.points)
            followed = replace(followed, colours=colours, amount=followed.amount * bare)
        count.n_frames += 1
        count.n_without += followed.points is None
        count.n_cuts += tracked.cut
        middle += 1
        if middle > reach:
            around.popleft()
            middle -= 1
        return followed

    for frame in frames:
        around.append(tracker.track(frame))
        if len(around) - middle > reach:
            yield out()
    while middle < len(around):
        yield out()


def _smoothed(linear_3dmm: Linear3DMM | None, around: list[_Tracked], at: int, reach: int, person: Person) -> Followed:
    """The frame `at` of those around it, in order, with its mesh smoothed."""
    tracked = around[at]
    if tracked.points is None:
        return Followed(tracked.frame)
    (before, fading_in), (after, fading_out) = (_tracked_beside(around, at, step, reach) for step in (-1, 1))
    run = [one.points for one in around[at - before : at + after + 1] if one.points is not None]
    points = torch.tensordot(_parabola(before, after), torch.stack(run), dims=1)
    own = read_weights(linear_3dmm, points[None])[0] - person.weights
    return Followed(tracked.frame, points, own, min(fading_in, fading_out) * _turned_away(points))


def _tracked_beside(around: list[_Tracked], at: int, step: int, reach: int) -> tuple[int, float]:
    """step: -1 backwards, 1 forwards -> how many frames beside `at` show the person in the same shot, up to `reach`;
    and how far the frame can be dubbed, less than 1 where the person is lost within them.
    """
    for n in range(reach):
        other = at + step * (n + 1)
        if not 0 <= other < len(around) or around[max(other, other - step)].cut:
            return n, 1.0
        if around[other].points is None:
            return n, (n + 1) / (reach + 1)
    return reach, 1.0


def _parabola(before: int, after: int) -> Tensor:
    """(before + 1 + after,) the weights by which a least-squares parabola through these frames gives the value at the
    middle one (Savitzky-Golay); a straight line where one side has a single frame.
    """
    times = torch.arange(-before, after + 1, dtype=torch.float64)
    order = 2 if min(before, after) >= 2 else (1 if min(before, after) >= 1 else 0)
    if order == 0:
        return (times == 0).float()
    powers = torch.stack([times**k for k in range(order + 1)], dim=1)
    return torch.linalg.pinv(powers)[0].float()


def _turned_away(points: Tensor) -> float:
    """1 for a face in frontal view, 0 in profile."""
    facing = fit_head(points).rotation[:, 2]
    degrees = math.degrees(math.acos(min(max(float(facing[2]), -1.0), 1.0)))
    low, high = AWAY_DEG
    return min(max((high - degrees) / (high - low), 0.0), 1.0)


class _Light:
    """The colours of a mouth in its light, and whether it is uncovered, both smoothed in time."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.colours: MouthColours | None = None
        self.bare, self.age = 1.0, 0

    def at(self, frame: Tensor, points: Tensor) -> tuple[MouthColours, float]:
        """The colours, and 1 for an uncovered mouth, 0 for a covered one; call it once for each frame, in order."""
        if self.colours is None or self.age % _LIGHT_EVERY == 0:
            now, bare = _measured(frame, points)
            old = now if self.colours is None else self.colours
            self.bare = bare if self.colours is None else self.bare + (bare - self.bare) * _LIGHT_SHARE
            self.colours = MouthColours(*(torch.lerp(a, b, _LIGHT_SHARE) for a, b in zip(old, now, strict=True)))
        self.age += 1
        return self.colours, self.bare


def _measured(frame: Tensor, points: Tensor) -> tuple[MouthColours, float]:
    image, in_square = _face_of(frame, points, _LIGHT_SIDE)
    cover = cover_of(image[0], in_square, enlarged=_LIGHT_SIDE / float(fit_head(points).stage_side()))
    return mouth_colours(image, _as_portrait(in_square, _LIGHT_SIDE)), float(cover not in STILL)


def _as_portrait(points: Tensor, side: int) -> PosedRig:
    nothing = torch.zeros(1)
    at_rest = BlendshapeMotion(nothing, nothing, nothing, torch.zeros(1, 3), torch.zeros(1, 64))
    return PosedRig(points, side, at_rest)


def _face_of(frame: Tensor, points: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The square around the face (1, 3, side, side), and the points in its pixels."""
    fit = fit_head(points)
    x, y = fit.stage_centre().tolist()
    square = Square(x, y, float(fit.stage_side()))
    return sample_squares(frame.float() / 255, [square], side), square.from_image(points, side)


def _cells_of(frame: Tensor) -> Tensor:
    """(H, W, 3) uint8 -> the mean brightness of its cells, 0..1."""
    step = max(min(frame.shape[0] // (4 * _CELLS[0]), frame.shape[1] // (4 * _CELLS[1])), 1)
    grey = frame[::step, ::step].float().mean(-1) / 255
    return F.adaptive_avg_pool2d(grey[None, None], _CELLS)[0, 0]


def _jumps(one: MeshLandmarks, other: MeshLandmarks) -> bool:
    first, second = mesh_square(one.points), mesh_square(other.points)
    size = max(first.size, 1.0)
    far = math.hypot(first.x - second.x, first.y - second.y) / size
    return far > _JUMP or not 1 / _GROWTH < second.size / size < _GROWTH


__all__ = ["FrameCounts", "Followed", "follow_person", "read_person"]
