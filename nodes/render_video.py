"""Render Video: a portrait, its motion and a voice in, an mp4 of any length out; no more than a batch is in memory."""

from __future__ import annotations

import logging
from pathlib import Path

import folder_paths
import torch
from comfy import model_management
from comfy_api.latest import InputImpl, io, ui

from ..sadtalker_core import pipeline
from ..sadtalker_core.compose.video import QUALITIES
from . import wires
from .progress import Progress
from .video_combine import workflow_metadata


class SadTalkerRenderVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerRenderVideo",
            display_name="Render Video",
            category=wires.CATEGORY,
            description="Face Render, Paste Back and Video Combine in one, batch by batch: a clip of any length in the "
            "memory of a few frames.",
            inputs=[
                wires.Model.Input("model", tooltip="From Load SadTalker Model."),
                wires.Portrait.Input("portrait", tooltip="From 3DMM Extract: the portrait with its face cut out."),
                wires.Motion.Input("motion", tooltip="From MappingNet: as many frames as the video will have."),
                io.Boolean.Input(
                    "paste_back",
                    default=False,
                    tooltip="On: the head is put back into the whole picture. Off: the video shows the head alone.",
                ),
                io.Float.Input(
                    "feather",
                    default=0.1,
                    min=0.0,
                    max=0.5,
                    step=0.01,
                    tooltip="With paste_back: how softly the head fades into the picture at the edge of its box, as a "
                    "part of the box.",
                ),
                io.Float.Input(
                    "colour_match",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="With paste_back: how far the head takes the colours of the picture around the seam; 0 = "
                    "not at all.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=0,
                    min=0,
                    max=64,
                    tooltip="Frames made at once; 0 = as many as the memory suggests, 1 on a CPU. The video does not "
                    "depend on it.",
                ),
                io.Combo.Input(
                    "quality",
                    options=list(QUALITIES),
                    default="high",
                    tooltip="draft: small and fast. high: looks like the frames. best: nearly lossless.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="sadtalker/talking",
                    tooltip="Folder and beginning of the file's name inside the output folder; %date:yyyy-MM-dd% and "
                    "the like are filled in.",
                ),
                io.Boolean.Input(
                    "keep_partial",
                    default=False,
                    tooltip="When the run is stopped or fails, keep what was made so far as a playable file whose name "
                    "ends in _partial.mp4. Off: nothing stays.",
                ),
                io.Audio.Input(
                    "audio", optional=True, tooltip="The voice; cut or filled with silence to the length of the motion."
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="With paste_back, in the size of the picture: only where it is white the head replaces the "
                    "picture.",
                ),
            ],
            outputs=[io.Video.Output("video", display_name="video", tooltip="The file that was written.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    @torch.inference_mode()
    def execute(
        cls, model, portrait, motion, paste_back, feather, colour_match, batch_size, quality, filename_prefix,
        keep_partial, audio=None, mask=None,
    ) -> io.NodeOutput:  # fmt: skip
        free = model_management.get_free_memory(model_management.get_torch_device())
        heads = pipeline.render(model, portrait, motion, batch_size=batch_size, free_bytes=free)
        whole = None
        width, height = heads.width, heads.height
        if paste_back:
            whole = pipeline.whole_picture(portrait, feather=feather, colour_match=colour_match, mask=mask)
            width, height = portrait.size_wh
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), width, height
        )
        file, partial = f"{name}_{counter:05}_.mp4", f"{name}_{counter:05}_partial.mp4"
        logging.info("SadTalker: Render Video makes %d frames of %d x %d.", heads.n_frames, width, height)
        pipeline.film(
            Path(folder) / file,
            heads,
            whole,
            audio=None if audio is None else (audio["waveform"], audio["sample_rate"]),
            quality=quality,
            metadata=workflow_metadata(cls.hidden),
            partial=Path(folder) / partial if keep_partial else None,
            on_progress=Progress(heads.n_frames),
        )
        return io.NodeOutput(
            InputImpl.VideoFromFile(str(Path(folder) / file)),
            ui=ui.PreviewVideo([ui.SavedResult(file, subfolder, io.FolderType.output)]),
        )
