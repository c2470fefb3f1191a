"""Paste Back: frames of the head in, frames of the whole picture out."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..sadtalker_core import pipeline
from . import wires
from .frame_batch import collect


class SadTalkerPasteBack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerPasteBack",
            display_name="Paste Back",
            category=wires.CATEGORY,
            description="Puts the talking head back into the whole picture. The frames may have any size: restore or "
            "upscale them before, if you like.",
            inputs=[
                io.Image.Input("frames", tooltip="From Face Render, or from a face restorer behind it."),
                wires.Portrait.Input("portrait", tooltip="From 3DMM Extract: it knows where the head was."),
                io.Float.Input(
                    "feather",
                    default=0.1,
                    min=0.0,
                    max=0.5,
                    step=0.01,
                    tooltip="How softly the head fades into the picture at the edge of its box, as a part of the box.",
                ),
                io.Float.Input(
                    "colour_match",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far the frames take the colours of the picture around the seam; 0 = not at all.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="In the size of the picture: only where it is white the frames replace the picture.",
                ),
            ],
            outputs=[
                io.Image.Output("pictures", display_name="frames", tooltip="The whole picture, frame by frame."),
                io.Mask.Output("pasted", display_name="mask", tooltip="Where the frames were put, 0..1."),
            ],
        )

    @classmethod
    @torch.inference_mode()
    def execute(cls, frames, portrait, feather, colour_match, mask=None) -> io.NodeOutput:
        stream, pasted = pipeline.paste(frames, portrait, feather=feather, colour_match=colour_match, mask=mask)
        return io.NodeOutput(collect(stream, "Paste Back"), pasted.unsqueeze(0))
