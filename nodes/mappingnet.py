"""MappingNet: coefficient tracks in, the movement of the renderer's key points out."""

from __future__ import annotations

from comfy_api.latest import io

from ..sadtalker_core import pipeline
from ..sadtalker_core.datatypes import Expression, FaceCoefficients, HeadPose, PoseAngles
from . import widgets, wires
from .progress import Progress
from .residency import ManagedModel

_OPTIONS = ("expression_scale", "yaw_scale", "pitch_scale", "roll_scale", "still", "yaw", "pitch", "roll")


class SadTalkerMappingNet(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerMappingNet",
            display_name="MappingNet",
            category=wires.CATEGORY,
            description="Maps expression and head pose to the key points that drive the renderer. Scales expression "
            "and head movement.",
            inputs=[
                widgets.model(),
                widgets.coefficients(),
                wires.Expression.Input("expression", tooltip="From ExpNet."),
                wires.Pose.Input("pose", tooltip="From PoseVAE."),
                *map(widgets.option, _OPTIONS),
            ],
            outputs=[wires.Motion.Output("motion", display_name="motion", tooltip="The motion of every frame.")],
        )

    @classmethod
    def execute(
        cls,
        model: ManagedModel,
        coefficients: FaceCoefficients,
        expression: Expression,
        pose: HeadPose,
        expression_scale: float,
        yaw_scale: float,
        pitch_scale: float,
        roll_scale: float,
        still: bool,
        yaw: str,
        pitch: str,
        roll: str,
    ) -> io.NodeOutput:
        motion = pipeline.coefficients_to_motion(
            model,
            coefficients,
            expression,
            pose,
            expression_scale=expression_scale,
            pose_scale=PoseAngles(pitch=pitch_scale, yaw=yaw_scale, roll=roll_scale),
            still=still,
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            on_progress=Progress(),
        )
        return io.NodeOutput(motion)
