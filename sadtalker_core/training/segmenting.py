"""One talking video comes in, its clips go out: images of the square, coefficients and voice, as clips.py keeps them.

A video is looked at twice. First the face is followed, and the video is split into spans that show one head in one shot
(scene_cuts.py); then the images of each span are cut to the square, its coefficients are read by the very function
behind 3DMM from Video, and its sound by the one behind Audio Encode. So the networks learn from what they will be
given.
"""

from __future__ import annotations

import io
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import pipeline
from ..datatypes import Box, CropMode, FaceCoefficients, SpeechWindows
from ..errors import FaceNotFound, InputError, OptionError
from ..face.crop import crop_square
from ..face.landmarks import find_faces
from ..face.points import FaceSelector, MeshPoints, PointFinder
from ..families.base import Points
from ..model import AUTO, SadTalkerModel, choose_points
from ..threads import few_threads
from ..timeline import FRAMES_PER_SECOND
from .export import load_base_model
from .scene_cuts import Span, find_spans
from .video_reader import Sound, frames_at_25

#: frames below which a clip is of no use: the networks learn from 32 at a time
SHORTEST = 32
#: a clip that is nowhere louder than this (-50 dB) has lost its sound, and a moving mouth would be learnt as silent
SILENT = 10 ** (-50 / 20)
JPEG_QUALITY = 95
SMALLEST_SIDE = 32
#: bytes of a name on the usual file systems, less what the names of clips, and of files half written, add to it
LONGEST_NAME = 255 - 60


@dataclass(frozen=True)
class Video:
    """A file to be cut.

    source: its place below the folder;  name: the same without the ending, "__" between folders; its clips are called
    name_000, name_001, ...;  speaker: the folder it lies in, or its own name where it lies at the top
    """

    path: Path
    source: str
    name: str
    speaker: str


@dataclass(frozen=True)
class Outcome:
    """What became of a video, a line of videos.jsonl.

    source, size: which file, its place below the folder and its bytes;  clips: their names;  seconds: of all clips
    notes: remarks for the user;  reason: why there are no clips, or ""
    face_pixels: the height of the smallest face that a clip begins with, in the video's own pixels; 0 unknown
    """

    source: str
    size: int
    clips: tuple[str, ...] = ()
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    reason: str = ""
    face_pixels: int = 0


def extract_clips(reader: Reader, video: Video, write: Callable[..., Any], on_image: Callable[[], None]) -> Outcome:
    """One video -> its clips, which `write` gets as clips.write_clip takes them, without the folder.

    on_image: called for each frame, twice in all. A video that cannot be used is an Outcome with a reason.
    """
    clips: dict[str, float] = {}
    lost, notes, wrong, size = Counter[str](), [], "", size_of(video.path)
    face_pixels = 0
    try:
        _require_short_name(video)
        spans, most_faces, face_pixels = _spans(reader, video, on_image)
        if most_faces > 1:
            notes.append(f"{most_faces} faces are visible; the largest at the beginning of a clip is taken")
        for clip in _clips(reader, video, spans, lost, on_image):
            name = f"{video.name}_{len(clips):03}"
            write(
                name,
                mel=clip.speech.mel,
                coefficients=clip.coefficients,
                speaker=video.speaker,
                source=video.source,
                jpegs=clip.jpegs,
                wave=clip.speech.wave,
            )
            clips[name] = clip.speech.seconds
        wrong = "" if spans else "no face is found in it"
    except InputError as error:
        wrong = str(error)
    pieces = ", ".join(f"{count} {what}" for what, count in lost.items())
    if not clips:
        wrong = wrong or f"none of its pieces can be used: {pieces}"
    else:
        notes += [f"pieces left out: {pieces}"] * bool(lost) + [f"its end is left out: {wrong}"] * bool(wrong)
        wrong = ""
    return Outcome(video.source, size, tuple(clips), sum(clips.values()), tuple(notes), wrong, face_pixels)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 for one that went away, or cannot be looked at."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _require_short_name(video: Video) -> None:
    """Raises InputError for a video whose clips no disk would take."""
    n_bytes = len(os.fsencode(video.name))
    if n_bytes > LONGEST_NAME:
        raise InputError(
            f"its name, with those of its folders, has {n_bytes} bytes and its clips are named after it: rename it to "
            f"{LONGEST_NAME} or less"
        )


def _spans(reader: Reader, video: Video, on_image: Callable[[], None]) -> tuple[list[Span], int, int]:
    """The spans of a video, the most faces that were detected at the beginning of one, and the smallest height in
    pixels of the face that is followed.
    """
    counts, heights = [0], [0]

    def set_box(image: Tensor, points: Tensor) -> Box:
        box = reader.box(points, (image.shape[1], image.shape[0]))
        counts.append(reader.count_faces(image))
        heights.append(round(float(points[:, 1].max() - points[:, 1].min())))
        return box

    images = _with_progress(frames_at_25(video.path), on_image)
    with reader.threads():
        spans = list(find_spans(images, reader.finder(), set_box))
    return spans, max(counts), min(heights[1:], default=0)


@dataclass(frozen=True, eq=False)
class _Segment:
    speech: SpeechWindows
    coefficients: FaceCoefficients
    jpegs: list[bytes]


def _clips(
    reader: Reader, video: Video, spans: Sequence[Span], lost: Counter[str], on_image: Callable[[], None]
) -> Iterator[_Segment]:
    """The spans that can be used, read; what is lost is counted."""
    images, at = _with_progress(frames_at_25(video.path), on_image), 0
    with Sound(video.path) as sound:
        for span in spans:
            wave = sound.cut(span.start, span.stop)
            if span.stop - span.start < SHORTEST:
                lost[f"shorter than {SHORTEST} frames ({SHORTEST / FRAMES_PER_SECOND} s)"] += 1
                continue
            if wave.shape[1] * FRAMES_PER_SECOND < SHORTEST * sound.rate_hz:
                lost["behind the end of the sound"] += 1
                continue
            speech = pipeline.encode_audio(wave, sound.rate_hz)
            if float(wave.abs().max()) < SILENT:
                lost["silent"] += 1
                continue
            deque(islice(images, span.start - at), maxlen=0)
            at = span.start + speech.n_frames
            piece = islice(images, speech.n_frames)
            jpegs: list[bytes] = []
            try:
                coefficients = pipeline.extract_video(
                    reader.model,
                    _cut(piece, span.box, reader.model.image_size, jpegs),
                    FRAMES_PER_SECOND,
                    points=reader.points,
                    mode=reader.mode,
                    missing_face="error",
                )
            except FaceNotFound:
                lost["with a face that cannot be read"] += 1
                deque(piece, maxlen=0)
            else:
                yield _Segment(speech, coefficients, jpegs)


def _cut(images: Iterable[Tensor], box: Box, size: int, jpegs: list[bytes]) -> Iterator[Tensor]:
    """The images as they come; on the way the square of each is written down."""
    from PIL import Image

    for image in images:
        levels = (crop_square(image, box, size).permute(1, 2, 0) * 255).round().byte()
        code = io.BytesIO()
        Image.fromarray(levels.numpy()).save(code, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        jpegs.append(code.getvalue())
        yield image


def _with_progress(images: Iterable[Tensor], on_image: Callable[[], None]) -> Iterator[Tensor]:
    for image in images:
        yield image
        on_image()


# ---- who reads the faces ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reader:
    """The networks that read faces, as inference has them, and how much of the image they get."""

    model: SadTalkerModel
    points: Points | None
    mode: CropMode

    @classmethod
    def open(
        cls, base: str, folders: Sequence[Path] = (), mode: CropMode = CropMode.CROP, device: str = "cpu", size: int = 0
    ) -> Reader:
        """base, folders: the model, as export.load_base_model takes it;  size: of the square, 0: the model's own

        Raises what load_base_model raises, and OptionError for a square below 32 pixels.
        """
        model = load_base_model(base, folders)
        if size and size < SMALLEST_SIDE:
            raise OptionError(f"expected images of {SMALLEST_SIDE} pixels or more, got {size}.")
        model = replace(model, image_size=size or model.image_size)
        for net in model.nets.values():
            net.to(device)
        return cls(model, choose_points(AUTO, model.family, folders, torch.device(device)), mode)

    def finder(self) -> PointFinder:
        """Follows the largest face of the first frame."""
        if self.points is not None:
            return self.points(FaceSelector())
        return MeshPoints(*self._face_nets())

    def threads(self) -> AbstractContextManager[None]:
        """All networks of ours that look at faces are small; face-alignment's are not."""
        return few_threads() if self.points is None else nullcontext()

    def box(self, points: Tensor, size_wh: tuple[int, int]) -> Box:
        """Where 3DMM from Video cuts the frames of a video that begins with these points."""
        return self.model.family.face_box(points, size_wh, self.mode)

    def count_faces(self, image: Tensor) -> int:
        return len(find_faces(*self._face_nets(), image))

    def _face_nets(self) -> tuple[Any, Any]:
        return self.model.nets["face_detector"], self.model.nets["face_mesh"]
