"""Render Video: a portrait, its motion and a voice in, an mp4 of any length out; no more than a batch is in memory."""

from __future__ import annotations

import logging
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..sadtalker_core import pipeline
from ..sadtalker_core.datatypes import AnyMotion, Portrait
from ..sadtalker_core.errors import OptionError
from . import video_file, widgets, wires
from .progress import Progress
from .residency import ManagedModel


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
                wires.Portrait.Input(
                    "other_portrait",
                    optional=True,
                    tooltip="A second person of the same image, from 3DMM Extract; the film shows the whole image.",
                ),
                wires.Motion.Input("other_motion", optional=True, tooltip="The second person's, from MappingNet."),
            ],
            outputs=video_file.outputs(),
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    @torch.inference_mode()
    def execute(
        cls,
        model: ManagedModel,
        portrait: Portrait,
        motion: AnyMotion,
        paste_back: bool,
        feather: float,
        colour_match: float,
        batch_size: int,
        quality: str,
        filename_prefix: str,
        keep_partial: bool,
        audio: Any = None,
        mask: Tensor | None = None,
        output_fps: float = 0.0,
        other_portrait: Portrait | None = None,
        other_motion: AnyMotion | None = None,
    ) -> io.NodeOutput:
        if (other_portrait is None) != (other_motion is None):
            raise OptionError("a second person needs both other_portrait and other_motion; connect the missing one.")
        heads = pipeline.render(model, portrait, motion, batch_size=batch_size)
        whole = None
        width, height = heads.width, heads.height
        if other_portrait is not None and other_motion is not None:
            other = pipeline.render(model, other_portrait, other_motion, batch_size=batch_size)
            heads = pipeline.paste_together(
                [
                    (clip, pipeline.make_paste_back(who, feather=feather, colour_match=colour_match, mask=mask))
                    for clip, who in ((heads, portrait), (other, other_portrait))
                ]
            )
            width, height = heads.width, heads.height
        elif paste_back:
            whole = pipeline.make_paste_back(portrait, feather=feather, colour_match=colour_match, mask=mask)
            width, height = portrait.size_wh
        logging.info("SadTalker: Render Video makes %d frames of %d x %d.", heads.n_frames, width, height)
        progress = Progress(heads.n_frames)
        claim, subfolder = video_file.claim(
            filename_prefix,
            "talking",
            ".mp4",
            cls.hidden,
            size_wh=(width, height),
            partial_ending=video_file.PARTIAL_ENDING if keep_partial else None,
        )
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
    def validate_inputs(cls, filename_prefix: str | None = None) -> str | bool:
        return video_file.prefix_fault(filename_prefix)
