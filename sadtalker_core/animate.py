"""`Options` and a caller's input taken through the stages of the pipeline: one person, or several who talk in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from . import pipeline
from .audio.speakers import split_speakers
from .audio.turns import Turn
from .compose.paste import PasteBack
from .datatypes import (
    AnyMotion,
    Expression,
    FaceCoefficients,
    FrameStream,
    HeadPose,
    Portrait,
    PoseAngles,
    SpeechWindows,
)
from .dub.dub import DubOptions
from .errors import FaceNotFound, OptionError, shorten
from .face.points import FaceSelector
from .face.portrait import portrait_from_image
from .model import SadTalkerModel, choose_points
from .motion.set_expression import read_acting
from .options import LARGEST_SEED, OPTIONS, Options

#: a portrait with its face cropped, and its motion
Person = tuple[Portrait, AnyMotion]


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


def dub_options(options: Options) -> DubOptions:
    """The options of dubbing."""
    return DubOptions(
        options.length,
        options.strength,
        options.keep_mouth,
        options.original_volume,
        FaceSelector(options.face_index, options.face_order),
        options.label,
    )
