"""Video Combine: frames and audio in, a video in the output folder out."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..sadtalker_core import pipeline
from ..sadtalker_core.compose.formats import FORMATS
from . import video_file, widgets, wires
from .progress import Progress


class SadTalkerVideoCombine(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerVideoCombine",
            display_name="Video Combine",
            category=wires.CATEGORY,
            description="Writes frames and audio to an mp4 (H.264, AAC), or a transparent webm or mov, in the output "
            "folder, marked as AI-generated and with the workflow inside: drop the file on the canvas to restore the "
            "graph.",
            inputs=[
                io.Image.Input("frames", tooltip="From Face Render or Paste Back."),
                *(widgets.option(name, node="VideoCombine") for name in ("fps", "filename_prefix")),
                widgets.option("quality"),
                widgets.audio(),
                widgets.output_fps(),
                *widgets.file_format(),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Alpha of the frames, from Face Render or Paste Back: 1 where they show something. For "
                    "webm, mov and backgrounds.",
                ),
            ],
            outputs=video_file.outputs(),
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    @torch.inference_mode()
    def execute(
        cls,
        frames: Tensor,
        fps: float,
        filename_prefix: str,
        quality: str,
        audio: Any = None,
        output_fps: float = 0.0,
        format: str = "mp4",
        background_color: str = "",
        background: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        height, width = frames.shape[1:3] if frames.dim() == 4 else (0, 0)
        behind = video_file.backdrop(background_color, background)
        progress = Progress(len(frames))
        claim, subfolder = video_file.claim(
            filename_prefix, "talking", FORMATS[format].ending, cls.hidden, size_wh=(width, height)
        )
        with claim:
            path = pipeline.write_video(
                claim,
                frames,
                fps=fps,
                audio=video_file.sound_of(audio),
                mask=mask,
                background=behind,
                **video_file.writing(cls.hidden, progress, quality=quality, output_fps=output_fps),
            )
        return video_file.output_of(path, subfolder, check_stop=progress.check_stop)

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None, background_color: str | None = None) -> str | bool:
        fault = video_file.prefix_fault(filename_prefix)
        return fault if fault is not True else video_file.format_fault(background_color)
