"""Visible Label: frames in, the same frames with "AI-generated" in a corner out."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ..sadtalker_core.compose.label import CORNERS, DEFAULT_TEXT, label_frames
from . import wires
from .progress import Progress


class SadTalkerVisibleLabel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerVisibleLabel",
            display_name="Visible Label",
            category=wires.CATEGORY,
            description="Writes a few words, AI-generated, into a corner of every frame, where everybody can see them.",
            inputs=[
                io.Image.Input("frames", tooltip="From Face Render or Paste Back."),
                io.String.Input(
                    "text",
                    default=DEFAULT_TEXT,
                    tooltip="What it says, on one line. Chinese and other letters are taken from "
                    "a typeface of the computer that ComfyUI runs on.",
                ),
                io.Combo.Input(
                    "corner", options=list(CORNERS), default=CORNERS[0], tooltip="Which corner of the picture."
                ),
                io.Float.Input(
                    "size",
                    default=0.05,
                    min=0.01,
                    max=0.25,
                    step=0.01,
                    tooltip="Height of the letters as a part of the shorter side of the picture.",
                ),
                io.Float.Input(
                    "opacity", default=0.8, min=0.1, max=1.0, step=0.05, tooltip="1 hides what is behind the label."
                ),
            ],
            outputs=[io.Image.Output("labelled", display_name="frames", tooltip="The frames with the label.")],
        )

    @classmethod
    @torch.inference_mode()
    def execute(cls, frames: Tensor, text: str, corner: str, size: float, opacity: float) -> io.NodeOutput:
        return io.NodeOutput(
            label_frames(frames, text, corner=corner, size=size, opacity=opacity, on_progress=Progress(len(frames)))
        )
