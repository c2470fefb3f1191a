"""The pipeline, in order: a portrait and speech pass through every package. The only file that imports them all.

Each function is one stage, and one node. `model` is whatever brings networks to where they compute: a loaded
`SadTalkerModel`, or the node layer's resident one. What differs between the families is in `families`.
`on_progress(done, total)` may raise to stop. Letters: `T` video frames.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .audio.loudness import OFF
from .audio.speech import encode_speech, idle_speech
from .choices import one_of
from .claims import Claim
from .compose.cutout import Backdrop, clean_edges
from .compose.formats import format_of
from .compose.paste import Blend, PasteBack, SeamOptions
from .compose.video import VideoWriter, WriterOptions
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
from .errors import OptionError, VideoError
from .face.crop import CropOptions
from .face.draw import draw_landmarks
from .face.portrait import check_portrait
from .face.reference_video import ReadingOptions
from .families import Model
from .families.base import Points
from .families.networks import EXPNET, POSEVAE
from .motion.blink import AUTO, BLINKS, NATURAL_RATE, Blinks
from .motion.listening import direction_to, look_at_speaker
from .motion.pose import run_posevae
from .motion.reference import ReferenceLength, closing_of_expnet, fit_length, reenact
from .motion.set_expression import Acting
from .motion.set_expression import set_expression as with_acting
from .render.driving import Degrees, DrivingOptions, Tracks
from .threads import each_on_few_threads, few_threads
from .timeline import FRAMES_PER_SECOND

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: what ExpNet and PoseVAE can take from a reference video
EXPRESSION_REFERENCE = ("blink", "all")
POSE_REFERENCE = ("pose", "all")
#: frames over which the end of a looped reference is blended into its beginning
LOOP_BLEND = 10
#: whole images made at once, and the most pixels they may have together: a large one takes a second by itself
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
    **crop: Unpack[CropOptions],
) -> tuple[Portrait, FaceCoefficients]:
    """3DMM Extract: the portrait with its face cut out, and one row of coefficients.

    crop: see CropOptions; its render_size is the mini family's, the released one renders at the size of its weights
    Raises ImageError for a portrait made by hand whose image cannot be used, FaceNotFound and OptionError.
    """
    mode = one_of("crop_mode", mode, CropMode)
    portrait = check_portrait(portrait)
    with _threads_for(points):
        return model.family.extract(model, portrait, mode, points, **crop)


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
    **reading: Unpack[ReadingOptions],
) -> FaceCoefficients:
    """3DMM from Video: frames (H, W, 3) of a clip -> one row for each frame at 25 fps.  reading: see ReadingOptions"""
    with _threads_for(points):
        return model.family.extract_video(model, frames, fps, points, **reading)


def _threads_for(points: Points | None) -> AbstractContextManager[None]:
    """Few threads for our own face networks, which are small; all threads for another landmark detector
    (face-alignment).
    """
    return few_threads() if points is None else nullcontext()


# ------------------------------------------------------------------------------------------------------ the audio


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

    loudness: "off" leaves it as it is, "auto" makes all speakers alike; see encode_speech
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
    """ExpNet: the expression of every frame. Blinks, or all of the expression, can come from a reference.

    blink: one of BLINKS; blinks_per_minute is the rate of "auto" alone. A reference replaces the blinks.
    """
    require_family("the coefficients", source.family, model.family.name)
    reference_mode = one_of("reference_mode", reference_mode, EXPRESSION_REFERENCE)
    blinks = Blinks(one_of("blink", blink, BLINKS), blinks_per_minute, blink_strength, seed)
    (net,) = model.use(EXPNET)
    family = model.family
    if reference is None:
        return family.express(net, speech, source, blinks, on_progress)
    require_family("the reference", reference.family, model.family.name)
    reference = fit_length(reference, speech.n_frames, reference_length, blend=LOOP_BLEND)
    if reference_mode == "all":
        return reenact(reference, source)[0]
    blinks = replace(blinks, lids=family.eyelids(reference, net) * blink_strength)
    return family.express(net, _cut(speech, len(reference)), source, blinks, on_progress)


@few_threads()
def set_expression(
    expression: Expression, acting: Acting, model: Model | None = None, *, on_progress: OnProgress | None = None
) -> Expression:
    """Set Expression: the track with controls, a preset, and random movements drawn from a seed added.

    model: needed only for a basis without blendshapes, to take from it how the eyes shut
    Raises OptionError for controls that a basis without blendshapes cannot follow, WrongFamily for a model of another
    family.
    """
    closing = None
    if model is not None:
        require_family("the expression", expression.family, model.family.name)
        if not expression.blendshapes:
            (net,) = model.use(EXPNET)
            closing = closing_of_expnet(net)
    return with_acting(expression, acting, closing=closing, on_progress=on_progress)


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
    """PoseVAE: the head pose of every frame. A reference's movement is added, or replaces it."""
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
    """The first frames of the speech, for a reference that is shorter."""
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
    """MappingNet: tracks -> the motion of the image, as long as the shorter track."""
    require_family("the coefficients", source.family, model.family.name)
    n_frames = min(len(expression), len(pose))
    expression = replace(expression, coefficients=expression.coefficients[:n_frames])
    pose = replace(pose, coefficients=pose.coefficients[:n_frames])
    options = DrivingOptions(expression_scale, pose_scale, still, yaw, pitch, roll)
    return model.family.coefficients_to_motion(model, Tracks(source, expression, pose), options, on_progress)


def preview(
    model: Model, portrait: Portrait, motion: AnyMotion, *, side: int = 384, over_portrait: bool = False
) -> FrameStream:
    """Motion Preview: drawings of the face's motion, `side` pixels wide and high."""
    require_family("the motion", motion.family, model.family.name)
    drawings = model.family.preview(model, portrait.require_crop(), motion, side=side, behind=over_portrait)
    return FrameStream(len(motion), side, side, lambda: (frame.permute(2, 0, 1)[None] for frame in drawings))


def look_at(
    portrait: Portrait,
    other: Portrait,
    speech: SpeechWindows,
    other_speech: SpeechWindows,
    expression: Expression | None = None,
    pose: HeadPose | None = None,
    *,
    amount: float = 1.0,
) -> tuple[Expression | None, HeadPose | None]:
    """Look at Speaker: a listener's tracks, turned a little towards another person of the same image while that person
    speaks.

    portrait, other: with their faces cropped;  speech, other_speech: each silent where that person does not speak
    """
    towards = direction_to(portrait.require_crop().box, other.require_crop().box)
    return look_at_speaker(expression, pose, speech, other_speech, towards, amount=amount)


# ----------------------------------------------------------------------------------------------------- the frames


def render(
    model: Model, portrait: Portrait, motion: AnyMotion, *, batch_size: int = 0, alpha: bool = False
) -> FrameStream:
    """Face Render: the frames of the head, in the aspect of its box.

    batch_size: frames at once; 0 lets the family choose, by the device and what is free there. Halved where memory
    runs out.
    alpha: whether the portrait's alpha comes along, moved as its pixels are, where it has one (FrameStream.has_alpha);
           the colours are the same either way
    """
    require_family("the motion", motion.family, model.family.name)
    crop = portrait.require_crop()
    if not alpha and crop.alpha is not None:
        crop = replace(crop, alpha=None)
    renderer = model.family.renderer(model, crop, motion, batch_size=batch_size)
    height, width = crop.frame_hw
    return FrameStream(
        len(motion),
        height,
        width,
        renderer.batches,
        seconds_per_frame=renderer.seconds_per_frame,
        has_alpha=crop.alpha is not None,
    )


# --------------------------------------------------------------------------------------------- the whole image


def render_people(
    model: Model,
    people: Sequence[tuple[Portrait, AnyMotion]],
    *,
    paste_back: bool,
    batch_size: int = 0,
    alpha: bool = False,
    **seam: Unpack[SeamOptions],
) -> tuple[FrameStream, PasteBack | None]:
    """One person, or several of one image -> the frames, and what puts them back into their image; None where that is
    not wanted, and where the frames are whole images already, as those of several people are.

    batch_size, alpha: see `render`;  seam: see `PasteBack`
    """
    streams = [render(model, portrait, motion, batch_size=batch_size, alpha=alpha) for portrait, motion in people]
    if len(people) == 1 and not paste_back:
        return streams[0], None
    backs = [make_paste_back(portrait, **seam) for portrait, _ in people]
    if len(people) == 1:
        return streams[0], backs[0]
    return paste_together(list(zip(streams, backs, strict=True))), None


def paste(
    frames: Tensor,
    portrait: Portrait,
    *,
    background: Tensor | None = None,
    alpha: Tensor | None = None,
    **seam: Unpack[SeamOptions],
) -> tuple[FrameStream, Tensor]:
    """Paste Back: frames (T, h, w, 3) of any size -> the frames of the whole image, and the mask (H, W) of where.

    background: (T', H, W, 3) frames of that image in which somebody else talks already. The result is as long as the
    longer clip; the shorter one holds its last frame.
    alpha: (T, h', w') of the head, 1 where it shows; the stream then has the alpha of the whole image, which is the
    portrait's own where nothing is pasted. The colours are the same either way.
    seam: see `PasteBack`
    """
    for name, clip in (("frames", frames), ("background", background)):
        if clip is not None:
            _require_clip(name, clip)
    back = make_paste_back(portrait, **seam)
    width, height = portrait.size_wh
    n_frames = max(len(frames), 0 if background is None else len(background))
    alphas = None if alpha is None else _masks("alpha", alpha)

    def held(clip: Tensor, places: Tensor) -> Tensor:
        return clip[places.clamp(max=len(clip) - 1), ..., :3].permute(0, 3, 1, 2).float()

    def batches() -> Iterator[Tensor]:
        for places in torch.arange(n_frames).split(_at_once(width * height, PIXELS_AT_ONCE, PASTED_AT_ONCE)):
            whole = back(held(frames, places), None if background is None else held(background, places))
            if alphas is not None:
                whole = torch.cat([whole, back.alpha(_masks_at(alphas, places)).to(whole)], dim=1)
            yield whole

    stream = FrameStream(n_frames, height, width, lambda: each_on_few_threads(batches()), has_alpha=alphas is not None)
    return stream, back.mask


def paste_together(people: Sequence[tuple[FrameStream, PasteBack]]) -> FrameStream:
    """Several heads of one image, each with what pastes it back -> the frames of the whole image, one at a time.

    Later ones lie over earlier ones. The result is as long as the longest clip; a shorter one holds its last frame.
    Where all heads have alpha, the whole image has, too.
    Raises OptionError for an empty list, and for portraits of images of different sizes.
    """
    if not people:
        raise OptionError("expected at least one person, got none.")
    height, width = people[0][1].mask.shape
    for _, back in people[1:]:
        if back.mask.shape != (height, width):
            raise OptionError(
                f"the portraits are of images of different sizes, {width} x {height} and "
                f"{back.mask.shape[1]} x {back.mask.shape[0]}; select both faces in one image."
            )
    n_frames = max(heads.n_frames for heads, _ in people)
    has_alpha = all(heads.has_alpha for heads, _ in people)

    def one_by_one(heads: FrameStream) -> Iterator[Tensor]:
        head = None
        for batch in heads.batches():
            for head in batch.split(1):
                yield head
        while head is not None:
            yield head

    def frames() -> Iterator[Tensor]:
        streams = [one_by_one(heads) for heads, _ in people]
        for _ in range(n_frames):
            whole = alpha = None
            for stream, (_, back) in zip(streams, people, strict=True):
                head = next(stream)
                with few_threads():
                    whole = back(head[:, :3], whole)
                    if has_alpha:
                        alpha = back.alpha(head[:, 3:], alpha)
            if whole is not None:
                yield whole if alpha is None else torch.cat([whole, alpha.to(whole)], dim=1)

    def seconds_per_frame() -> float:
        return sum(heads.seconds_per_frame() for heads, _ in people if heads.seconds_per_frame is not None)

    return FrameStream(n_frames, height, width, frames, seconds_per_frame=seconds_per_frame, has_alpha=has_alpha)


@few_threads()
def write_video(
    path: Path | Claim,
    frames: Tensor,
    *,
    fps: float = FRAMES_PER_SECOND,
    audio: tuple[Tensor, float] | None = None,
    mask: Tensor | None = None,
    background: Tensor | None = None,
    on_progress: OnProgress | None = None,
    **writing: Unpack[WriterOptions],
) -> Path:
    """Video Combine: frames (T, H, W, 3) in 0..1 at `fps`, and (waveform, sample rate) -> a video at that path, or
    under a claimed name, in the format of its ending. Returns its path.

    mask: (T, h, w) or one for all, 1 where the frames are opaque; without it a fourth channel of the frames is used
    background: what is under them, a colour (3,) or (T', H', W', 3), which holds its last image; without it a webm or
                a mov is transparent, and an mp4 shows the frames as they are
    writing: see `VideoWriter`
    """
    _require_clip("frames", frames)
    height, width = frames.shape[1:3]
    masks = None if mask is None else _masks("mask", mask)
    if masks is None and frames.shape[3] == 4:
        masks = frames[..., 3]
    finish = _Finish(path, (width, height), masks is not None, background)
    if mask is not None and not finish.needs_alpha:
        logging.warning("SadTalker: the mask has no effect in an mp4; choose the format webm or mov, or a background.")
    writer = VideoWriter(path, (width, height), fps, audio=audio, alpha=finish.alpha, **writing)
    with writer as video:
        at_once = _at_once(width * height, PIXELS_WRITTEN_AT_ONCE, WRITTEN_AT_ONCE)
        for start in range(0, len(frames), at_once):
            part = frames[start : start + at_once, ..., :3]
            if finish.needs_alpha and masks is not None:
                shown = _masks_at(masks, torch.arange(start, start + len(part)), (height, width))
                part = finish(part.permute(0, 3, 1, 2), shown)
            video.write(part)
            if on_progress is not None:
                on_progress(start + len(part), len(frames))
    return writer.path


def render_video(
    path: Path | Claim,
    heads: FrameStream,
    paste_back: PasteBack | None = None,
    *,
    audio: tuple[Tensor, float] | None = None,
    background: Tensor | None = None,
    on_head: Callable[[Tensor], None] | None = None,
    on_alpha: Callable[[Tensor], None] | None = None,
    on_progress: OnProgress | None = None,
    **writing: Unpack[WriterOptions],
) -> Path:
    """Render Video: heads are rendered, put into the whole image and encoded, one batch after the other, to path or
    under a claimed name, in the format of its ending. Returns its path.

    heads: from `render`, with their alpha where the video is to be transparent or to have another background
    paste_back: from `make_paste_back`, or None for the heads alone
    background: see `write_video`
    on_head: called with the last head (3, h, w) of every batch, before `on_progress` is called
    on_alpha: called with the alpha (B, 1, H, W) of the frames that are written, in order, where the heads have one
    writing: see `VideoWriter`; its check_stop is called before every whole image, too
    """
    size_wh = (heads.width, heads.height) if paste_back is None else paste_back.size_wh
    finish = _Finish(path, size_wh, heads.has_alpha, background)
    check_stop = writing.get("check_stop")
    writer = VideoWriter(path, size_wh, FRAMES_PER_SECOND, audio=audio, alpha=finish.alpha, **writing)
    with writer as video:
        for batch in heads.batches():
            with few_threads():
                for frames, alpha in _put_back(batch, paste_back, check_stop):
                    if alpha is not None and on_alpha is not None:
                        on_alpha(alpha)
                    video.write(finish(frames, alpha))
            if on_head is not None:
                on_head(batch[-1, :3])
            if on_progress is not None:
                on_progress(video.n_frames, heads.n_frames)
    return writer.path


def _put_back(
    batch: Tensor, paste_back: PasteBack | None, check_stop: Callable[[], None] | None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Heads (B, 3 or 4, h, w) -> for `_Finish`, in pieces: frames, and their alpha where the heads have one.

    Whole images come one by one: a large one may need more room than the heads did.
    """
    has_alpha = batch.shape[1] == 4
    if paste_back is None:
        yield batch[:, :3], batch[:, 3:] if has_alpha else None
        return
    for head in batch.split(1):
        if check_stop is not None:
            check_stop()
        yield paste_back.as_bytes(head[:, :3]), paste_back.alpha(head[:, 3:]) if has_alpha else None


class _Finish:
    """Prepares frames and their alpha for the writer: composited on a background, or as four channels.

    needs_alpha: whether it does anything with the alpha;  alpha: whether the file is transparent
    """

    def __init__(
        self, path: Path | Claim, size_wh: tuple[int, int], has_alpha: bool, background: Tensor | None
    ) -> None:
        kind = format_of(path.path if isinstance(path, Claim) else path)
        self.backdrop = Backdrop(background, size_wh) if background is not None and has_alpha else None
        self.alpha = has_alpha and kind.alpha and self.backdrop is None
        self.needs_alpha = self.alpha or self.backdrop is not None
        if background is not None and not has_alpha:
            logging.warning("SadTalker: the background has no effect: the frames have no transparent parts.")

    def __call__(self, frames: Tensor, alpha: Tensor | None) -> Tensor:
        """frames (B, 3, H, W) in 0..1, or bytes (B, H, W, 3), and alpha (B, 1, H, W) -> (B, H, W, 3), or 4 for a
        transparent file.
        """
        if frames.dtype == torch.uint8:
            if not self.needs_alpha:
                return frames
            frames = frames.permute(0, 3, 1, 2) / 255
        if self.needs_alpha and alpha is not None:
            alpha = alpha.to(frames)
            frames = clean_edges(frames, alpha)
            if self.backdrop is not None:
                frames = self.backdrop.under(frames, alpha)
            else:
                frames = torch.cat([frames, alpha], dim=1)
        return frames.permute(0, 2, 3, 1)


def _masks(name: str, masks: Tensor) -> Tensor:
    """A MASK (T, h, w), or one (h, w) for all -> (T, h, w)."""
    masks = masks[None] if masks.dim() == 2 else masks
    if masks.dim() != 3 or 0 in masks.shape:
        raise VideoError(f"expected {name} as (batch, height, width), got the shape {tuple(masks.shape)}.")
    if not torch.isfinite(torch.stack(masks.aminmax())).all():
        raise VideoError(f"{name} contains NaN or infinite values; check the node that made it.")
    return masks


def _masks_at(masks: Tensor, places: Tensor, size_hw: tuple[int, int] | None = None) -> Tensor:
    """(T, h, w) -> (B, 1, H, W) in 0..1 of these frames, the last one held; resized where a size is given."""
    found = masks[places.clamp(max=len(masks) - 1)][:, None].float().clamp(0, 1)
    if size_hw is not None and tuple(found.shape[-2:]) != size_hw:
        found = F.interpolate(found, size_hw, mode="bilinear", align_corners=False, antialias=True)
    return found


def _at_once(pixels: int, most_pixels: int, most: int) -> int:
    """How many images of so many pixels are processed between two checks of the stop button."""
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
def make_paste_back(portrait: Portrait, **seam: Unpack[SeamOptions]) -> PasteBack:
    """What `render_video` needs to put the heads back into their image; see `paste`. With a mask, which limits the
    head, the blend is a feathered edge, so that no colours spread beyond it.
    """
    return PasteBack(portrait, blend=Blend.MULTIBAND if seam.get("mask") is None else Blend.FEATHER, **seam)
