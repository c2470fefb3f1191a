"""A film and a voice's track come in; the frames of the dubbed film go out, or the film itself, with its new sound."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

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
from ..compose.signature import Signature
from ..compose.video import Sound, VideoWriter
from ..datatypes import Box, CropMode, Expression, FaceCoefficients, OnProgress, SpeechWindows, require_family
from ..errors import AudioError, FaceNotFound
from ..face.points import FaceSelector
from ..families.base import Model
from ..families.networks import FACE_DETECTOR, FACE_MESH, LINEAR_3DMM
from ..motion.edit import MOUTH_GROUP, blendshapes_of
from ..motion.silence import speaking
from ..threads import each_on_few_threads, few_threads, pieces_at_once, side_by_side
from ..timeline import SAMPLE_RATE_HZ
from .film import Film
from .follow import FilmCount, Followed, follow_person, read_person
from .mouth import MouthLook, place_of, with_mouth
from .rest import Person
from .schedule import DubLength, VoiceTrack, amount_of, n_frames_of, played
from .sources import redrawn, rows_around

#: frames that a CPU dubs side by side
FRAMES_AT_ONCE = 4
#: below this, in 0..1, a mouth is not touched
_NOTHING = 1e-3
#: of the sound of a film without a voice of ours
FILM_RATE_HZ = 48_000


@dataclass(frozen=True)
class DubOptions:
    """How a film is dubbed.

    length:          a DubLength: where voice and film last differently, see schedule.py
    strength:        0 leaves the film's mouth, 1 replaces it
    keep_mouth:      in silence: 0 the mouth rests, 1 it is as filmed
    original_volume: of the film's own sound under the voice, 1 as it was
    selector:        whose mouth
    label:           words in a corner of every frame, or ""
    """

    length: DubLength | str = DubLength.HOLD
    strength: float = 1.0
    keep_mouth: float = 0.0
    original_volume: float = 0.0
    selector: FaceSelector = FaceSelector()  # noqa: RUF009 (frozen)
    label: str = ""


@dataclass(frozen=True, eq=False)
class Patch:
    """A piece of work that needs no other frame: the square around the mouth (3, S, S) of bytes, and what it says."""

    square: Tensor
    points: Tensor
    own: Tensor
    weights: Tensor
    amount: float
    look: MouthLook

    def painted(self, model: Model, person: Person) -> Tensor:
        """(3, S, S) in 0..1: the square with its new mouth.  model: of no use, a mesh needs none"""
        square = self.square.float() / 255
        return with_mouth(
            square, self.points, self.own, person.rest, self.weights, self.amount, self.look, person.teeth
        )


@dataclass(frozen=True, eq=False)
class HeadPatch:
    """The same for weights that redraw a head: the frame (H, W, 3) of bytes, its mesh (468, 3), and the rows (27, 64)
    of the voice around its moment.
    """

    frame: Tensor
    points: Tensor
    rows: Tensor
    amount: float

    def painted(self, model: Model, person: Person) -> Tensor:
        whole = redrawn(model, self.frame, self.points, self.rows)
        box = place_of(self.points, person.rest).square()
        was, new = (_cut(image.permute(2, 0, 1).float(), box) for image in (self.frame.float() / 255, whole))
        assert was is not None and new is not None
        return torch.lerp(was, new, self.amount)


AnyPatch = Patch | HeadPatch
#: patches, or None for frames that pass -> their squares in the same order
Paint = Callable[[Iterator[AnyPatch | None], Person], Iterator[Tensor | None]]


def dub_film(
    path: Path | Claim,
    model: Model,
    film: Film,
    track: VoiceTrack,
    options: DubOptions = DubOptions(),  # noqa: B008 (frozen)
    *,
    voice: tuple[Tensor, float] | None = None,
    output_fps: float = 0.0,
    quality: str = "high",
    metadata: Mapping[str, str] | None = None,
    signature: Signature | None = None,
    partial: Path | None = None,
    on_frame: Callable[[Tensor], None] | None = None,
    on_progress: OnProgress | None = None,
    check_stop: Callable[[], None] | None = None,
    paint: Paint | None = None,
) -> Path:
    """The dubbed film as an mp4, at a path or under a claimed name. Returns where it is.

    voice: (waveform, sample rate) of the new sound;  on_frame: shown a frame (3, H, W) now and then;  paint: who
    paints the mouths, None: this process
    Raises FaceNotFound where the film shows no face at all, VideoError, OptionError, AudioError.
    """
    length = one_of("length", options.length, DubLength)
    n_frames = n_frames_of(film.n_frames, track.seconds, film.fps, length)
    count = FilmCount()
    label = Label(options.label, film.size_wh) if options.label.strip() else None
    writer = VideoWriter(
        path,
        film.size_wh,
        film.fps,
        output_fps=output_fps,
        audio=sound_of(film, voice, options.original_volume),
        metadata=metadata,
        quality=quality,
        signature=signature,
        partial=partial,
        check_stop=check_stop,
    )
    with writer as video:
        for frame in dubbed_frames(model, film, track, options, count=count, check_stop=check_stop, paint=paint):
            if label is not None:
                frame = frame.clone()
                label.draw(frame[None])
            video.write(frame[None])
            if on_frame is not None and video.n_frames % FRAMES_AT_ONCE == 0:
                on_frame(frame.permute(2, 0, 1).float() / 255)
            if on_progress is not None:
                on_progress(video.n_frames, max(n_frames, video.n_frames))
    _say(count, film, track, length)
    return writer.path


def require_something_to_say(
    sound: tuple[Tensor, float] | None, speech: SpeechWindows | None, expression: Expression | None
) -> None:
    """Raises AudioError where there is nothing that the mouth could say."""
    if sound is None and expression is None and (speech is None or speech.wave is None):
        raise AudioError("expected a voice to dub the film with, got none; connect audio, speech or expression.")


def voice_of(
    model: Model,
    sound: tuple[Tensor, float] | None,
    speech: SpeechWindows | None = None,
    expression: Expression | None = None,
    *,
    loudness: str = OFF,
) -> tuple[VoiceTrack, tuple[Tensor, float] | None]:
    """What the mouth does, and the sound of the film: of the first that is given of expression, speech and sound, and
    of sound and speech. (waveform, sample rate) as pipeline.encode_audio takes it. Raises WrongFamily.
    """
    require_something_to_say(sound, speech, expression)
    if speech is None and sound is not None:
        speech = pipeline.encode_audio(*sound, loudness=loudness)
    if expression is None:
        assert speech is not None
        expression = pipeline.predict_expression(model, speech, _at_rest(model), blink="off")
    require_family("the expression", expression.family, model.family.name)
    weights = expression.coefficients.float().cpu()
    if expression.blendshapes:  # eyes and brows are the film's
        mouth = blendshapes_of(MOUTH_GROUP)
        weights = torch.zeros_like(weights).index_copy(1, torch.tensor(mouth), weights[:, mouth])
    speaks = torch.ones(len(weights)) if speech is None or speech.wave is None else speaking(speech)
    speaks = F.pad(speaks[: len(weights)], (0, max(len(weights) - len(speaks), 0)))
    if sound is None and speech is not None and speech.wave is not None:
        sound = speech.wave, SAMPLE_RATE_HZ
    return VoiceTrack(weights, speaks), sound


def _at_rest(model: Model) -> FaceCoefficients:
    nothing = torch.zeros(1, layout.CROP_ROW)
    return FaceCoefficients.from_crop_rows(
        nothing, family=model.family.name, crop_mode=CropMode.CROP, pic_size=model.image_size
    )


def dubbed_frames(
    model: Model,
    film: Film,
    track: VoiceTrack,
    options: DubOptions,
    *,
    count: FilmCount | None = None,
    check_stop: Callable[[], None] | None = None,
    paint: Paint | None = None,
) -> Iterator[Tensor]:
    """(H, W, 3) bytes, one frame after the other; see `dub_film`."""
    length = one_of("length", options.length, DubLength)

    def looked_at(frames: Iterable[Tensor]) -> Iterator[Tensor]:
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
        person = read_person(*nets, looked_at(film.frames()), film.fps, options.selector, film.n_frames)
    if person is None:
        raise FaceNotFound(
            "the film shows no face that can be dubbed; use one with a face in frontal or three-quarter view."
        )
    frames = looked_at(played(film, track.seconds, length))
    followed = follow_person(*nets, frames, film.fps, options.selector, person, count)
    waiting: deque[Followed] = deque()

    def patches() -> Iterator[AnyPatch | None]:
        for k, seen in enumerate(followed):
            waiting.append(seen)
            yield patch_of(seen, person, track, k / film.fps, options, mesh_alone=model.family.moves_mesh)

    for square in (paint or painted_here(model))(patches(), person):
        with few_threads():
            yield with_patch(waiting.popleft(), square, person)


def painted_here(model: Model) -> Paint:
    """Mouths that a mesh moves side by side, each on a thread; heads that are redrawn one by one, on all of them."""
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
    return None if patch is None else patch.painted(model, person)


def _cut(image: Tensor, box: Box) -> Tensor | None:
    """image (3, H, W) -> (3, S, S), the border carried on beyond it; None for a box that lies beside it."""
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
    seen: Followed, person: Person, track: VoiceTrack, seconds: float, options: DubOptions, *, mesh_alone: bool = True
) -> AnyPatch | None:
    """What is to be made of a frame that is on at that time; None for one that passes as it is."""
    weights, speaking = track.at(seconds)
    amount = seen.amount * amount_of(speaking, options.strength, options.keep_mouth)
    if seen.points is None or seen.own is None or seen.look is None or amount < _NOTHING:
        return None
    box = place_of(seen.points, person.rest).square()
    square = _cut(seen.frame.permute(2, 0, 1), box)
    if square is None:
        return None
    if not mesh_alone:
        return HeadPatch(seen.frame, seen.points, rows_around(track, seconds), amount)
    points = seen.points - seen.points.new_tensor([box.x, box.y, 0])
    return Patch(square.contiguous(), points, seen.own, weights, amount, seen.look)


def with_patch(seen: Followed, square: Tensor | None, person: Person) -> Tensor:
    """The frame with its new mouth; beyond the mask every byte is its own."""
    if square is None or seen.points is None:
        return seen.frame
    place = place_of(seen.points, person.rest)
    box = place.square()
    height, width = seen.frame.shape[:2]
    y, x = (slice(max(a, 0), min(a + box.width, n)) for a, n in ((box.y, height), (box.x, width)))
    inner = slice(y.start - box.y, y.stop - box.y), slice(x.start - box.x, x.stop - box.x)
    mask, new = place.mask(box)[inner][..., None], square.permute(1, 2, 0)[inner] * 255
    was = seen.frame[y, x].float()
    frame = seen.frame.clone()
    frame[y, x] = torch.lerp(was, new, mask).round_().clamp_(0, 255).to(torch.uint8)
    return frame


# ----------------------------------------------------------------------------------------------------------- the sound


def sound_of(film: Film, voice: tuple[Tensor, float] | None, volume: float) -> Sound | None:
    """The voice over the film's own sound, which is read as the video is packed, block by block."""
    if volume <= 0:
        return None if voice is None else Sound(*voice)
    return _Mixed(film, voice, volume)


class _Mixed(Sound):
    def __init__(self, film: Film, voice: tuple[Tensor, float] | None, volume: float):
        super().__init__(*(voice or (torch.zeros(1, 1), FILM_RATE_HZ)))
        self.film, self.volume, self.mono = film, volume, self.n_channels == 1
        self.n_channels = 2

    def chunks(self, n_samples: int) -> Iterator[np.ndarray]:
        under, rest = self.film.sound(self.rate_hz), np.zeros((2, 0), np.float32)
        for voice in super().chunks(n_samples):
            both = np.broadcast_to(voice, (len(voice), 2)) if self.mono else voice
            while rest.shape[1] < len(both):
                block = next(under, None)
                if block is None:
                    rest = np.pad(rest, ((0, 0), (0, len(both) - rest.shape[1])))
                else:
                    rest = np.concatenate([rest, block], axis=1)
            mixed = both + self.volume * rest[:, : len(both)].T
            rest = rest[:, len(both) :]
            yield np.ascontiguousarray(mixed.clip(-1, 1), np.float32)


def _say(count: FilmCount, film: Film, track: VoiceTrack, length: DubLength) -> None:
    logging.info(
        "SadTalker: %d frames dubbed; %d passed as they were, without the face; %d cuts.",
        count.n_frames - count.n_without,
        count.n_without,
        count.n_cuts,
    )
    lost = track.seconds - count.n_frames / film.fps
    if lost > 0.1:
        logging.warning(
            "SadTalker: the film is over before the voice: its last %.1f s are lost (%s).", lost, length.value
        )


__all__ = ["DubOptions", "dub_film", "dubbed_frames", "require_something_to_say", "sound_of", "voice_of"]
