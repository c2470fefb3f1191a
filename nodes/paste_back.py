"""Paste Back: frames of the head in, frames of the whole image out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from comfy_api.latest import io
from torch import Tensor

from ..sadtalker_core import pipeline
from ..sadtalker_core.compose.paste import SeamOptions
from ..sadtalker_core.datatypes import Portrait
from . import widgets, wires
from .frame_batch import collect_with_alpha

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SadTalkerPasteBack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerPasteBack",
            display_name="Paste Back",
            category=wires.CATEGORY,
            description="Puts the talking head back into the whole image. The frames may have any size: restore or "
            "upscale them first if you like.",
            inputs=[
                io.Image.Input("frames", tooltip="From Face Render, or from a face restorer after it."),
                wires.Portrait.Input("portrait", tooltip="From 3DMM Extract; it holds the position of the head."),
                *widgets.seam(),
                widgets.mask(),
                io.Image.Input(
                    "background",
                    optional=True,
                    tooltip="Frames of another Paste Back of the same image, where somebody else talks: this head is "
                    "pasted into them. The shorter clip holds its last frame.",
                ),
                io.Mask.Input(
                    "alpha",
                    optional=True,
                    tooltip="From Face Render, for a portrait with transparency: the alpha output then moves with the "
                    "head.",
                ),
            ],
            outputs=[
                io.Image.Output("pictures", display_name="frames", tooltip="The whole image, frame by frame."),
                io.Mask.Output("pasted", display_name="mask", tooltip="Where the frames were pasted, 0..1."),
                io.Mask.Output(
                    "whole_alpha",
                    display_name="alpha",
                    tooltip="1 where the whole image shows something, 0 where it is transparent; for the mask of Video "
                    "Combine.",
                ),
            ],
        )

    @classmethod
    @torch.inference_mode()
    def execute(
        cls,
        frames: Tensor,
        portrait: Portrait,
        background: Tensor | None = None,
        alpha: Tensor | None = None,
        **seam: Unpack[SeamOptions],
    ) -> io.NodeOutput:
        own = portrait.alpha()
        stream, pasted = pipeline.paste(
            frames, portrait, background=background, alpha=None if own is None else alpha, **seam
        )
        pictures, whole_alpha = collect_with_alpha(stream, "Paste Back")
        if own is not None and alpha is None:  # it stands still, and is held in memory once
            whole_alpha = own.to(pictures.device).expand(stream.n_frames, -1, -1)
        return io.NodeOutput(pictures, pasted.unsqueeze(0), whole_alpha)
