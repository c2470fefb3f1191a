"""Face Render: a portrait and its motion in, frames out."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..sadtalker_core import pipeline
from ..sadtalker_core.compose.frame_input import with_even_sides
from ..sadtalker_core.datatypes import AnyMotion, Portrait
from ..sadtalker_core.timeline import FRAMES_PER_SECOND
from . import widgets, wires
from .frame_batch import collect_with_alpha
from .residency import ManagedModel


class SadTalkerFaceRender(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerFaceRender",
            display_name="Face Render",
            category=wires.CATEGORY,
            description="Animates the portrait and renders the frames at 25 fps, with a live preview in the node.",
            inputs=[
                widgets.model(),
                wires.Portrait.Input("portrait", tooltip="From 3DMM Extract: the portrait with its face cropped."),
                wires.Motion.Input("motion", tooltip="From MappingNet."),
                *widgets.own("FaceRender"),
            ],
            outputs=[
                io.Image.Output("frames", display_name="frames", tooltip="The talking head, frame by frame."),
                io.Float.Output("fps", display_name="fps", tooltip="25.0, for Video Combine."),
                io.Mask.Output(
                    "head_alpha",
                    display_name="alpha",
                    tooltip="1 where the head shows, 0 where the portrait is transparent, moved with it; for the mask "
                    "of Video Combine. All 1 for a portrait without transparency.",
                ),
            ],
        )

    @classmethod
    @torch.inference_mode()
    def execute(cls, model: ManagedModel, portrait: Portrait, motion: AnyMotion, batch_size: int) -> io.NodeOutput:
        stream = with_even_sides(pipeline.render(model, portrait, motion, batch_size=batch_size, alpha=True))
        frames, alpha = collect_with_alpha(stream, "Face Render")
        return io.NodeOutput(frames, float(FRAMES_PER_SECOND), alpha)
