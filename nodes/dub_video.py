"""Dub Video: a video and speech in, the same video out with one mouth moved by that speech; frame by frame."""

from __future__ import annotations

import logging
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..sadtalker_core.datatypes import Expression, SpeechWindows
from ..sadtalker_core.dub.dub import DubOptions, dub_video, require_speech, speech_track
from ..sadtalker_core.face.points import FaceSelector
from ..sadtalker_core.face.portrait import mask_box
from . import video_file, video_frames, widgets, wires
from .progress import Progress
from .residency import ManagedModel


class SadTalkerDubVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerDubVideo",
            display_name="Dub Video",
            category=wires.CATEGORY,
            description="Dubs a person in a video: jaw and lips follow the new audio, everything else stays as "
            "recorded. Videos of any length, in the memory of a few frames.",
            inputs=[
                widgets.model(),
                *map(widgets.option, ("length", "strength", "keep_mouth", "original_volume")),
                widgets.option("face_index", "Which face in the first frame that shows any, counted from 0."),
                widgets.option("face_order", "Order in which the faces of that frame are counted."),
                widgets.option("quality"),
                *widgets.own("DubVideo"),
                widgets.output_fps(),
                widgets.option("label", optional=True),
                io.Video.Input("video", optional=True, tooltip="The video to dub, from ComfyUI's Load Video."),
                io.Image.Input("frames", optional=True, tooltip="The video as an image batch, instead of video."),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="The new speech; it is the audio of the output, too. Or connect speech.",
                ),
                wires.Speech.Input(
                    "speech",
                    optional=True,
                    tooltip="From Audio Encode, instead of audio, or in addition: what moves the mouth.",
                ),
                wires.Expression.Input(
                    "expression",
                    optional=True,
                    tooltip="From ExpNet or an editing node: how the mouth moves, at 25 fps. Audio and speech then "
                    "only give the sound.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="White over the face to dub, in the first frame that shows any."
                ),
            ],
            outputs=video_file.outputs("dubbed"),
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    @torch.inference_mode()
    def execute(
        cls,
        model: ManagedModel,
        length: str,
        strength: float,
        keep_mouth: float,
        original_volume: float,
        face_index: int,
        face_order: str,
        quality: str,
        fps: float,
        filename_prefix: str,
        keep_partial: bool,
        output_fps: float = 0.0,
        label: str = "",
        video: Any = None,
        frames: Tensor | None = None,
        audio: Any = None,
        speech: SpeechWindows | None = None,
        expression: Expression | None = None,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        sound = video_file.sound_of(audio)
        require_speech(sound, speech, expression)
        source = video_frames.open_video(frames, video, fps)
        width, height = source.size_wh
        box = None if mask is None else mask_box(mask, (height, width))
        track, sound = speech_track(model, sound, speech, expression, check_stop=Progress.check_stop)
        logging.info("SadTalker: Dub Video reads %d frames of %d x %d.", source.n_frames, width, height)
        progress = Progress(source.n_frames)
        claim, subfolder = video_file.claim(
            filename_prefix,
            "dubbed",
            ".mp4",
            cls.hidden,
            size_wh=source.size_wh,
            keep_partial=keep_partial,
        )
        with claim:
            path = dub_video(
                claim,
                model,
                source,
                track,
                DubOptions(
                    length, strength, keep_mouth, original_volume, FaceSelector(face_index, face_order, box), label
                ),
                audio=sound,
                on_frame=progress.show,
                **video_file.writing(cls.hidden, progress, quality=quality, output_fps=output_fps),
            )
        return video_file.output_of(path, subfolder)

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None) -> str | bool:
        return video_file.prefix_fault(filename_prefix)
