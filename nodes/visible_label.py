"""Visible Label: frames in, the same frames with "AI-generated" in a corner out."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..sadtalker_core.compose.label import label_frames
from . import widgets, wires
from .progress import Progress


class SadTalkerVisibleLabel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerVisibleLabel",
            display_name="Visible Label",
            category=wires.CATEGORY,
            description="Writes a label, such as AI-generated, into a corner of every frame.",
            inputs=[
                io.Image.Input("frames", tooltip="From Face Render or Paste Back."),
                *widgets.own("VisibleLabel"),
            ],
            outputs=[io.Image.Output("labelled", display_name="frames", tooltip="The frames with the label.")],
        )

    @classmethod
    @torch.inference_mode()
    def execute(cls, frames, text, corner, size, opacity) -> io.NodeOutput:
        return io.NodeOutput(
            label_frames(frames, text, corner=corner, size=size, opacity=opacity, on_progress=Progress(len(frames)))
        )
