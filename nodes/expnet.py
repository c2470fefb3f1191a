"""ExpNet: speech and a face in, the expression of every frame out."""

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


class SadTalkerExpNet(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerExpNet",
            display_name="ExpNet",
            category=wires.CATEGORY,
            description="Predicts 64 expression coefficients per frame from the audio. Blinks are generated or taken "
            "from a reference video.",
            inputs=[
                widgets.model(),
                widgets.speech(),
                widgets.coefficients(),
                widgets.option("blink"),
                widgets.option("blink_rate"),
                widgets.option("blink_strength"),
                widgets.seed("Timing of the blinks. The same seed gives the same blinks on every machine."),
                *widgets.reference("ExpNet"),
            ],
            outputs=[
                wires.Expression.Output("expression", display_name="expression", tooltip="64 coefficients per frame.")
            ],
        )

    @classmethod
    def execute(
        cls,
        model: ManagedModel,
        speech: SpeechWindows,
        coefficients: FaceCoefficients,
        blink: str,
        blink_rate: float,
        blink_strength: float,
        seed: int,
        **lent: Unpack[ReferenceOptions],
    ) -> io.NodeOutput:
        expression = pipeline.predict_expression(
            model,
            speech,
            coefficients,
            blink=blink,
            blinks_per_minute=blink_rate,
            blink_strength=blink_strength,
            seed=seed,
            on_progress=Progress(speech.n_frames),
            **lent,
        )
        return io.NodeOutput(expression)
