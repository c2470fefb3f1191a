"""A folder of clips comes in, a summary by speaker goes out, with warnings about clips that are of little use."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..families import FAMILIES
from ..saving import complete_lines
from ..timeline import FRAMES_PER_SECOND
from .clips import Clip
from .faces import Face, known_face
from .measures import mouth_opening

#: what prepare.py writes beside the clips, a line for each video
VIDEOS_FILE = "videos.jsonl"
#: the most clips of a speaker, and frames of each, that are read
FEW_CLIPS, FEW_FRAMES = 20, 250
#: limits of the warnings: seconds of a speaker, of all, pixels of a face, degrees and mouth of a still image
SHORT_SPEAKER_S, SHORT_S, SMALL_FACE = 10.0, 60.0, 100
STILL_DEGREES, STILL_MOUTH = 0.3, 0.004
#: speakers that one warning names
NAMED = 3


@dataclass(frozen=True)
class SpeakerSummary:
    """speaker; seconds, videos, clips: how much there is;  face_pixels: the smallest face in the videos, 0 unknown
    degrees: spread of pitch, yaw and roll within clips;  mouth: that of its opening, in widths of the face at the eyes
    """

    speaker: str
    seconds: float
    videos: int
    clips: int
    face_pixels: int
    degrees: tuple[float, float, float]
    mouth: float

    @property
    def still(self) -> bool:
        return max(self.degrees) < STILL_DEGREES and self.mouth < STILL_MOUTH


def summarise(clips: Sequence[Clip], folder: Path | None = None) -> list[SpeakerSummary]:
    """By speaker.  folder: of the clips, with the list of the sizes of faces in the videos"""
    sizes = _face_sizes(folder) if folder is not None else {}
    by_speaker: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_speaker[clip.speaker].append(clip)
    found = []
    for speaker, theirs in sorted(by_speaker.items()):
        sources = {clip.source for clip in theirs}
        pixels = [sizes[source] for source in sources if sizes.get(source)]
        degrees, mouth = _spreads(theirs[:FEW_CLIPS])
        found.append(
            SpeakerSummary(
                speaker=speaker,
                seconds=sum(clip.n_frames for clip in theirs) / FRAMES_PER_SECOND,
                videos=len(sources),
                clips=len(theirs),
                face_pixels=min(pixels, default=0),
                degrees=degrees,
                mouth=mouth,
            )
        )
    return found


def warnings_of(speakers: Sequence[SpeakerSummary]) -> list[str]:
    """Warnings, an empty list where all is well."""
    warnings = []
    total = sum(speaker.seconds for speaker in speakers)
    if total < SHORT_S:
        warnings.append(
            f"{total:.1f} seconds in all are enough to try the training, not for a good result: start from a minute of "
            f"each speaker."
        )
    for speaker in speakers:
        name = speaker.speaker
        if speaker.still:
            warnings.append(
                f"{name}: neither head nor mouth moves, as in a photo or slides; it trains the network to keep still."
            )
        if 0 < speaker.face_pixels < SMALL_FACE:
            warnings.append(
                f"{name}: a face of {speaker.face_pixels} pixels; below {SMALL_FACE} mouths and lids are read badly."
            )
    short = [f"{s.speaker} {s.seconds:.1f} s" for s in speakers if s.seconds < SHORT_SPEAKER_S <= total]
    if short:
        named = ", ".join(short[:NAMED]) + (f" and {len(short) - NAMED} more" if len(short) > NAMED else "")
        warnings.append(f"less than {SHORT_SPEAKER_S:.0f} seconds are too few to learn a manner of moving: {named}.")
    return warnings


def table(speakers: Sequence[SpeakerSummary], most: int = 20) -> str:
    """A line for each speaker."""
    lines = [
        f"{'speaker':24} {'minutes':>8} {'videos':>7} {'face px':>8} {'pitch':>6} {'yaw':>6} {'roll':>6} {'mouth':>6}"
    ]
    for one in speakers[:most]:
        pitch, yaw, roll = one.degrees
        lines.append(
            f"{one.speaker[:24]:24} {one.seconds / 60:8.2f} {one.videos:7} {one.face_pixels or '?':>8} {pitch:6.1f} "
            f"{yaw:6.1f} {roll:6.1f} {one.mouth:6.3f}"
        )
    if len(speakers) > most:
        lines.append(f"and {len(speakers) - most} more speakers")
    return "\n".join(lines)


def _face_sizes(folder: Path) -> dict[str, int]:
    """{source of a video: height of its smallest face}, of the list that prepare.py keeps"""
    records = map(json.loads, complete_lines(folder / VIDEOS_FILE))
    return {one["source"]: one.get("face_pixels", 0) for one in records}


def _spreads(clips: Sequence[Clip]) -> tuple[tuple[float, float, float], float]:
    """Standard deviations within clips, root mean square over them."""
    degrees, mouths = [], []
    face = known_face(clips[0].family)
    for clip in clips:
        rows = clip.coefficients(0, FEW_FRAMES)
        degrees.append(FAMILIES[clip.family].head_degrees(rows).var(dim=0, unbiased=False))
        mouths.append(_mouth(face, rows.expression, rows).var(unbiased=False))
    pitch, yaw, roll = torch.stack(degrees).mean(dim=0).sqrt().tolist()
    return (pitch, yaw, roll), float(torch.stack(mouths).mean().sqrt())


def _mouth(face: Face | None, expression: Tensor, rows: object) -> Tensor:
    """(T,); without a face the first coefficient stands for it"""
    return expression[:, 0] if face is None else mouth_opening(face.points(rows, expression))  # type: ignore[arg-type]


__all__ = ["SpeakerSummary", "summarise", "table", "warnings_of"]
