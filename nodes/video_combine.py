"""Video Combine: frames and a voice in, an mp4 in the output folder out."""

from __future__ import annotations

import json
from pathlib import Path

import folder_paths
import torch
from comfy.cli_args import args
from comfy_api.latest import InputImpl, io, ui

from ..sadtalker_core import pipeline
from ..sadtalker_core.compose.video import QUALITIES
from . import wires
from .progress import Progress


class SadTalkerVideoCombine(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerVideoCombine",
            display_name="Video Combine",
            category=wires.CATEGORY,
            description="Writes frames and a voice as an mp4 (H.264, AAC) into the output folder, marked as "
            "AI-generated, with the workflow inside: drop the file on the page and the graph is back.",
            inputs=[
                io.Image.Input("frames", tooltip="From Face Render or Paste Back."),
                io.Float.Input(
                    "fps", default=25.0, min=1.0, max=240.0, step=0.001, tooltip="Frames a second, from Face Render."
                ),
                io.String.Input(
                    "filename_prefix",
                    default="sadtalker/talking",
                    tooltip="Folder and beginning of the file's name inside the output folder; %date:yyyy-MM-dd% and "
                    "the like are filled in.",
                ),
                io.Combo.Input(
                    "quality",
                    options=list(QUALITIES),
                    default="high",
                    tooltip="draft: small and fast. high: looks like the frames. best: nearly lossless.",
                ),
                io.Audio.Input(
                    "audio", optional=True, tooltip="The voice; cut or filled with silence to the length of the frames."
                ),
            ],
            outputs=[io.Video.Output("video", display_name="video", tooltip="The file that was written.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    @torch.inference_mode()
    def execute(cls, frames, fps, filename_prefix, quality, audio=None) -> io.NodeOutput:
        height, width = frames.shape[1:3]
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), width, height
        )
        file = f"{name}_{counter:05}_.mp4"
        pipeline.write_video(
            Path(folder) / file,
            frames,
            fps=fps,
            audio=None if audio is None else (audio["waveform"], audio["sample_rate"]),
            quality=quality,
            metadata=workflow_metadata(cls.hidden),
            on_progress=Progress(len(frames)),
        )
        return io.NodeOutput(
            InputImpl.VideoFromFile(str(Path(folder) / file)),
            ui=ui.PreviewVideo([ui.SavedResult(file, subfolder, io.FolderType.output)]),
        )


def workflow_metadata(hidden) -> dict[str, str]:
    """What the page needs to restore the graph from the dropped file; nothing with --disable-metadata."""
    if args.disable_metadata or hidden is None:
        return {}
    found = {}
    if hidden.prompt is not None:
        found["prompt"] = json.dumps(hidden.prompt)
    for key, value in (hidden.extra_pnginfo or {}).items():
        found[key] = json.dumps(value)
    return found
