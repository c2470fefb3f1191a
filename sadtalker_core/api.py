"""The front door: load a model by its name, make a video with it. Device and precision are chosen here.

    model = sadtalker_core.load("mini")
    video = model.animate("face.jpg", "hello.wav", sadtalker_core.Options(pose_style=3))
    video.save("talk.mp4")

Letters: `B` frames of a batch, `H W` pixels, `C` channels, `n` samples.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from . import pipeline
from .audio.speakers import split_speakers
from .audio.turns import Turn
from .choices import one_of
from .compose.cutout import colour_of
from .compose.formats import FORMATS, MP4
from .compose.paste import PasteBack
from .compose.signature import Signature
from .datatypes import (
    MINI,
    AnyMotion,
    BlendshapeMotion,
    Expression,
    FaceCoefficients,
    FrameStream,
    HeadPose,
    OnProgress,
    Portrait,
    PoseAngles,
    SpeechWindows,
)
from .dub.dub import DubOptions, dub_video, dubbed_frames, speech_track
from .dub.schedule import DubLength, SpeechTrack, n_frames_of
from .dub.source_video import FrameSequence, SourceVideo, VideoFile
from .errors import AudioError, FaceNotFound, ImageError, OptionError, VideoError, WrongFamily, shorten
from .face.image_file import image_from_pil, read_image
from .face.points import FaceSelector
from .face.portrait import portrait_from_image
from .media import read_audio
from .model import SadTalkerModel, choose_points, load_model
from .model_folders import model_folders
from .motion.blendshape_file import LIVE_LINK, export_blendshapes
from .motion.set_expression import read_acting
from .options import LARGEST_SEED, OPTIONS, PRECISIONS, Options
from .output_name import fault_of_target
from .render.estimate import half_precision_cost
from .render.facevid2vid.fast import accelerate
from .render.facevid2vid.generator import Generator
from .render.frames import can_render_on
from .timeline import FRAMES_PER_SECOND

if TYPE_CHECKING:
    from PIL.Image import Image

    PortraitLike = str | Path | Image | np.ndarray | Tensor
    AudioLike = str | Path | tuple[Tensor | np.ndarray, float]
    VideoLike = str | Path | tuple[Tensor, float]

#: a portrait with its face cropped, and its motion
Person = tuple[Portrait, AnyMotion]
#: the networks that make pixels, which may compute in half precision. Landmarks, coefficients and tracks stay in fp32
PIXEL_NETWORKS = ("generator", "flow_renderer")
#: those of Face Render, which compute in one place
RENDERERS = ("keypoint_detector", *PIXEL_NETWORKS)
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
AUTO = "auto"
#: of the precisions, the one in which the released decoder alone is narrowed; mini has none, and stays in fp32
BF16_DECODER = "bf16 decoder"
#: on a CPU, where the released renderer is half as fast again at least
PAYS = 0.7


# ------------------------------------------------------------------------------------------------ a model and a video


def load(
    model: str = OPTIONS["model"].default,
    *,
    device: str | torch.device = AUTO,
    precision: str = OPTIONS["precision"].default,
    models: str | Path | Sequence[str | Path] = (),
    allow_download: bool = False,
    batch_size: int = 0,
    on_progress: OnProgress | None = None,
) -> SadTalker:
    """Load a model, ready to animate portraits.

    model:      "mini" (built in), "SadTalker 256", "SadTalker 512", or "file/" and a path below a model folder
    device:     "auto" (CUDA if available, then MPS, then the CPU), or any torch device
    precision:  of the renderer: "auto" (fp16 on a GPU, fp32 on a CPU), "fp32", "fp16", "bf16", or
                "bf16 decoder" (bf16 in the released decoder alone)
    models:     folders to look for released weights in, before $SADTALKER_MODELS, the ComfyUI around this pack and the
                user's cache folder
    allow_download: whether missing weights may be downloaded to the first of these folders; `on_progress(done, total)`
                then counts bytes, and may raise to stop
    batch_size: frames rendered at once; 0 chooses by device and free memory
    Raises OptionError for a device or precision that is not available, CheckpointMissing, CheckpointDamaged or
    CheckpointMismatch for weights, DownloadError and DoesNotFit while fetching.
    """
    where = chosen_device(device)
    precision = one_of("precision", precision, PRECISIONS)
    folders = model_folders([models] if isinstance(models, str | Path) else models)
    loaded = load_model(model, folders, allow_download=allow_download, on_progress=on_progress)
    return SadTalker(to_device(loaded, where, precision), where, folders, batch_size)


@dataclass(frozen=True, eq=False)
class SadTalker:
    """A model on its device; `load` makes it.

    networks:   by name;  device: where they compute;  folders: searched for weights;  batch_size: frames at once
    """

    networks: SadTalkerModel
    device: torch.device
    folders: Sequence[Path] = ()
    batch_size: int = 0

    @property
    def name(self) -> str:
        """The name it was loaded by: "mini", "SadTalker 256", ..."""
        return self.networks.name

    @torch.no_grad()
    def animate(
        self,
        portrait: PortraitLike,
        audio: AudioLike | None = None,
        options: Options | None = None,
        *,
        speakers: Sequence[Turn] | None = None,
    ) -> Video:
        """Predict the motion of a portrait. Frames are rendered on demand.

        portrait: the path of an image, a PIL image, or an array or tensor (H, W, 1, 3 or 4), bytes or floats in 0..1
        audio:    the path of an audio file, or (waveform, sample rate in Hz) with a waveform (n,) or (C, n) of floats
                  in -1..1 or integer PCM; None makes an idle clip of `options.idle_seconds`
        options:  the defaults when None; its `model` and `precision` are ignored, see `load`
        speakers: who speaks when, from `read_turns`: the faces of the image talk in turns, the first to speak is the
                  one furthest left (or set by `options.face_order`), and who listens looks at the speaker a little.
                  With more than one, the frames are those of the whole image
        Raises ImageError, FaceNotFound, AudioError or OptionError for what cannot be used.
        """
        options = options or Options()
        audio_input, image = as_audio(audio), as_image(portrait)
        if speakers is None:
            cropped, motion = predict_motion(self.networks, image, audio_input, options, self.folders, self.device)
            return Video(self, cropped, motion, audio_input, options)
        people = predict_conversation(self.networks, image, audio_input, options, speakers, self.folders, self.device)
        return Video(self, *people[0], audio_input, options, tuple(people[1:]))

    @torch.no_grad()
    def dub(self, video: VideoLike, audio: AudioLike, options: Options | None = None) -> DubbedVideo:
        """Dub a person in a video with other audio: jaw and lips follow its speech, the rest stays as recorded.

        video:   the path of a video file, or (frames (T, H, W, 3) in 0..1, frames per second)
        audio:   as `animate` takes it
        options: the defaults when None; `face_index`, `face_order`, `loudness`, `length`, `strength`, `keep_mouth`,
                 `original_volume`, `label`, `quality` and `output_fps` count
        Raises VideoError, AudioError or OptionError for what cannot be used.
        """
        options = options or Options()
        audio_input, source = as_audio(audio), as_video(video)
        track, new_audio = speech_track(self.networks, audio_input, loudness=options.loudness)
        return DubbedVideo(self, source, track, new_audio, options)


class _Saveable:
    """What `Video` and `DubbedVideo` have in common: they can be saved."""

    audio: tuple[Tensor, float] | None
    options: Options

    @property
    def _format(self) -> str:
        return MP4.name

    def _writer(self) -> Callable[..., Path]:
        """What renders the frames and writes them to a path, with the arguments that `save` gives it."""
        raise NotImplementedError

    def save(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        metadata: Mapping[str, str] | None = None,
        signature: Signature | None = None,
        on_progress: OnProgress | None = None,
    ) -> Path:
        """Write a video, marked as AI-generated, and return its path.

        The format of a `Video` is `options.format`, and its path has that ending: .mp4 (H.264, AAC), .webm (VP9, Opus)
        or .mov (ProRes 4444, PCM). What a portrait with transparency shows is laid on `options.background`; without one
        a webm or mov is transparent. A `DubbedVideo` is an mp4 with the new audio, and the video's own under it at
        `options.original_volume`.

        overwrite:   whether an existing file may be replaced
        metadata:    names and texts to store in the file
        signature:   who signs it (C2PA), or nobody
        on_progress: called with (frames done, of how many) after each batch; may raise to stop, and nothing is left
        Raises OptionError, before any work, for a path that cannot be written to or is taken; VideoError, SigningError
        or DoesNotFit while writing.
        """
        target = require_target(path, overwrite=overwrite, format=self._format)
        write = self._writer()
        with torch.no_grad():
            return write(
                target,
                audio=self.audio,
                output_fps=self.options.output_fps,
                quality=self.options.quality,
                metadata=metadata,
                signature=signature,
                on_progress=on_progress,
            )


@dataclass(frozen=True, eq=False)
class Video(_Saveable):
    """A talking head, its motion predicted. Each call of `frames` or `save` renders it."""

    model: SadTalker = field(repr=False)
    portrait: Portrait = field(repr=False)
    motion: AnyMotion = field(repr=False)
    audio: tuple[Tensor, float] | None = field(repr=False)
    options: Options
    others: tuple[Person, ...] = field(default=(), repr=False)

    @property
    def n_frames(self) -> int:
        """How many frames `frames` yields."""
        return len(self.motion)

    @property
    def fps(self) -> float:
        """The fps of `frames`; a saved file has `options.output_fps` where that is not 0."""
        return float(FRAMES_PER_SECOND)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of a frame, in pixels."""
        if self.options.paste_back or self.others:
            return self.portrait.size_wh
        heads = self._heads()
        return heads.width, heads.height

    @torch.no_grad()
    def frames(self, *, alpha: bool = False) -> Iterator[Tensor]:
        """Yield batches (B, 3, H, W), float32 in 0..1, on the device of the model, until `n_frames` have come.

        alpha: with a fourth channel, 1 where the portrait shows something and 0 where it is transparent, moved as the
               head moves; its colours are not multiplied by it
        """
        heads, whole = self._stream(alpha=alpha)
        for batch in heads.batches():
            frames = batch.float()
            if alpha and not heads.has_alpha:
                frames = torch.cat([frames, torch.ones_like(frames[:, :1])], dim=1)
            if whole is None:
                yield frames
                continue
            for head in frames.split(1):
                colours = whole(head[:, :3]).float()
                yield torch.cat([colours, whole.alpha(head[:, 3:])], dim=1) if alpha else colours

    @property
    def _format(self) -> str:
        return self.options.format

    def _writer(self) -> Callable[..., Path]:
        background = background_of(self.options)
        heads, paste_back = self._stream(alpha=needs_alpha(self.options))
        return partial(pipeline.render_video, heads=heads, paste_back=paste_back, background=background)

    def save_blendshapes(
        self,
        path: str | Path,
        *,
        form: str = LIVE_LINK,
        fps: float = FRAMES_PER_SECOND,
        overwrite: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Path:
        """Write how the face and the head move as blendshapes, of a mini model, and return the path.

        form: "Live Link Face CSV", "JSON, ARKit names" (glTF) or "JSON, VRM 1.0 names"; see `export_blendshapes`
        Raises WrongFamily for a released model, OptionError for a path that is taken, unless `overwrite`, and as
        `export_blendshapes`.
        """
        target = Path(path).expanduser()
        if target.exists() and not overwrite:
            raise OptionError(f"{shorten(target)} exists; choose another name, or pass overwrite=True.")
        rows = self.motion.driving
        if not isinstance(rows, BlendshapeMotion):
            raise WrongFamily(f"blendshapes are what the mini model moves, not a {self.motion.family} one; load mini.")
        angles = torch.deg2rad(torch.stack([rows.pitch, rows.yaw, rows.roll], dim=1))
        pose = HeadPose(torch.cat([angles, rows.translation], dim=1), MINI)
        return export_blendshapes(
            target, Expression(rows.weights, MINI), pose, form=form, fps=fps, on_progress=on_progress
        )

    def _heads(self) -> FrameStream:
        return pipeline.render(self.model.networks, self.portrait, self.motion, batch_size=self.model.batch_size)

    def _stream(self, alpha: bool = False) -> tuple[FrameStream, PasteBack | None]:
        """What is rendered, and what puts it back; whole images need no putting back."""
        people = [(self.portrait, self.motion), *self.others]
        return frame_stream_of(self.model.networks, people, self.options, batch_size=self.model.batch_size, alpha=alpha)


def frame_stream_of(
    networks: SadTalkerModel, people: Sequence[Person], options: Options, *, batch_size: int = 0, alpha: bool = False
) -> tuple[FrameStream, PasteBack | None]:
    """One person or several of one image -> the frames, and what puts them back: nothing where they are whole.

    alpha: whether that of the image comes along, where it has one
    """
    return pipeline.render_people(
        networks,
        people,
        paste_back=options.paste_back,
        feather=options.feather,
        colour_match=options.colour_match,
        batch_size=batch_size,
        alpha=alpha,
    )


@dataclass(frozen=True, eq=False)
class DubbedVideo(_Saveable):
    """A video and the speech that it is dubbed with. Each call of `frames` or `save` renders it."""

    model: SadTalker = field(repr=False)
    source: SourceVideo = field(repr=False)
    track: SpeechTrack = field(repr=False)
    audio: tuple[Tensor, float] | None = field(repr=False)
    options: Options

    @property
    def n_frames(self) -> int:
        """How many frames `frames` will yield, as the source video states them."""
        length = DubLength(self.options.length)
        return n_frames_of(self.source.n_frames, self.track.seconds, self.source.fps, length)

    @property
    def fps(self) -> float:
        """The fps of the source video; a saved file has `options.output_fps` where that is not 0."""
        return self.source.fps

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of a frame, in pixels."""
        return self.source.size_wh

    def frames(self) -> Iterator[Tensor]:
        """Yield frames (H, W, 3), uint8. Raises FaceNotFound for a video without a face."""
        return dubbed_frames(self.model.networks, self.source, self.track, dub_options(self.options))

    def _writer(self) -> Callable[..., Path]:
        networks, options = self.model.networks, dub_options(self.options)
        return partial(dub_video, model=networks, source=self.source, track=self.track, options=options)


def dub_options(options: Options) -> DubOptions:
    return DubOptions(
        options.length,
        options.strength,
        options.keep_mouth,
        options.original_volume,
        FaceSelector(options.face_index, options.face_order),
        options.label,
    )


def predict_motion(
    networks: SadTalkerModel,
    image: Tensor,
    audio: tuple[Tensor, float] | None,
    options: Options,
    folders: Sequence[Path],
    device: torch.device,
) -> tuple[Portrait, AnyMotion]:
    """All stages up to the rendering: image (H, W, C) and audio -> the portrait with its face cropped, its motion."""
    portrait, source = _cropped(networks, image, options, folders, device)
    if audio is None:
        speech = pipeline.encode_audio(None, idle_seconds=options.idle_seconds)
    else:
        speech = pipeline.encode_audio(*audio, loudness=options.loudness)
    expression, pose = _tracks(networks, source, speech, options)
    return portrait, _moved(networks, source, expression, pose, options)


def predict_conversation(
    networks: SadTalkerModel,
    image: Tensor,
    audio: tuple[Tensor, float] | None,
    options: Options,
    turns: Sequence[Turn],
    folders: Sequence[Path],
    device: torch.device,
) -> list[Person]:
    """The same for people who talk in turns: each speaker's face, as the speakers begin to speak, and its motion.

    The faces are those from `options.face_index` on, from left to right unless `options.face_order` names another order
    than the default one. Seeds and styles go up by one from person to person, so that nobody moves alike.
    """
    if audio is None:
        raise OptionError("speakers: there is no audio to divide among them; name an audio file, too.")
    tracks = split_speakers(*audio, turns)
    order = "left to right" if options.face_order == OPTIONS["face_order"].default else options.face_order
    options_of_each = [
        replace(
            options,
            face_index=options.face_index + k,
            face_order=order if len(tracks) > 1 else options.face_order,
            seed=(options.seed + k) % (LARGEST_SEED + 1),
            pose_style=(options.pose_style + k) % (int(OPTIONS["pose_style"].max or 0) + 1),
        )
        for k in range(len(tracks))
    ]
    try:
        faces = [_cropped(networks, image, own, folders, device) for own in options_of_each]
    except FaceNotFound as error:
        names = shorten(", ".join(track.name for track in tracks), 100)
        raise FaceNotFound(
            f"speakers: the lines name {len(tracks)} ({names}), each of whom needs a face. {error}"
        ) from error
    speeches = [pipeline.encode_audio(track.waveform, audio[1], loudness=options.loudness) for track in tracks]
    people = []
    for k, (portrait, source) in enumerate(faces):
        expression, pose = _tracks(networks, source, speeches[k], options_of_each[k])
        for other in range(len(faces)):
            if other != k:
                looking = pipeline.look_at(portrait, faces[other][0], speeches[k], speeches[other], expression, pose)
                expression, pose = looking[0] or expression, looking[1] or pose
        people.append((portrait, _moved(networks, source, expression, pose, options_of_each[k])))
    return people


def _cropped(
    networks: SadTalkerModel, image: Tensor, options: Options, folders: Sequence[Path], device: torch.device
) -> tuple[Portrait, FaceCoefficients]:
    return pipeline.extract(
        networks,
        portrait_from_image(image, face_index=options.face_index, face_order=options.face_order),
        options.crop_mode,
        points=choose_points(options.landmarks, networks.family, folders, device),
        crop_scale=options.crop_scale,
        offset=(options.crop_offset_x, options.crop_offset_y),
        render_size=options.render_size,
    )


def _tracks(
    networks: SadTalkerModel, source: FaceCoefficients, speech: SpeechWindows, options: Options
) -> tuple[Expression, HeadPose]:
    expression = pipeline.predict_expression(
        networks,
        speech,
        source,
        blink=options.blink,
        blinks_per_minute=options.blink_rate,
        blink_strength=options.blink_strength,
        seed=options.seed,
    )
    expression = pipeline.set_expression(expression, read_acting(options.expression, options.seed), networks)
    return expression, pipeline.predict_head_pose(networks, speech, source, style=options.pose_style, seed=options.seed)


def _moved(
    networks: SadTalkerModel, source: FaceCoefficients, expression: Expression, pose: HeadPose, options: Options
) -> AnyMotion:
    return pipeline.coefficients_to_motion(
        networks,
        source,
        expression,
        pose,
        expression_scale=options.expression_scale,
        pose_scale=PoseAngles(options.pitch_scale, options.yaw_scale, options.roll_scale),
        still=options.still,
        yaw=options.yaw,
        pitch=options.pitch,
        roll=options.roll,
    )


def paste_back_of(portrait: Portrait, options: Options) -> PasteBack | None:
    """What pastes heads back into the whole image; None when only the heads are wanted."""
    if not options.paste_back:
        return None
    return pipeline.make_paste_back(portrait, feather=options.feather, colour_match=options.colour_match)


def needs_alpha(options: Options) -> bool:
    """Whether a video of these options has a use for the alpha of its portrait."""
    return FORMATS[options.format].alpha or bool(options.background)


def background_of(options: Options, file: bytes | None = None) -> Tensor | None:
    """What a cut-out is laid on: a colour (3,), an image (1, H, W, 3), or None.

    file: the bytes of the file that `options.background` names, where they have been read already
    Raises OptionError for what is neither a colour nor a file, ImageError for a file that is no image.
    """
    if not options.background:
        return None
    colour, path = colour_of(options.background), background_file(options)
    if colour is not None or path is None:
        return colour
    if file is None and not _is_file(path):
        raise OptionError(
            f"background: expected a colour such as #00ff00 or white, or an image file, got "
            f"{shorten(repr(options.background))}; there is no such file."
        )
    return read_image(path if file is None else file, f"background: {shorten(path)}")[None, ..., :3]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def background_file(options: Options, folder: Path | None = None) -> Path | None:
    """The image file that `options.background` names, or None where it names a colour or nothing.

    folder: where relative paths begin, instead of the current folder
    """
    if not options.background or colour_of(options.background) is not None:
        return None
    try:
        return (folder or Path()) / Path(options.background).expanduser()
    except RuntimeError:  # the home of nobody
        return (folder or Path()) / options.background


# --------------------------------------------------------------------------------------------------- what comes in


def as_image(portrait: PortraitLike) -> Tensor:
    """A portrait in any of the forms that `SadTalker.animate` takes -> (H, W, C). Raises ImageError."""
    from PIL.Image import Image

    if isinstance(portrait, Tensor):
        return portrait
    if isinstance(portrait, Image):
        return image_from_pil(portrait, "portrait: the image")
    if isinstance(portrait, np.ndarray):
        try:
            return torch.from_numpy(np.ascontiguousarray(portrait))
        except TypeError as error:
            raise ImageError(f"portrait: expected an array of bytes or floats, got {portrait.dtype}.") from error
    if not isinstance(portrait, str | Path):
        raise ImageError(
            f"portrait: expected a path, a PIL image, a numpy array or a tensor, got {type(portrait).__name__}."
        )
    path = _existing("portrait", portrait, ImageError)
    return read_image(path, f"portrait: {shorten(path)}")


def as_audio(audio: AudioLike | None) -> tuple[Tensor, float] | None:
    """Audio in any of the forms that `SadTalker.animate` takes -> floats in -1..1 and Hz. Raises AudioError."""
    if audio is None:
        return None
    if isinstance(audio, str | Path):
        path = _existing("audio", audio, AudioError)
        try:
            return read_audio(path)
        except AudioError as error:
            raise AudioError(f"audio: {shorten(path)}: {error}") from error
    if not (isinstance(audio, tuple | list) and len(audio) == 2):
        raise AudioError(f"audio: expected a path or (waveform, sample rate), got {type(audio).__name__}.")
    waveform, rate_hz = audio
    if isinstance(waveform, np.ndarray) and waveform.dtype.kind in "iuf":
        waveform = torch.from_numpy(np.ascontiguousarray(waveform))
    if not isinstance(waveform, Tensor):
        raise AudioError(f"audio: expected the waveform as an array or a tensor, got {type(waveform).__name__}.")
    return waveform if waveform.is_floating_point() else _from_pcm(waveform), rate_hz


def as_video(video: VideoLike) -> SourceVideo:
    """A video in any of the forms that `SadTalker.dub` takes. Raises VideoError."""
    if isinstance(video, tuple | list) and len(video) == 2 and isinstance(video[0], Tensor):
        return FrameSequence(video[0], video[1])
    if not isinstance(video, str | Path):
        raise VideoError(f"video: expected a path or (frames, fps), got {type(video).__name__}.")
    path = _existing("video", video, VideoError)
    return VideoFile.of(path, f"video: {shorten(path)}")


def _from_pcm(samples: Tensor) -> Tensor:
    """Integers of any width -> floats in -1..1; those without a sign have silence in the middle."""
    if samples.dtype == torch.bool or samples.is_complex():
        raise AudioError(f"audio: expected samples as floats or integers, got {samples.dtype}.")
    limits = torch.iinfo(samples.dtype)
    middle = 0 if limits.min < 0 else (limits.max + 1) // 2
    return ((samples.double() - middle) / (middle or limits.max + 1)).float()


def _existing(what: str, path: str | Path, kind: type[ImageError] | type[AudioError] | type[VideoError]) -> Path:
    path = Path(path).expanduser()
    try:
        exists = path.is_file()
    except (OSError, ValueError) as error:
        raise kind(f"{what}: {shorten(repr(str(path)))} is not the name of a file ({shorten(error)}).") from error
    if not exists:
        raise kind(f"{what}: there is no file {shorten(path)}.")
    return path


def require_target(
    path: str | Path, *, overwrite: bool, inputs: Sequence[str | Path] = (), format: str = MP4.name
) -> Path:
    """The absolute path of the video to write. inputs: files that must not be written over, whatever is allowed.

    Raises OptionError for another ending, a folder that is not there, and a file that is, unless `overwrite`.
    """
    try:
        target = Path(path).expanduser().absolute()
        target.resolve()
        fault = fault_of_target(target) or _fault_of_place(target, overwrite, inputs, format)
    except (OSError, ValueError, RuntimeError) as error:  # a NUL; the home of nobody; links in a circle
        raise OptionError(f"out: {shorten(repr(str(path)))} cannot be written ({shorten(error, 100)}).") from error
    if fault:
        raise OptionError(f"out: {shorten(target)} cannot be written: {fault}.")
    return target


def fault_of_ending(path: Path, format: str) -> str:
    """Why a file of that name is not one of that format, or ""."""
    if path.suffix.lower() == FORMATS[format].ending:
        return ""
    other = path.suffix.lower().removeprefix(".")
    hint = f"; or set the format to {other}" if other in FORMATS else ""
    return f"expected a file name that ends in {FORMATS[format].ending}{hint}"


def _fault_of_place(target: Path, overwrite: bool, inputs: Sequence[str | Path], format: str) -> str:
    if ending := fault_of_ending(target, format):
        return ending
    if not target.parent.is_dir():
        return "its folder does not exist; make it, or choose another"
    if target.is_dir():
        return "it is a folder; name a file"
    if any(target.resolve() == Path(file).expanduser().resolve() for file in inputs):
        return "it is one of the files that go in; choose another name"
    if target.exists() and not overwrite:
        return "it exists; choose another name, or give --overwrite (overwrite=True)"
    return ""


# ------------------------------------------------------------------------------------------------ device, precision


def chosen_device(device: str | torch.device = AUTO) -> torch.device:
    """The device of that name, when it is there; "auto" is the fastest kind. Raises OptionError."""
    if device == AUTO:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()  # "meta" makes tensors that hold no numbers
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:  # torch's for a bad device
        reason = shorten(str(error).split("\n")[0])
        raise OptionError(
            f"device: expected auto, cpu or a device of this machine, got {shorten(repr(device))} ({reason})."
        ) from error
    return chosen


def to_device(loaded: SadTalkerModel, device: torch.device, precision: str) -> SadTalkerModel:
    """The model with its networks on their device; those that render are rearranged for speed, in that precision."""
    one_of("precision", precision, PRECISIONS)
    rendering = rendering_device(device)
    nets = {}
    for name, net in loaded.nets.items():
        home = rendering if name in RENDERERS else device
        nets[name] = in_precision(name, net, precision, home).to(home)
    return replace(loaded, nets=nets)


def in_precision(
    name: str,
    net: nn.Module,
    precision: str,
    device: torch.device,
    fastest: Callable[[torch.device], torch.dtype] = lambda device: torch.float16,
) -> nn.Module:
    """The network as it will compute on that device: one that makes pixels in this precision, any other as it is.

    fastest: what "auto" takes on a device that is not the CPU
    """
    precision = one_of("precision", precision, PRECISIONS)
    if name not in PIXEL_NETWORKS:
        return net
    released = isinstance(net, Generator)
    if precision == BF16_DECODER:
        dtype = torch.bfloat16 if released else torch.float32
    elif precision == AUTO:
        dtype = torch.float32 if device.type == "cpu" else fastest(device)
    else:
        dtype = DTYPES[precision]
    if not isinstance(net, Generator):
        return net.to(dtype)
    if device.type == "cpu" and (precision == AUTO or dtype != torch.float32):
        _log_half_precision(torch.bfloat16 if precision == AUTO else dtype, chosen=precision != AUTO)
    return accelerate(net, dtype, device=device)


def _log_half_precision(dtype: torch.dtype, *, chosen: bool) -> None:
    """One line of the log: whether the renderer gains by it on this CPU. Where nobody asked for it, only if it does."""
    cost = half_precision_cost(dtype)
    measured = f"in {NAMES[dtype]} a convolution of the renderer takes {cost:.2g} times as long as in fp32 on this CPU"
    if cost > PAYS and chosen:
        logging.info("SadTalker: %s: fp32 is %s.", measured, "faster" if cost > 1 else "about as fast, and exact")
    elif cost <= PAYS and chosen:
        logging.info("SadTalker: %s: this precision pays here.", measured)
    elif cost <= PAYS:
        logging.info("SadTalker: %s: the precision '%s' would render faster than fp32 here.", measured, BF16_DECODER)


def rendering_device(device: torch.device) -> torch.device:
    """Where the renderers compute: on the device, or on the CPU when the device lacks one of their operations."""
    if can_render_on(device):
        return device
    logging.info(
        "SadTalker: %s does not support an operation of the renderer (grid_sample): Face Render runs on the CPU.",
        device,
    )
    return torch.device("cpu")


__all__ = [
    "DubbedVideo",
    "SadTalker",
    "Video",
    "chosen_device",
    "frame_stream_of",
    "in_precision",
    "load",
    "predict_conversation",
    "predict_motion",
    "rendering_device",
    "to_device",
]
