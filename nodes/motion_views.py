"""Motion Plot and Motion Preview: tracks and motion in, images of them out, before anything is rendered."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..sadtalker_core import pipeline
from ..sadtalker_core.compose.plot import plot_motion
from ..sadtalker_core.datatypes import AnyMotion, Expression, HeadPose, Portrait, SpeechWindows
from ..sadtalker_core.timeline import FRAMES_PER_SECOND
from . import widgets, wires
from .frame_batch import collect
from .residency import ManagedModel


class SadTalkerMotionPlot(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerMotionPlot",
            display_name="Motion Plot",
            category=wires.CATEGORY,
            description="Plots expression and pose over the waveform: jaw, lips, eyelids and brows with mini, the "
            "amount of change with the released models, the head in degrees.",
            inputs=[
                *widgets.own("MotionPlot"),
                wires.Speech.Input(
                    "speech", optional=True, tooltip="From Audio Encode: the waveform behind the curves."
                ),
                wires.Expression.Input("expression", optional=True, tooltip="From ExpNet or an edit of it."),
                wires.Pose.Input("pose", optional=True, tooltip="From PoseVAE or an edit of it."),
            ],
            outputs=[io.Image.Output("plot", display_name="plot", tooltip="One image; view it with Preview Image.")],
        )

    @classmethod
    def execute(
        cls,
        width: int,
        height: int,
        speech: SpeechWindows | None = None,
        expression: Expression | None = None,
        pose: HeadPose | None = None,
    ) -> io.NodeOutput:
        return io.NodeOutput(plot_motion(speech, expression, pose, width=width, height=height).unsqueeze(0))


class SadTalkerMotionPreview(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerMotionPreview",
            display_name="Motion Preview",
            category=wires.CATEGORY,
            description="Previews the motion in seconds: the animated face mesh with mini, the 15 key points that "
            "drive the renderer with the released models.",
            inputs=[
                widgets.model(),
                wires.Portrait.Input("portrait", tooltip="From 3DMM Extract."),
                wires.Motion.Input("motion", tooltip="From MappingNet."),
                *widgets.own("MotionPreview"),
            ],
            outputs=[
                io.Image.Output("frames", display_name="frames", tooltip="The preview, frame by frame."),
                io.Float.Output("fps", display_name="fps", tooltip="25, for Video Combine."),
            ],
        )

    @classmethod
    @torch.inference_mode()
    def execute(
        cls, model: ManagedModel, portrait: Portrait, motion: AnyMotion, size: int, over_portrait: bool
    ) -> io.NodeOutput:
        frames = pipeline.preview(model, portrait, motion, side=size, over_portrait=over_portrait)
        return io.NodeOutput(collect(frames, "Motion Preview"), float(FRAMES_PER_SECOND))
