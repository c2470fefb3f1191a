"""The pipeline, in order: a portrait and a voice pass through every package. The only file that knows them all.

Each function is one stage, and one node. `nets` is whatever brings networks to where they compute: an assembled
`SadTalkerModel`, or the node layer's resident one. `on_progress(done, total)` may raise to stop. Letters: `T` video
frames.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from .audio.speech import encode_speech, idle_speech
from .choices import one_of
from .claims import Claim
from .compose.paste import FEATHER, Blend, PasteBack
from .compose.signature import Signature
from .compose.video import VideoWriter
from .datatypes import (
    MINI,
    CropMode,
    Expression,
    FaceCoefficients,
    FrameStream,
    HeadPose,
    Motion,
    Portrait,
    SpeechWindows,
    require_family,
)
from .errors import VideoError
from .face.draw import draw_landmarks
from .face.extract import extract_mini, extract_released
from .face.points import FaceSelector, MeshPoints, PointFinder
from .face.reference_video import read_mini_video, read_released_video
from .motion.blink import AUTO, BLINKS, NATURAL_RATE, chosen_blinks
from .motion.expression import run_expnet
from .motion.pose import run_posevae
from .motion.reference import ReferenceLength, eyelids_of, fit_length, reenact
from .render import driving
from .render.driving import Degrees
from .render.estimate import auto_batch_size, seconds_per_frame, working_bytes
from .render.facevid2vid.animate import render_frames, to_box_aspect
from .render.meshwarp.compositor import render_flow_frames
from .threads import each_on_few_threads, few_threads
from .timeline import FRAMES_PER_SECOND

OnProgress = Callable[[int, int], None]

#: what a reference video may lend to ExpNet and to PoseVAE
EXPRESSION_REFERENCE = ("blink", "all")
POSE_REFERENCE = ("pose", "all")
#: frames over which the end of a looped reference melts into its beginning
LOOP_BLEND = 10
#: whole pictures that are made together, and how many pixels they may have: a large one takes a second by itself
PASTED_AT_ONCE = 4
PIXELS_AT_ONCE = 4_000_000
#: the same for pictures that are written
WRITTEN_AT_ONCE = 16
PIXELS_WRITTEN_AT_ONCE = 16_000_000
#: frames of the mini that a CPU makes side by side when nobody says how many
MINI_AT_ONCE = 4


class Nets(Protocol):
    """Where a stage gets its networks from: assembly.SadTalkerModel, or the node layer's ManagedModel."""

    @property
    def family(self) -> str: ...

    @property
    def image_size(self) -> int: ...

    def use(self, *nets: str, working_bytes: int = 0) -> Sequence[Any]:
        """The networks of these names, in that order, where they shall compute, with so much room beside them."""
        ...

    def free_bytes(self, device: torch.device) -> int:
        """What is free there, when the networks have come."""
        ...

    def is_out_of_memory(self, error: Exception) -> bool:
        """Whether that was it; room that nobody uses any more is then made."""
        ...


#: makes the finder of 68 points for the face that is meant; None stands for the embedded mesh
Points = Callable[[FaceSelector], PointFinder]
_Look = TypeVar("_Look", bound=Callable[..., Any])


# --------------------------------------------------------------------------------------------------- the portrait


def _few_threads_unless_points_are_brought(look: _Look) -> _Look:
    """All networks of ours that look at faces are small; those of a finder that somebody brings along (face-alignment)
    are not, and keep all threads.
    """

    @functools.wraps(look)
    def with_the_threads_for_it(*given: Any, points: Points | None = None, **wishes: Any) -> Any:
        with few_threads() if points is None else nullcontext():
            return look(*given, points=points, **wishes)

    return cast(_Look, with_the_threads_for_it)


@_few_threads_unless_points_are_brought
def extract(
    nets: Nets,
    portrait: Portrait,
    mode: CropMode | str = CropMode.CROP,
    *,
    points: Points | None = None,
    crop_scale: float = 1.0,
    offset: tuple[float, float] = (0.0, 0.0),
) -> tuple[Portrait, FaceCoefficients]:
    """3DMM Extract: the portrait with its face cut out, and one row of coefficients."""
    size, mode = nets.image_size, one_of("crop_mode", mode, CropMode)
    if nets.family == MINI:
        detector, mesh, model = nets.use("face_detector", "face_mesh", "linear_3dmm")
        return extract_mini(detector, mesh, model, portrait, mode, size, crop_scale=crop_scale, offset=offset)
    finder = _finder(nets, points, FaceSelector.of(portrait))
    (recon,) = nets.use("face_recon")
    return extract_released(recon, portrait, finder, mode, size, crop_scale=crop_scale, offset=offset)


@few_threads()
def landmarks_picture(portrait: Portrait) -> Tensor:
    """(S, S, 3): the cropped face with its landmarks drawn."""
    crop = portrait.require_crop()
    return draw_landmarks(crop.image.permute(1, 2, 0), crop.landmarks)


@_few_threads_unless_points_are_brought
def extract_video(
    nets: Nets,
    frames: Iterable[Tensor],
    fps: float,
    *,
    points: Points | None = None,
    selector: FaceSelector = FaceSelector(),  # noqa: B008 (frozen)
    mode: CropMode = CropMode.CROP,
    missing_face: str = "hold",
    on_progress: Callable[[int], None] | None = None,
) -> FaceCoefficients:
    """3DMM from Video: frames (H, W, 3) of a clip -> one row for each frame at 25 fps."""
    size = nets.image_size
    if nets.family == MINI:
        detector, mesh, model = nets.use("face_detector", "face_mesh", "linear_3dmm")
        return read_mini_video(
            detector, mesh, model, frames, fps, size, selector=selector, mode=mode, missing_face=missing_face,
            on_progress=on_progress,
        )  # fmt: skip
    finder = _finder(nets, points, selector)
    (recon,) = nets.use("face_recon")
    return read_released_video(
        recon, finder, frames, fps, size, mode=mode, missing_face=missing_face, on_progress=on_progress
    )


def _finder(nets: Nets, points: Points | None, selector: FaceSelector) -> PointFinder:
    if points is not None:
        return points(selector)
    detector, mesh = nets.use("face_detector", "face_mesh")
    return MeshPoints(detector, mesh, selector)


# ------------------------------------------------------------------------------------------------------ the voice


@few_threads()
def encode_audio(
    waveform: Tensor | None,
    sample_rate_hz: float = 16_000,
    idle_seconds: float = 0.0,
    *,
    on_progress: OnProgress | None = None,
) -> SpeechWindows:
    """Audio Encode: a waveform (channels, samples); None makes an idle clip of some seconds."""
    if waveform is None:
        return idle_speech(idle_seconds)
    return encode_speech(waveform, sample_rate_hz, on_progress=on_progress)


@few_threads()
def predict_expression(
    nets: Nets,
    speech: SpeechWindows,
    source: FaceCoefficients,
    *,
    blink: str = AUTO,
    blinks_per_minute: float = NATURAL_RATE,
    blink_strength: float = 1.0,
    seed: int = 0,
    reference: FaceCoefficients | None = None,
    reference_mode: str = "blink",
    reference_length: str = ReferenceLength.LOOP,
    on_progress: OnProgress | None = None,
) -> Expression:
    """ExpNet: the expression of every frame. A reference lends its blinks, or all of its expression.

    blink: one of BLINKS; blinks_per_minute is the rate of "auto" alone. A reference brings its own blinks.
    """
    require_family("the coefficients", source.family, nets.family)
    reference_mode = one_of("reference_mode", reference_mode, EXPRESSION_REFERENCE)
    blink = one_of("blink", blink, BLINKS)
    (net,) = nets.use("expnet")
    if reference is None:
        drawn = chosen_blinks(blink, speech.n_frames, per_minute=blinks_per_minute, strength=blink_strength, seed=seed)
        return run_expnet(net, speech, source, drawn, on_progress=on_progress)
    require_family("the reference", reference.family, nets.family)
    reference = fit_length(reference, speech.n_frames, reference_length, blend=LOOP_BLEND)
    if reference_mode == "all":
        return reenact(reference, source)[0]
    lids = eyelids_of(reference, net) * blink_strength
    return run_expnet(net, _cut(speech, len(reference)), source, lids, on_progress=on_progress)


@few_threads()
def predict_head_pose(
    nets: Nets,
    speech: SpeechWindows,
    source: FaceCoefficients,
    *,
    style: int = 0,
    seed: int = 0,
    reference: FaceCoefficients | None = None,
    reference_mode: str = "pose",
    reference_length: str = ReferenceLength.LOOP,
    on_progress: OnProgress | None = None,
) -> HeadPose:
    """PoseVAE: the head pose of every frame. A reference lends its movement on top, or moves the head alone."""
    require_family("the coefficients", source.family, nets.family)
    reference_mode = one_of("reference_mode", reference_mode, POSE_REFERENCE)
    if reference is not None:
        require_family("the reference", reference.family, nets.family)
        reference = fit_length(reference, speech.n_frames, reference_length, blend=LOOP_BLEND)
        if reference_mode == "all":
            return reenact(reference, source)[1]
        speech = _cut(speech, len(reference))
    (net,) = nets.use("posevae")
    generator = torch.Generator().manual_seed(seed)
    return run_posevae(net, speech, source, style, generator=generator, reference=reference, on_progress=on_progress)


def _cut(speech: SpeechWindows, n_frames: int) -> SpeechWindows:
    """The beginning of a clip, for a reference that ends it."""
    return speech if n_frames == speech.n_frames else replace(speech, n_frames=n_frames)


# ----------------------------------------------------------------------------------------------------- the motion


@few_threads()
def coefficients_to_motion(
    nets: Nets,
    source: FaceCoefficients,
    expression: Expression,
    pose: HeadPose,
    *,
    expression_scale: float = 1.0,
    pose_scale: tuple[float, float, float] = (1.0, 1.0, 1.0),
    still: bool = False,
    yaw: Degrees = None,
    pitch: Degrees = None,
    roll: Degrees = None,
    on_progress: OnProgress | None = None,
) -> Motion:
    """MappingNet: tracks -> what moves the picture. A track that a reference has cut ends the clip."""
    require_family("the coefficients", source.family, nets.family)
    n_frames = min(len(expression), len(pose))
    expression = replace(expression, coefficients=expression.coefficients[:n_frames])
    pose = replace(pose, coefficients=pose.coefficients[:n_frames])
    steered_by_crop = source.crop_mode.full and nets.family != MINI
    (net,) = nets.use("mapping_full" if steered_by_crop else "mapping")
    return driving.coefficients_to_motion(
        net, source, expression, pose, expression_scale=expression_scale, pose_scale=pose_scale, still=still,
        yaw=yaw, pitch=pitch, roll=roll, on_progress=on_progress,
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------------- the frames


def render(nets: Nets, portrait: Portrait, motion: Motion, *, batch_size: int = 0) -> FrameStream:
    """Face Render: the frames of the head, in the aspect of its box.

    batch_size: frames at once; 0 chooses by the device and what is free there: on the CPU 1, or with the mini one a
    thread, up to MINI_AT_ONCE. Halved where memory runs out.
    """
    require_family("the motion", motion.family, nets.family)
    crop = portrait.require_crop()
    side = crop.pic_size
    names = ("flow_renderer",) if nets.family == MINI else ("keypoint_detector", "generator")
    networks = nets.use(*names, working_bytes=max(batch_size, 1) * working_bytes(nets.family, side))
    place = next(networks[-1].parameters())
    at_once = batch_size or auto_batch_size(nets.family, side, place.device, nets.free_bytes(place.device))
    if not batch_size and nets.family == MINI and place.device.type == "cpu":
        at_once = min(torch.get_num_threads(), MINI_AT_ONCE)  # side by side, each on a thread
    render_frames_of: Callable[..., Iterator[Tensor]] = render_flow_frames if nets.family == MINI else render_frames

    def painted() -> Iterator[Tensor]:
        for frames in render_frames_of(
            *networks, crop, motion, batch_size=at_once, is_out_of_memory=nets.is_out_of_memory
        ):
            yield to_box_aspect(frames, crop.box)

    def batches() -> Iterator[Tensor]:
        return each_on_few_threads(painted()) if nets.family == MINI else painted()

    def estimate() -> float:
        with few_threads() if nets.family == MINI else nullcontext():
            return seconds_per_frame(nets.family, side, place.device, place.dtype)

    height, width = crop.frame_hw
    return FrameStream(len(motion), height, width, batches, seconds_per_frame=estimate)


# --------------------------------------------------------------------------------------------- the whole picture


def paste(
    frames: Tensor,
    portrait: Portrait,
    *,
    feather: float = FEATHER,
    colour_match: float = 1.0,
    mask: Tensor | None = None,
    background: Tensor | None = None,
) -> tuple[FrameStream, Tensor]:
    """Paste Back: frames (T, h, w, 3) of any size -> the frames of the whole picture, and the mask (H, W) of where.

    background: (T', H, W, 3) frames of that picture in which somebody else talks already. The longer of the two clips
    says how long it lasts, the shorter one holds its last frame.
    """
    for name, clip in (("frames", frames), ("background", background)):
        if clip is not None:
            _require_clip(name, clip)
    back = make_paste_back(portrait, feather=feather, colour_match=colour_match, mask=mask)
    width, height = portrait.size_wh
    n_frames = max(len(frames), 0 if background is None else len(background))

    def held(clip: Tensor, places: Tensor) -> Tensor:
        return clip[places.clamp(max=len(clip) - 1), ..., :3].permute(0, 3, 1, 2).float()

    def batches() -> Iterator[Tensor]:
        for places in torch.arange(n_frames).split(_at_once(width * height, PIXELS_AT_ONCE, PASTED_AT_ONCE)):
            yield back(held(frames, places), None if background is None else held(background, places))

    return FrameStream(n_frames, height, width, lambda: each_on_few_threads(batches())), back.mask


@few_threads()
def write_video(
    path: Path | Claim,
    frames: Tensor,
    *,
    fps: float = FRAMES_PER_SECOND,
    output_fps: float = 0.0,
    audio: tuple[Tensor, float] | None = None,
    quality: str = "high",
    metadata: Mapping[str, str] | None = None,
    signature: Signature | None = None,
    on_progress: OnProgress | None = None,
    check_stop: Callable[[], None] | None = None,
) -> Path:
    """Video Combine: frames (T, H, W, 3) in 0..1, `fps` a second, and (waveform, sample rate) -> an mp4 at that path,
    or under a claimed name. Returns where it is.

    output_fps: frames per second of the file, in the same time; 0 leaves them as they are
    check_stop: asked every moment while the encoder is waited for; may raise to stop
    """
    _require_clip("frames", frames)
    height, width = frames.shape[1:3]
    writer = VideoWriter(
        path, (width, height), fps, output_fps=output_fps, audio=audio, metadata=metadata, quality=quality,
        signature=signature, check_stop=check_stop,
    )  # fmt: skip
    with writer as video:
        at_once = _at_once(width * height, PIXELS_WRITTEN_AT_ONCE, WRITTEN_AT_ONCE)
        for start in range(0, len(frames), at_once):
            part = frames[start : start + at_once, ..., :3]
            video.write(part)
            if on_progress is not None:
                on_progress(start + len(part), len(frames))
    return writer.path


def render_video(
    path: Path | Claim,
    heads: FrameStream,
    paste_back: PasteBack | None = None,
    *,
    output_fps: float = 0.0,
    audio: tuple[Tensor, float] | None = None,
    quality: str = "high",
    metadata: Mapping[str, str] | None = None,
    signature: Signature | None = None,
    partial: Path | None = None,
    on_progress: Callable[[int, int, Tensor], None] | None = None,
    check_stop: Callable[[], None] | None = None,
) -> Path:
    """Render Video: heads are rendered, put into the whole picture and encoded, one batch after the other, to path or
    under a claimed name. Returns where it is.

    heads: from `render`;  paste_back: from `make_paste_back`, or None for the heads alone;  output_fps: see
    `write_video`
    partial: where the frames that were made stay when it does not come to an end; None keeps nothing, unless the claim
             says so
    on_progress: (done, total, the last head (3, h, w)); may raise to stop
    check_stop: asked before every whole picture and every moment while the encoder is waited for; may raise to stop
    """
    size_wh = (
        (heads.width, heads.height) if paste_back is None else (paste_back.mask.shape[1], paste_back.mask.shape[0])
    )
    writer = VideoWriter(
        path, size_wh, FRAMES_PER_SECOND, output_fps=output_fps, audio=audio, metadata=metadata,
        quality=quality, signature=signature, partial=partial, check_stop=check_stop,
    )  # fmt: skip
    with writer as video:
        for batch in heads.batches():
            with few_threads():
                if paste_back is None:
                    video.write(batch.permute(0, 2, 3, 1))
                else:  # one by one: a large picture may need more room than the heads did
                    for head in batch.split(1):
                        if check_stop is not None:
                            check_stop()
                        video.write(paste_back.as_bytes(head))
            if on_progress is not None:
                on_progress(video.n_frames, heads.n_frames, batch[-1])
    return writer.path


def _at_once(pixels: int, most_pixels: int, most: int) -> int:
    """How many pictures of so many pixels are worked on between two looks at the stop button."""
    return min(max(most_pixels // max(pixels, 1), 1), most)


def _require_clip(name: str, clip: Tensor) -> None:
    if clip.dim() != 4 or clip.shape[3] < 3:
        raise VideoError(f"expected {name} as (batch, height, width, 3 channels), got the shape {tuple(clip.shape)}; "
                         "check the node that made them.")  # fmt: skip
    if len(clip) == 0:
        raise VideoError(f"expected at least one frame in {name}, got none; check the node that made them.")


@few_threads()
def make_paste_back(
    portrait: Portrait, *, feather: float = FEATHER, colour_match: float = 1.0, mask: Tensor | None = None
) -> PasteBack:
    """What `render_video` needs to put the heads back into their picture; see `paste`. A mask says where the head ends:
    then no colours fade beyond it.
    """
    blend = Blend.MULTIBAND if mask is None else Blend.FEATHER
    return PasteBack(portrait, feather=feather, colour_match=colour_match, mask=mask, blend=blend)
