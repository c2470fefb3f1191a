"""The frames of a reference video come in, one by one; the same face in every frame, 25 rows a second, goes out.

No more than a batch of frames is held at a time. Letters: `H W` a frame, `F` frames that show the face, `T` rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from .. import coefficients as layout
from ..choices import one_of
from ..datatypes import MINI, RELEASED, Box, CropMode, FaceCoefficients, OnProgress
from ..errors import FaceNotFound, VideoError
from ..timeline import FRAMES_PER_SECOND
from .align import align_face
from .brows_and_gaze import UpperFaceMeasurement, brow_heights, gaze_across, with_brows_and_gaze
from .crop import crop_square, face_box, image_to_square, square_box
from .detector import FaceDetector
from .extract import read_faces, read_meshes_at
from .image import check_image
from .iris import find_irises
from .landmarks import mesh_to_68
from .linear_3dmm import Linear3DMM
from .mesh import FaceMesh
from .points import FaceSelector, PointFinder, follow_mesh
from .recon import FaceReconNet

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: A full row with the crop parameters behind it: what is collected and resampled.
ROW = layout.FULL_ROW + layout.CROP


class MissingFace(str, Enum):
    """What to do with a frame in which the face is not found."""

    HOLD = "hold"  #: repeat the row before it; before the first found face, the first found one
    SKIP = "skip"  #: leave the frame out; the track gets shorter
    ERROR = "error"  #: stop and name the frame


class ReadingOptions(TypedDict, total=False):
    """How a video is read.

    selector: whose face; a PointFinder has one of its own
    mode:     how much of the frame is cut, as for the portrait
    box_follows_face: cut each frame at its own box, for a head that moves away; otherwise all at the box of the first
        found face, as the original does, and the crop parameters tell where the head went
    missing_face: what becomes of a frame without the face (hold)
    batch_size:  faces that pass the network together (16)
    n_frames:    how many will come, where that is known
    on_progress: called with the number of frames read so far, and of how many; may raise to stop
    """

    selector: FaceSelector
    mode: CropMode
    box_follows_face: bool
    missing_face: MissingFace | str
    batch_size: int
    n_frames: int
    on_progress: OnProgress | None


def read_released_video(
    net: FaceReconNet,
    find_points: PointFinder,
    frames: Iterable[Tensor],
    fps: float,
    pic_size: int,
    **reading: Unpack[ReadingOptions],
) -> FaceCoefficients:
    """Frames (H, W, 3) of one size in 0..1 -> T rows of the released family at 25 a second.

    fps:      of the frames; any rate is resampled, between two frames along a straight line
    pic_size: as the portrait's, because the crop parameters are in pixels of that square
    Raises VideoError without frames or with an impossible rate, ImageError for a frame that is no image, and
    FaceNotFound when no frame shows a face, or, where `missing_face` is error, at the first that does not.
    """
    track = _FaceTrack(**reading)

    def prepare(frame: Tensor, points: Tensor, box: Box) -> tuple[Tensor, Tensor]:
        face = align_face(crop_square(frame, box, pic_size), image_to_square(points, box, pic_size))
        return face.image, face.crop

    def read(faces: list[tuple[Tensor, Tensor]]) -> Tensor:
        images, crops = zip(*faces, strict=True)
        return torch.cat([read_faces(net, torch.stack(images)), torch.stack(crops)], dim=1)

    def choose_box(points: Tensor, size_wh: tuple[int, int]) -> Box:
        return face_box(points, size_wh, track.mode)

    rows, found = track.rows_at_25(find_points.follow(_checked(frames)), fps, choose_box, prepare, read)
    return _record(rows, found, RELEASED, track.mode, pic_size)


def read_mini_video(
    detector: FaceDetector,
    mesh: FaceMesh,
    linear_3dmm: Linear3DMM,
    frames: Iterable[Tensor],
    fps: float,
    pic_size: int,
    **reading: Unpack[ReadingOptions],
) -> FaceCoefficients:
    """The same in the mini family: meshes are tracked from frame to frame and read by the linear fit; brows and gaze
    are measured relative to the median of the clip (brows_and_gaze.py).
    """
    track = _FaceTrack(**reading)
    gaze = math.nan  # of the last frame that showed one

    def prepare(frame: Tensor, points: Tensor, box: Box) -> tuple[Tensor, Box, float]:
        nonlocal gaze
        irises = find_irises(frame.permute(2, 0, 1), points)
        gaze = gaze if irises is None else gaze_across(irises, points)
        return points, box, gaze

    def read(faces: list[tuple[Tensor, Box, float]]) -> Tensor:
        meshes, boxes, gaze_of_frames = zip(*faces, strict=True)
        points = torch.stack(meshes)
        rows = read_meshes_at(linear_3dmm, points, list(boxes), pic_size, track.mode)
        heights = brow_heights(linear_3dmm, points)
        return torch.cat([rows.full_rows(), rows.crop, heights, torch.tensor(gaze_of_frames)[:, None]], dim=1)

    def choose_box(points: Tensor, size_wh: tuple[int, int]) -> Box:
        return square_box(mesh_to_68(points), size_wh, track.mode)

    meshes = follow_mesh(detector, mesh, _checked(frames), track.selector)
    tracked = ((frame, None if found is None else found.points) for frame, found in meshes)
    rows, found = track.rows_at_25(tracked, fps, choose_box, prepare, read)
    record = _record(rows[:, :ROW], found, MINI, track.mode, pic_size)
    return with_brows_and_gaze(record, UpperFaceMeasurement(rows[:, ROW : ROW + 2], rows[:, -1]))


class _FaceTrack:
    """The loop over the frames, which both families share."""

    def __init__(
        self,
        *,
        selector: FaceSelector = FaceSelector(),  # noqa: B008 (frozen)
        mode: CropMode = CropMode.CROP,
        box_follows_face: bool = False,
        missing_face: MissingFace | str = MissingFace.HOLD,
        batch_size: int = 16,
        n_frames: int = 0,
        on_progress: OnProgress | None = None,
    ):
        self.selector, self.mode = selector, mode
        self.box_follows_face, self.batch_size = box_follows_face, max(batch_size, 1)
        self.n_frames, self.on_progress = n_frames, on_progress
        self.missing_face = one_of("missing_face", missing_face, MissingFace)

    def rows_at_25(
        self,
        tracked: Iterable[tuple[Tensor, Tensor | None]],
        fps: float,
        choose_box: Callable[[Tensor, tuple[int, int]], Box],
        prepare: Callable[[Tensor, Tensor, Box], Any],
        read: Callable[[list[Any]], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Frames with the points of the face, or None -> rows (T, 260), and (T,) whether they were found.

        choose_box: (points, size of the frame) -> the box; may raise FaceNotFound
        prepare:    (frame, points, box) -> what is kept of the frame; may raise FaceNotFound
        read:       a batch of that -> rows
        """
        if not (math.isfinite(fps) and fps > 0):
            raise VideoError(f"expected a frame rate above 0 for the reference video, got {fps}; set fps.")
        box: Box | None = None
        rows: list[Tensor] = []
        waiting: list[Any] = []
        found: list[bool] = []
        own_row: list[int] = []  #: of each frame that shows the face; a frame that comes again has the row it had
        last: Tensor | None = None
        for frame, points in tracked:
            if frame is last:
                found.append(found[-1])
                own_row += own_row[-1:] if found[-1] else []
                self._report_progress(len(found))
                continue
            last = frame
            try:
                if points is None:
                    raise FaceNotFound("none was found.")
                if box is None or self.box_follows_face:
                    box = choose_box(points, (frame.shape[1], frame.shape[0]))
                waiting.append(prepare(frame, points, box))
                own_row.append(own_row[-1] + 1 if own_row else 0)
                found.append(True)
            except FaceNotFound as error:
                if self.missing_face is MissingFace.ERROR:
                    raise FaceNotFound(
                        f"no face in frame {len(found)} of the reference video (counting from 0, at "
                        f"{len(found) / fps:.2f} s): {error} "
                        "Remove that frame, or set missing_face to hold or skip."
                    ) from error
                found.append(False)
            if len(waiting) == self.batch_size:
                rows.append(read(waiting))
                waiting = []
            self._report_progress(len(found))
        if not found:
            raise VideoError("the reference video holds no frames; connect frames or a video that is not empty.")
        if not any(found):
            raise FaceNotFound(
                f"no face found in any of the {len(found)} frames of the reference video; use one with a face in "
                "frontal or three-quarter view."
            )
        if waiting:
            rows.append(read(waiting))
        return resample_to_25(*self._fill(torch.cat(rows)[own_row], torch.tensor(found)), fps)

    def _report_progress(self, done: int) -> None:
        if self.on_progress is not None:
            self.on_progress(done, max(done, self.n_frames))

    def _fill(self, rows: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the frames that show the face -> rows of all frames that count."""
        if self.missing_face is MissingFace.SKIP:
            return rows, found[found]
        return rows[(found.cumsum(0) - 1).clamp(min=0)], found


def resample_to_25(rows: Tensor, found: Tensor, fps: float) -> tuple[Tensor, Tensor]:
    """Rows (F, 260) of frames at `fps` -> rows (T, 260) at 25 a second, as long to within a frame.

    Between two frames each number moves along a straight line, and the angles turn the shorter way. found (F,) becomes
    (T,): a row counts as found when every frame it is made of was.
    """
    n_frames = rows.shape[0]
    n_rows = max(int(n_frames * FRAMES_PER_SECOND / fps + 1e-6), 1)
    place = np.minimum(np.arange(n_rows) * (fps / FRAMES_PER_SECOND), n_frames - 1)
    before = np.floor(place + 1e-9).astype(int)
    after = np.minimum(before + 1, n_frames - 1)
    part = torch.from_numpy(np.clip(place - before, 0.0, 1.0))[:, None]
    smooth = rows.double().clone()
    start = layout.IDENTITY + layout.EXPRESSION + layout.TEXTURE
    angles = slice(start, start + layout.ROTATION)
    smooth[:, angles] = torch.from_numpy(np.unwrap(smooth[:, angles].numpy(), axis=0))
    mixed = smooth[before] * (1 - part) + smooth[after] * part
    tracked = found[before] & (found[after] | (part[:, 0] == 0))
    return mixed.float(), tracked


def _record(rows: Tensor, found: Tensor, family: str, mode: CropMode, pic_size: int) -> FaceCoefficients:
    full, crop = rows.split([layout.FULL_ROW, layout.CROP], dim=1)
    return FaceCoefficients.from_full_rows(full, crop, family=family, crop_mode=mode, pic_size=pic_size, found=found)


def _checked(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    came: Tensor | None = None
    image = torch.empty(0)
    for i, frame in enumerate(frames):
        if frame is not came:  # else it lasts longer than a 25th of a second
            size = image.shape if i else None
            image, _ = check_image(frame, f"Frame {i} of the reference video")
            if size is not None and image.shape != size:
                raise VideoError(
                    f"frame {i} of the reference video is {image.shape[1]} x {image.shape[0]} pixels, "
                    f"the frames before it are {size[1]} x {size[0]}; all frames must have one size."
                )
            came = frame
        yield image
