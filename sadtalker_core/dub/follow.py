"""The same person from frame to frame: frames of a film come in; each goes out with that face, or without it.

A frame is framed by the mesh of the one before. Where that fails, or the picture has changed as a whole (a cut), faces
are looked for, and the one is taken that is most like the person and nearest to the place where it was. Meshes are
smoothed in time by a parabola through the frames around, for which a few frames ahead are held; never over a cut.
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

from ..datatypes import BlendshapeMotion
from ..face.covered import CLOTH, cover_of
from ..face.detector import FaceDetector, detect_faces
from ..face.linear_3dmm import Linear3DMM
from ..face.mesh import MIN_SCORE, FaceMesh, MeshLandmarks, detect_landmarks, face_square, mesh_square
from ..face.points import FaceSelector, select_face
from ..face.sampling import Square, sample_squares
from ..render.meshwarp.placement import fit_head
from ..render.meshwarp.posed_rig import PosedRig
from .lips import with_seen_edges
from .mouth import AWAY_DEG, DubbedHead, MouthLook, look_of
from .rest import Person, read_weights
from .teeth import drawing_of, teeth_in_sight

#: the brightness of a frame is compared in so many cells; at a cut they change by more, on average
_CELLS, _CUT = (18, 32), 0.1
#: from frame to frame a face goes no further than this part of its size, and grows no more
_JUMP, _GROWTH = 0.5, 1.6
_PLACE = 0.02  #: decimetres of unlikeness for a size of the face that it lies elsewhere
_SMOOTHED_S = 0.08  #: seconds to each side that the parabola goes through
_LOOKED_AT = 192  #: pixels: the side of the square in which the light is read
_LARGEST = 1024  #: the same of the square in which teeth are read
_LIGHT_EVERY, _LIGHT_SHARE = 6, 0.3  #: frames between two looks at the light, and what a look counts
_SAMPLE, _SAMPLE_EVERY_S = 60, 0.2  #: frames that a person is read from, and seconds between them


@dataclass(frozen=True, eq=False)
class Followed:
    """A frame (H, W, 3) of bytes and the person in it.

    points: (468, 3) pixels of the frame, smoothed; None where the person is not seen
    own:    (64,) the blendshape weights that the film has there, beyond those of the resting face
    amount: how far it can be dubbed, 0..1: less where the face is about to be lost, turns away, or is covered
    look:   in what light the mouth is
    """

    frame: Tensor
    points: Tensor | None = None
    own: Tensor | None = None
    amount: float = 0.0
    look: MouthLook | None = None


@dataclass(eq=False)
class FilmCount:
    """What happened on the way."""

    n_frames: int = 0
    n_without: int = 0
    n_cuts: int = 0


@dataclass(frozen=True, eq=False)
class _Seen:
    frame: Tensor
    points: Tensor | None
    cut: bool


class _Tracker:
    """Asked frame by frame. person: whom to look for again, or None before anybody is known"""

    def __init__(self, detector: FaceDetector, mesh: FaceMesh, selector: FaceSelector, person: Person | None):
        self.detector, self.mesh, self.selector, self.person = detector, mesh, selector, person
        self.previous: MeshLandmarks | None = None
        self.last: MeshLandmarks | None = None
        self.cells: Tensor | None = None

    @torch.no_grad()
    def see(self, frame: Tensor) -> _Seen:
        cells = _cells_of(frame)
        cut = self.cells is not None and float((cells - self.cells).abs().mean()) > _CUT
        self.cells = cells
        seen = None
        if self.previous is not None and not cut:
            seen = self._look(frame, mesh_square(self.previous.points))
            if seen is not None and _leaps(self.previous, seen):
                seen, cut = None, True
        if seen is None:
            seen = self._search(frame.float() / 255)
        self.previous = seen
        self.last = seen or self.last
        return _Seen(frame, None if seen is None else seen.points, cut)

    def _look(self, frame: Tensor, square: Square) -> MeshLandmarks | None:
        """The mesh in a square; of the frame no more is made floats than that."""
        height, width = frame.shape[:2]
        reach = square.size * 0.75 + 4
        left, top = (min(max(int(v - reach), 0), n - 1) for v, n in ((square.x, width), (square.y, height)))
        part = frame[top : int(square.y + reach) + 1, left : int(square.x + reach) + 1]
        if not part.numel():
            return None
        here = square._replace(x=square.x - left, y=square.y - top)
        seen = detect_landmarks(self.mesh, part.float() / 255, [here])[0]
        if seen.score < MIN_SCORE:
            return None
        return replace(seen, points=seen.points + seen.points.new_tensor([left, top, 0]))

    def _search(self, image: Tensor) -> MeshLandmarks | None:
        detected = detect_faces(self.detector, image, thorough=self.last is None)
        if not detected:
            return None
        meshes = detect_landmarks(self.mesh, image, [face_square(face) for face in detected])
        seen = {face: mesh for face, mesh in zip(detected, meshes, strict=True) if mesh.score >= MIN_SCORE}
        if not seen:
            return None
        again = {face: detect_landmarks(self.mesh, image, [mesh_square(own.points)])[0] for face, own in seen.items()}
        if self.person is None and self.last is None:
            return again[select_face(list(seen), self.selector, image)]
        meshes = [mesh for mesh in again.values() if mesh.score >= MIN_SCORE]
        if self.person is None:
            return min(meshes, key=self._elsewhere, default=None)
        alike = [mesh for mesh in meshes if self.person.may_be(mesh.points)]
        if self.last is None:
            meant = again[select_face(list(seen), self.selector, image)]
            if any(mesh is meant for mesh in alike):
                return meant
        return min(alike, key=self._unlike, default=None)

    def _unlike(self, mesh: MeshLandmarks) -> float:
        assert self.person is not None
        unlike = self.person.unlike(mesh.points)
        return unlike if self.last is None else unlike + _PLACE * self._elsewhere(mesh)

    def _elsewhere(self, mesh: MeshLandmarks) -> float:
        """In sizes of the face."""
        assert self.last is not None
        here, there = mesh_square(mesh.points), mesh_square(self.last.points)
        return math.hypot(here.x - there.x, here.y - there.y) / max(there.size, 1.0)


def read_person(
    detector: FaceDetector,
    mesh: FaceMesh,
    linear_3dmm: Linear3DMM | None,
    frames: Iterable[Tensor],
    fps: float,
    selector: FaceSelector,
    n_frames: int | None = None,
) -> Person | None:
    """Frames of the film, from its beginning on, until the person was seen often enough -> who it is; None: nobody.

    n_frames: how many there are, where that is known; of a short film more of them are looked at
    """
    tracker = _Tracker(detector, mesh, selector, None)
    every = round(_SAMPLE_EVERY_S * fps) if n_frames is None else min(round(_SAMPLE_EVERY_S * fps), n_frames // _SAMPLE)
    every = max(every, 1)
    meshes: list[Tensor] = []
    smile, most = None, 0.0
    for k, frame in enumerate(frames):
        if k % every:
            continue
        seen = tracker.see(frame)
        if seen.points is not None:
            image, points = _face_of(frame, seen.points, _LOOKED_AT)
            meshes.append(_as_seen(image, points, seen.points))
            if (shown := teeth_in_sight(image, _as_portrait(points, _LOOKED_AT))) > most:
                smile, most = seen, shown
            if len(meshes) == _SAMPLE:
                break
    if not meshes:
        return None
    person = Person.of(linear_3dmm, torch.stack(meshes))
    return person if smile is None else replace(person, teeth=_teeth_of(smile, linear_3dmm, person))


def _as_seen(image: Tensor, points: Tensor, in_frame: Tensor) -> Tensor:
    """in_frame (468, 3), and the same points in an image of the face -> in the frame, the lips where they are seen."""
    moved = in_frame.clone()
    moved[:, :2] += (with_seen_edges(image[0], points) - points)[:, :2] * (fit_head(in_frame).stage_side() / _LOOKED_AT)
    return moved


def _teeth_of(smile: _Seen, linear_3dmm: Linear3DMM | None, person: Person) -> Tensor | None:
    assert smile.points is not None
    side = min(max(round(float(fit_head(smile.points).stage_side())), _LOOKED_AT), _LARGEST)
    image, points = _face_of(smile.frame, smile.points, side)
    own = read_weights(linear_3dmm, smile.points[None])[0] - person.weights
    return drawing_of(image, DubbedHead(with_seen_edges(image[0], points), person.rest, own))


def follow_person(
    detector: FaceDetector,
    mesh: FaceMesh,
    linear_3dmm: Linear3DMM | None,
    frames: Iterable[Tensor],
    fps: float,
    selector: FaceSelector,
    person: Person,
    count: FilmCount | None = None,
) -> Iterator[Followed]:
    """Every frame, in order, with the person in it.  count: is counted on"""
    tracker, light = _Tracker(detector, mesh, selector, person), _Light()
    reach = min(max(round(_SMOOTHED_S * fps), 2), 5)
    count = FilmCount() if count is None else count
    around: deque[_Seen] = deque()
    middle = 0  #: of the frames in `around`, the next to go out

    def out() -> Followed:
        nonlocal middle
        seen = around[middle]
        followed = _smoothed(linear_3dmm, list(around), middle, reach, person)
        if seen.cut:
            light.forget()
        if followed.points is not None:
            look, bare = light.at(seen.frame, followed.points)
            followed = replace(followed, look=look, amount=followed.amount * bare)
        count.n_frames += 1
        count.n_without += followed.points is None
        count.n_cuts += seen.cut
        middle += 1
        if middle > reach:
            around.popleft()
            middle -= 1
        return followed

    for frame in frames:
        around.append(tracker.see(frame))
        if len(around) - middle > reach:
            yield out()
    while middle < len(around):
        yield out()


def _smoothed(linear_3dmm: Linear3DMM | None, around: list[_Seen], at: int, reach: int, person: Person) -> Followed:
    """around: frames in order, of which the one `at` goes out."""
    seen = around[at]
    if seen.points is None:
        return Followed(seen.frame)
    before = after = 0
    edge = 1.0
    while before < reach and at - before > 0 and not around[at - before].cut:
        if around[at - before - 1].points is None:
            edge = min(edge, (before + 1) / (reach + 1))
            break
        before += 1
    while after < reach and at + after + 1 < len(around) and not around[at + after + 1].cut:
        if around[at + after + 1].points is None:
            edge = min(edge, (after + 1) / (reach + 1))
            break
        after += 1
    run = [one.points for one in around[at - before : at + after + 1] if one.points is not None]
    points = torch.tensordot(_parabola(before, after), torch.stack(run), dims=1)
    own = read_weights(linear_3dmm, points[None])[0] - person.weights
    return Followed(seen.frame, points, own, edge * _turned_away(points))


def _parabola(before: int, after: int) -> Tensor:
    """(before + 1 + after,) what each frame counts in the value, in the middle, of the parabola through them all; of a
    straight line where there are few on one side.
    """
    times = torch.arange(-before, after + 1, dtype=torch.float64)
    order = 2 if min(before, after) >= 2 else (1 if min(before, after) >= 1 else 0)
    if order == 0:
        return (times == 0).float()
    powers = torch.stack([times**k for k in range(order + 1)], dim=1)
    return torch.linalg.pinv(powers)[0].float()


def _turned_away(points: Tensor) -> float:
    """1 for a face that is seen from the front, 0 in profile."""
    looks = fit_head(points).rotation[:, 2]
    degrees = math.degrees(math.acos(min(max(float(looks[2]), -1.0), 1.0)))
    low, high = AWAY_DEG
    return min(max((high - degrees) / (high - low), 0.0), 1.0)


class _Light:
    """The light on a face, and whether its mouth is bare, both changing slowly."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.look: MouthLook | None = None
        self.bare, self.age = 1.0, 0

    def at(self, frame: Tensor, points: Tensor) -> tuple[MouthLook, float]:
        if self.look is None or self.age % _LIGHT_EVERY == 0:
            now, bare = _look_at(frame, points)
            old = now if self.look is None else self.look
            self.bare = bare if self.look is None else self.bare + (bare - self.bare) * _LIGHT_SHARE
            self.look = MouthLook(*(torch.lerp(a, b, _LIGHT_SHARE) for a, b in zip(old, now, strict=True)))
        self.age += 1
        return self.look, self.bare


def _look_at(frame: Tensor, points: Tensor) -> tuple[MouthLook, float]:
    image, there = _face_of(frame, points, _LOOKED_AT)
    return look_of(image, _as_portrait(there, _LOOKED_AT)), float(cover_of(image[0], there) != CLOTH)


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
    """(H, W, 3) bytes -> the brightness of its parts, 0..1."""
    step = max(min(frame.shape[0] // (4 * _CELLS[0]), frame.shape[1] // (4 * _CELLS[1])), 1)
    grey = frame[::step, ::step].float().mean(-1) / 255
    return F.adaptive_avg_pool2d(grey[None, None], _CELLS)[0, 0]


def _leaps(one: MeshLandmarks, other: MeshLandmarks) -> bool:
    here, there = mesh_square(one.points), mesh_square(other.points)
    size = max(here.size, 1.0)
    far = math.hypot(here.x - there.x, here.y - there.y) / size
    return far > _JUMP or not 1 / _GROWTH < there.size / size < _GROWTH


__all__ = ["FilmCount", "Followed", "follow_person", "read_person"]
