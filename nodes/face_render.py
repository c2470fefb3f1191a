"""Face Render: a portrait and its motion in, frames out."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..sadtalker_core import pipeline
from ..sadtalker_core.compose.video import with_even_sides
from ..sadtalker_core.timeline import FRAMES_PER_SECOND
from . import widgets, wires
from .frame_batch import collect


class SadTalkerFaceRender(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerFaceRender",
            display_name="Face Render",
            category=wires.CATEGORY,
            description="Animates the portrait and renders the frames at 25 fps, with a live preview in the node.",
            inputs=[
                wires.Model.Input("model", tooltip="From Load SadTalker Model."),
                wires.Portrait.Input("portrait", tooltip="From 3DMM Extract: the portrait with its face cropped."),
                wires.Motion.Input("motion", tooltip="From MappingNet."),
                *widgets.own("FaceRender"),
            ],
            outputs=[
                io.Image.Output("frames", display_name="frames", tooltip="The talking head, frame by frame."),
                io.Float.Output("fps", display_name="fps", tooltip="25.0, for Video Combine."),
            ],
        )

    @classmethod
    @torch.inference_mode()
    def execute(cls, model, portrait, motion, batch_size: int) -> io.NodeOutput:
        stream = with_even_sides(pipeline.render(model, portrait, motion, batch_size=batch_size))
        return io.NodeOutput(collect(stream, "Face Render"), float(FRAMES_PER_SECOND))
