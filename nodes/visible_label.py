"""Visible Label: frames in, the same frames with "AI-generated" in a corner out."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ..sadtalker_core.compose.label import label_alpha, label_frames
from . import widgets, wires
from .frame_batch import opaque
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
                io.Mask.Input(
                    "alpha",
                    optional=True,
                    tooltip="Alpha of the frames, from Face Render or Paste Back: it then shows the label, too.",
                ),
            ],
            outputs=[
                io.Image.Output("labelled", display_name="frames", tooltip="The frames with the label."),
                io.Mask.Output(
                    "labelled_alpha", display_name="alpha", tooltip="The alpha with the label, for Video Combine."
                ),
            ],
        )

    @classmethod
    @torch.inference_mode()
    def execute(
        cls, frames: Tensor, text: str, corner: str, size: float, opacity: float, alpha: Tensor | None = None
    ) -> io.NodeOutput:
        labelled = label_frames(
            frames, text, corner=corner, size=size, opacity=opacity, on_progress=Progress(len(frames))
        )
        if alpha is None:
            return io.NodeOutput(labelled, opaque(*frames.shape[:3]))
        return io.NodeOutput(labelled, label_alpha(alpha, text, corner=corner, size=size, opacity=opacity))
