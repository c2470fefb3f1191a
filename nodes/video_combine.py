"""Video Combine: frames and a voice in, an mp4 in the output folder out."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..sadtalker_core import pipeline
from . import video_file, widgets, wires
from .progress import Progress


class SadTalkerVideoCombine(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerVideoCombine",
            display_name="Video Combine",
            category=wires.CATEGORY,
            description="Writes frames and audio to an mp4 (H.264, AAC) in the output folder, marked as AI-generated "
            "and with the workflow inside: drop the file on the canvas to restore the graph.",
            inputs=[
                io.Image.Input("frames", tooltip="From Face Render or Paste Back."),
                *widgets.own("VideoCombine"),
                widgets.option("quality"),
                widgets.audio(),
                widgets.output_fps(),
            ],
            outputs=video_file.outputs(),
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    @torch.inference_mode()
    def execute(cls, frames, fps, filename_prefix, quality, audio=None, output_fps=0.0) -> io.NodeOutput:
        height, width = frames.shape[1:3] if frames.dim() == 4 else (0, 0)
        progress = Progress(len(frames))
        claim, subfolder = video_file.claim(filename_prefix, "talking", ".mp4", cls.hidden, size_wh=(width, height))
        with claim:
            path = pipeline.write_video(
                claim,
                frames,
                fps=fps,
                output_fps=output_fps,
                audio=None if audio is None else (audio["waveform"], audio["sample_rate"]),
                quality=quality,
                metadata=video_file.workflow_metadata(cls.hidden),
                signature=video_file.signature(),
                on_progress=progress,
                check_stop=progress.check_stop,
            )
        return video_file.shown(path, subfolder)

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None):
        return video_file.prefix_fault(filename_prefix)
