"""Render Video: a portrait, its motion and a voice in, an mp4 of any length out; no more than a batch is in memory."""

from __future__ import annotations

import logging

import torch
from comfy_api.latest import io

from ..sadtalker_core import pipeline
from . import video_file, widgets, wires
from .progress import Progress


class SadTalkerRenderVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerRenderVideo",
            display_name="Render Video",
            category=wires.CATEGORY,
            description="Face Render, Paste Back and Video Combine in one, batch by batch: clips of any length in the"
            " memory of a few frames.",
            inputs=[
                wires.Model.Input("model", tooltip="From Load SadTalker Model."),
                wires.Portrait.Input("portrait", tooltip="From 3DMM Extract: the portrait with its face cropped."),
                wires.Motion.Input("motion", tooltip="From MappingNet; it sets the number of frames."),
                widgets.option("paste_back"),
                *widgets.seam("With paste_back:"),
                widgets.option("batch_size", node="RenderVideo"),
                widgets.option("quality"),
                widgets.option("filename_prefix", node="RenderVideo"),
                widgets.option("keep_partial", node="RenderVideo"),
                widgets.audio(),
                widgets.mask("With paste_back:"),
                widgets.output_fps(),
            ],
            outputs=video_file.outputs(),
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    @torch.inference_mode()
    def execute(
        cls, model, portrait, motion, paste_back, feather, colour_match, batch_size, quality, filename_prefix,
        keep_partial, audio=None, mask=None, output_fps=0.0,
    ) -> io.NodeOutput:  # fmt: skip
        heads = pipeline.render(model, portrait, motion, batch_size=batch_size)
        whole = None
        width, height = heads.width, heads.height
        if paste_back:
            whole = pipeline.make_paste_back(portrait, feather=feather, colour_match=colour_match, mask=mask)
            width, height = portrait.size_wh
        logging.info("SadTalker: Render Video makes %d frames of %d x %d.", heads.n_frames, width, height)
        progress = Progress(heads.n_frames)
        claim, subfolder = video_file.claim(
            filename_prefix, "talking", ".mp4", cls.hidden, size_wh=(width, height),
            partial_ending=video_file.PARTIAL_ENDING if keep_partial else None,
        )  # fmt: skip
        with claim:
            path = pipeline.render_video(
                claim,
                heads,
                whole,
                output_fps=output_fps,
                audio=None if audio is None else (audio["waveform"], audio["sample_rate"]),
                quality=quality,
                metadata=video_file.workflow_metadata(cls.hidden),
                signature=video_file.signature(),
                on_head=progress.show,
                on_progress=progress,
                check_stop=progress.check_stop,
            )
        return video_file.shown(path, subfolder)

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None):
        return video_file.prefix_fault(filename_prefix)
