"""The pipeline, in order: a portrait and a voice pass through every package. The only file that knows them all.

Each function is one stage, and one node. `model` is whatever brings networks to where they compute: a loaded
`SadTalkerModel`, or the node layer's resident one. What the families do in their own way is in `families`.
`on_progress(done, total)` may raise to stop. Letters: `T` video frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from .audio.loudness import OFF
from .audio.speech import encode_speech, idle_speech
from .choices import one_of
from .claims import Claim
from .compose.paste import FEATHER, Blend, PasteBack
from .compose.signature import Signature
from .compose.video import VideoWriter
from .datatypes import (
    UNSCALED,
    AnyMotion,
    CropMode,
    Expression,
    FaceCoefficients,
    FrameStream,
    HeadPose,
    OnProgress,
    Portrait,
    PoseAngles,
    SpeechWindows,
    require_family,
)
from .errors import VideoError
from .face.crop import FIXED_RENDER
from .face.draw import draw_landmarks
from .face.points import FaceSelector
from .face.portrait import check_portrait
from .families import Model
from .families.base import Points
from .families.networks import EXPNET, POSEVAE
from .motion.blink import AUTO, BLINKS, NATURAL_RATE, Blinks
from .motion.pose import run_posevae
from .motion.reference import ReferenceLength, fit_length, reenact
from .render.driving import Degrees, DrivingOptions
from .threads import each_on_few_threads, few_threads
from .timeline import FRAMES_PER_SECOND

#: what a reference video may lend to ExpNet and to PoseVAE
EXPRESSION_REFERENCE = ("blink", "all")
POSE_REFERENCE = ("pose", "all")
#: frames over which the end of a looped reference melts into its beginning
LOOP_BLEND = 10
#: whole images that are made together, and how many pixels they may have: a large one takes a second by itself
PASTED_AT_ONCE = 4
PIXELS_AT_ONCE = 4_000_000
#: the same for images that are written
WRITTEN_AT_ONCE = 16
PIXELS_WRITTEN_AT_ONCE = 16_000_000


# --------------------------------------------------------------------------------------------------- the portrait


def extract(
    model: Model,
    portrait: Portrait,
    mode: CropMode | str = CropMode.CROP,
    *,
    points: Points | None = None,
    crop_scale: float = 1.0,
    offset: tuple[float, float] = (0.0, 0.0),
    render_size: int = FIXED_RENDER,
) -> tuple[Portrait, FaceCoefficients]:
    """3DMM Extract: the portrait with its face cut out, and one row of coefficients.

    render_size: of the mini family, the side of the square in pixels, 256 to 1024; 0 goes by the size of the face, and
                 256 is the fixed square of stored workflows. The released family renders at the size of its weights.
    Raises ImageError for a portrait made by hand whose image cannot be used, FaceNotFound and OptionError.
    """
    mode = one_of("crop_mode", mode, CropMode)
    portrait = check_portrait(portrait)
    with _threads_to_look(points):
        return model.family.extract(
            model, portrait, mode, points=points, crop_scale=crop_scale, offset=offset, render_size=render_size
        )


@few_threads()
def landmarks_image(portrait: Portrait) -> Tensor:
    """(S, S, 3): the cropped face with its landmarks drawn."""
    crop = portrait.require_crop()
    return draw_landmarks(crop.image.permute(1, 2, 0), crop.landmarks)


def extract_video(
    model: Model,
    frames: Iterable[Tensor],
    fps: float,
    *,
    points: Points | None = None,
    selector: FaceSelector = FaceSelector(),  # noqa: B008 (frozen)
    mode: CropMode = CropMode.CROP,
    missing_face: str = "hold",
    n_frames: int = 0,
    on_progress: OnProgress | None = None,
) -> FaceCoefficients:
    """3DMM from Video: frames (H, W, 3) of a clip -> one row for each frame at 25 fps.

    n_frames: how many will come, where that is known; on_progress's total
    """
    with _threads_to_look(points):
        return model.family.extract_video(
            model,
            frames,
            fps,
            points=points,
            selector=selector,
            mode=mode,
            missing_face=missing_face,
            n_frames=n_frames,
            on_progress=on_progress,
        )


def _threads_to_look(points: Points | None) -> AbstractContextManager[None]:
    """All networks of ours that look at faces are small; those of a finder that somebody brings along (face-alignment)
    are not, and keep all threads.
    """
    return few_threads() if points is None else nullcontext()


# ------------------------------------------------------------------------------------------------------ the voice


@few_threads()
def encode_audio(
    waveform: Tensor | None,
    sample_rate_hz: float = 16_000,
    idle_seconds: float = 0.0,
    *,
    loudness: str = OFF,
    on_progress: OnProgress | None = None,
) -> SpeechWindows:
    """Audio Encode: a waveform (channels, samples); None makes an idle clip of some seconds.

    loudness: "off" leaves it as it is, "auto" makes all voices alike; see encode_speech
    """
    if waveform is None:
        return idle_speech(idle_seconds)
    return encode_speech(waveform, sample_rate_hz, loudness=loudness, on_progress=on_progress)


@few_threads()
def predict_expression(
    model: Model,
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
    require_family("the coefficients", source.family, model.family.name)
    reference_mode = one_of("reference_mode", reference_mode, EXPRESSION_REFERENCE)
    blinks = Blinks(one_of("blink", blink, BLINKS), blinks_per_minute, blink_strength, seed)
    (net,) = model.use(EXPNET)
    family = model.family
    if reference is None:
        return family.express(net, speech, source, blinks, on_progress=on_progress)
    require_family("the reference", reference.family, model.family.name)
    reference = fit_length(reference, speech.n_frames, reference_length, blend=LOOP_BLEND)
    if reference_mode == "all":
        return reenact(reference, source)[0]
    lids = family.eyelids(reference, net) * blink_strength
    speech = _cut(speech, len(reference))
    return family.express(net, speech, source, blinks, lids=lids, on_progress=on_progress)


@few_threads()
def predict_head_pose(
    model: Model,
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
    require_family("the coefficients", source.family, model.family.name)
    reference_mode = one_of("reference_mode", reference_mode, POSE_REFERENCE)
    if reference is not None:
        require_family("the reference", reference.family, model.family.name)
        reference = fit_length(reference, speech.n_frames, reference_length, blend=LOOP_BLEND)
        if reference_mode == "all":
            return reenact(reference, source)[1]
        speech = _cut(speech, len(reference))
    (net,) = model.use(POSEVAE)
    generator = torch.Generator().manual_seed(seed)
    return run_posevae(net, speech, source, style, generator=generator, reference=reference, on_progress=on_progress)


def _cut(speech: SpeechWindows, n_frames: int) -> SpeechWindows:
    """The beginning of a clip, for a reference that ends it."""
    return speech if n_frames == speech.n_frames else replace(speech, n_frames=n_frames)


# ----------------------------------------------------------------------------------------------------- the motion


@few_threads()
def coefficients_to_motion(
    model: Model,
    source: FaceCoefficients,
    expression: Expression,
    pose: HeadPose,
    *,
    expression_scale: float = 1.0,
    pose_scale: PoseAngles = UNSCALED,
    still: bool = False,
    yaw: Degrees = None,
    pitch: Degrees = None,
    roll: Degrees = None,
    on_progress: OnProgress | None = None,
) -> AnyMotion:
    """MappingNet: tracks -> what moves the image. A track that a reference has cut ends the clip."""
    require_family("the coefficients", source.family, model.family.name)
    n_frames = min(len(expression), len(pose))
    expression = replace(expression, coefficients=expression.coefficients[:n_frames])
    pose = replace(pose, coefficients=pose.coefficients[:n_frames])
    return model.family.coefficients_to_motion(
        model,
        source,
        expression,
        pose,
        DrivingOptions(expression_scale, pose_scale, still, yaw, pitch, roll),
        on_progress=on_progress,
    )


def preview(
    model: Model, portrait: Portrait, motion: AnyMotion, *, side: int = 384, over_portrait: bool = False
) -> FrameStream:
    """Motion Preview: drawings of how the face will move, `side` pixels wide and high."""
    require_family("the motion", motion.family, model.family.name)
    drawings = model.family.preview(model, portrait.require_crop(), motion, side=side, behind=over_portrait)
    return FrameStream(len(motion), side, side, lambda: (frame.permute(2, 0, 1)[None] for frame in drawings))


# ----------------------------------------------------------------------------------------------------- the frames


def render(model: Model, portrait: Portrait, motion: AnyMotion, *, batch_size: int = 0) -> FrameStream:
    """Face Render: the frames of the head, in the aspect of its box.

    batch_size: frames at once; 0 lets the family choose, by the device and what is free there. Halved where memory
    runs out.
    """
    require_family("the motion", motion.family, model.family.name)
    crop = portrait.require_crop()
    renderer = model.family.renderer(model, crop, motion, batch_size=batch_size)
    height, width = crop.frame_hw
    return FrameStream(len(motion), height, width, renderer.batches, seconds_per_frame=renderer.seconds_per_frame)


# --------------------------------------------------------------------------------------------- the whole image


def paste(
    frames: Tensor,
    portrait: Portrait,
    *,
    feather: float = FEATHER,
    colour_match: float = 1.0,
    mask: Tensor | None = None,
    background: Tensor | None = None,
) -> tuple[FrameStream, Tensor]:
    """Paste Back: frames (T, h, w, 3) of any size -> the frames of the whole image, and the mask (H, W) of where.

    background: (T', H, W, 3) frames of that image in which somebody else talks already. The longer of the two clips
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
    check_stop: called again and again while the encoder is waited for; may raise to stop
    """
    _require_clip("frames", frames)
    height, width = frames.shape[1:3]
    writer = VideoWriter(
        path,
        (width, height),
        fps,
        output_fps=output_fps,
        audio=audio,
        metadata=metadata,
        quality=quality,
        signature=signature,
        check_stop=check_stop,
    )
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
    on_head: Callable[[Tensor], None] | None = None,
    on_progress: OnProgress | None = None,
    check_stop: Callable[[], None] | None = None,
) -> Path:
    """Render Video: heads are rendered, put into the whole image and encoded, one batch after the other, to path or
    under a claimed name. Returns where it is.

    heads: from `render`;  paste_back: from `make_paste_back`, or None for the heads alone
    output_fps: see `write_video`
    partial: where the frames that were made stay when it does not come to an end; None keeps nothing, unless the claim
             says so
    on_head: shown the last head (3, h, w) of every batch, before `on_progress` is called
    check_stop: called before every whole image and again and again while the encoder is waited for; may raise to stop
    """
    size_wh = (
        (heads.width, heads.height) if paste_back is None else (paste_back.mask.shape[1], paste_back.mask.shape[0])
    )
    writer = VideoWriter(
        path,
        size_wh,
        FRAMES_PER_SECOND,
        output_fps=output_fps,
        audio=audio,
        metadata=metadata,
        quality=quality,
        signature=signature,
        partial=partial,
        check_stop=check_stop,
    )
    with writer as video:
        for batch in heads.batches():
            with few_threads():
                if paste_back is None:
                    video.write(batch.permute(0, 2, 3, 1))
                else:  # one by one: a large image may need more memory than the heads did
                    for head in batch.split(1):
                        if check_stop is not None:
                            check_stop()
                        video.write(paste_back.as_bytes(head))
            if on_head is not None:
                on_head(batch[-1])
            if on_progress is not None:
                on_progress(video.n_frames, heads.n_frames)
    return writer.path


def _at_once(pixels: int, most_pixels: int, most: int) -> int:
    """How many images of so many pixels are worked on between two looks at the stop button."""
    return min(max(most_pixels // max(pixels, 1), 1), most)


def _require_clip(name: str, clip: Tensor) -> None:
    if clip.dim() != 4 or clip.shape[3] < 3:
        raise VideoError(
            f"expected {name} as (batch, height, width, 3 channels), got the shape {tuple(clip.shape)}; "
            "check the node that made them."
        )
    if len(clip) == 0:
        raise VideoError(f"expected at least one frame in {name}, got none; check the node that made them.")


@few_threads()
def make_paste_back(
    portrait: Portrait, *, feather: float = FEATHER, colour_match: float = 1.0, mask: Tensor | None = None
) -> PasteBack:
    """What `render_video` needs to put the heads back into their image; see `paste`. A mask says where the head ends:
    then no colours fade beyond it.
    """
    blend = Blend.MULTIBAND if mask is None else Blend.FEATHER
    return PasteBack(portrait, feather=feather, colour_match=colour_match, mask=mask, blend=blend)
