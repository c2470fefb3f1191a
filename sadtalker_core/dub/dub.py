"""A source video and a speech track come in; the dubbed frames go out, or the dubbed video with its new audio."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import coefficients as layout
from .. import pipeline
from ..audio.loudness import OFF
from ..choices import one_of
from ..claims import Claim
from ..compose.label import Label
from ..compose.sound import Sound
from ..compose.video import VideoWriter, WriterOptions
from ..datatypes import Box, CropMode, Expression, FaceCoefficients, OnProgress, SpeechWindows, require_family
from ..errors import AudioError, FaceNotFound
from ..face.points import FaceSelector
from ..families.base import Model
from ..families.networks import FACE_DETECTOR, FACE_MESH, LINEAR_3DMM
from ..motion.edit import MOUTH_GROUP, blendshapes_of
from ..motion.silence import speaking
from ..threads import each_on_few_threads, few_threads, pieces_at_once, side_by_side
from ..timeline import SAMPLE_RATE_HZ
from .follow import Followed, FrameCounts, follow_person, read_person
from .mouth import MouthColours, place_of, with_mouth
from .rest import Person
from .schedule import DubLength, SpeechTrack, amount_of, n_frames_of, played
from .source_video import SourceVideo
from .sources import rendered, rows_around

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: frames that a CPU dubs side by side
FRAMES_AT_ONCE = 4
#: an amount, in 0..1, below which a frame is left alone
_NOTHING = 1e-3
#: sample rate of the mixed audio when no new audio is given
SOUND_RATE_HZ = 48_000


@dataclass(frozen=True)
class DubOptions:
    """How a video is dubbed.

    length:          a DubLength: what happens when speech and video differ in length, see schedule.py
    strength:        0 leaves the mouth as recorded, 1 replaces it
    keep_mouth:      in silence: 0 the mouth rests, 1 it is as recorded
    original_volume: of the video's own audio under the new one; 1 is unchanged
    selector:        which face is dubbed
    label:           text in a corner of every frame, or ""
    """

    length: DubLength | str = DubLength.HOLD
    strength: float = 1.0
    keep_mouth: float = 0.0
    original_volume: float = 0.0
    selector: FaceSelector = FaceSelector()  # noqa: RUF009 (frozen)
    label: str = ""


@dataclass(frozen=True, eq=False)
class Patch:
    """One frame's work for mini, independent of other frames.

    square: (3, S, S) uint8 around the mouth;  points: (468, 3) its mesh, pixels of the square;  own, weights: (64,)
    blendshape weights of the frame, beyond the resting face, and of the speech;  amount: 0..1;  colours: see mouth.py
    """

    square: Tensor
    points: Tensor
    own: Tensor
    weights: Tensor
    amount: float
    colours: MouthColours

    def render(self, model: Model, person: Person) -> Tensor:
        """(3, S, S) in 0..1: the square with its new mouth.  model: not used, the mesh warp needs no network"""
        square = self.square.float() / 255
        return with_mouth(square, self.points, person, self.own, self.weights, self.amount, self.colours)


@dataclass(frozen=True, eq=False)
class HeadPatch:
    """One frame's work for the released networks, which render a whole head.

    frame: (H, W, 3) uint8;  points: (468, 3) its mesh, pixels;  rows: (27, 64) expression of the speech around it
    """

    frame: Tensor
    points: Tensor
    rows: Tensor
    amount: float

    def render(self, model: Model, person: Person) -> Tensor:
        """(3, S, S) in 0..1: the square around the mouth, cut out of the rendered frame."""
        whole = rendered(model, self.frame, self.points, self.rows)
        box = place_of(self.points, person.rest).square()
        was, new = (_cut(image.permute(2, 0, 1).float(), box) for image in (self.frame.float() / 255, whole))
        assert was is not None and new is not None
        return torch.lerp(was, new, self.amount)


AnyPatch = Patch | HeadPatch
#: patches, None for frames that stay as they are -> their squares in the same order
RenderPatches = Callable[[Iterator[AnyPatch | None], Person], Iterator[Tensor | None]]


def dub_video(
    path: Path | Claim,
    model: Model,
    source: SourceVideo,
    track: SpeechTrack,
    options: DubOptions = DubOptions(),  # noqa: B008 (frozen)
    *,
    audio: tuple[Tensor, float] | None = None,
    on_frame: Callable[[Tensor], None] | None = None,
    on_progress: OnProgress | None = None,
    render: RenderPatches | None = None,
    **writing: Unpack[WriterOptions],
) -> Path:
    """Write the dubbed video as an mp4, to a path or a claimed name. Returns its path.

    audio: (waveform, sample rate in Hz), the new audio;  on_frame: called with every fourth frame (3, H, W) in 0..1;
    render: what renders the mouths, None: this process;  writing: see `VideoWriter`
    Raises FaceNotFound where the video shows no face at all, VideoError, OptionError, AudioError.
    """
    length = one_of("length", options.length, DubLength)
    n_frames = n_frames_of(source.n_frames, track.seconds, source.fps, length)
    count = FrameCounts()
    label = Label(options.label, source.size_wh) if options.label.strip() else None
    check_stop = writing.get("check_stop")
    sound = audio_of(source, audio, options.original_volume)
    writer = VideoWriter(path, source.size_wh, source.fps, audio=sound, **writing)
    with writer as video:
        for frame in dubbed_frames(model, source, track, options, count=count, check_stop=check_stop, render=render):
            if label is not None:
                frame = frame.clone()
                label.draw(frame[None])
            video.write(frame[None])
            if on_frame is not None and video.n_frames % FRAMES_AT_ONCE == 0:
                on_frame(frame.permute(2, 0, 1).float() / 255)
            if on_progress is not None:
                on_progress(video.n_frames, max(n_frames, video.n_frames))
    _log_result(count, source, track, length)
    return writer.path


def require_speech(
    audio: tuple[Tensor, float] | None, speech: SpeechWindows | None, expression: Expression | None
) -> None:
    """Raises AudioError without anything that could move the mouth."""
    if audio is None and expression is None and (speech is None or speech.wave is None):
        raise AudioError("expected audio to dub the video with, got none; connect audio, speech or expression.")


def speech_track(
    model: Model,
    audio: tuple[Tensor, float] | None,
    speech: SpeechWindows | None = None,
    expression: Expression | None = None,
    *,
    loudness: str = OFF,
    check_stop: Callable[[], None] | None = None,
) -> tuple[SpeechTrack, tuple[Tensor, float] | None]:
    """How the mouth moves, and the audio of the dubbed video, as (waveform, sample rate).

    The mouth follows the first that is given of expression, speech and audio; the audio is `audio`, or else that of
    speech. loudness: as `pipeline.encode_audio` takes it; check_stop: called after each piece of the work, may raise.
    Raises AudioError for nothing at all, WrongFamily.
    """
    require_speech(audio, speech, expression)

    def progress(done: int, total: int) -> None:
        if check_stop is not None:
            check_stop()

    if speech is None and audio is not None:
        speech = pipeline.encode_audio(*audio, loudness=loudness, on_progress=progress)
    if expression is None:
        assert speech is not None
        expression = pipeline.predict_expression(model, speech, _at_rest(model), blink="off", on_progress=progress)
    require_family("the expression", expression.family, model.family.name)
    weights = expression.coefficients.float().cpu()
    if expression.blendshapes:  # eyes and brows stay those of the source video
        mouth = blendshapes_of(MOUTH_GROUP)
        weights = torch.zeros_like(weights).index_copy(1, torch.tensor(mouth), weights[:, mouth])
    speaks = torch.ones(len(weights)) if speech is None or speech.wave is None else speaking(speech)
    speaks = F.pad(speaks[: len(weights)], (0, max(len(weights) - len(speaks), 0)))
    if audio is None and speech is not None and speech.wave is not None:
        audio = speech.wave, SAMPLE_RATE_HZ
    return SpeechTrack(weights, speaks), audio


def _at_rest(model: Model) -> FaceCoefficients:
    nothing = torch.zeros(1, layout.CROP_ROW)
    return FaceCoefficients.from_crop_rows(
        nothing, family=model.family.name, crop_mode=CropMode.CROP, pic_size=model.image_size
    )


def dubbed_frames(
    model: Model,
    source: SourceVideo,
    track: SpeechTrack,
    options: DubOptions,
    *,
    count: FrameCounts | None = None,
    check_stop: Callable[[], None] | None = None,
    render: RenderPatches | None = None,
) -> Iterator[Tensor]:
    """Yield the dubbed frames, (H, W, 3) uint8; see `dub_video`."""
    length = one_of("length", options.length, DubLength)

    def stoppable(frames: Iterable[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            if check_stop is not None:
                check_stop()
            yield frame

    with torch.inference_mode(), few_threads():
        if model.family.moves_mesh:
            detector, mesh, linear_3dmm = model.use(FACE_DETECTOR, FACE_MESH, LINEAR_3DMM)
        else:
            (detector, mesh), linear_3dmm = model.use(FACE_DETECTOR, FACE_MESH), None
        nets = detector, mesh, linear_3dmm
        person = read_person(*nets, stoppable(source.frames()), source.fps, options.selector, source.n_frames)
    if person is None:
        raise FaceNotFound(
            "the video shows no face that can be dubbed; use one with a face in frontal or three-quarter view."
        )
    frames = stoppable(played(source, track.seconds, length))
    followed = follow_person(*nets, frames, source.fps, options.selector, person, count)
    waiting: deque[Followed] = deque()

    def patches() -> Iterator[AnyPatch | None]:
        for k, frame in enumerate(followed):
            waiting.append(frame)
            yield patch_of(frame, person, track, k / source.fps, options, mesh_alone=model.family.moves_mesh)

    for square in (render or render_patches(model))(patches(), person):
        with few_threads():
            yield with_patch(waiting.popleft(), square, person)


def render_patches(model: Model) -> RenderPatches:
    """Renders patches in this process: mesh warps in parallel, one per thread; whole heads one by one, on all
    threads.
    """
    cpu = torch.device("cpu")

    def side_by_side_here(patches: Iterator[AnyPatch | None], person: Person) -> Iterator[Tensor | None]:
        while True:
            with torch.inference_mode(), few_threads():
                work = list(islice(patches, pieces_at_once(FRAMES_AT_ONCE, cpu)))
                made = list(side_by_side(lambda patch: _square_of(patch, model, person), work, cpu))
            if not work:
                return
            yield from made

    def one_by_one(patches: Iterator[AnyPatch | None], person: Person) -> Iterator[Tensor | None]:
        for patch in each_on_few_threads(patches):
            with torch.inference_mode():
                made = _square_of(patch, model, person)
            yield made

    return side_by_side_here if model.family.moves_mesh else one_by_one


def _square_of(patch: AnyPatch | None, model: Model, person: Person) -> Tensor | None:
    return None if patch is None else patch.render(model, person)


def _cut(image: Tensor, box: Box) -> Tensor | None:
    """image (3, H, W) -> (3, S, S), the border repeated outside it; None for a box entirely outside."""
    height, width = image.shape[1:]
    left, top = max(-box.x, 0), max(-box.y, 0)
    right, below = max(box.right - width, 0), max(box.bottom - height, 0)
    if left + right >= box.width or top + below >= box.height:
        return None
    part = image[:, box.y + top : box.bottom - below, box.x + left : box.right - right]
    if not any((left, right, top, below)):
        return part
    return F.pad(part[None].float(), (left, right, top, below), mode="replicate")[0].to(image.dtype)


def patch_of(
    followed: Followed,
    person: Person,
    track: SpeechTrack,
    seconds: float,
    options: DubOptions,
    *,
    mesh_alone: bool = True,
) -> AnyPatch | None:
    """What is to be rendered for the frame at that time, in seconds; None for one that stays as it is."""
    weights, speaking = track.at(seconds)
    amount = followed.amount * amount_of(speaking, options.strength, options.keep_mouth)
    if followed.points is None or followed.own is None or followed.colours is None or amount < _NOTHING:
        return None
    box = place_of(followed.points, person.rest).square()
    square = _cut(followed.frame.permute(2, 0, 1), box)
    if square is None:
        return None
    if not mesh_alone:
        return HeadPatch(followed.frame, followed.points, rows_around(track, seconds), amount)
    points = followed.points - followed.points.new_tensor([box.x, box.y, 0])
    return Patch(square.contiguous(), points, followed.own, weights, amount, followed.colours)


def with_patch(followed: Followed, square: Tensor | None, person: Person) -> Tensor:
    """The frame (H, W, 3) uint8 with its new mouth; outside the mask every byte is unchanged."""
    if square is None or followed.points is None:
        return followed.frame
    place = place_of(followed.points, person.rest)
    box = place.square()
    height, width = followed.frame.shape[:2]
    y, x = (slice(max(a, 0), min(a + box.width, n)) for a, n in ((box.y, height), (box.x, width)))
    inner = slice(y.start - box.y, y.stop - box.y), slice(x.start - box.x, x.stop - box.x)
    mask, new = place.mask(box)[inner][..., None], square.permute(1, 2, 0)[inner] * 255
    was = followed.frame[y, x].float()
    frame = followed.frame.clone()
    frame[y, x] = torch.lerp(was, new, mask).round_().clamp_(0, 255).to(torch.uint8)
    return frame


# ----------------------------------------------------------------------------------------------------------- the audio


def audio_of(source: SourceVideo, audio: tuple[Tensor, float] | None, volume: float) -> Sound | None:
    """The new audio over the video's own, which is read block by block as the video is written."""
    if volume <= 0:
        return None if audio is None else Sound(*audio)
    return _Mixed(source, audio, volume)


class _Mixed(Sound):
    def __init__(self, source: SourceVideo, audio: tuple[Tensor, float] | None, volume: float):
        super().__init__(*(audio or (torch.zeros(1, 1), SOUND_RATE_HZ)))
        self.source, self.volume, self.mono = source, volume, self.n_channels == 1
        self.n_channels = 2

    def chunks(self, n_samples: int) -> Iterator[np.ndarray]:
        under, rest = self.source.audio(self.rate_hz), np.zeros((2, 0), np.float32)
        for chunk in super().chunks(n_samples):
            both = np.broadcast_to(chunk, (len(chunk), 2)) if self.mono else chunk
            while rest.shape[1] < len(both):
                block = next(under, None)
                if block is None:
                    rest = np.pad(rest, ((0, 0), (0, len(both) - rest.shape[1])))
                else:
                    rest = np.concatenate([rest, block], axis=1)
            mixed = both + self.volume * rest[:, : len(both)].T
            rest = rest[:, len(both) :]
            yield np.ascontiguousarray(mixed.clip(-1, 1), np.float32)


def _log_result(count: FrameCounts, source: SourceVideo, track: SpeechTrack, length: DubLength) -> None:
    logging.info(
        "SadTalker: %d frames dubbed; %d without the face left unchanged; %d cuts.",
        count.n_frames - count.n_without,
        count.n_without,
        count.n_cuts,
    )
    lost = track.seconds - count.n_frames / source.fps
    if lost > 0.1:
        logging.warning(
            "SadTalker: the video ends before the audio: the last %.1f s are cut off (%s).", lost, length.value
        )


__all__ = ["DubOptions", "dub_video", "dubbed_frames", "audio_of", "require_speech", "speech_track"]
