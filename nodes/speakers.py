"""Split Speakers: one recording and who speaks when in, a recording for each speaker out. Look at Speaker: the tracks
of a listener in, the same tracks looking towards the speaker out.
"""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..sadtalker_core import pipeline
from ..sadtalker_core.audio.speakers import MOST_SPEAKERS, describe_tracks, split_speakers
from ..sadtalker_core.audio.turns import read_turns
from ..sadtalker_core.datatypes import Expression, HeadPose, Portrait, SpeechWindows
from ..sadtalker_core.errors import OptionError
from . import widgets, wires
from .progress import Progress
from .track_edits import edited_or_blocked


class SadTalkerSplitSpeakers(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerSplitSpeakers",
            display_name="Split Speakers",
            category=wires.CATEGORY,
            description="Divides one recording among up to four speakers by who speaks when: each gets audio of the "
            "full length, silent while others speak.",
            inputs=[
                io.Audio.Input("audio", tooltip="The recording with all speakers."),
                widgets.option("lines", node="SplitSpeakers", multiline=True),
                widgets.option("speakers", node="SplitSpeakers"),
            ],
            outputs=[
                *(
                    io.Audio.Output(
                        f"speaker_{k}",
                        display_name=f"speaker {k}",
                        tooltip="One speaker, silent where others speak; for Audio Encode. Empty if there are fewer.",
                    )
                    for k in range(1, MOST_SPEAKERS + 1)
                ),
                io.String.Output("who", display_name="who", tooltip="Which output is whose, a line for each."),
            ],
        )

    @classmethod
    def execute(cls, audio: Any, lines: str, speakers: str) -> io.NodeOutput:
        tracks = split_speakers(
            audio["waveform"], audio["sample_rate"], read_turns(lines), speakers, on_progress=Progress()
        )
        outputs: list[Any] = [
            {"waveform": track.waveform.unsqueeze(0), "sample_rate": audio["sample_rate"]} for track in tracks
        ]
        for k in range(len(tracks), MOST_SPEAKERS):
            outputs.append(
                ExecutionBlocker(
                    f"speaker {k + 1} is empty: the lines name {len(tracks)}; remove the wire, or add turns."
                )
            )
        return io.NodeOutput(*outputs, describe_tracks(tracks))


class SadTalkerLookAtSpeaker(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SadTalkerLookAtSpeaker",
            display_name="Look at Speaker",
            category=wires.CATEGORY,
            description="Of two people in one image, the listener looks a little towards the speaker: the eyes with "
            "mini, the head with every model. Blinks and idle movement go on.",
            inputs=[
                wires.Portrait.Input("portrait", tooltip="The listener's, from 3DMM Extract."),
                wires.Speech.Input("speech", tooltip="The listener's own, from Audio Encode after Split Speakers."),
                wires.Portrait.Input("other_portrait", tooltip="The other person's, from 3DMM Extract of that image."),
                wires.Speech.Input("other_speech", tooltip="The other person's, from Audio Encode."),
                widgets.option("amount", node="LookAtSpeaker"),
                wires.Expression.Input("expression", optional=True, tooltip="The listener's, from ExpNet."),
                wires.Pose.Input("pose", optional=True, tooltip="The listener's, from PoseVAE."),
            ],
            outputs=[
                wires.Expression.Output(
                    "looking_expression", display_name="expression", tooltip="For MappingNet; empty without input."
                ),
                wires.Pose.Output("looking_pose", display_name="pose", tooltip="For MappingNet; empty without input."),
            ],
        )

    @classmethod
    def execute(
        cls,
        portrait: Portrait,
        speech: SpeechWindows,
        other_portrait: Portrait,
        other_speech: SpeechWindows,
        amount: float,
        expression: Expression | None = None,
        pose: HeadPose | None = None,
    ) -> io.NodeOutput:
        if expression is None and pose is None:
            raise OptionError("there is no track to turn; connect an expression, a pose, or both.")
        looking = pipeline.look_at(portrait, other_portrait, speech, other_speech, expression, pose, amount=amount)
        return io.NodeOutput(
            edited_or_blocked("expression", (looking[0],), lambda track: track),
            edited_or_blocked("pose", (looking[1],), lambda track: track),
        )
