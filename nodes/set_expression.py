"""Set Expression: an expression track in, the same with controls added out, and a plot of them."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..sadtalker_core import pipeline
from ..sadtalker_core.compose.plot import plot_motion
from ..sadtalker_core.datatypes import Expression, SpeechWindows
from ..sadtalker_core.errors import OptionError
from ..sadtalker_core.motion.set_expression import NO_PRESET, Acting
from ..sadtalker_core.options import NODE_OPTIONS
from . import video_file, widgets, wires
from .progress import Progress
from .residency import ManagedModel

_PLOT_WIDTH, _PLOT_HEIGHT = 768, 480


class SadTalkerSetExpression(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerSetExpression",
            display_name="Set Expression",
            category=wires.CATEGORY,
            description="Adds smile, brows, gaze, winks and moods to the expression of the speech, each a number or "
            "keyframes, and plots them. Lips still close on p, b and m.",
            inputs=[
                wires.Expression.Input("expression", tooltip="From ExpNet, or from an edit of it."),
                *(widgets.option(name, node="SetExpression", optional=True) for name in NODE_OPTIONS["SetExpression"]),
                widgets.option(
                    "seed",
                    "Where the gaze wanders and which micro-expressions come. The same seed, the same ones.",
                    optional=True,
                    control_after_generate=True,
                ),
                wires.Speech.Input(
                    "speech", optional=True, tooltip="From Audio Encode: the waveform behind the curves of the plot."
                ),
                wires.Model.Input(
                    "model",
                    optional=True,
                    tooltip="From Load SadTalker Model. Only the released models need it here, to shut the eyes.",
                ),
            ],
            outputs=[
                wires.Expression.Output(
                    "set", display_name="expression", tooltip="The expression with what was set. For MappingNet."
                ),
                io.Image.Output("plot", display_name="plot", tooltip="The curves, as the node shows them."),
            ],
            is_output_node=True,  # the page then runs it by itself, to see the curves before anything is rendered
        )

    @classmethod
    def execute(
        cls,
        expression: Expression,
        preset: str = NO_PRESET,
        strength: str = "1",
        wandering_gaze: float = 0.0,
        micro_expressions: float = 0.0,
        seed: int = 0,
        speech: SpeechWindows | None = None,
        model: ManagedModel | None = None,
        **controls: str,
    ) -> io.NodeOutput:
        acting = Acting(controls, preset, strength, wandering_gaze, micro_expressions, seed)
        done = pipeline.set_expression(expression, acting, model, on_progress=Progress(len(expression)))
        courses = acting.courses(len(done))
        plot = plot_motion(speech, done, courses=courses, width=_PLOT_WIDTH, height=_PLOT_HEIGHT).unsqueeze(0)
        with video_file.written_to(Path(folder_paths.get_temp_directory())):
            return io.NodeOutput(done, plot, ui=ui.PreviewImage(plot))

    @classmethod
    def validate_inputs(
        cls,
        strength: str | None = None,
        smile: str | None = None,
        brows: str | None = None,
        frown: str | None = None,
        squint: str | None = None,
        wide_eyes: str | None = None,
        gaze_x: str | None = None,
        gaze_y: str | None = None,
        wink_left: str | None = None,
        wink_right: str | None = None,
        jaw: str | None = None,
        lip_corner_left: str | None = None,
        lip_corner_right: str | None = None,
        pucker: str | None = None,
    ) -> str | bool:
        """Before anything runs: True, or which keyframe is wrong. None comes by a wire, and is checked later."""
        courses = {name: course for name, course in locals().items() if name != "cls" and course is not None}
        try:
            Acting({name: course for name, course in courses.items() if name != "strength"}, strength=strength or "")
        except OptionError as error:
            return str(error)
        return True
