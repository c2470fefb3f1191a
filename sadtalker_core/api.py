"""The front door: load a model by its name, make a video with it.

    model = sadtalker_core.load("mini")
    video = model.animate("face.jpg", "hello.wav", sadtalker_core.Options(pose_style=3))
    video.save("talk.mp4")

Letters: `B` frames of a batch, `H W` pixels, `C` channels, `n` samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import pipeline
from .animate import Person, dub_options, frame_stream_of, predict_conversation, predict_motion
from .arguments import as_audio, as_image, as_video, background_of, needs_alpha, require_target
from .audio.turns import Turn
from .choices import one_of
from .compose.formats import MP4
from .compose.paste import PasteBack
from .compose.signature import Signature
from .datatypes import MINI, AnyMotion, BlendshapeMotion, Expression, FrameStream, HeadPose, OnProgress, Portrait
from .device import AUTO, chosen_device, to_device
from .dub.dub import dub_video, dubbed_frames, speech_track
from .dub.schedule import DubLength, SpeechTrack, n_frames_of
from .dub.source_video import SourceVideo
from .errors import OptionError, WrongFamily, shorten
from .model import SadTalkerModel, load_model
from .model_folders import model_folders
from .motion.blendshape_export import export_blendshapes
from .motion.blendshape_layout import LIVE_LINK
from .options import OPTIONS, PRECISIONS, Options
from .timeline import FRAMES_PER_SECOND

if TYPE_CHECKING:
    from .arguments import AudioLike, PortraitLike, VideoLike

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
        sound, image = as_audio(audio), as_image(portrait)
        if speakers is None:
            cropped, motion = predict_motion(self.networks, image, sound, options, self.folders, self.device)
            return Video(self, cropped, motion, sound, options)
        people = predict_conversation(self.networks, image, sound, options, speakers, self.folders, self.device)
        return Video(self, *people[0], sound, options, tuple(people[1:]))

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
        sound, source = as_audio(audio), as_video(video)
        track, new_audio = speech_track(self.networks, sound, loudness=options.loudness)
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


__all__ = ["DubbedVideo", "SadTalker", "Video", "load"]
