"""Render Video: a portrait, its motion and audio in, a video of any length out; no more than a batch is in memory."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import psutil
import torch
from comfy import model_management
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from ..sadtalker_core import pipeline
from ..sadtalker_core.compose.formats import FORMATS
from ..sadtalker_core.compose.paste import SeamOptions
from ..sadtalker_core.datatypes import AnyMotion, Portrait
from ..sadtalker_core.errors import DoesNotFit, OptionError
from . import video_file, widgets, wires
from .frame_batch import opaque
from .progress import Progress
from .residency import ManagedModel

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: the message of a node that is connected to an alpha output which is switched off
ASK_FOR_ALPHA = (
    "Render Video gives the alpha of a cut-out portrait only when alpha_output is on: switch it on, or use Face Render."
)


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
                widgets.model(),
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
                    tooltip="A second person of the same image, from 3DMM Extract; the video shows the whole image.",
                ),
                wires.Motion.Input("other_motion", optional=True, tooltip="The second person's, from MappingNet."),
                *widgets.file_format(),
                widgets.option("alpha_output", node="RenderVideo", optional=True),
            ],
            outputs=[
                *video_file.outputs(),
                io.Mask.Output(
                    "film_alpha",
                    display_name="alpha",
                    tooltip="1 where the frames show something, 0 where they are transparent. Of a cut-out portrait "
                    "only with alpha_output on, because it is held in memory.",
                ),
            ],
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
        batch_size: int,
        quality: str,
        filename_prefix: str,
        keep_partial: bool,
        audio: Any = None,
        output_fps: float = 0.0,
        other_portrait: Portrait | None = None,
        other_motion: AnyMotion | None = None,
        format: str = "mp4",
        background_color: str = "",
        background: Tensor | None = None,
        alpha_output: bool = False,
        **seam: Unpack[SeamOptions],
    ) -> io.NodeOutput:
        kind, behind = FORMATS[format], video_file.backdrop(background_color, background)
        heads, whole = pipeline.render_people(
            model,
            [(portrait, motion), *_second_person(other_portrait, other_motion)],
            paste_back=paste_back,
            batch_size=batch_size,
            alpha=kind.alpha or behind is not None or alpha_output,
            **seam,
        )
        width, height = (heads.width, heads.height) if whole is None else portrait.size_wh
        logging.info("SadTalker: Render Video makes %d frames of %d x %d.", heads.n_frames, width, height)
        alphas = _Alphas((heads.n_frames, height, width)) if alpha_output and heads.has_alpha else None
        progress = Progress(heads.n_frames)
        claim, subfolder = video_file.claim(
            filename_prefix,
            "talking",
            kind.ending,
            cls.hidden,
            size_wh=(width, height),
            keep_partial=keep_partial,
        )
        with claim:
            path = pipeline.render_video(
                claim,
                heads,
                whole,
                audio=video_file.sound_of(audio),
                background=behind,
                on_head=progress.show,
                on_alpha=None if alphas is None else alphas.keep,
                **video_file.writing(cls.hidden, progress, quality=quality, output_fps=output_fps),
            )
        if alphas is not None:
            alpha: Any = alphas.kept
        elif alpha_output or portrait.alpha() is None:  # of two people, one may be opaque
            alpha = opaque(heads.n_frames, height, width)
        else:
            alpha = ExecutionBlocker(ASK_FOR_ALPHA)
        return video_file.output_of(path, subfolder, alpha, check_stop=progress.check_stop)

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None, background_color: str | None = None) -> str | bool:
        fault = video_file.prefix_fault(filename_prefix)
        return fault if fault is not True else video_file.format_fault(background_color)


def _second_person(portrait: Portrait | None, motion: AnyMotion | None) -> list[tuple[Portrait, AnyMotion]]:
    """Nobody, where neither is connected."""
    if portrait is not None and motion is not None:
        return [(portrait, motion)]
    if portrait is None and motion is None:
        return []
    raise OptionError("a second person needs both other_portrait and other_motion; connect the missing one.")


class _Alphas:
    """The alpha of a video, which comes batch by batch. Raises DoesNotFit at once where it cannot be held."""

    def __init__(self, shape: tuple[int, int, int]):
        n_bytes, free = 4 * math.prod(shape), psutil.virtual_memory().available
        if n_bytes > free:
            raise DoesNotFit(
                f"the alpha output would take {n_bytes / 1e6:.0f} MB, and {free / 1e6:.0f} MB of memory are free; "
                "switch alpha_output off: a webm or mov has its alpha in the file."
            )
        self.kept = torch.empty(shape, device=model_management.intermediate_device())
        self.n_frames = 0

    def keep(self, alpha: Tensor) -> None:
        """The next of them, (B, 1, H, W)."""
        self.kept[self.n_frames : self.n_frames + len(alpha)] = alpha[:, 0]
        self.n_frames += len(alpha)
