"""The 68 points by the face-alignment package: an image comes in, the points of the selected face go out.

The package (Bulat and Tzimiropoulos 2017) is imported when the first image comes, and its two networks are read from
a folder that already holds their files. Nothing is downloaded, nothing is compiled, and what the package changes for
the whole process is put back. Points are (x, y) in pixels, y down.
"""

from __future__ import annotations

import inspect
import math
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..datatypes import Box
from ..errors import IMPORT_ERRORS, CheckpointDamaged, CheckpointMissing, FaceNotFound, OptionError, import_failure
from .detector import DetectedFace, FaceDetector, detect_faces, turn_back
from .embedded import embedded_face_nets
from .landmarks import choose_face
from .points import FaceSelector, find_tilt, nearest

DETECTOR_FILE = "s3fd-619a316812.pth"
#: as face-alignment 1.5 names it; other versions may ask for another file, and then the error names that one
LANDMARKS_FILE = "2DFAN4-11f355bf06.pth.tar"

#: Images are shrunk to this longer side before faces are looked for; a face of a tenth of that is still found.
DETECTION_SIDE = 640

_package_lock = RLock()


class FaceAlignmentPoints:
    """A PointFinder (see points.py) that asks the face-alignment package.

    folder: holds both weight files;  device: where its networks compute ("cpu", "cuda:0", "mps"; others: on the CPU)
    selector:  which face;  batch_size: frames of a video that are looked at together
    expected: {name of a weight file: what it should be}, for the sentences
    Where no face is detected, a user's box is trusted as it stands, so that drawn faces can be used, too.
    """

    def __init__(
        self,
        folder: Path | str,
        device: torch.device | str = "cpu",
        selector: FaceSelector = FaceSelector(),  # noqa: B008 (frozen)
        *,
        batch_size: int = 8,
        expected: Mapping[str, str] | None = None,
    ):
        self.folder, self.selector, self.batch_size = Path(folder), selector, batch_size
        self.expected = expected or {}
        device = torch.device(device)
        self.device = str(device) if device.type in ("cpu", "cuda", "mps") else "cpu"
        self._package = None
        self._detector: FaceDetector | None = None
        self._quarters: int | None = None  #: of the face in the image, which stands the same way in the square

    def __call__(self, image: Tensor, near: Box | None = None) -> Tensor:
        """image (H, W, 3) in 0..1 -> (68, 2). Raises FaceNotFound, and what building the networks raises."""
        with _cudnn_settings_kept():
            faces = self._detect(image[None])[0]
            if not faces and (near or self.selector.box) is None:
                self._quarters = self._quarters_of_image(image)
                faces = self._detect(image[None], self._quarters)[0]
            face = self._choose(faces, image, near)
            if near is None or self._quarters is None:
                self._quarters = self._quarters_of(image, face)
            return self._points([image], [face], self._quarters)[0]

    def follow(self, frames: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Frames (H, W, 3) of one size -> each with the points of the same face, None where it is not visible.

        The face is selected, and which way up it is decided, in the first frame that shows one; after that the nearest
        to the last is taken.
        """
        frames, last, quarters = iter(frames), None, None
        while batch := list(islice(frames, self.batch_size)):
            with _cudnn_settings_kept():
                chosen: list[DetectedFace | None] = []
                found = self._detect(torch.stack(batch), quarters or 0)
                if quarters is None and not any(found) and (quarters := self._quarters_of_image(batch[0])):
                    found = self._detect(torch.stack(batch), quarters)
                for image, faces in zip(batch, found, strict=True):
                    face = self._choose_in_video(faces, image, last)
                    if face and last is None:
                        quarters = self._quarters_of(image, face)
                    last = _whole_box(face) if face else last
                    chosen.append(face)
                seen = [(image, face) for image, face in zip(batch, chosen, strict=True) if face]
                shown, theirs = [image for image, _ in seen], [face for _, face in seen]
                points = iter(self._points(shown, theirs, quarters or 0) if seen else [])
            for image, face in zip(batch, chosen, strict=True):
                yield image, next(points) if face else None

    def _choose(self, faces: list[DetectedFace], image: Tensor, near: Box | None) -> DetectedFace:
        box = near or self.selector.box
        if box is None:
            return choose_face(faces, self.selector.index, self.selector.order, (image.shape[1], image.shape[0]))
        if faces:
            return nearest(faces, box, lambda face: face.box)
        if near is None or self._quarters:
            return DetectedFace((box.x, box.y, box.width, box.height), 1.0, torch.zeros(0, 2))
        raise FaceNotFound("no face found in the cropped square; set the crop scale and offset closer to 1 and 0.")

    def _choose_in_video(self, faces: list[DetectedFace], image: Tensor, last: Box | None) -> DetectedFace | None:
        if not faces:
            return None
        box = last or self.selector.box
        if box is not None:
            return nearest(faces, box, lambda face: face.box)
        index = min(self.selector.index, len(faces) - 1)
        return choose_face(faces, index, self.selector.order, (image.shape[1], image.shape[0]))

    def _quarters_of(self, image: Tensor, face: DetectedFace) -> int:
        """Quarter turns to the left after which the face stands upright, by the embedded detector, which knows."""
        return _quarters(find_tilt(self._own_detector(), image, _whole_box(face)))

    def _quarters_of_image(self, image: Tensor) -> int:
        """The same for an image in which the package sees no face."""
        faces = detect_faces(self._own_detector(), image)
        return _quarters(faces[0].roll) if faces else 0

    def _own_detector(self) -> FaceDetector:
        if self._detector is None:
            self._detector, _ = embedded_face_nets()
        return self._detector

    def _detect(self, images: Tensor, quarters: int = 0) -> list[list[DetectedFace]]:
        """(B, H, W, 3) -> the faces of each, in its own pixels; looked at after so many quarter turns to the left."""
        height, width = images.shape[1:3]
        scale = min(1.0, DETECTION_SIDE / max(height, width))
        small = torch.rot90(images, quarters, dims=(1, 2)).permute(0, 3, 1, 2).float()
        if scale < 1:
            shape = [max(round(length * scale), 1) for length in small.shape[2:]]
            small = F.interpolate(small, size=shape, mode="bilinear", antialias=True)
        found = self._nets().face_detector.detect_from_batch((small.clamp(0, 1) * 255).round())
        return [[_detected(box, 1 / scale).turned_back(quarters, width, height) for box in boxes] for boxes in found]

    def _points(self, images: Iterable[Tensor], faces: Iterable[DetectedFace], quarters: int) -> list[Tensor]:
        """One face in each image of one size -> their points; the networks see it after quarter turns to the left.

        The package takes one image with many faces, so the images are stacked into a tall one, with black between
        them that is as high as any face's surroundings that the network looks at.
        """
        images, faces = list(images), list(faces)
        whole_height, whole_width = images[0].shape[:2]
        if quarters:
            images = [torch.rot90(image, quarters) for image in images]
            size = (whole_height, whole_width) if quarters % 2 else (whole_width, whole_height)
            faces = [face.turned_back(-quarters, *size) for face in faces]
        height, width = images[0].shape[:2]
        gap = max(math.ceil(0.52 * (face.box[2] + face.box[3]) + 0.12 * face.box[3]) + 2 for face in faces)
        step = height + gap
        tall = np.zeros((step * len(images), width, 3), dtype=np.uint8)
        boxes = []
        for i, (image, face) in enumerate(zip(images, faces, strict=True)):
            tall[i * step : i * step + height] = (image.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
            x, y, wide, high = face.box
            boxes.append(np.array([x, y + i * step, x + wide, y + i * step + high, face.score]))
        found = self._nets().get_landmarks_from_image(tall, detected_faces=boxes)
        tops = np.arange(len(images), dtype=np.float64) * step
        own = [np.asarray(points, dtype=np.float64) - (0, top) for points, top in zip(found, tops, strict=True)]
        return [turn_back(torch.from_numpy(points).float(), quarters, whole_width, whole_height) for points in own]

    def _nets(self) -> Any:
        if self._package is None:
            self._package = build(self.folder, self.device, self.batch_size, self.expected)
        return self._package


def import_package() -> tuple[Any, Any]:
    """face_alignment and its api. Raises OptionError where it is missing, or broken by what it needs (an old numpy,
    an OpenCV that does not load); the cause is one of IMPORT_ERRORS.
    """
    try:
        import face_alignment
        from face_alignment import api
    except IMPORT_ERRORS as error:
        raise OptionError(
            f"the landmarks are set to face-alignment, but that package cannot be imported ({import_failure(error)}). "
            "Install it with `pip install face-alignment`, or choose the embedded mesh."
        ) from error
    return face_alignment, api


def build(folder: Path, device: str = "cpu", batch_size: int = 1, expected: Mapping[str, str] | None = None) -> Any:
    """The package's `FaceAlignment`, its weights read from `folder`.

    Raises OptionError when the package cannot be imported, CheckpointMissing and CheckpointDamaged for its files.
    """
    face_alignment, api = import_package()
    expected = expected or {}

    def from_folder(url: str, *_: Any, **__: Any) -> str:
        return str(_weights(folder, Path(urlparse(url).path).name, expected))

    options = {"compile": False, "max_batch_size": batch_size}
    known = inspect.signature(face_alignment.FaceAlignment).parameters
    options = {name: value for name, value in options.items() if name in known}
    kinds = face_alignment.LandmarksType
    two_d = kinds.TWO_D if hasattr(kinds, "TWO_D") else kinds._2D  # the name before version 1.4
    detector = {"path_to_detector": str(_weights(folder, DETECTOR_FILE, expected))}
    with _package_lock, _cudnn_settings_kept():
        fetching = api.load_file_from_url
        api.load_file_from_url = from_folder
        try:
            return face_alignment.FaceAlignment(two_d, device=device, face_detector_kwargs=detector, **options)
        except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
            raise CheckpointDamaged(
                f"the weight files of face-alignment in {folder} cannot be read ({type(error).__name__}). "
                f"Delete {DETECTOR_FILE} and {LANDMARKS_FILE} there and download them again."
                f"{_expected_files(expected, DETECTOR_FILE, LANDMARKS_FILE)}"
            ) from error
        finally:
            api.load_file_from_url = fetching


def _weights(folder: Path, name: str, expected: Mapping[str, str]) -> Path:
    path = folder / name
    if not path.is_file():
        raise CheckpointMissing(
            f"face-alignment needs the file {name}, which is not in {folder}. "
            f"Put it there, or choose the embedded mesh.{_expected_files(expected, name)}"
        )
    return path


def _expected_files(expected: Mapping[str, str], *names: str) -> str:
    known = [expected[name] for name in names if name in expected]
    return f" Expected: {'; '.join(known)}." if known else ""


def _quarters(tilt: float) -> int:
    return round(tilt / (math.pi / 2)) % 4


@contextmanager
def _cudnn_settings_kept() -> Iterator[None]:
    """The package switches cuDNN's benchmarking on for the whole process; put it back."""
    before = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _detected(box: Sequence[float], scale: float) -> DetectedFace:
    """The package's (left, top, right, bottom, score) as one of our faces, without the six points."""
    left, top, right, bottom = (float(v) * scale for v in box[:4])
    return DetectedFace((left, top, right - left, bottom - top), float(box[4]), torch.zeros(0, 2))


def _whole_box(face: DetectedFace) -> Box:
    return Box(*(round(v) for v in face.box))
