"""Edit Expression, Edit Pose, Blend Tracks, Resize Track, Silence Gate: tracks in, edited tracks out, at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..sadtalker_core.datatypes import Expression, FaceCoefficients, HeadPose, PoseAngles, SpeechWindows
from ..sadtalker_core.errors import OptionError
from ..sadtalker_core.motion import edit
from ..sadtalker_core.motion.silence import silence_gate
from . import widgets, wires


def edited_or_blocked(name: str, tracks: tuple[Any, ...], work: Callable[..., Any]) -> Any:
    """The result of `work` on the tracks; without any track, a wire that blocks the nodes after it with a message."""
    if all(track is None for track in tracks):
        return ExecutionBlocker(f"this {name} output is empty: connect the node's {name} input, or remove this wire.")
    if any(track is None for track in tracks):
        raise OptionError(f"the {name} needs both of its inputs; connect the other {name} as well.")
    return work(*tracks)


class SadTalkerEditExpression(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerEditExpression",
            display_name="Edit Expression",
            category=wires.CATEGORY,
            description="Scales and smooths an expression: mouth, eyes and brows separately with mini, the whole face"
            " with the released models.",
            inputs=[
                wires.Expression.Input("expression", tooltip="From ExpNet, or from another edit."),
                *widgets.own("EditExpression"),
            ],
            outputs=[
                wires.Expression.Output(
                    "edited", display_name="expression", tooltip="The expression, edited. For MappingNet."
                )
            ],
        )

    @classmethod
    def execute(
        cls, expression: Expression, overall: float, mouth: float, eyes: float, brows: float, smoothing: int
    ) -> io.NodeOutput:
        return io.NodeOutput(
            edit.edit_expression(expression, overall=overall, mouth=mouth, eyes=eyes, brows=brows, smoothing=smoothing)
        )


class SadTalkerEditPose(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerEditPose",
            display_name="Edit Pose",
            category=wires.CATEGORY,
            description="Scales and smooths head movement relative to the first frame, axis by axis, and rotates the "
            "head by a fixed angle.",
            inputs=[
                wires.Pose.Input("pose", tooltip="From PoseVAE, or from another edit."),
                *widgets.own("EditPose"),
            ],
            outputs=[wires.Pose.Output("edited", display_name="pose", tooltip="The pose, edited. For MappingNet.")],
        )

    @classmethod
    def execute(
        cls,
        pose: HeadPose,
        pitch_scale: float,
        yaw_scale: float,
        roll_scale: float,
        translation_scale: float,
        pitch_offset: float,
        yaw_offset: float,
        roll_offset: float,
        smoothing: int,
    ) -> io.NodeOutput:
        return io.NodeOutput(
            edit.edit_pose(
                pose,
                scales=PoseAngles(pitch=pitch_scale, yaw=yaw_scale, roll=roll_scale),
                translation=translation_scale,
                offsets_deg=PoseAngles(pitch=pitch_offset, yaw=yaw_offset, roll=roll_offset),
                smoothing=smoothing,
            )
        )


class SadTalkerBlendTracks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerBlendTracks",
            display_name="Blend Tracks",
            category=wires.CATEGORY,
            description="Mixes two expressions, two poses or both pairs frame by frame, or plays one after the other.",
            inputs=[
                *widgets.own("BlendTracks"),
                wires.Expression.Input("expression", optional=True, tooltip="The first expression."),
                wires.Expression.Input(
                    "other_expression", optional=True, tooltip="The one that is mixed in or follows."
                ),
                wires.Pose.Input("pose", optional=True, tooltip="The first pose."),
                wires.Pose.Input("other_pose", optional=True, tooltip="The one that is mixed in or follows."),
            ],
            outputs=[
                wires.Expression.Output(
                    "joined_expression",
                    display_name="expression",
                    tooltip="From the two expressions; empty without them.",
                ),
                wires.Pose.Output(
                    "joined_pose", display_name="pose", tooltip="From the two poses; empty without them."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        mode: str,
        weight: float,
        crossfade: int,
        expression: Expression | None = None,
        other_expression: Expression | None = None,
        pose: HeadPose | None = None,
        other_pose: HeadPose | None = None,
    ) -> io.NodeOutput:
        def join(track: Any, other: Any) -> Any:
            return edit.blend(track, other, weight) if mode == edit.BLEND else edit.concatenate(track, other, crossfade)

        if all(track is None for track in (expression, other_expression, pose, other_pose)):
            raise OptionError("there is nothing to blend; connect two expressions, two poses, or both.")
        return io.NodeOutput(
            edited_or_blocked("expression", (expression, other_expression), join),
            edited_or_blocked("pose", (pose, other_pose), join),
        )


class SadTalkerResizeTrack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerResizeTrack",
            display_name="Resize Track",
            category=wires.CATEGORY,
            description="Changes the length of an expression, a pose or both: loop, ping-pong, hold the last frame, "
            "stretch or cut.",
            inputs=[
                *widgets.own("ResizeTrack"),
                wires.Expression.Input("expression", optional=True, tooltip="The expression to resize."),
                wires.Pose.Input("pose", optional=True, tooltip="The pose to resize."),
                wires.Speech.Input("speech", optional=True, tooltip="The tracks become as long as this audio."),
            ],
            outputs=[
                wires.Expression.Output(
                    "resized_expression", display_name="expression", tooltip="At the new length; empty without input."
                ),
                wires.Pose.Output(
                    "resized_pose", display_name="pose", tooltip="At the new length; empty without input."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        frames: int,
        method: str,
        crossfade: int,
        expression: Expression | None = None,
        pose: HeadPose | None = None,
        speech: SpeechWindows | None = None,
    ) -> io.NodeOutput:
        n_frames = frames if speech is None else speech.n_frames

        def fit(track: Any) -> Any:
            return edit.resize(track, n_frames, method, crossfade=crossfade)

        if expression is None and pose is None:
            raise OptionError("there is no track to resize; connect an expression, a pose, or both.")
        return io.NodeOutput(
            edited_or_blocked("expression", (expression,), fit), edited_or_blocked("pose", (pose,), fit)
        )


class SadTalkerSilenceGate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerSilenceGate",
            display_name="Silence Gate",
            category=wires.CATEGORY,
            description="Rests the mouth, as in the portrait, wherever the audio is silent. Helps when lips mumble in"
            " pauses or follow background noise.",
            inputs=[
                wires.Expression.Input("expression", tooltip="From ExpNet, made from the same speech."),
                wires.Speech.Input("speech", tooltip="From Audio Encode; where it is silent the mouth rests."),
                wires.Coefficients.Input(
                    "coefficients",
                    tooltip="The portrait's, from 3DMM Extract: the mouth at rest. With the released models the whole"
                    " face rests, including blinks: their coefficients do not separate mouth and eyelids.",
                ),
                *(widgets.option(name, node="SilenceGate") for name in ("threshold", "attack", "release", "strength")),
                widgets.option("rest_in_pauses", node="SilenceGate", optional=True),
            ],
            outputs=[
                wires.Expression.Output(
                    "gated", display_name="expression", tooltip="The expression with pauses. For MappingNet."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        expression: Expression,
        speech: SpeechWindows,
        coefficients: FaceCoefficients,
        threshold: float,
        attack: float,
        release: float,
        strength: float,
        rest_in_pauses: bool = True,
    ) -> io.NodeOutput:
        if not rest_in_pauses:
            return io.NodeOutput(expression)
        return io.NodeOutput(
            silence_gate(
                expression,
                speech,
                coefficients,
                threshold_db=threshold,
                attack=attack,
                release=release,
                strength=strength,
            )
        )
