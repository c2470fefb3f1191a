"""The arguments of a caller, in any of their forms: images, audio, videos, backgrounds, and the file to write.

Letters: `H W` pixels, `C` channels, `n` samples, `T` frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .compose.cutout import colour_of
from .compose.formats import FORMATS, MP4
from .dub.source_video import FrameSequence, SourceVideo, VideoFile
from .errors import AudioError, ImageError, OptionError, VideoError, shorten
from .face.image_file import image_from_pil, read_image
from .media import read_audio
from .options import Options
from .output_name import fault_of_target

if TYPE_CHECKING:
    from PIL.Image import Image

    PortraitLike = str | Path | Image | np.ndarray | Tensor
    AudioLike = str | Path | tuple[Tensor | np.ndarray, float]
    VideoLike = str | Path | tuple[Tensor, float]


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
    """The absolute path of the video to write. inputs: files that must not be overwritten in any case.

    Raises OptionError for another ending, a folder that does not exist, and a file that does, unless `overwrite`.
    """
    try:
        target = Path(path).expanduser().absolute()
        target.resolve()
        fault = fault_of_target(target) or _fault_of_place(target, overwrite, inputs, format)
    except (OSError, ValueError, RuntimeError) as error:  # a NUL; "~" of an unknown user; links in a circle
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
        return "it is one of the input files; choose another name"
    if target.exists() and not overwrite:
        return "it exists; choose another name, or give --overwrite (overwrite=True)"
    return ""


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
    except RuntimeError:  # "~" of an unknown user
        return (folder or Path()) / options.background
