"""PoseVAE: speech, a face and a style in, the head pose of every frame out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..sadtalker_core import pipeline
from ..sadtalker_core.datatypes import FaceCoefficients, SpeechWindows
from ..sadtalker_core.motion.reference import ReferenceOptions
from . import widgets, wires
from .progress import Progress
from .residency import ManagedModel

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SadTalkerPoseVAE(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerPoseVAE",
            display_name="PoseVAE",
            category=wires.CATEGORY,
            description="Predicts head movement from the audio in one of 46 styles, or takes it from a reference "
            "video.",
            inputs=[
                widgets.model(),
                widgets.speech(),
                widgets.coefficients(),
                widgets.option("pose_style"),
                widgets.seed(),
                *widgets.reference("PoseVAE"),
            ],
            outputs=[
                wires.Pose.Output("pose", display_name="pose", tooltip="Head rotation and translation per frame.")
            ],
        )

    @classmethod
    def execute(
        cls,
        model: ManagedModel,
        speech: SpeechWindows,
        coefficients: FaceCoefficients,
        pose_style: int,
        seed: int,
        **lent: Unpack[ReferenceOptions],
    ) -> io.NodeOutput:
        pose = pipeline.predict_head_pose(
            model,
            speech,
            coefficients,
            style=pose_style,
            seed=seed,
            on_progress=Progress(speech.n_frames),
            **lent,
        )
        return io.NodeOutput(pose)
