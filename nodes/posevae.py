"""PoseVAE: a voice, a face and a style in, the head pose of every frame out."""

from __future__ import annotations

from comfy_api.latest import io

from ..sadtalker_core import pipeline
from ..sadtalker_core.motion.reference import ReferenceLength
from . import wires
from .progress import Progress


class SadTalkerPoseVAE(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerPoseVAE",
            display_name="PoseVAE",
            category=wires.CATEGORY,
            description="Invents how the head moves with the voice, in one of 46 styles, or takes it from a reference "
            "video.",
            inputs=[
                wires.Model.Input("model", tooltip="From Load SadTalker Model."),
                wires.Speech.Input("speech", tooltip="From Audio Encode."),
                wires.Coefficients.Input("coefficients", tooltip="The portrait's, from 3DMM Extract."),
                io.Int.Input(
                    "pose_style", default=0, min=0, max=45, tooltip="One of the 46 manners of moving the head."
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Another seed, another movement. The same seed gives the same video on every machine.",
                ),
                io.Combo.Input(
                    "reference_mode",
                    options=list(pipeline.POSE_REFERENCE),
                    default="pose",
                    tooltip="What a connected reference gives. pose: its head movement on top of the invented one. "
                    "all: its head movement alone.",
                ),
                io.Combo.Input(
                    "reference_length",
                    options=ReferenceLength,
                    default=ReferenceLength.LOOP,
                    tooltip="When the reference is shorter or longer than the voice: loop it, play it to and fro, "
                    "hold its last frame, or cut the clip to it.",
                ),
                wires.Coefficients.Input("reference", optional=True, tooltip="From 3DMM from Video."),
            ],
            outputs=[
                wires.Pose.Output(
                    "pose", display_name="pose", tooltip="Rotation and translation of the head for every frame."
                )
            ],
        )

    @classmethod
    def execute(
        cls, model, speech, coefficients, pose_style, seed, reference_mode, reference_length, reference=None
    ) -> io.NodeOutput:
        pose = pipeline.nod(
            model,
            speech,
            coefficients,
            style=pose_style,
            seed=seed,
            reference=reference,
            reference_mode=reference_mode,
            reference_length=reference_length,
            on_progress=Progress(speech.n_frames),
        )
        return io.NodeOutput(pose)
