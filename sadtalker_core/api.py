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
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from . import pipeline
from .choices import one_of
from .compose.paste import PasteBack
from .compose.signature import Signature
from .datatypes import AnyMotion, FrameStream, OnProgress, Portrait, PoseAngles
from .errors import AudioError, ImageError, OptionError, shorten
from .face.image_file import image_from_pil, read_image
from .face.portrait import portrait_from_image
from .media import read_audio
from .model import SadTalkerModel, choose_points, load_model
from .model_folders import model_folders
from .options import OPTIONS, PRECISIONS, Options
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
    def animate(self, portrait: PortraitLike, audio: AudioLike | None = None, options: Options | None = None) -> Video:
        """Predict the motion of a portrait. Frames are rendered on demand.

        portrait: the path of an image, a PIL image, or an array or tensor (H, W, 1, 3 or 4), bytes or floats in 0..1
        audio:    the path of an audio file, or (waveform, sample rate in Hz) with a waveform (n,) or (C, n) of floats
                  in -1..1 or integer PCM; None makes an idle clip of `options.idle_seconds`
        options:  the defaults when None; its `model` and `precision` are ignored, see `load`
        Raises ImageError, FaceNotFound, AudioError or OptionError for what cannot be used.
        """
        options = options or Options()
        sound = as_audio(audio)
        cropped, motion = predict_motion(self.networks, as_image(portrait), sound, options, self.folders, self.device)
        return Video(self, cropped, motion, sound, options)


@dataclass(frozen=True, eq=False)
class Video:
    """A talking head, its motion predicted. Each call of `frames` or `save` renders it."""

    model: SadTalker = field(repr=False)
    portrait: Portrait = field(repr=False)
    motion: AnyMotion = field(repr=False)
    audio: tuple[Tensor, float] | None = field(repr=False)
    options: Options

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
        if self.options.paste_back:
            return self.portrait.size_wh
        heads = self._heads()
        return heads.width, heads.height

    @torch.no_grad()
    def frames(self) -> Iterator[Tensor]:
        """Yield batches (B, 3, H, W), float32 in 0..1, on the device of the model, until `n_frames` have come."""
        whole = paste_back_of(self.portrait, self.options)
        for batch in self._heads().batches():
            if whole is None:
                yield batch.float()
            else:
                yield from (whole(head).float() for head in batch.split(1))

    def save(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        metadata: Mapping[str, str] | None = None,
        signature: Signature | None = None,
        on_progress: OnProgress | None = None,
    ) -> Path:
        """Write an mp4 (H.264, AAC), marked as AI-generated, and return its path.

        overwrite:   whether an existing file may be replaced
        metadata:    names and texts to store in the file
        signature:   who signs it (C2PA), or nobody
        on_progress: called with (frames done, of how many) after each batch; may raise to stop, and nothing is left
        Raises OptionError, before any work, for a path that cannot be written to or is taken; VideoError, SigningError
        or DoesNotFit while writing.
        """
        target = require_target(path, overwrite=overwrite)

        with torch.no_grad():
            return pipeline.render_video(
                target,
                self._heads(),
                paste_back_of(self.portrait, self.options),
                output_fps=self.options.output_fps,
                audio=self.audio,
                quality=self.options.quality,
                metadata=metadata,
                signature=signature,
                on_progress=on_progress,
            )

    def _heads(self) -> FrameStream:
        return pipeline.render(self.model.networks, self.portrait, self.motion, batch_size=self.model.batch_size)


def predict_motion(
    networks: SadTalkerModel,
    image: Tensor,
    audio: tuple[Tensor, float] | None,
    options: Options,
    folders: Sequence[Path],
    device: torch.device,
) -> tuple[Portrait, AnyMotion]:
    """All stages up to the rendering: image (H, W, C) and audio -> the portrait with its face cropped, its motion."""
    portrait, source = pipeline.extract(
        networks,
        portrait_from_image(image, face_index=options.face_index, face_order=options.face_order),
        options.crop_mode,
        points=choose_points(options.landmarks, networks.family, folders, device),
        crop_scale=options.crop_scale,
        offset=(options.crop_offset_x, options.crop_offset_y),
        render_size=options.render_size,
    )
    if audio is None:
        speech = pipeline.encode_audio(None, idle_seconds=options.idle_seconds)
    else:
        speech = pipeline.encode_audio(*audio, loudness=options.loudness)
    expression = pipeline.predict_expression(
        networks,
        speech,
        source,
        blink=options.blink,
        blinks_per_minute=options.blink_rate,
        blink_strength=options.blink_strength,
        seed=options.seed,
    )
    pose = pipeline.predict_head_pose(networks, speech, source, style=options.pose_style, seed=options.seed)
    motion = pipeline.coefficients_to_motion(
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
    return portrait, motion


def paste_back_of(portrait: Portrait, options: Options) -> PasteBack | None:
    """What pastes heads back into the whole image; None when only the heads are wanted."""
    if not options.paste_back:
        return None
    return pipeline.make_paste_back(portrait, feather=options.feather, colour_match=options.colour_match)


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


def _from_pcm(samples: Tensor) -> Tensor:
    """Integers of any width -> floats in -1..1; those without a sign have silence in the middle."""
    if samples.dtype == torch.bool or samples.is_complex():
        raise AudioError(f"audio: expected samples as floats or integers, got {samples.dtype}.")
    limits = torch.iinfo(samples.dtype)
    middle = 0 if limits.min < 0 else (limits.max + 1) // 2
    return ((samples.double() - middle) / (middle or limits.max + 1)).float()


def _existing(what: str, path: str | Path, kind: type[ImageError] | type[AudioError]) -> Path:
    path = Path(path).expanduser()
    try:
        there = path.is_file()
    except (OSError, ValueError) as error:
        raise kind(f"{what}: {shorten(repr(str(path)))} is not the name of a file ({shorten(error)}).") from error
    if not there:
        raise kind(f"{what}: there is no file {shorten(path)}.")
    return path


def require_target(path: str | Path, *, overwrite: bool, inputs: Sequence[str | Path] = ()) -> Path:
    """The absolute path of the mp4 to write. inputs: files that must not be written over, whatever is allowed.

    Raises OptionError for another ending, a folder that is not there, and a file that is, unless `overwrite`.
    """
    try:
        target = Path(path).expanduser().absolute()
        target.resolve()
        fault = fault_of_target(target) or _fault_of_place(target, overwrite, inputs)
    except (OSError, ValueError, RuntimeError) as error:  # a NUL; the home of nobody; links in a circle
        raise OptionError(f"out: {shorten(repr(str(path)))} cannot be written ({shorten(error, 100)}).") from error
    if fault:
        raise OptionError(f"out: {shorten(target)} cannot be written: {fault}.")
    return target


def _fault_of_place(target: Path, overwrite: bool, inputs: Sequence[str | Path]) -> str:
    if target.suffix.lower() != ".mp4":
        return "expected a file name that ends in .mp4"
    if not target.parent.is_dir():
        return "its folder does not exist; make it, or choose another"
    if target.is_dir():
        return "it is a folder; name a file"
    if any(target.resolve() == Path(file).expanduser().resolve() for file in inputs):
        return "it is the portrait or the audio; choose another name"
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
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:  # each is how torch says no
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
    "SadTalker",
    "Video",
    "chosen_device",
    "in_precision",
    "load",
    "predict_motion",
    "rendering_device",
    "to_device",
]
