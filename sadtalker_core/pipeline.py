"""The pipeline, in order: a portrait and speech pass through every package. The only file that imports them all.

Each function is one stage, and one node. `model` is whatever brings networks to where they compute: a loaded
`SadTalkerModel`, or the node layer's resident one. What differs between the families is in `families`.
`on_progress(done, total)` may raise to stop. Letters: `T` video frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .audio.loudness import OFF
from .audio.speech import encode_speech, idle_speech
from .choices import one_of
from .compose.paste import PasteBack, SeamOptions
from .compose.video_file import render_video, write_video
from .compose.whole_image import make_paste_back, paste, paste_together
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
from .motion.reference import ReferenceLength, ReferenceOptions, closing_of_expnet, fit_length, reenact
from .motion.set_expression import Acting
from .motion.set_expression import set_expression as with_acting
from .render.driving import Degrees, DrivingOptions, Tracks
from .threads import few_threads

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: what ExpNet and PoseVAE can take from a reference video
EXPRESSION_REFERENCE = ("blink", "all")
POSE_REFERENCE = ("pose", "all")
#: frames over which the end of a looped reference is blended into its beginning
LOOP_BLEND = 10


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
    on_progress: OnProgress | None = None,
    **lent: Unpack[ReferenceOptions],
) -> Expression:
    """ExpNet: the expression of every frame. Blinks, or all of the expression, can come from a reference.

    blink: one of BLINKS; blinks_per_minute is the rate of "auto" alone. A reference replaces the blinks.
    lent: see ReferenceOptions; what is taken is one of EXPRESSION_REFERENCE
    """
    require_family("the coefficients", source.family, model.family.name)
    reference, taken = _fitted_reference(model, speech.n_frames, EXPRESSION_REFERENCE, lent)
    blinks = Blinks(one_of("blink", blink, BLINKS), blinks_per_minute, blink_strength, seed)
    (net,) = model.use(EXPNET)
    family = model.family
    if reference is None:
        return family.express(net, speech, source, blinks, on_progress)
    if taken == "all":
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
    on_progress: OnProgress | None = None,
    **lent: Unpack[ReferenceOptions],
) -> HeadPose:
    """PoseVAE: the head pose of every frame. A reference's movement is added, or replaces it.

    lent: see ReferenceOptions; what is taken is one of POSE_REFERENCE
    """
    require_family("the coefficients", source.family, model.family.name)
    reference, taken = _fitted_reference(model, speech.n_frames, POSE_REFERENCE, lent)
    if reference is not None:
        if taken == "all":
            return reenact(reference, source)[1]
        speech = _cut(speech, len(reference))
    (net,) = model.use(POSEVAE)
    generator = torch.Generator().manual_seed(seed)
    return run_posevae(net, speech, source, style, generator=generator, reference=reference, on_progress=on_progress)


def _fitted_reference(
    model: Model, n_frames: int, modes: Sequence[str], lent: ReferenceOptions
) -> tuple[FaceCoefficients | None, str]:
    """The reference, made as long as the speech, and what is taken from it: one of the modes."""
    taken = one_of("reference_mode", lent.get("reference_mode", modes[0]), modes)
    reference = lent.get("reference")
    if reference is None:
        return None, taken
    require_family("the reference", reference.family, model.family.name)
    length = lent.get("reference_length", ReferenceLength.LOOP)
    return fit_length(reference, n_frames, length, blend=LOOP_BLEND), taken


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


__all__ = [
    "EXPRESSION_REFERENCE",
    "POSE_REFERENCE",
    "coefficients_to_motion",
    "encode_audio",
    "extract",
    "extract_video",
    "landmarks_image",
    "look_at",
    "make_paste_back",
    "paste",
    "paste_together",
    "predict_expression",
    "predict_head_pose",
    "preview",
    "render",
    "render_people",
    "render_video",
    "set_expression",
    "write_video",
]
