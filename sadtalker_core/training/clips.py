"""The clips that all trainers read: a folder that `prepare` or `generated` made comes in, `Clip`s come out.

    FOLDER/clips.jsonl          a line per clip, a JSON object; the last line of a name counts:
        name         "anna_003": its file without the ending
        status       "ready", or "failed" with a sentence under "reason"
        family       "released" or "mini": whose coefficients they are
        fps          25: frames per second
        n_frames     T
        image_size   the side of the images, and the pic_size of the coefficients
        crop_mode    as in CropMode
        speaker      who it is; PoseVAE learns one style for each
        source       the file it was cut from
    FOLDER/NAME.safetensors     one file a clip:
        mel          (n_mel, 80) float32, 80 steps a second, as audio.mel makes it
        coefficients (T, 257) float32, the full row of the face model;  crop (T, 3) float32
        found        (T,) uint8, 0 where no face was detected and the row was held
        jpegs        (n_bytes,) uint8, the images of the square, JPEG files end to end;  jpeg_ends (T,) int64
                     where each ends; both missing where there are no images (generated voices)
        wave         (640 T,) int16, the audio at 16 kHz, for sample videos; may be missing

Letters: `T` video frames, `S` the side of the square. A clip is read when it is asked for, so thousands of hours need
no more memory than their index.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoint.tensor_file import TensorFile
from ..datatypes import CropMode, FaceCoefficients, SpeechWindows
from ..errors import InputError, WrongFamily
from ..saving import append_jsonl, complete_lines, save_tensors
from ..timeline import FRAMES_PER_SECOND, MEL_HOP, SAMPLES_PER_FRAME, mel_steps_in_samples, samples_in_frames

INDEX_FILE = "clips.jsonl"
READY, FAILED = "ready", "failed"


#: the fewest frames that are also a whole number of mel steps: parts of clips begin at multiples of it
PART_STEP = 5


@dataclass(frozen=True)
class Clip:
    """A clip of the index, or a part of one. `file` holds its numbers; `first` is where a part begins in it, a
    multiple of PART_STEP frames; see above for the rest.
    """

    name: str
    family: str
    n_frames: int
    image_size: int
    crop_mode: str
    speaker: str
    source: str
    file: Path
    first: int = 0

    def part(self, start: int, stop: int) -> Clip:
        """The frames start..stop as a clip of their own.  start: a multiple of PART_STEP"""
        if start % PART_STEP or not 0 <= start < stop <= self.n_frames:
            raise ValueError(f"expected a part of {self.n_frames} frames that begins at a multiple of {PART_STEP}")
        return replace(self, n_frames=stop - start, first=self.first + start)

    def speech(self) -> SpeechWindows:
        """The speech windows of inference, with the waveform where it was kept."""
        begin = mel_step_of(self.first)
        (mel,) = self._read("mel", start=begin)
        n_steps = mel_steps_in_samples(samples_in_frames(self.n_frames))
        return SpeechWindows(mel[:n_steps], self.n_frames, self._wave())

    def coefficients(self, start: int = 0, stop: int | None = None) -> FaceCoefficients:
        """The rows of the frames start..stop."""
        start, stop = self.first + start, self.first + (self.n_frames if stop is None else min(stop, self.n_frames))
        rows, crop, found = self._read("coefficients", "crop", "found", start=start, stop=stop)
        return FaceCoefficients.from_full_rows(
            rows,
            crop,
            family=self.family,
            crop_mode=CropMode(self.crop_mode),
            pic_size=self.image_size,
            found=found.bool(),
        )

    def has_images(self) -> bool:
        return "jpegs" in self._open()

    def images(self, frames: Sequence[int]) -> Tensor:
        """(len(frames), 3, S, S) in 0..1. Raises InputError for a clip without images."""
        from PIL import Image

        file = self._open()
        if "jpegs" not in file:
            raise InputError(
                f"{self.name} has no images, only a voice and coefficients; this training needs "
                f"clips that were cut from videos."
            )
        ends = [0, *file.rows("jpeg_ends").tolist()]
        places = [self.first + i for i in frames]
        codes = [bytes(file.rows("jpegs", ends[i], ends[i + 1]).numpy()) for i in places]
        images = [np.asarray(Image.open(io.BytesIO(code)).convert("RGB")) for code in codes]
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255

    def _wave(self) -> Tensor | None:
        file = self._open()
        if "wave" not in file:
            return None
        begin = self.first * SAMPLES_PER_FRAME
        return file.rows("wave", begin, begin + self.n_frames * SAMPLES_PER_FRAME).float() / 32767

    def _read(self, *names: str, start: int = 0, stop: int | None = None) -> list[Tensor]:
        file = self._open()
        return [file.rows(name, start, stop) for name in names]

    def _open(self) -> TensorFile:
        return TensorFile(
            self.file, f"Delete it and the line of {self.name} in {INDEX_FILE}, and prepare the video again."
        )


def read_clips(folder: Path, *, family: str | None = None, shortest: int = 1, images: bool = False) -> list[Clip]:
    """The clips of a folder that can be trained on, by name.

    family: the family they have to be of;  shortest: frames that each has to have; shorter ones are left out and
    counted in the log;  images: whether they have to have some
    Raises InputError for a folder that is none, or holds none that will do, and WrongFamily.
    """
    clips = [_clip(folder, record) for record in read_index(folder) if record["status"] == READY]
    if not clips:
        raise InputError(
            f"{folder} holds no clip that is ready: {_reasons(folder)}. Look into its {INDEX_FILE}, or "
            f"prepare other videos."
        )
    other = [clip for clip in clips if family is not None and clip.family != family]
    if other:
        raise WrongFamily(
            f"expected clips of the {family} family in {folder}, got {other[0].name} of the "
            f"{other[0].family} family. Coefficients of two families have other meanings: prepare the "
            f"videos again for this one."
        )
    long_enough = [clip for clip in clips if clip.n_frames >= shortest]
    if not long_enough:
        longest = max(clip.n_frames for clip in clips)
        raise InputError(
            f"expected clips of at least {shortest} frames "
            f"({shortest / FRAMES_PER_SECOND:.2f} s) in {folder}, the longest of its {len(clips)} has "
            f"{longest}. Prepare longer videos."
        )
    if len(long_enough) < len(clips):
        logging.warning(
            "%d of %d clips are shorter than %d frames and are left out.",
            len(clips) - len(long_enough),
            len(clips),
            shortest,
        )
    bare = next((clip for clip in long_enough if images and not clip.has_images()), None)
    if bare is not None:
        raise InputError(
            f"{bare.name} in {folder} has no images, only a voice and coefficients; this training needs "
            f"clips that were cut from videos."
        )
    return long_enough


#: the index entry of a clip
_INDEXED = tuple(field.name for field in fields(Clip) if field.name not in ("file", "first"))


def mel_step_of(frame: int) -> int:
    """The mel step at which a frame begins that is a multiple of PART_STEP."""
    return frame * SAMPLES_PER_FRAME // MEL_HOP


class Spans:
    """The runs of `length` frames that fit into clips; each is drawn as likely as any other."""

    def __init__(self, clips: Sequence[Clip], length: int):
        """clips: of `length` frames at least."""
        self.clips = clips
        self.ends = torch.tensor([clip.n_frames - length + 1 for clip in clips]).cumsum(0)

    def draw(self, count: int, generator: torch.Generator) -> list[tuple[Clip, int]]:
        """(clip, first frame) of each."""
        return self._at(torch.randint(int(self.ends[-1]), (count,), generator=generator))

    def spread(self, most: int) -> list[tuple[Clip, int]]:
        """All of them, or `most`, evenly over the clips."""
        total = int(self.ends[-1])
        return self._at(torch.arange(min(most, total)) * total // min(most, total))

    def _at(self, places: Tensor) -> list[tuple[Clip, int]]:
        which = torch.searchsorted(self.ends, places, right=True)
        before = torch.cat([torch.zeros(1, dtype=torch.long), self.ends])[which]
        return [(self.clips[i], start) for i, start in zip(which.tolist(), (places - before).tolist(), strict=True)]


def read_index(folder: Path) -> list[dict[str, Any]]:
    """The lines of a folder's index by name, the last of each name; an end that a kill cut short is left out.

    Raises InputError for a folder without an index, or with lines that are none.
    """
    file = Path(folder) / INDEX_FILE
    if not file.is_file():
        raise InputError(
            f"expected a folder of prepared clips, but there is no {INDEX_FILE} in {folder}. Make one "
            f"with python -m sadtalker_core.training.prepare."
        )
    record: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(complete_lines(file), start=1):
        try:
            entry = json.loads(line)
            record[entry["name"]] = {"status": READY, **entry}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"line {number} of {file} is no clip: {line[:80]!r}.") from error
    return [record[name] for name in sorted(record)]


def write_clip(
    folder: Path,
    name: str,
    *,
    mel: Tensor,
    coefficients: FaceCoefficients,
    speaker: str,
    source: str,
    jpegs: Iterable[bytes] | None = None,
    wave: Tensor | None = None,
) -> Clip:
    """Write a clip's file, and then its line; so a line means that the file is complete.

    mel (n_mel, 80);  coefficients: T rows;  jpegs: T images of the square, as the bytes of JPEG files
    wave: (n,) the audio at 16 kHz in -1..1, whose first 640 T samples are kept
    Raises InputError where mel, rows and images are not equally long.
    """
    n_frames = len(coefficients)
    needed = mel_steps_in_samples(samples_in_frames(n_frames))
    if mel.shape != (needed, mel.shape[-1]):
        raise InputError(f"expected {needed} mel steps for the {n_frames} frames of {name}, got {mel.shape[0]}.")
    found = torch.ones(n_frames, dtype=torch.uint8) if coefficients.found is None else coefficients.found.byte()
    tensors = {
        "mel": mel.float(),
        "coefficients": coefficients.full_rows().float(),
        "crop": coefficients.crop.float(),
        "found": found,
    }
    if jpegs is not None:
        strip = list(jpegs)
        if len(strip) != n_frames:
            raise InputError(f"expected {n_frames} images of {name}, got {len(strip)}.")
        tensors["jpegs"] = torch.frombuffer(bytearray(b"".join(strip)), dtype=torch.uint8)
        tensors["jpeg_ends"] = torch.tensor([len(code) for code in strip]).cumsum(0)
    if wave is not None:
        levels = torch.zeros(samples_in_frames(n_frames), dtype=torch.int16)
        samples = wave[: len(levels)].clamp(-1, 1)
        levels[: len(samples)] = (samples * 32767).round().to(torch.int16)
        tensors["wave"] = levels
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    clip = Clip(
        name,
        coefficients.family,
        n_frames,
        coefficients.pic_size,
        coefficients.crop_mode.value,
        speaker,
        source,
        folder / f"{name}.safetensors",
    )
    save_tensors(clip.file, {key: tensor.contiguous() for key, tensor in tensors.items()})
    append_jsonl(folder / INDEX_FILE, {"status": READY, "fps": FRAMES_PER_SECOND, **_as_json(clip)})
    return clip


def write_failure(folder: Path, name: str, *, source: str, reason: str) -> None:
    """Record that a clip could not be made, and why, so that it is not tried again."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    append_jsonl(Path(folder) / INDEX_FILE, {"status": FAILED, "name": name, "source": source, "reason": reason})


def _as_json(clip: Clip) -> dict[str, Any]:
    return {name: value for name, value in asdict(clip).items() if name in _INDEXED}


def _clip(folder: Path, record: dict[str, Any]) -> Clip:
    if record.get("fps") != FRAMES_PER_SECOND:
        raise InputError(
            f"expected clips of {FRAMES_PER_SECOND} fps, {record['name']} in {folder} has "
            f"{record.get('fps')}. Prepare the video again."
        )
    missing = [name for name in _INDEXED if name not in record]
    if missing:
        raise InputError(
            f"the line of {record['name']} in {Path(folder) / INDEX_FILE} lacks {', '.join(missing)}; "
            f"prepare the video again."
        )
    return Clip(**{name: record[name] for name in _INDEXED}, file=Path(folder) / f"{record['name']}.safetensors")


def _reasons(folder: Path) -> str:
    failed = [record for record in read_index(folder) if record["status"] == FAILED]
    if not failed:
        return "it is empty"
    return f"all {len(failed)} failed, {failed[0]['name']} because {failed[0].get('reason')}"


__all__ = [
    "FAILED",
    "INDEX_FILE",
    "READY",
    "Clip",
    "Spans",
    "read_clips",
    "read_index",
    "write_clip",
    "write_failure",
]
